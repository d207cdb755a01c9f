"""A look at a fleet: one incident whatever the number of the silent, and one notification until somebody has looked."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from store import fleets, incidents
from store.arrivals import Ping
from store.database import Database, opened
from store.records import Incident
from tests.conftest import T0, TEST_CLOCK, Clock
from tests.store.fleet_scene import SPAN, looks_at, make_fleet, pass_time, push, say, say_all
from tests.store.scene import all_incidents


async def look(db: Database, fleet: fleets.Fleet) -> Incident:
    incident = await fleets.look(db, fleet.id)
    assert incident is not None
    return await incidents.get(db, incident)


async def test_the_first_look_opens_an_incident_dated_at_the_oldest_silence(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0 + 5), Ping("b", T0), Ping("up", T0))
    await clock.forward(80)
    await push(db, fleet, ("up", clock.now + SPAN))
    await pass_time(db, clock, 15)

    incident = await look(db, fleet)
    assert incident.id == f"{fleet.id}-{T0 + SPAN}"
    assert (incident.heartbeat, incident.project, incident.fleet) == (fleet.id, "default", True)
    assert (incident.status, incident.cause, incident.opened_at) == ("open", "silence", T0 + SPAN)
    assert (incident.count, incident.most, incident.examples) == (2, 2, ("b", "a"))
    assert (await fleets.get(db, fleet.id)).incident == incident.id
    assert await all_incidents(db) == [incident]
    assert await look(db, fleet) == incident


async def test_a_fleet_in_which_nobody_is_silent_has_no_incident(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)

    assert await fleets.look(db, fleet.id) is None
    assert await fleets.look(db, "0123456789ab") is None
    assert await all_incidents(db) == []


async def test_its_cause_is_failure_only_if_all_said_so(db: Database, clock: Clock) -> None:
    failed, both = await make_fleet(db, "failed"), await make_fleet(db, "both")
    await say_all(db, both, Ping("a", T0), Ping("b", T0))
    await pass_time(db, clock, 100)
    await say(db, both, "c", "fail", at=clock.now)
    await say(db, failed, "c", "fail", at=clock.now)

    assert [(await look(db, fleet)).cause for fleet in (failed, both)] == ["failure", "silence"]


async def test_later_looks_count_anew_and_the_last_return_closes_it(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    slugs = [f"m{number:02}" for number in range(30)]
    await clock.forward(1)
    await say_all(db, fleet, *(Ping(slug, T0 + number, "fail") for number, slug in enumerate(slugs[:10])))
    first = await look(db, fleet)
    await say_all(db, fleet, *(Ping(slug, T0 + 20, "fail") for slug in slugs))
    grown = await look(db, fleet)
    await say_all(db, fleet, *(Ping(slug, T0 + 30) for slug in slugs[3:]))
    less = await look(db, fleet)

    assert [(i.id, i.count, i.most) for i in (first, grown, less)] == [
        (first.id, 10, 10), (first.id, 30, 30), (first.id, 3, 30),
    ]  # fmt: skip
    assert (len(grown.examples), less.examples) == (20, tuple(slugs[:3]))
    await say_all(db, fleet, *(Ping(slug, T0 + 900) for slug in slugs))
    closed = await look(db, fleet)
    assert (closed.id, closed.status, closed.resolution, closed.resolved_at) == (
        first.id, "resolved", "ping", T0 + 1000,
    )  # fmt: skip
    assert (await fleets.get(db, fleet.id)).incident is None
    assert await look(db, fleet) == closed


async def test_the_next_incident_is_another_and_names_the_one_before(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", "fail", at=T0)
    first = await look(db, fleet)
    await say(db, fleet, "a", at=T0 + 1)
    await look(db, fleet)
    await fleets.forget(db, fleet.id, "a")
    await say(db, fleet, "a", "fail", at=T0)
    second = await look(db, fleet)

    assert (first.opened_at, second.opened_at) == (T0, T0 + 1), "never the same id twice"
    previous = await db.execute("HGET", db.shards[0].incident(second.id), "previous")
    assert previous.decode() == first.id


@pytest.mark.parametrize("resumed", [False, True])
async def test_a_pause_closes_it_even_if_it_is_resumed_before_anybody_looks(
    db: Database, clock: Clock, *, resumed: bool
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", "fail", at=T0)
    opened_ = await look(db, fleet)
    await fleets.pause(db, fleet.id)
    if resumed:
        await fleets.resume(db, fleet.id)

    closed = await look(db, fleet)
    assert (closed.id, closed.status, closed.resolution) == (opened_.id, "resolved", "paused")
    await fleets.resume(db, fleet.id)
    assert await pass_time(db, clock, 1) == 0
    assert await pass_time(db, clock, 100) == 1
    again = await look(db, fleet)
    assert (again.status, again.id != closed.id) == ("open", True)
    await say(db, fleet, "a", at=clock.now)
    assert (await look(db, fleet)).resolution == "ping"


async def test_a_delete_closes_it(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", "fail", at=T0)
    opened_ = await look(db, fleet)
    await db.execute("DEL", db.shards[0].notifications)
    await fleets.delete(db, fleet.id)

    assert await looks_at(db) == [fleet.id]
    for _ in range(2):
        closed = await look(db, fleet)
        assert (closed.id, closed.status, closed.resolution) == (opened_.id, "resolved", "deleted")
    assert await db.execute("EXISTS", db.shards[0].fleet(fleet.id)) == 0


async def test_an_older_look_does_not_overwrite_a_newer_one(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    shard = db.shards[0]
    await say(db, fleet, "a", "fail", at=T0)
    older = await db.run("fleet_look", shard, fleet.id)
    await say(db, fleet, "a", at=T0 + 1)
    newer = await db.run("fleet_look", shard, fleet.id)

    assert await db.run("fleet_incident", shard, fleet.id, newer, 0, 0, "") == b""
    assert await db.run("fleet_incident", shard, fleet.id, older, 1, 1, T0, "a") == b""
    assert await all_incidents(db) == []
    assert (await fleets.get(db, fleet.id)).incident is None


async def test_until_somebody_has_looked_there_is_one_notification(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    shard = db.shards[0]
    await say_all(db, fleet, Ping("a", T0), Ping("b", T0), Ping("c", T0, "fail"))
    await pass_time(db, clock, 100)
    await say(db, fleet, "c", at=clock.now)
    await fleets.forget(db, fleet.id, "a")
    assert await looks_at(db) == [fleet.id]

    await db.run("fleet_silent", shard, fleet.id)
    assert await looks_at(db) == [fleet.id]
    await say(db, fleet, "c", "fail", at=clock.now + 1)
    assert await looks_at(db) == [fleet.id] * 2


@pytest.fixture
async def sharded(redis_url: str) -> AsyncIterator[Database]:
    async with opened(redis_url, shards=4, clock=TEST_CLOCK) as db:
        await Clock(db).set(T0)
        yield db


async def test_the_silent_of_all_shards_are_one_incident_on_the_home_shard(sharded: Database) -> None:
    fleet = await make_fleet(sharded)
    for shard in sharded.shards:
        items = [text for i in range(8) for text in (f"{shard.number}-{i}", T0 + shard.number, "fail", "")]
        await sharded.run("members", shard, fleet.id, "1", *items)
    assert await looks_at(sharded) == [fleet.id] * 4

    incident = await look(sharded, fleet)
    assert (incident.opened_at, incident.count, len(incident.examples)) == (T0, 32, 20)
    assert await sharded.execute("EXISTS", sharded.shard(fleet.id).incident(incident.id)) == 1
    await fleets.pause(sharded, fleet.id)
    assert (await look(sharded, fleet)).resolution == "paused"


async def test_a_pause_that_has_not_reached_every_shard_counts_as_one(sharded: Database) -> None:
    fleet = await make_fleet(sharded)
    for shard in sharded.shards:
        await sharded.run("members", shard, fleet.id, "1", f"m{shard.number}", T0, "fail", "")
    await look(sharded, fleet)
    await sharded.run("fleet_pause", sharded.shard(fleet.id), fleet.id)

    assert (await look(sharded, fleet)).resolution == "paused"


async def test_looks_at_the_same_time_agree_in_the_end(sharded: Database) -> None:
    fleet = await make_fleet(sharded)
    for number in range(20):
        shard = sharded.shards[number % 4]
        await asyncio.gather(
            sharded.run("members", shard, fleet.id, "1", f"m{number}", T0, "fail", ""),
            *(fleets.look(sharded, fleet.id) for _ in range(3)),
        )
    incident = await look(sharded, fleet)

    assert incident.count == 20
    assert len(await all_incidents(sharded)) == 1
