"""The roles as real processes, as an operator runs them: started, killed and started again on the same port.

async with house(folder, redis_url=url) as here:
    node = await here.start("ingest", trusted_proxies="127.0.0.1")
    await node.kill()
    await node.start()
    async with Api((await here.start("console")).url) as api: ...
"""

import asyncio
import contextlib
import io
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from tests.conftest import eventually

ROOT: Final = Path(__file__).parents[2]
API_KEY: Final = "an-admin-key-for-tests-of-40-characters!"
START_S: Final = 60.0  # for a process to become ready on a busy machine
STOP_S: Final = 20.0  # longer than a role drains
#: Below the ports that the kernel lends to outgoing connections: so one stays free while its process is down.
PORTS: Final = range(20_000, 32_000)


def free_port() -> int:
    """A port that nothing listens on, and that no outgoing connection will take."""
    for port in random.sample(PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port")


class Process:
    """One `flatline <command>`. Of our environment it gets nothing but the settings given here."""

    def __init__(self, folder: Path, command: str, port: int, settings: dict[str, str]) -> None:
        self.command = command
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / f"{command}-{port}.log"  # what it says on stdout and stderr, over all its lives
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **{f"FLATLINE_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> Self:
        """Start it, again after a kill, and wait until it is ready."""
        await self.launch()
        await self.ready()
        return self

    async def launch(self) -> None:
        """Start it without waiting."""
        assert not self.runs, "it runs already"
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "flatline.cli", self.command, "--port", str(self.port),
                cwd=ROOT, env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def ready(self) -> None:
        """Wait until /readyz answers 200."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:

            async def asked() -> bool:
                assert self.status is None, f"{self.command} ended with {self.status}:\n{self.log.read_text()}"
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"{self.url}/readyz") as response:
                        return response.status == 200
                return False

            await eventually(asked, within_s=START_S)

    async def kill(self) -> None:
        """kill -9."""
        await self.end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; answers the exit status."""
        return await self.end(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal and leave it at that: SIGSTOP, SIGCONT."""
        os.kill(self.pid, number)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal that ends it; the exit status."""
        assert self._process is not None
        if self.runs:
            self._process.send_signal(number)
        async with asyncio.timeout(STOP_S):
            return await self._process.wait()

    async def clear(self) -> None:
        """End it in whatever state a test left it. `up` is asked, so that its server has ended, too, when we go on."""
        if self.command == "up":
            self.send(signal.SIGCONT)
            await self.stop()
        else:
            await self.kill()


class House:
    """Processes that share one Redis, one folder for their logs and one API key."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self._redis_url = redis_url

    async def start(self, command: str, *, port: int | None = None, **settings: str) -> Process:
        """Start `flatline <command>` on a free port; `settings` are FLATLINE_<NAME> in lower case."""
        process = self.make(command, port=port, **settings)
        await process.start()
        return process

    def make(self, command: str, *, port: int | None = None, **settings: str) -> Process:
        """The same, not started yet."""
        given = {"log_level": "debug", **settings}
        if self._redis_url:
            given = {"redis_url": self._redis_url, **given}
        if command in {"console", "up"}:
            given = {"api_key": API_KEY, **given}
        process = Process(self.folder, command, port or free_port(), given)
        self.processes.append(process)
        return process

    def logs(self) -> str:
        """Everything that all of them have said."""
        return "".join(process.log.read_text(errors="replace") for process in self.processes if process.log.exists())


@contextlib.asynccontextmanager
async def house(folder: Path, *, redis_url: str = "") -> AsyncIterator[House]:
    """An empty house; whatever was started in it is gone afterwards. Without `redis_url`, `up` embeds its own."""
    here = House(folder, redis_url)
    try:
        yield here
    finally:
        await asyncio.gather(*(process.clear() for process in here.processes if process.runs))


class ApiError(Exception):
    """The API refused; `status` and what it said."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """The least of a client for the JSON API, and a way to ping."""

    def __init__(self, url: str, key: str = API_KEY) -> None:
        self.url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON, None if it is empty. Raises ApiError."""
        async with self.session.request(method, self.url + path, json=body, headers=self._headers) as response:
            if response.status >= 400:
                raise ApiError(response.status, await response.text())
            return await response.json() if response.status != 204 else None

    async def create_heartbeat(self, name: str, **settings: object) -> Any:
        return await self.call("POST", "/api/heartbeats", {"name": name, **settings})

    async def create_channel(self, name: str, kind: str, **settings: object) -> Any:
        return await self.call("POST", "/api/channels", {"name": name, "kind": kind, "settings": settings})

    async def heartbeat(self, heartbeat: str) -> Any:
        return await self.call("GET", f"/api/heartbeats/{heartbeat}")

    async def incident(self, incident: str) -> Any:
        return await self.call("GET", f"/api/incidents/{incident}")

    async def ping(self, url: str, *, method: str = "GET", body: bytes | None = None) -> int:
        """Ping without a key; the status of the answer."""
        async with self.session.request(method, url, data=None if body is None else io.BytesIO(body)) as response:
            await response.read()
            return response.status

    async def becomes(self, heartbeat: str, status: str, *, within_s: float = 15) -> Any:
        """Wait until the heartbeat has this status; the heartbeat."""

        async def found() -> Any:
            seen = await self.heartbeat(heartbeat)
            return seen if seen["status"] == status else None

        return await eventually(found, within_s=within_s)

    async def metric(self, process: Process, sample: str) -> float:
        """One sample of a process' /metrics, with its labels as shown there; 0 if it is not there."""
        async with self.session.get(f"{process.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == sample), 0.0)
