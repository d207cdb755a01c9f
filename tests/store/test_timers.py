import asyncio

from store import deadlines, heartbeats
from store.database import Database
from store.deadlines import BATCH
from tests.conftest import T0, Clock
from tests.store.scene import (
    SPAN,
    all_incidents,
    be_deaf,
    deadline,
    everything,
    hear,
    log_of,
    looks,
    make,
    pass_time,
    send,
    status,
)


async def test_nothing_fires_on_an_empty_shard(db: Database, clock: Clock) -> None:
    assert await deadlines.timers(db, db.shards[0]) == (0, 0)


async def test_a_run_that_takes_too_long_opens_an_incident_dated_when_it_was_due(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await send(db, made, "start", at=T0, rid="a")  # not later than the ping: only in the log
    await clock.forward(1)
    await send(db, made, "start", at=T0 + 1000, rid="a")
    assert await deadline(db, made) is None
    await clock.set(T0 + 61_000)
    await hear(db, clock)
    assert await deadlines.timers(db, db.shards[0]) == (0, 0)  # due at the pulse, not before it

    await pass_time(db, clock, 0.001)
    (incident,) = await all_incidents(db)
    assert (incident.cause, incident.opened_at, incident.last_ping_at) == ("overrun", T0 + 61_000, T0)
    before = await everything(db)
    await db.execute("SCRIPT", "FLUSH")
    await pass_time(db, clock, 0)
    assert await everything(db) == before
    assert await looks(db) == [incident.id]
    assert await send(db, made, at=clock.now, rid="a") == "up"


async def test_a_pending_heartbeat_can_go_overdue(db: Database, clock: Clock) -> None:
    made = await make(db, max_runtime=5)
    await send(db, made, "start", at=T0)
    assert await status(db, made) == "pending"
    await pass_time(db, clock, 6)

    (incident,) = await all_incidents(db)
    assert (incident.cause, incident.last_ping_at) == ("overrun", None)


async def test_a_second_overdue_run_only_enters_the_log(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 5, max_runtime=5)
    for rid in ("a", "b:c", "d e\n"):
        await send(db, made, "start", at=T0, rid=rid)
    await pass_time(db, clock, 6)

    assert len(await all_incidents(db)) == 1
    assert (await log_of(db, made))[-2:] == ["overrun", "overrun"]
    assert await send(db, made, at=clock.now) == "up"


async def test_a_run_that_overlaps_a_deaf_window_ends_unknown(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 5, max_runtime=20)
    await send(db, made, "start", at=T0)
    await clock.forward(5)
    await be_deaf(db, clock, 10)
    await pass_time(db, clock, 6)

    assert (await log_of(db, made))[-1] == "unknown"
    assert (await status(db, made), await deadline(db, made)) == ("up", T0 + 15_000 + SPAN + 0.5)
    await pass_time(db, clock, 90)
    assert [incident.cause for incident in await all_incidents(db)] == ["silence"]


async def test_an_unknown_run_leaves_the_others_under_way(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 5, max_runtime=20)
    await send(db, made, "start", at=T0, rid="a")
    await be_deaf(db, clock, 10)
    await send(db, made, "start", at=clock.now, rid="b")
    await pass_time(db, clock, 11)

    assert (await status(db, made), await deadline(db, made)) == ("up", None)
    await pass_time(db, clock, 10)
    assert (await status(db, made), await deadline(db, made)) == ("up", T0 + 10_000 + SPAN + 0.5)


async def test_a_ping_after_the_window_counts_when_a_run_ends_unknown(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 5, max_runtime=60)
    await send(db, made, "start", at=T0, rid="a")
    await be_deaf(db, clock, 10)
    await clock.forward(20)
    assert await send(db, made, at=clock.now, rid="another") == "parked"
    await pass_time(db, clock, 31)

    assert (await status(db, made), await deadline(db, made)) == ("up", T0 + 30_000 + SPAN + 0.5)


async def test_two_workers_fire_each_timer_once_and_no_more_than_a_batch_at_a_time(db: Database, clock: Clock) -> None:
    made = [await make(db, f"{i}") for i in range(BATCH + 20)]
    await asyncio.gather(*(heartbeats.pause(db, each.id, T0 + 10) for each in made))
    await clock.forward(1)
    await hear(db, clock)

    shard = db.shards[0]
    fired = await asyncio.gather(*(deadlines.timers(db, shard) for _ in range(3)))
    assert sorted(fired) == [(0, 0), (20, 0), (BATCH, 0)]


async def test_corrupt_timers_are_dropped_and_stop_nobody_else(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await heartbeats.pause(db, made.id, T0 + 10)
    for name in ("nonsense", "what:ever", f"other:{made.id}", "resume:0123456789ab"):
        await db.execute("ZADD", db.shards[0].timers, T0, name)
    await clock.forward(1)
    await hear(db, clock)

    fired, corrupt = await deadlines.timers(db, db.shards[0])
    assert (fired, corrupt, await status(db, made)) == (5, 2, "up")
    assert await db.execute("ZCARD", db.shards[0].timers) == 0
