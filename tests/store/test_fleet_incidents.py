"""One incident for a whole fleet: opened, counted anew at every look, told again when it has doubled, and ended."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from store import deadlines, deliveries, fleets, incidents, notifications
from store.database import Database, opened
from store.deliveries import Lease, Result
from store.fleets import Fleet
from store.keys import shard_of
from store.records import Incident
from tests.conftest import T0, TEST_CLOCK, Clock
from tests.store.fleet_scene import looks_at, make_fleet
from tests.store.scene import all_incidents, looks

LEASE_MS = 30_000
C = "c"  # a channel


async def ping(db: Database, clock: Clock, fleet: Fleet, slugs: list[str], signal: str) -> None:
    """Later than whatever came before."""
    await clock.forward(1)
    for slug in slugs:
        shard = db.shards[shard_of(slug, len(db.shards))]
        (answer,) = await db.run("members", shard, fleet.id, "1", slug, clock.now, signal, "1")
        assert answer in {b"up", b"parked"}


async def fall(db: Database, clock: Clock, fleet: Fleet, count: int) -> list[str]:
    """So many members are silent in all, m000 first; returns who."""
    slugs = [f"m{number:03}" for number in range(count)]
    await ping(db, clock, fleet, slugs, "fail")
    return slugs


async def rise(db: Database, clock: Clock, fleet: Fleet, slugs: list[str]) -> None:
    await ping(db, clock, fleet, slugs, "success")


async def look(db: Database, fleet: Fleet) -> Incident:
    """A look; the incident, and what the outbox says of it is noted for the channel."""
    incident = await fleets.look(db, fleet.id)
    assert incident is not None
    shard = db.shard(incident)
    for entry, fields in await db.execute("XRANGE", shard.notifications, "-", "+"):
        for named in dict(fields).get(b"incidents", b"").decode().split():
            await notifications.enlist(db, shard, entry.decode(), [(named, C)])
    return await incidents.get(db, incident)


async def lease(db: Database, incident: Incident, owner: str = "o") -> Lease:
    shard = db.shard(incident.id)
    return (await deliveries.lease(db, shard, C, [incident.id], owner=owner, lease_ms=LEASE_MS))[0]


async def end(db: Database, taken: Lease, result: Result = "told", *, owner: str = "o", delay_ms: int = 60_000) -> None:
    shard = db.shard(taken.incident)
    await deliveries.outcome(db, shard, C, [taken], owner=owner, result=result, delay_ms=delay_ms)


async def tell(db: Database, incident: Incident) -> tuple[str | None, int | None]:
    """What is due, and how many it says; it is told."""
    taken = await lease(db, incident)
    if taken.word:
        await end(db, taken)
    return taken.word, taken.silent


async def chore(db: Database, incident: Incident) -> float | None:
    score = await db.execute("ZSCORE", db.shard(incident.id).chores, f"retry:{incident.id}:{C}")
    return None if score is None else float(score)


async def test_a_fleet_has_one_incident_that_is_opened_grows_and_ends(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    first = await fall(db, clock, fleet, 3)
    since = clock.now
    for _ in range(2):
        await fleets.look(db, fleet.id)
    assert await looks(db) == [f"{fleet.id}-{since}"]  # people are told of the beginning
    found = await look(db, fleet)

    assert found.id == f"{fleet.id}-{since}"
    assert (found.heartbeat, found.project, found.fleet) == (fleet.id, "default", True)
    assert (found.status, found.cause, found.opened_at) == ("open", "failure", since)
    assert (found.count, found.most, found.examples) == (3, 3, tuple(first))
    assert (await fleets.get(db, fleet.id)).incident == found.id

    many = await fall(db, clock, fleet, 30)
    grown = await look(db, fleet)
    assert (grown.id, grown.count, grown.most) == (found.id, 30, 30)
    assert grown.examples == tuple(many[:20])
    await rise(db, clock, fleet, many[:-1])
    shrunk = await look(db, fleet)
    assert (shrunk.status, shrunk.count, shrunk.most, shrunk.examples) == ("open", 1, 30, (many[-1],))
    assert await looks(db) == []
    await rise(db, clock, fleet, many[-1:])
    for _ in range(2):
        await fleets.look(db, fleet.id)
    assert await looks(db) == [found.id]  # and of the end
    ended = await look(db, fleet)

    assert (ended.status, ended.resolution, ended.resolved_at) == ("resolved", "ping", clock.now)
    assert (ended.count, ended.most) == (0, 30)
    assert (await fleets.get(db, fleet.id)).incident is None
    assert [each.id for each in await all_incidents(db)] == [found.id]


async def test_silence_is_the_cause_unless_all_of_them_said_that_they_failed(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 2)
    await db.execute("ZADD", db.shards[0].fleet_down(fleet.id), T0 - 5, "silent")

    found = await look(db, fleet)

    assert (found.cause, found.opened_at, found.examples[0]) == ("silence", T0 - 5, "silent")


async def test_without_anybody_silent_a_look_opens_nothing(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)

    assert await fleets.look(db, fleet.id) is None
    assert await fleets.look(db, "0123456789ab") is None
    assert (await all_incidents(db), await looks(db)) == ([], [])
    assert not await db.execute("EXISTS", db.shards[0].fleet("0123456789ab"))


async def test_a_channel_is_told_again_only_when_it_has_doubled(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    told = []
    for count in (3, 4, 5, 6, 7, 11, 12, 13, 23, 100, 199, 200):
        await fall(db, clock, fleet, count)
        found = await look(db, fleet)
        told.append((count, *(await tell(db, found))))
        assert await tell(db, found) == (None, None)
        assert await chore(db, found) is None

    assert [each for each in told if each[1]] == [
        (3, "opened", 3), (6, "grown", 6), (12, "grown", 12), (100, "grown", 100), (200, "grown", 200),
    ]  # fmt: skip
    await rise(db, clock, fleet, [f"m{number:03}" for number in range(200)])
    assert await tell(db, await look(db, fleet)) == ("resolved", 0)


async def test_growth_alone_makes_a_chore_for_each_channel_that_must_hear_of_it(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 4)
    found = await look(db, fleet)
    await tell(db, found)
    await fall(db, clock, fleet, 7)
    await look(db, fleet)
    assert await chore(db, found) is None
    await fall(db, clock, fleet, 8)
    await look(db, fleet)

    assert await chore(db, found) == clock.now
    assert await looks(db) == []


async def test_what_shrinks_before_its_growth_was_told_is_not_told_to_have_grown(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 4)
    found = await look(db, fleet)
    await tell(db, found)
    many = await fall(db, clock, fleet, 8)
    await look(db, fleet)
    await rise(db, clock, fleet, many[:1])
    await look(db, fleet)

    assert await tell(db, found) == (None, None)
    assert await chore(db, found) is None


async def test_growth_waits_for_a_channel_that_asked_for_time(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 1)
    found = await look(db, fleet)
    await tell(db, found)
    await fall(db, clock, fleet, 2)
    await look(db, fleet)
    refused = await lease(db, found)
    await end(db, refused, "retry", delay_ms=600_000)
    due = clock.now + 600_000
    await fall(db, clock, fleet, 50)
    await look(db, fleet)

    assert await chore(db, found) == due
    await clock.set(due)
    again = await lease(db, found)
    assert (refused.word, refused.attempt, refused.silent) == ("grown", 1, 2)
    assert (again.word, again.attempt, again.silent, again.at) == ("grown", 2, 50, due)


async def test_every_growth_has_tries_of_its_own(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 1)
    found = await look(db, fleet)
    await tell(db, found)
    for count in (2, 4, 8):
        await fall(db, clock, fleet, count)
        await look(db, fleet)
        taken = await lease(db, found)
        assert (taken.word, taken.attempt) == ("grown", 1)
        await end(db, taken)


async def test_who_vanished_in_the_middle_may_have_said_a_number_so_it_is_said_again(
    db: Database, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 3)
    found = await look(db, fleet)
    first = await lease(db, found, owner="gone")
    await fall(db, clock, fleet, 7)
    await look(db, fleet)
    await clock.forward(LEASE_MS / 1000)
    second = await lease(db, found, owner="other")

    assert (second.word, second.attempt) == ("opened", 2)
    assert (second.silent, second.at) == (first.silent, first.at) == (3, first.at)
    await end(db, second, owner="other")
    assert await chore(db, found) == clock.now  # it has doubled meanwhile
    assert await tell(db, found) == ("grown", 7)


async def test_growth_during_a_telling_is_told_next(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 2)
    found = await look(db, fleet)
    await tell(db, found)
    await fall(db, clock, fleet, 4)
    await look(db, fleet)
    taken = await lease(db, found)
    await fall(db, clock, fleet, 8)
    await look(db, fleet)
    await end(db, taken)

    assert await chore(db, found) == clock.now
    assert await tell(db, found) == ("grown", 8)


@pytest.mark.parametrize("given_up", ["opened", "grown"])
async def test_what_was_given_up_is_told_when_it_has_doubled_and_in_the_end(
    db: Database, clock: Clock, given_up: str
) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 1)
    found = await look(db, fleet)
    if given_up == "grown":
        await tell(db, found)
    await fall(db, clock, fleet, 2)
    await look(db, fleet)
    taken = await lease(db, found)
    assert taken.word == given_up
    await end(db, taken, "dead")
    assert await tell(db, found) == (None, None)
    assert await chore(db, found) is None
    assert [letter.incident for letter in await deliveries.dead(db)] == [found.id]
    await fall(db, clock, fleet, 3)
    await look(db, fleet)
    assert await tell(db, found) == (None, None)
    slugs = await fall(db, clock, fleet, 4)
    await look(db, fleet)

    assert await chore(db, found) == clock.now
    assert await tell(db, found) == ("grown", 4)
    await rise(db, clock, fleet, slugs)
    assert await tell(db, await look(db, fleet)) == ("resolved", 0)


@pytest.mark.parametrize("by", ["pause", "delete"])
@pytest.mark.parametrize("told_before", [True, False])
@pytest.mark.parametrize("resumed", [True, False])
async def test_an_end_by_hand_is_told_to_who_heard_the_beginning(
    db: Database, clock: Clock, by: str, *, told_before: bool, resumed: bool
) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 3)
    found = await look(db, fleet)
    if told_before:
        await tell(db, found)
    if by == "pause":
        await fleets.pause(db, fleet.id)
        if resumed:  # before anybody looked
            await fleets.resume(db, fleet.id)
    else:
        await fleets.delete(db, fleet.id)
    ended = await look(db, fleet)

    assert (ended.id, ended.status, ended.resolution) == (found.id, "resolved", f"{by}d")
    assert await tell(db, ended) == (("resolved", 0) if told_before else (None, None))
    assert await db.execute("ZCARD", db.shards[0].open) == 0


async def test_a_pause_that_changed_nothing_is_not_told_as_the_end(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 1)
    found = await look(db, fleet)
    await fleets.pause(db, fleet.id)
    await fleets.resume(db, fleet.id)
    slugs = await fall(db, clock, fleet, 2)  # and all that before anybody looked
    assert (await look(db, fleet)).status == "open"
    await rise(db, clock, fleet, slugs)

    assert (await look(db, fleet)).resolution == "ping"
    assert (await incidents.get(db, found.id)).status == "resolved"


async def test_the_next_incident_names_the_one_before_and_waits_for_its_end(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    slugs = await fall(db, clock, fleet, 2)
    first = await look(db, fleet)
    await tell(db, first)
    await rise(db, clock, fleet, slugs)
    await look(db, fleet)
    await fall(db, clock, fleet, 1)
    second = await look(db, fleet)

    assert second.id == f"{fleet.id}-{clock.now}"
    assert await tell(db, second) == (None, None)
    assert await chore(db, second)
    assert await tell(db, first) == ("resolved", 0)
    assert await tell(db, second) == ("opened", 1)


async def test_an_incident_of_the_same_millisecond_is_another_one(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    shard = db.shards[0]
    found = []
    for _ in range(2):
        await db.execute("ZADD", shard.fleet_down(fleet.id), T0, "a")
        found.append(await look(db, fleet))
        await db.execute("ZREM", shard.fleet_down(fleet.id), "a")
        await look(db, fleet)

    assert [each.id for each in found] == [f"{fleet.id}-{T0}", f"{fleet.id}-{T0 + 1}"]


async def test_lists_of_incidents_show_those_of_fleets(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    slugs = await fall(db, clock, fleet, 2)
    found = await look(db, fleet)
    assert (await incidents.page(db, status="open"))[0] == [await incidents.get(db, found.id)]
    await rise(db, clock, fleet, slugs)
    await look(db, fleet)

    (listed,) = (await incidents.page(db, status="resolved"))[0]
    assert (listed.id, listed.fleet, listed.most) == (found.id, True, 2)


async def test_fleets_are_looked_at_when_memory_is_full(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await fall(db, clock, fleet, 2)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        found = await look(db, fleet)
        assert await tell(db, found) == ("opened", 2)
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)


async def test_the_silent_of_all_shards_are_one_incident_on_the_home_shard(redis_url: str) -> None:
    async with opened(redis_url, shards=4, clock=TEST_CLOCK) as db:
        clock = Clock(db)
        await clock.set(T0)
        fleet = await make_fleet(db)
        home = db.shard(fleet.id)
        slugs = await fall(db, clock, fleet, 40)
        assert await looks_at(db) == [fleet.id] * 4  # one entry per shard, whatever the number

        found = await look(db, fleet)

        assert (found.count, len(set(found.examples) & set(slugs))) == (40, 20)
        assert await db.execute("ZRANGE", home.open, 0, -1) == [found.id.encode()]
        assert await db.execute("HGET", home.fleet(fleet.id), "applied") == b"1"
        assert await deadlines.chores(db, home) == 0
        await fall(db, clock, fleet, 41)
        assert len(await looks_at(db)) == 5  # it had been looked at


@pytest.mark.parametrize("by", ["pause", "delete"])
async def test_an_end_by_hand_does_not_wait_until_it_has_reached_every_shard(redis_url: str, by: str) -> None:
    async with opened(redis_url, shards=2, clock=TEST_CLOCK) as db:
        clock = Clock(db)
        await clock.set(T0)
        fleet = await make_fleet(db)
        home = db.shard(fleet.id)
        await fall(db, clock, fleet, 9)
        found = await look(db, fleet)
        await db.run(f"fleet_{by}", home, fleet.id, *([1] if by == "delete" else []))

        assert (await look(db, fleet)).resolution == f"{by}d"
        await getattr(fleets, by)(db, fleet.id)
        assert (await look(db, fleet)).id == found.id
        assert [each.id for each in await all_incidents(db)] == [found.id]


Step = tuple[str, int]  # who, which of his steps


def orders(steps: int) -> Iterator[list[Step]]:
    """All ways to interleave the steps of two looks, a being the first, and one change of the fleet at any time."""
    total = 2 * steps
    for others in combinations(range(1, total), steps - 1):
        places = {0, *others}
        counts = {"a": 0, "b": 0}
        order: list[Step] = []
        for place in range(total):
            who = "a" if place in places else "b"
            order.append((who, counts[who]))
            counts[who] += 1
        for at in range(total + 1):
            yield [*order[:at], ("change", 0), *order[at:]]


class Looker:
    """A notifier that takes what is in the outbox and then looks at a fleet, step by step."""

    def __init__(self, db: Database, fleet: Fleet) -> None:
        self.db = db
        self.fleet = fleet
        self.number = 0
        self.found: list[Any] = []

    async def step(self, number: int) -> None:
        db, fleet = self.db, self.fleet.id
        if number == 0:
            await clear_outbox(db)
            self.number = await db.run("fleet_look", db.shard(fleet), fleet)
        elif number <= len(db.shards):
            self.found.append(await db.run("fleet_silent", db.shards[number - 1], fleet))
        else:
            silent, failed = (sum(each[i] for each in self.found) for i in (0, 1))
            since = min((each[2] for each in self.found if each[2]), default=b"")
            args = self.number, silent, failed, since, *(slug for each in self.found for slug in each[3:])
            await db.run("fleet_incident", db.shard(fleet), fleet, *args)


async def clear_outbox(db: Database) -> None:
    for shard in db.shards:
        await db.execute("DEL", shard.notifications)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("change", ["another one on the first shard", "another one on the second", "all are back"])
async def test_whatever_two_looks_do_in_whatever_order_nothing_that_is_not_noted_goes_uncounted(
    redis_url: str, change: str
) -> None:
    """An old count that overtakes a new one would be wrong for ever: nobody would be asked to look again."""
    async with opened(redis_url, shards=2, clock=TEST_CLOCK) as db:
        clock = Clock(db)
        await clock.set(T0)
        members = [next(s for s in map(str, range(99)) if shard_of(s, 2) == shard) for shard in (0, 1)]
        another = next(s for s in map(str, range(99)) if shard_of(s, 2) == 0 and s not in members)
        tried = unnoted = 0
        for order in orders(4):
            fleet = await make_fleet(db)
            await ping(db, clock, fleet, members[:1], "fail")
            before = await look(db, fleet)
            await clear_outbox(db)
            for shard in db.shards:  # one of the two has taken the entry
                await db.execute("HSET", shard.fleet(fleet.id), "looked", 1)
            lookers = {who: Looker(db, fleet) for who in "ab"}
            truth = 1
            for who, number in order:
                if who != "change":
                    await lookers[who].step(number)
                elif change == "all are back":
                    await ping(db, clock, fleet, members[:1], "success")
                    truth = 0
                else:
                    await ping(db, clock, fleet, [another if "first" in change else members[1]], "fail")
                    truth = 2
            wanted = truth, "open" if truth else "resolved"
            if not await looks_at(db):
                unnoted += 1
                found = await incidents.get(db, before.id)
                assert (found.count, found.status) == wanted, order
                assert (await fleets.get(db, fleet.id)).incident == (before.id if truth else None), order
            found = await look(db, fleet)
            assert (found.count, found.status) == wanted, order
            await fleets.delete(db, fleet.id)
            tried += 1
        assert tried == 35 * 9 > unnoted > 35
