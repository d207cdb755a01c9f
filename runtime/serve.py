"""Runs an application on uvicorn, and a process from its first line to its exit status.

DESIGN. Stopping is cancellation, in one place: the first SIGTERM or SIGINT cancels the main coroutine, a `serve` that
is cancelled drains its requests before it lets go, and whatever stands around it (the embedded server) is unwound after
it like any other block. uvicorn's own signal handling is off: it ends by raising the signal once more, so a process
that stopped as asked would report -15 or a KeyboardInterrupt. A second signal stops the waiting.
"""

import asyncio
import contextlib
import gc
import logging
import math
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, cast

import uvicorn
import uvloop
from starlette.types import ASGIApp

from runtime.errors import StartError
from runtime.http import IDLE_S, RECEIVE_S, Protocol
from runtime.listen import listen
from runtime.logs import log

BACKLOG = 2048  # connections the kernel holds while we are busy; it caps this at net.core.somaxconn
GC_THRESHOLD = (50_000, 20, 100)  # containers, then rounds of the younger generation
DRAIN_S = 10  # for requests under way when we are told to stop
TICK_S = 0.1  # uvicorn's
LOOKS = 10  # within the time for a request, as long as they are not more than ticks
LET_IN_S = 0.02  # until accepted sockets have become connections

logger = logging.getLogger(__name__)

#: Makes the protocol of one connection from what uvicorn gives.
Http = Callable[..., Protocol]


async def serve(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    ready: Callable[[int], None] | None = None,
    http: Http = Protocol,
    backlog: int = BACKLOG,
    drain_s: int = DRAIN_S,
    receive_s: float = RECEIVE_S,
    idle_s: float = IDLE_S,
) -> None:
    """Serve until cancelled, then drain for up to `drain_s`; `ready` gets the bound port once requests are taken.

    Who has not sent a whole request after `receive_s`, or sends none for `idle_s` after an answer, is closed.
    Raises StartError if the address cannot be had or the application's lifespan fails.
    """
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(sock) for sock in listen(host, port, backlog)]
        config = uvicorn.Config(
            app,
            loop="none",
            http=http,  # type: ignore[arg-type]  # called, nothing else
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whom to believe is each role's setting
            backlog=backlog,
            timeout_graceful_shutdown=drain_s,
        )
        server = _Server(config, ready, receive_s=receive_s, idle_s=idle_s)
        task = asyncio.create_task(server.run_until_told(sockets), name="serve")
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            await server.stop(task)
            raise
        await task


def run(main: Coroutine[Any, Any, None]) -> int:
    """Run a process' main coroutine on uvloop and answer its exit status: 0 at its end or by a signal, 1 on errors."""
    # Every request makes some dozen containers that die with it; looking through them every 700 costs a tenth of a
    # node's time. What really is garbage in circles is rare here.
    gc.set_threshold(*GC_THRESHOLD)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_until_signal(main))
    except StartError as error:
        sys.stderr.write(f"flatline: {error}\n")
        return 1
    except Exception as error:  # noqa: BLE001  logged here, because the interpreter's own report masks no secrets
        log(logger, logging.CRITICAL, "crashed", error)
        return 1
    return 0


async def _until_signal(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(main, name="main")
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, ready: Callable[[int], None] | None, *, receive_s: float, idle_s: float
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._look_ticks = max(1, round(receive_s / LOOKS / TICK_S))
        look_s = self._look_ticks * TICK_S
        self._receive_looks, self._idle_looks = math.ceil(receive_s / look_s), math.ceil(idle_s / look_s)
        self.stopping = asyncio.Event()  # in each request's state: answers without an end watch it

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["stopping"] = self.stopping
        await super().startup(sockets)
        if self._ready and sockets and self.started:
            self._ready(sockets[0].getsockname()[1])

    async def on_tick(self, counter: int) -> bool:
        if counter % self._look_ticks == 0:
            for connection in cast("set[Protocol]", self.server_state.connections).copy():
                connection.look(receive=self._receive_looks, idle=self._idle_looks)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's; but whom the kernel has let in already is served, too."""
        loop = asyncio.get_running_loop()
        queued = _accept_all(sockets or [])
        for server in self.servers:
            server.close()
        for client in queued:
            with contextlib.suppress(OSError):  # gone already
                await loop.connect_accepted_socket(self._connection, client)
        await asyncio.sleep(LET_IN_S)
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        http = cast("Http", self.config.http_protocol_class)
        return http(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def run_until_told(self, sockets: list[socket.socket]) -> None:
        try:
            await self.serve(sockets)
        except SystemExit:  # uvicorn's word for a failed lifespan; it must not tear through the event loop
            raise StartError("the application did not start, the log above says why") from None

    async def stop(self, task: asyncio.Task[None]) -> None:
        self.should_exit = True
        self.stopping.set()
        if not self.started:
            task.cancel()  # nobody is served yet, and the lifespan may wait for a Redis that never comes
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()  # told twice: requests and lifespan end with the loop
            await asyncio.wait({task})


def _accept_all(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    accepted: list[socket.socket] = []
    for listener in listeners:
        with contextlib.suppress(OSError):  # nobody waits any more
            while True:
                accepted.append(listener.accept()[0])
    return accepted
