"""members.lua and the hot path: who joins, returns or fails, and what late or repeated batches change: nothing."""

import pytest

from store import fleets
from store.arrivals import Ping
from store.database import Database
from tests.conftest import T0, Clock
from tests.store.fleet_scene import (
    SPAN,
    causes,
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
)
from tests.store.scene import be_deaf, everything, hear


async def test_the_first_ping_of_an_unknown_slug_makes_it_a_member(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    for slug, signal in (("a", "success"), ("b", "start"), ("c", "plain")):
        assert not await push(db, fleet, (slug, T0 + SPAN))
        assert await say(db, fleet, slug, signal, at=T0) == "up"

    assert (await placed(db, fleet))["deadlines"] == dict.fromkeys("abc", T0 + SPAN)
    assert await due(db, fleet) == T0 + SPAN
    assert await looks_at(db) == []


async def test_the_next_ping_needs_no_script(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)

    assert await push(db, fleet, ("a", T0 + SPAN + 5))
    assert await deadline_of(db, fleet, "a") == T0 + SPAN + 5
    assert not await push(db, fleet, ("a", T0 + SPAN + 3))
    assert await deadline_of(db, fleet, "a") == T0 + SPAN + 5


@pytest.mark.parametrize("signal", ["success", "fail"])
async def test_what_was_written_too_late_makes_nobody_a_member(db: Database, clock: Clock, signal: str) -> None:
    fleet = await make_fleet(db)

    assert await say(db, fleet, "a", signal, at=T0 - SPAN) == "parked"
    assert await placed(db, fleet) == {"deadlines": {}, "down": {}, "returning": {}}


@pytest.mark.parametrize("signal", ["log", "ignored"])
async def test_a_log_changes_nothing(db: Database, clock: Clock, signal: str) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "up", at=T0 - 5)
    await say(db, fleet, "down", "fail", at=T0 - 5)
    before = await everything(db)

    answers = [await say(db, fleet, slug, signal, at=T0) for slug in ("up", "down", "unknown")]
    assert answers == ["up", "parked", "parked"]
    assert await everything(db) == before


async def test_a_failure_is_silence_at_once_with_its_cause_and_the_next_ping_ends_it(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0 - 9)
    assert await say(db, fleet, "a", "fail", at=T0 - 8, exit_status="3") == "parked"
    assert await say(db, fleet, "b", "fail", at=T0 - 7) == "parked"

    assert await placed(db, fleet) == {"deadlines": {}, "down": {"a": T0 - 8, "b": T0 - 7}, "returning": {}}
    assert await causes(db, fleet) == {"a": "3", "b": "fail"}
    found = await fleets.member(db, fleet.id, "a")
    assert found is not None
    assert (found.status, found.since, found.cause, found.deadline) == ("down", T0 - 8, "3", None)

    assert not await push(db, fleet, ("a", T0 + SPAN))
    assert await say(db, fleet, "a", at=T0) == "up"
    assert await placed(db, fleet) == {"deadlines": {"a": T0 + SPAN}, "down": {"b": T0 - 7}, "returning": {}}
    assert await causes(db, fleet) == {"b": "fail"}


async def test_who_failed_returns_only_by_a_later_ping(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", "fail", at=T0 - 8)
    before = await everything(db)

    for at in (T0 - 9, T0 - 8):
        assert await say(db, fleet, "a", at=at) == "parked"
    assert await everything(db) == before
    assert await say(db, fleet, "a", at=T0 - 7) == "up"


async def test_a_failure_not_later_than_the_last_ping_or_the_last_failure_changes_nothing(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0 - 8)
    await say(db, fleet, "b", "fail", at=T0 - 8, exit_status="3")
    before = await everything(db)

    for at in (T0 - 9, T0 - 8):
        assert await say(db, fleet, "a", "fail", at=at) == "up"
        assert await say(db, fleet, "b", "fail", at=at) == "parked"
    assert await everything(db) == before
    assert await say(db, fleet, "b", "fail", at=T0 - 7, exit_status="4") == "parked"
    assert (await silent(db, fleet), await causes(db, fleet)) == ({"b": T0 - 7}, {"b": "4"})


async def test_who_fell_silent_returns_by_a_ping_that_came_in_time_and_was_written_late(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    assert await pass_time(db, clock, 91) == 1
    assert await silent(db, fleet) == {"a": T0 + SPAN}
    before = await everything(db)
    for at in (T0, T0 + 1000):
        assert await say(db, fleet, "a", at=at) == "parked"  # at + span has passed
    assert await everything(db) == before

    assert await say(db, fleet, "a", at=T0 + 1001) == "up"
    assert await deadline_of(db, fleet, "a") == T0 + 1001 + SPAN


async def test_a_failure_written_late_is_the_cause_of_a_silence_and_counts_in_the_order_of_things(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await pass_time(db, clock, 91)

    assert await say(db, fleet, "a", "fail", at=T0) == "parked"
    assert await causes(db, fleet) == {}
    assert await say(db, fleet, "a", "fail", at=T0 + 50_000) == "parked"
    assert (await silent(db, fleet), await causes(db, fleet)) == ({"a": T0 + 50_000}, {"a": "fail"})
    assert await say(db, fleet, "a", at=T0 + 50_000) == "parked"
    assert await say(db, fleet, "a", at=T0 + 50_001) == "up"


async def test_signals_of_one_member_in_one_batch_keep_their_order(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    batch = [Ping("a", T0 - 5), Ping("a", T0 - 4, "fail", "7"), Ping("b", T0 - 4, "fail"), Ping("b", T0 - 3)]

    assert await say_all(db, fleet, *batch) == ["up", "parked", "parked", "up"]
    assert await placed(db, fleet) == {"deadlines": {"b": T0 - 3 + SPAN}, "down": {"a": T0 - 4}, "returning": {}}
    before = await everything(db)
    assert await say_all(db, fleet, *batch) == ["parked", "parked", "up", "up"]
    assert await everything(db) == before


async def test_a_ping_after_the_deadline_but_before_the_sweep_wins(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await clock.forward(95)
    assert await push(db, fleet, ("a", clock.now + SPAN))
    await hear(db, clock)

    assert await pass_time(db, clock, 1) == 0


async def test_an_at_beyond_the_clock_is_doubted_until_it_was_measured(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    assert await say(db, fleet, "a", at=T0 + 1001) == "clock"
    assert await say(db, fleet, "a", at=T0 - 1001, sure=False) == "clock"
    assert await deadline_of(db, fleet, "a") is None

    assert await say(db, fleet, "a", at=T0 - 1001) == "up"
    assert await say(db, fleet, "b", at=T0 + 900, sure=False) == "up"
    assert await deadline_of(db, fleet, "b") == T0 + 20 + SPAN  # by no more may it lie ahead


async def test_a_deadline_that_no_ping_can_have_earned_comes_down(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    assert await push(db, fleet, ("a", T0 + 3_600_000))
    assert await pass_time(db, clock, 100) == 0
    assert await due(db, fleet) == T0 + 3_600_000

    assert not await push(db, fleet, ("a", clock.now - 5 + SPAN))
    assert await say(db, fleet, "a", at=clock.now - 5) == "up"
    assert await deadline_of(db, fleet, "a") == clock.now + SPAN + 0.5
    assert await due(db, fleet) == clock.now + SPAN


async def test_a_fleet_has_room_for_so_many_whatever_their_status(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, cap=3)
    await say(db, fleet, "a", at=T0)
    await say(db, fleet, "b", "fail", at=T0)
    batch = [Ping(slug, T0 + 1, signal) for slug in "cdab" for signal in ("success", "fail")]

    assert await say_all(db, fleet, *batch) == ["up", "up", "full", "full", "up", "up", "up", "up"]
    assert await say(db, fleet, "d", "log", at=T0 + 1) == "parked"
    await fleets.edit(db, fleet.id, {"cap": 4})
    assert await say(db, fleet, "d", at=T0 + 2) == "up"


async def test_of_an_unknown_fleet_everything_is_unknown(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await fleets.delete(db, fleet.id)

    assert not await push(db, fleet, ("a", T0 + SPAN + 9))
    assert await say_all(db, fleet, Ping("a", T0), Ping("b", T0)) == ["unknown", "unknown"]
    assert await placed(db, fleet) == {"deadlines": {}, "down": {}, "returning": {}}


async def test_a_corrupt_item_or_template_is_answered_as_such(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    answers = await say_all(db, fleet, Ping("a", T0), Ping("b", T0, "sing"), Ping("c", "soon"), Ping("d", T0))  # type: ignore[arg-type]
    assert [answer.partition(":")[0] for answer in answers] == ["up", "error", "error", "up"]
    assert (await placed(db, fleet))["deadlines"].keys() == {"a", "d"}

    await db.execute("HDEL", db.shards[0].fleet(fleet.id), "period")
    assert (await say(db, fleet, "a", at=T0)).startswith("error: ")


async def test_a_full_batch_is_one_notification_and_changes_each_member_once(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    slugs = [f"device-{number:03}" for number in range(fleets.CHUNK)]

    assert set(await say_all(db, fleet, *(Ping(slug, T0, "fail") for slug in slugs))) == {"parked"}
    assert await silent(db, fleet) == dict.fromkeys(slugs, T0)
    assert await looks_at(db) == [fleet.id]


async def test_a_ping_below_an_excuse_starts_the_count_anew(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await clock.forward(80)
    await be_deaf(db, clock, 9)
    await pass_time(db, clock, 2)
    granted = T0 + 89_000 + SPAN
    assert await deadline_of(db, fleet, "a") == granted + 0.5 + 1 / 16

    assert await say(db, fleet, "a", at=T0 + 60_000) == "up"
    assert await deadline_of(db, fleet, "a") == granted + 0.5
    assert await due(db, fleet) == granted
