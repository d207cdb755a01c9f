import asyncio

import pytest

from store import deadlines, heartbeats
from store.database import Database
from store.deadlines import BATCH
from store.records import Settings
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


async def test_an_empty_shard_has_nothing_due(db: Database, clock: Clock) -> None:
    swept = await deadlines.sweep(db, db.shards[0])

    assert (swept.taken, swept.due, swept.now, swept.corrupt, swept.walking) == (0, None, T0, 0, False)


async def test_only_what_fell_due_before_the_newest_pulse_is_judged(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.set(T0 + SPAN)
    await hear(db, clock)
    await clock.forward(100)

    swept = await deadlines.sweep(db, db.shards[0])
    assert (swept.taken, swept.due, await status(db, made)) == (0, T0 + SPAN, "up")
    await clock.set(T0 + SPAN + 1)
    await hear(db, clock)
    assert (await deadlines.sweep(db, db.shards[0])).taken == 1
    assert await status(db, made) == "down"


async def test_a_silence_is_dated_at_the_deadline_parked_and_told_once(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 500)
    before = await everything(db)
    await db.execute("SCRIPT", "FLUSH")
    await pass_time(db, clock, 0)

    assert await everything(db) == before
    record = await heartbeats.get(db, made.id)
    (incident,) = await all_incidents(db)
    assert (record.stored_status, record.since, record.deadline) == ("down", T0 + SPAN, None)
    assert (record.last_ping_at, record.incident) == (T0, incident.id)
    assert incident.id == f"{made.id}-{T0 + SPAN}"
    assert (incident.status, incident.cause, incident.opened_at) == ("open", "silence", T0 + SPAN)
    assert await looks(db) == [incident.id]
    assert (await log_of(db, made))[-1] == "down"


async def test_two_sweepers_take_each_deadline_once_and_no_more_than_a_batch_at_a_time(
    db: Database, clock: Clock
) -> None:
    made = [await make(db, f"job {i}") for i in range(BATCH + 30)]
    for each in made:
        await send(db, each, at=T0)
    await clock.forward(200)
    await hear(db, clock)

    shard = db.shards[0]
    swept = await asyncio.gather(*(deadlines.sweep(db, shard) for _ in range(3)))
    assert sorted(each.taken for each in swept) == [0, 30, BATCH]
    told = await looks(db)
    assert len(told) == len(set(told)) == len(made)
    assert await db.execute("XLEN", shard.notifications) == 2


async def test_each_project_has_its_own_entry(db: Database, clock: Clock) -> None:
    for project in ("a", "b", "a"):
        made = await heartbeats.create(db, Settings(name="x", period=60, grace=30), project)
        await send(db, made, at=T0)
    await pass_time(db, clock, 100)

    assert await db.execute("XLEN", db.shards[0].notifications) == 2


@pytest.mark.parametrize("field", ["period", "grace", "name"])
async def test_a_corrupt_record_is_put_off_and_stops_nobody_else(db: Database, clock: Clock, field: str) -> None:
    bad, good = await make(db, "bad", up_at=T0 - 5), await make(db, "good", up_at=T0)
    await db.execute("HDEL", db.shards[0].heartbeat(bad.id), field)
    await clock.forward(100)
    await hear(db, clock)

    swept = await deadlines.sweep(db, db.shards[0])
    assert (swept.taken, swept.corrupt, await status(db, good)) == (2, 1, "down")
    assert (await deadlines.sweep(db, db.shards[0])).taken == 0


async def test_a_deadline_without_a_heartbeat_is_dropped(db: Database, clock: Clock) -> None:
    await db.execute("ZADD", db.shards[0].deadlines, T0, "0123456789ab")
    await pass_time(db, clock, 1)

    assert await db.execute("ZCARD", db.shards[0].deadlines) == 0


async def test_who_could_not_be_heard_is_granted_a_span_from_the_end_of_the_window(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(40)
    await be_deaf(db, clock, 30)
    await pass_time(db, clock, 25)

    record = await heartbeats.get(db, made.id)
    assert (record.stored_status, record.deadline) == ("up", T0 + 70_000 + SPAN + 0.5)
    assert record.last_ping_at == T0
    assert (await log_of(db, made))[-1] == "excused"
    await pass_time(db, clock, 90)
    (incident,) = await all_incidents(db)
    assert (incident.opened_at, incident.last_ping_at) == (T0 + 70_000 + SPAN, T0)


@pytest.mark.parametrize("short", [0, 1])
@pytest.mark.parametrize(
    ("period", "grace", "misses", "listens"),
    [(60, 30, 1, 90), (60, 30, 3, 210), (3600, 60, 1, 360), (3600, 1000, 1, 2000), (3600, 10_000, 2, 17_200)],
)
async def test_an_excuse_needs_a_window_in_which_the_missing_ping_could_have_come(
    db: Database, clock: Clock, period: int, *, grace: int, misses: int, listens: int, short: int
) -> None:
    made = await make(db, up_at=T0, period=period, grace=grace, misses=misses)
    due = T0 + (period * misses + grace) * 1000
    window_end = due - listens * 1000 - short
    await db.execute("ZADD", db.shards[0].deaf, window_end, window_end - 10)

    await clock.set(due)
    await pass_time(db, clock, 1)
    assert await status(db, made) == ("down" if short else "up")


async def test_one_window_excuses_once(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(80)
    await be_deaf(db, clock, 5)
    await pass_time(db, clock, 10)
    assert await deadline(db, made) == T0 + 85_000 + SPAN + 0.5

    await pass_time(db, clock, 90)
    assert await status(db, made) == "down"


async def test_one_window_excuses_once_even_when_a_late_ping_leads_back_into_it(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(40)
    await be_deaf(db, clock, 30)
    await pass_time(db, clock, 25)
    await send(db, made, "start", at=clock.now, rid="a")
    assert await send(db, made, at=T0 + 60_000, rid="a") == "up"
    assert await deadline(db, made) == T0 + 60_000 + SPAN

    await pass_time(db, clock, 60)
    assert await status(db, made) == "down"


async def test_a_fourth_window_in_a_row_excuses_nothing(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    for expected in ("up", "up", "up", "down"):
        due = await deadline(db, made)
        assert due is not None
        await clock.set(due - 20_000)
        await be_deaf(db, clock, 10)
        await clock.set(due + 2)
        await pass_time(db, clock, 0)
        assert await status(db, made) == expected


async def test_a_late_ping_under_an_excuse_starts_the_count_anew(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    for _ in range(5):
        due = await deadline(db, made)
        assert due is not None
        await clock.set(due - 20_000)
        await be_deaf(db, clock, 10)
        await clock.set(due + 2)
        await pass_time(db, clock, 0)
        assert await send(db, made, at=clock.now - 25_000) == "up"
        assert (await deadline(db, made) or 0) % 1 == 0.5  # the ping is older than what was granted
    assert await status(db, made) == "up"


async def test_resuming_starts_the_count_of_excuses_anew(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    for number in range(5):
        due = await deadline(db, made)
        assert due is not None
        await clock.set(due - 20_000)
        await be_deaf(db, clock, 10)
        await clock.set(due + 2)
        await pass_time(db, clock, 0)
        if number == 2:
            await heartbeats.pause(db, made.id)
            await heartbeats.resume(db, made.id)
    assert await status(db, made) == "up"


async def test_alarms_go_on_when_memory_is_full(db: Database, clock: Clock) -> None:
    made, paused = await make(db, up_at=T0), await make(db, "other", up_at=T0)
    await clock.forward(100)
    await hear(db, clock)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        await heartbeats.pause(db, paused.id, T0)
        assert (await deadlines.sweep(db, db.shards[0])).corrupt == 0
        assert await deadlines.timers(db, db.shards[0]) == (1, 0)
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)

    assert (await status(db, made), await status(db, paused)) == ("down", "up")
    assert len(await looks(db)) == 1
