"""Fixtures for all: a throwaway server per kind and session, a clean database per test, a clock that tests move."""

import asyncio
import contextlib
import gc
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.exceptions import RedisError

from store.database import Database, opened
from tests.servers import binaries

#: A clock for the scripts that stands where a test puts it; without that, Redis' own.
TEST_CLOCK = """
local NOW = tonumber(redis.call('GET', '{flatline}:test:now') or '')
if not NOW then
  local time = redis.call('TIME')
  NOW = time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

T0 = 1_800_000_000_000  # ms; where the clock stands at the start of a test that uses it


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure is told without the garbage collector.

    pytest parses the source to show it; were a failed task collected meanwhile, its traceback would be written by
    parsing some more, which ends the whole run (Python 3.11: "AST constructor recursion depth mismatch").
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


class Sockets:
    """Starts each kind of server at most once a session."""

    def __init__(self) -> None:
        self.binaries = binaries()
        self._running: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def url(self, kind: str) -> str:
        if kind not in self._running:
            folder = Path(tempfile.mkdtemp(prefix="flatline-test-"))
            process = subprocess.Popen(
                [self.binaries[kind], "--port", "0", "--unixsocket", f"{folder}/redis.sock", "--dir", str(folder),
                 "--save", "", "--appendonly", "yes", "--appendfsync", "no"],
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            self._running[kind] = process, folder
            _wait_for(f"unix://{folder}/redis.sock")
        return f"unix://{self._running[kind][1]}/redis.sock"

    def stop(self) -> None:
        for process, folder in self._running.values():
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str) -> None:
    until = time.monotonic() + 20
    with SyncRedis.from_url(url) as redis:
        while True:
            with contextlib.suppress(RedisError, OSError):
                redis.ping()
                return
            assert time.monotonic() < until, f"{url} did not start"
            time.sleep(0.01)


@pytest.fixture(scope="session")
def sockets() -> Iterator[Sockets]:
    servers = Sockets()
    yield servers
    servers.stop()


@pytest.fixture
def redis_url(sockets: Sockets) -> str:
    """A clean database on the newest server."""
    return clean(sockets.url("valkey-9"))


def clean(url: str) -> str:
    with SyncRedis.from_url(url) as redis:
        redis.flushall()
    return url


@pytest.fixture(params=["valkey-9", "redis-7", "redis-6.2"])
async def db(request: pytest.FixtureRequest, sockets: Sockets) -> AsyncIterator[Database]:
    """A clean database on every server that we promise; its clock can be moved."""
    if request.param not in sockets.binaries:
        pytest.skip(f"no {request.param} on this machine")
    async with opened(clean(sockets.url(request.param)), clock=TEST_CLOCK) as database:
        yield database


class Clock:
    """Redis' clock in the hands of a test, ms."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.now = T0

    async def set(self, now: float) -> int:
        self.now = int(now)
        await self._db.execute("SET", "{flatline}:test:now", self.now)
        return self.now

    async def forward(self, seconds: float) -> int:
        return await self.set(self.now + seconds * 1000)


@pytest.fixture
async def clock(db: Database) -> Clock:
    standing = Clock(db)
    await standing.set(T0)
    return standing


async def eventually(probe: Any, *, within_s: float = 10) -> Any:
    """Calls `probe` until it answers something true; fails when it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            found = await probe()
            if found:
                return found
            await asyncio.sleep(0.01)


async def stop(task: "asyncio.Task[None]") -> None:
    """Ends a loop; more than once, because below Python 3.12 a wait_for in the client may swallow a cancellation."""
    async with asyncio.timeout(10):
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
    assert task.cancelled()
