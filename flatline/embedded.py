"""The embedded server of `flatline up`: one per data directory, on a unix socket, brought back whenever it dies.

DESIGN. A lock on the data directory is taken first and kept until the end; the kernel drops it however we die. So
whatever still answers on the socket of a directory that we have locked is an orphan, and two servers never write the
same append-only file.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from flatline import unixsocket, valkey
from flatline.child import Child
from runtime.errors import StartError
from runtime.logs import log
from runtime.tasks import background

START_TIMEOUT_S = 10.0
LOADING_TIMEOUT_S = 600.0  # for the append-only file of millions of heartbeats
POLL_S = 0.01
RESTART_WAIT_S = (0.1, 5.0)  # doubling from the first to the second
STEADY_S = 60.0  # a server that ran this long earns the first wait again
LONGEST_LOG = 10 * 1024 * 1024  # bytes; the server never rotates its log itself
TAIL_LINES = 5

logger = logging.getLogger(__name__)


class EmbeddedServer:
    """The server's life. `run` below is the way to use it."""

    def __init__(self, binary: Path, data: Path, socket: Path) -> None:
        self._command = valkey.command(binary, data, socket)
        self._log = data / "server.log"
        self._socket = socket
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it and wait until it answers. Raises StartError with the tail of its log."""
        if self._log.exists() and self._log.stat().st_size > LONGEST_LOG:
            self._log.replace(self._log.with_suffix(".log.1"))
        try:
            self._child = Child(self._command, self._log)
            await self._answering(self._child)
        except TimeoutError:
            raise StartError(f"the embedded server does not answer: {self._tail()}") from None
        except OSError as error:
            raise StartError(f"cannot run the embedded server {self._command[0]}: {error.strerror}") from None

    async def watch(self) -> None:
        """Bring it back whenever it dies, for ever."""
        least, most = RESTART_WAIT_S
        wait = least
        loop = asyncio.get_running_loop()
        while (child := self._child) is not None:
            since = loop.time()
            await child.exited.wait()
            wait = least if loop.time() - since > STEADY_S else min(wait * 2, most)
            log(logger, logging.ERROR, "server_died", status=child.status)
            await asyncio.sleep(wait)
            try:
                await self.start()
            except StartError as error:
                log(logger, logging.ERROR, "server_restart_failed", reason=str(error))
                await self.stop()
            else:
                log(logger, logging.WARNING, "server_restarted", pid=self.pid)

    async def stop(self) -> None:
        """Stop it; what it was sent is on disk afterwards."""
        if self._child:
            await self._child.stop()

    async def _answering(self, child: Child) -> None:
        async with asyncio.timeout(START_TIMEOUT_S) as limit:
            loading = False
            while (answer := await unixsocket.ask(self._socket)) != b"+PONG":
                if child.exited.is_set():
                    raise StartError(f"the embedded server ended with status {child.status}: {self._tail()}")
                if answer.startswith(b"-LOADING") and not loading:
                    loading = True
                    limit.reschedule(asyncio.get_running_loop().time() + LOADING_TIMEOUT_S)
                await asyncio.sleep(POLL_S)

    def _tail(self) -> str:
        """The last lines of its log as one line."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
        return f"{self._log} ends with: " + " | ".join(line.strip() for line in lines[-TAIL_LINES:])


@asynccontextmanager
async def run(data: Path) -> AsyncIterator[EmbeddedServer]:
    """Run the server for the length of the block, its files in `data`. Raises StartError with one line.

    Use it in the main thread: the server ends with the thread that started it.
    """
    with _locked(data) as home:
        await unixsocket.clear(home)
        server = EmbeddedServer(valkey.find(), home, unixsocket.place(home))
        try:
            await server.start()
            async with background(server.watch, name="embedded server"):
                yield server
        finally:
            await server.stop()
            unixsocket.remove(home)


@contextlib.contextmanager
def _locked(data: Path) -> Iterator[Path]:
    data = data.absolute()  # the server changes its working directory
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartError(f"cannot use the data directory {data}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StartError(
            f"another flatline already runs on {data}: stop it, or choose another directory with --data-dir"
        ) from None
    try:
        yield data
    finally:
        os.close(lock)
