"""The few words in which the tests of the scripts are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from store import deadlines, heartbeats, incidents
from store.arrivals import Lane, Ping
from store.database import Database
from store.records import Heartbeat, Incident, Settings
from tests.conftest import Clock

SPAN = 90_000  # ms, of a heartbeat made here


async def make(db: Database, name: str = "backup", *, up_at: int | None = None, **settings: Any) -> Heartbeat:
    """A heartbeat with a period of 60 s and a grace of 30 s; `up_at`: already pinged."""
    chosen: dict[str, Any] = {"name": name, "period": 60, "grace": 30} | settings
    made = await heartbeats.create(db, Settings(**chosen))
    if up_at is not None:  # the last ping on the hot path: nothing but the deadline tells of it
        assert await send(db, made, at=up_at - 1) == "up"
        assert await push(db, (made.id, up_at, up_at + made.span_ms))
    return await heartbeats.get(db, made.id)


@asynccontextmanager
async def lane_of(db: Database, heartbeat: str = "0") -> AsyncIterator[Lane]:
    lane = Lane(db, db.shard(heartbeat))
    try:
        yield lane
    finally:
        await lane.aclose()


async def judge(db: Database, *pings: Ping, sure: bool = True) -> list[str]:
    async with lane_of(db, pings[0].heartbeat) as lane:
        return await lane.judge(pings, sure=sure)


async def send(db: Database, heartbeat: Heartbeat, signal: str = "success", *, at: int, **fields: Any) -> str:
    """One signal through arrive.lua, written however late."""
    return (await judge(db, Ping(heartbeat.id, at, signal, **fields)))[0]


async def push(db: Database, *pairs: tuple[str, int, int]) -> bool:
    """The hot path: (heartbeat, at, deadline)."""
    async with lane_of(db, pairs[0][0]) as lane:
        return not await lane.commit([(Ping(heartbeat, at), deadline) for heartbeat, at, deadline in pairs])


async def hear(db: Database, clock: Clock, node: str = "n1") -> None:
    """As if there had been a pulse each second until now."""
    shard = db.shards[0]
    if await db.execute("EXISTS", shard.pulse):
        await db.execute("HSET", shard.pulse, "at", clock.now)
    await deadlines.pulse(db, shard, node)


async def pass_time(db: Database, clock: Clock, seconds: float) -> None:
    """We hear all the while, and what has fallen due is judged."""
    await clock.forward(seconds)
    await hear(db, clock)
    await deadlines.sweep(db, db.shards[0])
    await deadlines.timers(db, db.shards[0])


async def be_deaf(db: Database, clock: Clock, seconds: float) -> None:
    await hear(db, clock)
    await clock.forward(seconds)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).deaf


async def status(db: Database, heartbeat: Heartbeat) -> str:
    return (await heartbeats.get(db, heartbeat.id)).stored_status


async def deadline(db: Database, heartbeat: Heartbeat) -> float | None:
    return (await heartbeats.get(db, heartbeat.id)).deadline


async def all_incidents(db: Database) -> list[Incident]:
    """Oldest first."""
    return sorted((await incidents.page(db))[0], key=lambda incident: incident.opened_at)


async def looks(db: Database) -> list[str]:
    """What the outbox says must be looked at, oldest first."""
    entries = await db.execute("XRANGE", db.shards[0].notifications, "-", "+")
    fields = [dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat for _, flat in entries]
    return [found for each in fields for found in each.get(b"incidents", b"").decode().split()]


async def log_of(db: Database, heartbeat: Heartbeat) -> list[str]:
    """Kinds of the rows of the event log, oldest first."""
    entries = await db.execute("XRANGE", db.shard(heartbeat.id).events(heartbeat.id), "-", "+")
    fields = [dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat for _, flat in entries]
    return [each[b"kind"].decode() for each in fields]


async def everything(db: Database) -> dict[bytes, bytes]:
    """The whole database, but for what only counts calls: the logs, the outbox, the rev of an edit."""
    kept = {}
    for key in sorted(await db.execute("KEYS", "*")):
        if key.split(b":")[1] in {b"events", b"outputs", b"failures", b"notifications", b"changes", b"test"}:
            continue
        if await db.execute("TYPE", key) == b"hash":
            fields = dict(await db.execute("HGETALL", key))
            for counter in (b"rev", b"outputs_bytes", b"failures_bytes"):
                fields.pop(counter, None)
            kept[key] = repr(sorted(fields.items())).encode()
        else:
            kept[key] = await db.execute("DUMP", key)
    return kept
