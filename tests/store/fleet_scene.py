"""The few words in which the tests of fleets are told."""

from collections.abc import Mapping
from typing import Any

from store import deadlines, fleets
from store.arrivals import Ping
from store.database import Database, scored
from store.fleets import Fleet, FleetSettings
from store.keys import Shard
from tests.conftest import Clock
from tests.store.scene import hear, lane_of

SPAN = 90_000  # ms, of a fleet made here


async def make_fleet(db: Database, name: str = "devices", **settings: Any) -> Fleet:
    """A fleet with a period of 60 s and a grace of 30 s."""
    chosen: dict[str, Any] = {"name": name, "period": 60, "grace": 30} | settings
    return await fleets.create(db, FleetSettings(**chosen))


async def say(
    db: Database, fleet: Fleet, slug: str, signal: str = "success", *, at: int, exit_status: str = "", sure: bool = True
) -> str:
    """One signal through members.lua, written however late."""
    return (await say_all(db, fleet, Ping(slug, at, signal, exit_status), sure=sure))[0]


async def say_all(db: Database, fleet: Fleet, *pings: Ping, sure: bool = True) -> list[str]:
    """Signals of members of the first shard, in one batch."""
    async with lane_of(db) as lane:
        return await lane.judge_members(fleet.id, pings, sure=sure)


async def push(db: Database, fleet: Fleet, *pairs: tuple[str, int]) -> bool:
    """The hot path: (slug, deadline). True: all of them were plainly up."""
    async with lane_of(db) as lane:
        return not await lane.commit([(Ping(slug, 0, fleet=fleet.id), deadline) for slug, deadline in pairs])


async def placed(db: Database, fleet: Fleet, shard: Shard | None = None) -> dict[str, dict[str, float]]:
    """Where the members are: deadlines, down, returning -> slug -> score."""
    shard = shard or db.shards[0]
    zsets = {
        "deadlines": shard.fleet_deadlines(fleet.id),
        "down": shard.fleet_down(fleet.id),
        "returning": shard.fleet_returning(fleet.id),
    }
    flat = await db.pipeline([("ZRANGE", zset, 0, -1, "WITHSCORES") for zset in zsets.values()])
    return {kind: dict(scored(entries)) for kind, entries in zip(zsets, flat, strict=True)}


async def deadline_of(db: Database, fleet: Fleet, slug: str) -> float | None:
    return (await placed(db, fleet))["deadlines"].get(slug)


async def silent(db: Database, fleet: Fleet) -> Mapping[str, float]:
    return (await placed(db, fleet))["down"]


async def causes(db: Database, fleet: Fleet) -> dict[str, str]:
    found = await db.execute("HGETALL", db.shards[0].fleet_causes(fleet.id))
    return {slug.decode(): cause.decode() for slug, cause in found.items()}


async def due(db: Database, fleet: Fleet, shard: Shard | None = None) -> float | None:
    """The moment before which nothing is to be done for it."""
    found = await db.execute("ZSCORE", (shard or db.shards[0]).fleets, fleet.id)
    return None if found is None else float(found)


async def sweep(db: Database, *, limit: int = fleets.CHUNK) -> int:
    """Until nothing is to be done; returns how many fell silent."""
    total = 0
    for shard in db.shards:
        for _ in range(10_000):
            swept = await fleets.sweep(db, shard, limit)
            total += swept.silent
            if swept.fleet is None:
                break
        else:
            raise AssertionError("no end")
    return total


async def pass_time(db: Database, clock: Clock, seconds: float) -> int:
    """We hear all the while, and what has fallen due is judged; returns how many fell silent."""
    await clock.forward(seconds)
    await hear(db, clock)
    return await sweep(db)


async def step_back(db: Database, clock: Clock, seconds: float) -> None:
    """Redis' clock steps back; the sweepers go over everything."""
    await hear(db, clock)
    await clock.forward(-seconds)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back
    while await deadlines.clamp(db, db.shards[0]):
        pass
    await sweep(db)


async def looks_at(db: Database) -> list[str]:
    """Fleets that the outbox says must be looked at, oldest first."""
    found = []
    for shard in db.shards:
        for _, fields in await db.execute("XRANGE", shard.notifications, "-", "+"):
            text = {key.decode(): value.decode() for key, value in dict(fields).items()}
            if "fleet" in text:
                found.append(text["fleet"])
    return found
