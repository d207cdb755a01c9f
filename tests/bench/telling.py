"""How many messages a notifier sends, against the bare HTTP client that it uses; and how soon the first one goes."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from rules.channels import make_secret
from runtime.settings import PREFIX
from store import channels
from store.arrivals import JUDGED_MAX, Lane, Ping
from store.database import Database, opened
from store.records import Settings
from tests.bench import checks, contenders
from tests.bench.machine import BenchError, cpu_seconds
from tests.bench.result import Result
from tests.conftest import eventually
from tests.servers import binaries, running

CHANNELS: Final = 400
EACH: Final = 5  # incidents per channel: so few are told one by one
LAGS: Final = 60
PATIENCE_S: Final = 120.0


class Sink(asyncio.Protocol):
    """Answers each POST with 200 and hangs up; when the last byte of each came, by the wall clock."""

    ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    came: Final[list[float]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        if end and len(body) >= int(length.partition(b":")[2]):
            self.came.append(time.time())
            self._transport.write(self.ANSWER)
            self._transport.close()


@asynccontextmanager
async def _sink() -> AsyncIterator[str]:
    Sink.came.clear()
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0, backlog=4_096)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def telling(home: Path, core: int) -> list[Result]:
    """Messages to a fast receiver, against the bare HTTP client; and how soon the first goes."""
    folder = home / "telling"
    folder.mkdir()
    os.environ[f"{PREFIX}ALLOW_PRIVATE_TARGETS"] = "127.0.0.0/8"
    try:
        async with running(binaries()["valkey-9"], "--appendonly", "yes") as server, opened(server.url) as db:
            async with _sink() as url:
                lag = await _lag(db, folder, core, url)
            async with _sink() as url:
                count = CHANNELS * EACH
                bare_s = await _bare(core, url, count)
                Sink.came.clear()
                rate, cpu_us = await _rate(db, folder, core, url)
    finally:
        del os.environ[f"{PREFIX}ALLOW_PRIVATE_TARGETS"]
    bare = count / bare_s
    note = f"{rate / bare:.2f} x the bare client, {bare:,.0f}/s; {cpu_us / 1000:.1f} ms of CPU each"
    return [
        Result(
            what="messages of a notifier to a fast receiver", value=rate, unit="/s", wanted=500, accepted=bare / 2,
            at_most=False, note=note,
        ),
        lag,
    ]  # fmt: skip


async def _rate(db: Database, folder: Path, core: int, url: str) -> tuple[float, float]:
    """Messages a second from the first to the last, and CPU microseconds for each."""
    settings = {"url": url, "secret": make_secret()}
    made = [await channels.create(db, f"c{n}", "webhook", settings) for n in range(CHANNELS)]
    ids = []
    for channel in made:
        found = await checks.enlist(db, EACH, Settings(name="told", channels=(channel.id,)))
        ids += [heartbeat.id for heartbeat in found]
    async with contenders.role("notifier", folder, core, db.url) as notifier:
        before = cpu_seconds(notifier.pid)
        for i in range(0, len(ids), JUDGED_MAX):
            await _fail(db, ids[i : i + JUDGED_MAX])

        async def all_came() -> bool:
            return len(Sink.came) >= len(ids)

        await eventually(all_came, within_s=PATIENCE_S)
        took, cpu_s = max(Sink.came) - min(Sink.came), cpu_seconds(notifier.pid) - before
    if len(Sink.came) > len(ids):
        raise BenchError(f"{len(ids)} messages were due, {len(Sink.came)} came")
    return len(ids) / took, cpu_s * 1e6 / len(ids)


async def _lag(db: Database, folder: Path, core: int, url: str) -> Result:
    channel = await channels.create(db, "lag", "webhook", {"url": url, "secret": make_secret()})
    made = await checks.enlist(db, LAGS, Settings(name="lag", channels=(channel.id,)))
    lags: list[float] = []
    async with contenders.role("notifier", folder, core, db.url):
        for number, heartbeat in enumerate(made, start=1):

            async def came(count: int = number) -> bool:
                return len(Sink.came) >= count

            opened_at = await _fail(db, [heartbeat.id])
            await eventually(came, within_s=PATIENCE_S)
            lags.append(Sink.came[-1] * 1000 - opened_at)
    return Result(
        what="incident -> request at the webhook, idle queue, p99", value=quantiles(lags, n=100)[98], unit="ms",
        wanted=500, accepted=1_000, note=f"median {median(lags):.0f} ms, most {max(lags):.0f} ms",
    )  # fmt: skip


async def _fail(db: Database, heartbeats: list[str]) -> int:
    """The moment at which they failed, ms."""
    lane, now = Lane(db, db.shards[0]), await db.now()
    try:
        said = await lane.judge([Ping(heartbeat, now, "fail", "1") for heartbeat in heartbeats], sure=True)
    finally:
        await lane.aclose()
    if set(said) != {"parked"}:
        raise BenchError(f"failures were answered {set(said)}")
    return now


async def _bare(core: int, url: str, count: int) -> float:
    process = await asyncio.create_subprocess_exec(
        "taskset", "-c", str(core), sys.executable, "-m", "tests.bench.bare_posts", url, str(count),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    return float(output)
