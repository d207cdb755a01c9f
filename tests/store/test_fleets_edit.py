"""Edits of a fleet: none alarms by itself, whatever nodes still know, and none touches a million members at once."""

import pytest

from store import fleets, projects
from store.arrivals import Ping
from store.database import Database
from store.errors import NotFound
from tests.conftest import T0, Clock
from tests.store.fleet_scene import SPAN, deadline_of, due, make_fleet, pass_time, placed, push, say, say_all, silent
from tests.store.scene import be_deaf, hear

CACHE_AGE = 5_000
HOUR = 3_600_000


async def test_only_the_given_settings_change(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, tags=("a", "b"), channels=("c1",), alert_text="Go!", durability="disk")
    await clock.forward(1)

    edited = await fleets.edit(db, fleet.id, {"name": "Жуки", "channels": None, "priority": 3})
    assert edited == await fleets.get(db, fleet.id)
    assert (edited.settings.name, edited.settings.channels, edited.settings.priority) == ("Жуки", None, 3)
    assert (edited.settings.tags, edited.settings.alert_text, edited.settings.durability) == (("a", "b"), "Go!", "disk")
    assert (edited.rev, edited.edited_at, edited.not_before) == (2, 0, 0)
    assert (await fleets.edit(db, fleet.id, {"channels": ()})).settings.channels == ()


async def test_what_does_not_exist_cannot_be_edited(db: Database, clock: Clock) -> None:
    with pytest.raises(NotFound):
        await fleets.edit(db, "0123456789ab", {"period": 5})
    assert await db.execute("KEYS", "*0123456789ab*") == []


async def test_a_longer_span_is_granted_to_everyone_without_touching_them(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("alive", T0), Ping("dead", T0))
    await clock.forward(80)

    edited = await fleets.edit(db, fleet.id, {"period": 3600})
    hold = clock.now + CACHE_AGE + HOUR + 30_000
    assert (edited.not_before, edited.edited_at) == (hold, clock.now)
    assert (await placed(db, fleet))["deadlines"] == {"alive": T0 + SPAN, "dead": T0 + SPAN}
    found = await fleets.member(db, fleet.id, "dead")
    assert found is not None
    assert (found.status, found.deadline, found.last_ping_at) == ("up", hold, None)

    await clock.forward(4.9)
    assert await push(db, fleet, ("alive", clock.now + SPAN))  # by a node that has not heard of it
    assert await pass_time(db, clock, 3600) == 0
    assert await due(db, fleet) == hold
    assert await push(db, fleet, ("alive", clock.now + HOUR + 30_000))
    await clock.set(hold)
    assert await pass_time(db, clock, 0.001) == 1
    assert await silent(db, fleet) == {"dead": hold}


async def test_while_a_longer_span_is_granted_to_all_deafness_still_excuses(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await fleets.edit(db, fleet.id, {"period": 3600})
    await clock.forward(3500)
    await be_deaf(db, clock, 100)
    heard_again = clock.now

    assert await pass_time(db, clock, 3000) == 0
    assert await deadline_of(db, fleet, "a") == heard_again + HOUR + 30_000 + 0.5 + 1 / 16
    assert await pass_time(db, clock, 700) == 1


async def test_a_shorter_span_brings_down_who_lies_beyond_it_at_once_and_again_when_nodes_know_it(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db, period=3600)
    await say(db, fleet, "late", at=T0)
    await clock.forward(3600)
    await say(db, fleet, "fresh", at=clock.now)

    edited_at = (await fleets.edit(db, fleet.id, {"period": 60})).edited_at
    await pass_time(db, clock, 0.1)
    assert (await placed(db, fleet))["deadlines"] == {"late": T0 + HOUR + 30_000, "fresh": clock.now + SPAN + 0.5}
    assert await due(db, fleet) == edited_at + CACHE_AGE

    await clock.forward(4.8)
    assert await push(db, fleet, ("fresh", clock.now + HOUR + 30_000))  # by a node that has not heard of it
    await pass_time(db, clock, 0.2)
    assert await deadline_of(db, fleet, "fresh") == clock.now + SPAN + 0.5
    assert await due(db, fleet) == T0 + HOUR + 30_000
    assert await push(db, fleet, ("fresh", clock.now + 5 * HOUR))
    await pass_time(db, clock, 1)
    assert await deadline_of(db, fleet, "fresh") == T0 + HOUR + 5100 + 5 * HOUR, "the walk is over"


async def test_a_shorter_span_ends_the_time_that_a_longer_one_had_granted(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await fleets.edit(db, fleet.id, {"period": 86_400})
    await clock.forward(60)

    edited = await fleets.edit(db, fleet.id, {"period": 120})
    assert edited.not_before == clock.now + CACHE_AGE + 150_000
    assert await pass_time(db, clock, 155) == 0
    assert await pass_time(db, clock, 0.001) == 1
    assert await silent(db, fleet) == {"a": edited.not_before}


async def test_an_excuse_after_an_edit_grants_a_span_from_the_edit(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, period=3600)
    await say(db, fleet, "a", at=T0)
    await clock.forward(3580)
    await be_deaf(db, clock, 10)
    await clock.forward(10)
    edited = await fleets.edit(db, fleet.id, {"period": 60})

    assert await pass_time(db, clock, 31) == 0
    assert await deadline_of(db, fleet, "a") == edited.edited_at + SPAN + 0.5 + 1 / 16


async def test_a_walk_goes_on_in_chunks_and_keeps_what_stands_behind_a_deadline(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, period=3600)
    await say_all(db, fleet, *(Ping(f"m{i}", T0) for i in range(50)))
    excused = T0 + HOUR + 0.5 + 2 / 16
    await db.execute("ZADD", db.shards[0].fleet_deadlines(fleet.id), f"{excused:.4f}", "excused")
    await fleets.edit(db, fleet.id, {"period": 60})
    await clock.forward(1)
    await hear(db, clock)

    swept = [await fleets.sweep(db, db.shards[0], 20) for _ in range(4)]
    assert [each.taken for each in swept] == [20, 20, 11, 0]
    assert swept[-1].due == T0 + CACHE_AGE
    found = (await placed(db, fleet))["deadlines"]
    assert found.pop("excused") == clock.now + SPAN + 0.5 + 2 / 16
    assert set(found.values()) == {clock.now + SPAN + 0.5}


async def test_members_that_fall_due_during_a_walk_are_taken_too(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await fleets.edit(db, fleet.id, {"period": 50})
    assert await pass_time(db, clock, 200) == 1


async def test_the_same_settings_again_change_nothing_but_the_rev(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await clock.forward(1)
    edited = await fleets.edit(db, fleet.id, {"period": 100})
    await clock.forward(10)

    again = await fleets.edit(db, fleet.id, {"period": 100, "grace": 30})
    assert (again.not_before, again.edited_at) == (edited.not_before, edited.edited_at)


async def test_a_failure_is_not_lost_while_a_node_may_have_known_another_span(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, period=3600)
    await clock.forward(1)
    await say(db, fleet, "a", at=clock.now)
    await fleets.edit(db, fleet.id, {"period": 3599})
    await clock.forward(2)
    assert await push(db, fleet, ("a", clock.now + HOUR + 30_000))  # as if it were pinged in a second from now
    await clock.forward(1.5)

    assert await say(db, fleet, "a", "fail", at=clock.now - 600) == "parked"
    assert await silent(db, fleet) == {"a": clock.now - 600}


async def test_the_last_ping_is_shown_only_if_it_is_later_than_what_an_edit_leaves_in_doubt(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)

    async def last_ping() -> int | None:
        found = await fleets.member(db, fleet.id, "a")
        assert found is not None
        return found.last_ping_at

    await clock.forward(1)
    assert await last_ping() == T0
    await fleets.edit(db, fleet.id, {"period": 61})
    for seconds, expected in ((5, None), (0.001, clock.now + 5001)):
        await clock.forward(seconds)
        assert await push(db, fleet, ("a", clock.now + SPAN + 1000))
        assert await last_ping() == expected


async def test_a_rotation_leaves_the_old_ping_key_without_a_fleet(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    rotated = await fleets.rotate(db, fleet.id)

    assert rotated.ping_key != fleet.ping_key
    assert await projects.owners(db, [fleet.ping_key]) == [None]
    assert await projects.owners(db, [rotated.ping_key]) == [("fleet", fleet.id)]
    assert (await fleets.get(db, fleet.id)).ping_key == rotated.ping_key
    assert rotated.edited_at == 0
