"""What must also hold while we measure: the node hears all the time, and no acknowledged ping is lost."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from store import deadlines, heartbeats
from store.arrivals import JUDGED_MAX, Lane, Ping
from store.database import Database, mapped
from store.records import Heartbeat, Settings
from tests.bench.machine import BenchError

USUAL: Final = Settings(name="")
CREATED_AT_ONCE: Final = 500
PACE_S: Final = 0.05  # of the witness; its heartbeats are as many as it pings in a second
WITNESSES: Final = 20
CLOCKS_MS: Final = 250  # how far the node may be from the server's clock under load; a lost ping shows as a second


async def enlist(db: Database, count: int, like: Settings = USUAL) -> list[Heartbeat]:
    """New heartbeats, each brought up by a first ping."""
    wanted = (replace(like, name=f"bench {number}") for number in range(count))
    created: list[Heartbeat] = []
    while chunk := list(itertools.islice(wanted, CREATED_AT_ONCE)):
        created += await asyncio.gather(*(heartbeats.create(db, settings) for settings in chunk))
    now = await db.now()
    for shard in db.shards:
        lane = Lane(db, shard)
        ids = [heartbeat.id for heartbeat in created if db.shard(heartbeat.id) is shard]
        for i in range(0, len(ids), JUDGED_MAX):
            said = await lane.judge([Ping(id_, now) for id_ in ids[i : i + JUDGED_MAX]], sure=True)
            if set(said) != {"up"}:
                raise BenchError(f"a first ping was answered {sorted(set(said))}")
        await lane.aclose()
    return created


async def logged(db: Database, ids: Sequence[str]) -> int:
    """Rows ever written to the event logs."""
    rows = 0
    for i in range(0, len(ids), CREATED_AT_ONCE):
        some = ids[i : i + CREATED_AT_ONCE]
        answers = await db.pipeline([("XINFO", "STREAM", db.shard(id_).events(id_)) for id_ in some])
        rows += sum(int(mapped(answer)[b"entries-added"]) for answer in answers)
    return rows


async def deaf_windows(db: Database) -> int:
    return sum([len(await deadlines.deaf_windows(db, shard)) for shard in db.shards])


class Witness:
    """Pings heartbeats of its own in turn, and knows when each ping that was acknowledged was sent."""

    def __init__(self, watched: Sequence[Heartbeat], *, pace_s: float = PACE_S) -> None:
        self._watched = watched
        self._pace_s = pace_s
        self._sent_at: dict[str, float] = {}  # ms, by heartbeat
        self.acknowledged = 0
        self.latencies: list[float] = []  # seconds

    @asynccontextmanager
    async def pinging(self, port: int) -> AsyncIterator[None]:
        task = asyncio.create_task(self._ping(port))
        try:
            yield
            if task.done():
                await task  # it never returns, so this raises
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await task

    async def _ping(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for heartbeat in itertools.cycle(self._watched):
                sent_at, started = time.time() * 1000, time.monotonic()
                writer.write(f"GET /ping/{heartbeat.token} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
                if head.split()[1] == b"200":
                    self._sent_at[heartbeat.id] = sent_at
                    self.acknowledged += 1
                    self.latencies.append(time.monotonic() - started)
                await asyncio.sleep(self._pace_s)
        finally:
            writer.close()

    async def lost(self, db: Database) -> int:
        """Of how many heartbeats the last acknowledged ping is not in the stored deadline."""
        found = await heartbeats.get_many(db, list(self._sent_at))
        return sum(
            heartbeat is None or (heartbeat.last_ping_at or 0) < sent_at - CLOCKS_MS
            for heartbeat, sent_at in zip(found, self._sent_at.values(), strict=True)
        )
