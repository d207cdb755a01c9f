"""Pause and resume of a fleet: nothing alarms, nobody is lost on the way back, and a resumed dead member alarms."""

import pytest

from store import fleets
from store.arrivals import Ping
from store.database import Database
from store.errors import NotFound
from tests.conftest import T0, Clock
from tests.store.fleet_scene import (
    SPAN,
    causes,
    due,
    looks_at,
    make_fleet,
    pass_time,
    placed,
    push,
    say,
    say_all,
    silent,
    step_back,
    sweep,
)
from tests.store.scene import be_deaf, everything, hear

INF = float("inf")


async def test_while_it_is_paused_nobody_falls_silent_and_pings_are_kept(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0))
    await clock.forward(1)
    assert (await fleets.pause(db, fleet.id)).status == "paused"
    assert await pass_time(db, clock, 500) == 0
    assert await due(db, fleet) == INF

    assert await push(db, fleet, ("a", clock.now + SPAN))
    assert await say(db, fleet, "b", at=clock.now) == "parked"
    assert await say(db, fleet, "c", at=clock.now) == "parked"
    assert await say(db, fleet, "a", "fail", at=clock.now + 1) == "parked"
    assert await say(db, fleet, "d", "fail", at=clock.now + 1) == "parked"
    assert (await placed(db, fleet))["deadlines"] == dict.fromkeys("abc", clock.now + SPAN)
    assert await fleets.counts(db, fleet.id) == {"up": 0, "late": 0, "down": 0, "paused": 3}
    assert await looks_at(db) == []


async def test_a_resume_starts_the_clock_anew_and_then_the_dead_alarm(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("alive", T0), Ping("dead", T0), Ping("silent", T0, "fail"))
    await clock.forward(80)
    await fleets.pause(db, fleet.id)
    await pass_time(db, clock, 500)

    resumed = await fleets.resume(db, fleet.id)
    assert (resumed.status, resumed.not_before) == ("up", clock.now + SPAN)
    assert await pass_time(db, clock, 89) == 0
    assert await push(db, fleet, ("alive", clock.now + SPAN))
    assert await pass_time(db, clock, 1.001) == 2
    assert await silent(db, fleet) == dict.fromkeys(("dead", "silent"), resumed.not_before)


async def test_on_any_other_fleet_a_pause_or_a_resume_changes_nothing(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0, "fail"))
    before = await everything(db)
    await fleets.resume(db, fleet.id)
    assert await everything(db) == before

    await fleets.pause(db, fleet.id)
    before = await everything(db)
    await fleets.pause(db, fleet.id)
    assert await everything(db) == before
    for act in (fleets.pause, fleets.resume):
        with pytest.raises(NotFound):
            await act(db, "0123456789ab")


async def test_a_pause_takes_the_silent_back_in_chunks_and_tells_of_it_once(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, *(Ping(f"m{i:02}", T0, "fail") for i in range(50)))
    assert await looks_at(db) == [fleet.id]
    await fleets.look(db, fleet.id)
    await clock.forward(1)
    await fleets.pause(db, fleet.id)
    assert await looks_at(db) == [fleet.id] * 2
    found = await placed(db, fleet)
    assert (len(found["returning"]), found["down"], await causes(db, fleet)) == (50, {}, {})

    await clock.forward(1)
    await hear(db, clock)
    assert [(await fleets.sweep(db, db.shards[0], 20)).taken for _ in range(3)] == [20, 20, 10]
    found = await placed(db, fleet)
    assert found["returning"] == found["down"] == {}
    assert set(found["deadlines"].values()) == {clock.now + SPAN + 0.5}
    assert await due(db, fleet) == INF


async def test_a_ping_of_one_on_its_way_back_puts_it_up_at_once(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, *(Ping(slug, T0, "fail") for slug in "abc"))
    await clock.forward(1)
    await fleets.pause(db, fleet.id)
    assert await say(db, fleet, "a", at=T0 + 1) == "parked"
    assert await say(db, fleet, "b", at=T0 - SPAN) == "parked"
    assert await placed(db, fleet) == {
        "deadlines": {"a": T0 + 1 + SPAN}, "down": {}, "returning": {"b": T0, "c": T0},
    }  # fmt: skip
    assert await fleets.counts(db, fleet.id) == {"up": 0, "late": 0, "down": 0, "paused": 3}

    await fleets.resume(db, fleet.id)
    assert await fleets.counts(db, fleet.id) == {"up": 3, "late": 0, "down": 0, "paused": 0}
    assert await say(db, fleet, "c", "fail", at=clock.now) == "parked"
    assert (await silent(db, fleet), await causes(db, fleet)) == ({"c": clock.now}, {"c": "fail"})


async def test_a_resume_does_not_stop_the_way_back(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, *(Ping(f"m{i:02}", T0, "fail") for i in range(50)))
    await fleets.pause(db, fleet.id)
    await fleets.resume(db, fleet.id)

    assert await pass_time(db, clock, 1) == 0
    assert len((await placed(db, fleet))["deadlines"]) == 50
    assert await pass_time(db, clock, SPAN / 1000) == 0
    assert await pass_time(db, clock, 0.002) == 50


async def test_a_second_pause_before_the_way_back_is_over_loses_nobody(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, *(Ping(f"m{i:02}", T0, "fail") for i in range(30)))
    await fleets.pause(db, fleet.id)
    await fleets.resume(db, fleet.id)
    await clock.forward(1)
    await say_all(db, fleet, *(Ping(f"m{i:02}", clock.now, "fail") for i in range(10, 20)), Ping("late", clock.now))
    await fleets.pause(db, fleet.id)
    found = await placed(db, fleet)
    assert (len(found["returning"]), len(found["down"])) == (20, 10)
    assert (await fleets.counts(db, fleet.id))["paused"] == 31
    assert await db.run("fleet_silent", db.shards[0], fleet.id) == [0, 0, b""]
    assert await fleets.forget_silent(db, fleet.id, 0) == 0

    await clock.forward(1)
    await hear(db, clock)
    assert await sweep(db, limit=7) == 0
    found = await placed(db, fleet)
    assert (len(found["deadlines"]), found["returning"], found["down"]) == (31, {}, {})
    assert await due(db, fleet) == INF


async def test_who_failed_between_two_pauses_is_told_of_when_no_walk_came_by(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", "fail", at=T0)
    await fleets.pause(db, fleet.id)
    await fleets.resume(db, fleet.id)
    await say(db, fleet, "b", "fail", at=T0 + 1)
    await fleets.pause(db, fleet.id)
    await fleets.look(db, fleet.id)
    await db.execute("DEL", db.shards[0].notifications)

    await fleets.resume(db, fleet.id)
    assert await silent(db, fleet) == {"b": T0 + 1}
    assert await looks_at(db) == [fleet.id]


async def test_deafness_after_a_resume_excuses_those_that_waited_for_it(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await fleets.pause(db, fleet.id)
    await clock.forward(1000)
    await hear(db, clock)
    await fleets.resume(db, fleet.id)
    await clock.forward(50)
    await be_deaf(db, clock, 30)

    assert await pass_time(db, clock, 80) == 0
    assert await pass_time(db, clock, 10.001) == 1


async def test_a_pause_during_a_longer_edit_keeps_the_longer_time(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    edited = await fleets.edit(db, fleet.id, {"period": 3600})
    await fleets.pause(db, fleet.id)

    assert (await fleets.resume(db, fleet.id)).not_before == edited.not_before


async def test_after_a_step_back_of_the_clock_nothing_lies_too_far_ahead(db: Database, clock: Clock) -> None:
    up, paused, empty = await make_fleet(db, "up"), await make_fleet(db, "paused"), await make_fleet(db, "empty")
    await say_all(db, up, Ping("a", T0), Ping("b", T0, "fail"))
    await fleets.edit(db, up.id, {"period": 61})
    await fleets.edit(db, up.id, {"period": 60})
    await say_all(db, paused, Ping("a", T0), Ping("b", T0, "fail"))
    await fleets.pause(db, paused.id)
    before = await fleets.get(db, up.id)
    await step_back(db, clock, 3600)

    record = await fleets.get(db, up.id)
    assert (record.edited_at, record.not_before) == (clock.now, before.not_before - 3_600_000)
    assert await placed(db, up) == {
        "deadlines": {"a": clock.now + SPAN + 0.5}, "down": {"b": clock.now}, "returning": {},
    }  # fmt: skip
    ahead = clock.now + SPAN + 0.5
    assert await placed(db, paused) == {"deadlines": {"a": ahead, "b": ahead}, "down": {}, "returning": {}}
    walk = clock.now + 5_000
    assert [await due(db, fleet) for fleet in (up, paused, empty)] == [walk] * 3

    assert await push(db, up, ("a", clock.now + 3_600_000))  # by a node that has not measured the clock
    await pass_time(db, clock, 5.001)
    assert (await placed(db, up))["deadlines"] == {"a": clock.now + SPAN + 0.5}
    assert await say(db, up, "b", at=clock.now) == "up"
    assert [await due(db, fleet) for fleet in (paused, empty)] == [INF, INF]
    assert await pass_time(db, clock, 100) == 2
