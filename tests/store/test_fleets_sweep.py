"""sweep_fleet.lua: who falls silent, who is excused, and that no fleet keeps another waiting."""

import asyncio

import pytest

from store import deadlines, fleets
from store.arrivals import Ping
from store.database import Database
from tests.conftest import T0, Clock
from tests.store.fleet_scene import (
    SPAN,
    deadline_of,
    due,
    looks_at,
    make_fleet,
    pass_time,
    placed,
    push,
    say,
    say_all,
    silent,
    sweep,
)
from tests.store.scene import be_deaf, everything, hear, make, status

EXCUSE = 1 / 16


async def join(db: Database, fleet: fleets.Fleet, number: int, at: int) -> list[str]:
    slugs = [f"device-{i:04}" for i in range(number)]
    for start in range(0, number, fleets.CHUNK):
        await say_all(db, fleet, *(Ping(slug, at) for slug in slugs[start : start + fleets.CHUNK]))
    return slugs


async def test_without_fleets_nothing_is_due(db: Database, clock: Clock) -> None:
    await hear(db, clock)
    swept = await fleets.sweep(db, db.shards[0])

    assert swept == fleets.SweptFleet(None, 0, 0, 0, None, T0)


async def test_only_what_fell_due_before_the_newest_pulse_is_judged(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await clock.set(T0 + SPAN)
    await hear(db, clock)
    await clock.forward(100)

    assert (await fleets.sweep(db, db.shards[0])).due == T0 + SPAN
    assert await silent(db, fleet) == {}
    await clock.set(T0 + SPAN + 1)
    await hear(db, clock)
    swept = await fleets.sweep(db, db.shards[0])
    assert swept == fleets.SweptFleet(fleet.id, 1, 1, 0, None, T0 + SPAN + 1)
    assert await placed(db, fleet) == {"deadlines": {}, "down": {"a": T0 + SPAN}, "returning": {}}
    assert await looks_at(db) == [fleet.id]


async def test_two_sweepers_take_each_member_once_and_no_more_than_a_batch_at_a_time(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    slugs = await join(db, fleet, fleets.CHUNK + 30, T0)
    await clock.forward(200)
    await hear(db, clock)

    swept = await asyncio.gather(*(fleets.sweep(db, db.shards[0]) for _ in range(3)))
    assert sorted(each.silent for each in swept) == [0, 30, fleets.CHUNK]
    assert await silent(db, fleet) == dict.fromkeys(slugs, T0 + SPAN)
    assert await looks_at(db) == [fleet.id]


async def test_a_call_takes_no_more_than_its_limit_for_the_walk_and_the_silent_together(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db, period=3600)
    await say_all(db, fleet, *(Ping(f"due-{number}", T0) for number in range(4)))
    await clock.forward(3700)
    await say_all(db, fleet, *(Ping(f"far-{number}", clock.now) for number in range(2)))
    await fleets.edit(db, fleet.id, {"period": 60})
    await clock.forward(1)
    await hear(db, clock)

    swept = [await fleets.sweep(db, db.shards[0], 3) for _ in range(2)]
    assert [(each.taken, each.silent) for each in swept] == [(3, 1), (3, 3)]


async def test_a_fleet_waits_until_its_next_member_is_due(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0 + 10))
    await clock.set(T0 + SPAN + 5)
    await push(db, fleet, ("a", T0 + SPAN + 20))
    await hear(db, clock)

    swept = await fleets.sweep(db, db.shards[0])
    assert (swept.fleet, swept.taken, swept.due) == (fleet.id, 0, T0 + SPAN + 10)
    assert (await deadlines.sweep(db, db.shards[0])).due == T0 + SPAN + 10


async def test_a_large_fleet_keeps_neither_others_nor_heartbeats_waiting(db: Database, clock: Clock) -> None:
    large, small = await make_fleet(db, "large"), await make_fleet(db, "small")
    heartbeat = await make(db, up_at=T0 + 9)
    await join(db, large, 2_000, T0)
    await say(db, small, "a", at=T0 + 9)
    await clock.forward(100)
    await hear(db, clock)

    for _ in range(50):  # one in two, each time anew: 1 in 2**50 that the small one is not among them
        await fleets.sweep(db, db.shards[0], 20)
    assert await silent(db, small) == {"a": T0 + 9 + SPAN}
    assert 0 < len(await silent(db, large)) < 2_000
    await deadlines.sweep(db, db.shards[0])
    assert await status(db, heartbeat) == "down"


@pytest.mark.parametrize("field", ["period", "grace"])
async def test_a_corrupt_template_is_put_off_and_stops_nobody_else(db: Database, clock: Clock, field: str) -> None:
    bad, good = await make_fleet(db, "bad"), await make_fleet(db, "good")
    await say(db, bad, "a", at=T0)
    await say(db, good, "a", at=T0)
    await db.execute("HDEL", db.shards[0].fleet(bad.id), field)
    await clock.forward(100)
    await hear(db, clock)

    swept = [await fleets.sweep(db, db.shards[0]) for _ in range(3)]
    assert sum(each.corrupt for each in swept) == 1
    assert [each.fleet for each in swept].count(bad.id) == [each.fleet for each in swept].count(good.id) == 1
    assert await silent(db, good) == {"a": T0 + SPAN}
    assert await due(db, bad) == clock.now + 3_600_000


async def test_what_is_left_of_a_fleet_without_a_template_is_dropped(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0, "fail"))
    await db.execute("DEL", db.shards[0].fleet(fleet.id))
    await pass_time(db, clock, 100)

    assert await placed(db, fleet) == {"deadlines": {}, "down": {}, "returning": {}}
    assert await due(db, fleet) is None
    assert await db.execute("EXISTS", db.shards[0].fleet_causes(fleet.id)) == 0


async def test_who_could_not_be_heard_is_granted_a_span_from_the_end_of_the_window(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0 - 50_000))
    await clock.forward(30)
    await be_deaf(db, clock, 40)

    assert await pass_time(db, clock, 25) == 0
    granted = dict.fromkeys("ab", T0 + 70_000 + SPAN + 0.5 + EXCUSE)
    assert (await placed(db, fleet))["deadlines"] == granted
    found = await fleets.member(db, fleet.id, "a")
    assert found is not None
    assert (found.status, found.last_ping_at, found.deadline) == ("up", None, granted["a"])
    assert await pass_time(db, clock, 64) == 0
    assert await pass_time(db, clock, 2) == 2
    assert await silent(db, fleet) == dict.fromkeys("ab", T0 + 70_000 + SPAN)


@pytest.mark.parametrize("short", [0, 1])
@pytest.mark.parametrize(
    ("period", "grace", "misses", "listens"),
    [(60, 30, 1, 90), (60, 30, 3, 210), (3600, 60, 1, 360), (3600, 1000, 1, 2000), (3600, 10_000, 2, 17_200)],
)
async def test_an_excuse_needs_a_window_in_which_the_missing_ping_could_have_come(
    db: Database, clock: Clock, period: int, *, grace: int, misses: int, listens: int, short: int
) -> None:
    fleet = await make_fleet(db, period=period, grace=grace, misses=misses)
    await say(db, fleet, "a", at=T0)
    falls_due = T0 + (period * misses + grace) * 1000
    window_end = falls_due - listens * 1000 - short
    for earlier in range(3):  # windows before it make no difference
        window = window_end - earlier * 100
        await db.execute("ZADD", db.shards[0].deaf, window, window - 10)

    await clock.set(falls_due + 1)
    await hear(db, clock)
    swept = await fleets.sweep(db, db.shards[0])
    assert (swept.taken, swept.silent) == (1, short)


async def test_a_window_that_begins_after_the_deadline_excuses_nothing(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0 + 1))
    await db.execute("ZADD", db.shards[0].deaf, T0 + SPAN + 20, T0 + SPAN + 1)

    assert await pass_time(db, clock, 100) == 1
    assert await silent(db, fleet) == {"a": T0 + SPAN}


async def test_each_of_many_members_is_measured_by_its_own_windows(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, period=1, grace=0)  # listens for a second
    await clock.forward(0.9)
    await say_all(db, fleet, *(Ping(f"m{i}", T0 + i * 100) for i in range(10)))
    for start, end in ((T0 + 1150, T0 + 1190), (T0 + 1410, T0 + 1450), (T0 + 5000, T0 + 5010)):
        await db.execute("ZADD", db.shards[0].deaf, end, start)
    await clock.forward(1.1)
    await hear(db, clock)

    swept = await fleets.sweep(db, db.shards[0])
    # m0 and m1 fell due before the first window; m2..m4 after it; the others after the second.
    found = await placed(db, fleet)
    assert (swept.taken, found["down"]) == (10, {"m0": T0 + 1000, "m1": T0 + 1100})
    ends = [T0 + 1190] * 3 + [T0 + 1450] * 5
    assert found["deadlines"] == {f"m{i}": end + 1000 + 0.5 + EXCUSE for i, end in enumerate(ends, start=2)}


async def test_one_window_excuses_once(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await clock.forward(80)
    await be_deaf(db, clock, 5)
    assert await pass_time(db, clock, 10) == 0

    assert await pass_time(db, clock, 90) == 1


async def test_a_fourth_window_in_a_row_excuses_nothing_and_a_ping_starts_the_count_anew(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    for pinged in (True, False):
        for expected in (1, 2, 3, None):
            falls_due = await deadline_of(db, fleet, "a")
            assert falls_due is not None
            await clock.set(falls_due - 20_000)
            await be_deaf(db, clock, 10)
            await clock.set(falls_due + 2)
            if pinged and expected is None:
                assert await push(db, fleet, ("a", clock.now - 1 + SPAN))
                break
            await pass_time(db, clock, 0)
            found = await deadline_of(db, fleet, "a")
            assert found is None if expected is None else found is not None and found % 1 == 0.5 + expected * EXCUSE
    assert len(await silent(db, fleet)) == 1


async def test_a_repeated_sweep_changes_nothing(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0 + 60_000), Ping("c", T0, "fail"))
    await pass_time(db, clock, 100)
    before = await everything(db)
    await db.execute("SCRIPT", "FLUSH")

    assert await pass_time(db, clock, 0) == 0
    assert await everything(db) == before


async def test_alarms_go_on_when_memory_is_full(db: Database, clock: Clock) -> None:
    fleet, other = await make_fleet(db), await make_fleet(db, "other")
    await say(db, fleet, "a", at=T0)
    await say(db, other, "a", "fail", at=T0)
    await clock.forward(100)
    await hear(db, clock)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await sweep(db) == 1
        assert await fleets.look(db, fleet.id) is not None
        await fleets.pause(db, fleet.id)
        await fleets.resume(db, fleet.id)
        assert await fleets.forget_silent(db, other.id, 1) == 1
        await fleets.delete(db, other.id)
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)
