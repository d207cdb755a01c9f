"""Fleets are created, listed by name and deleted; their members are listed by status and forgotten."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rules import tokens
from store import fleets, keys, projects
from store.arrivals import Ping
from store.database import Database, opened
from store.errors import NotFound, Unavailable
from store.fleets import BadCursor, Fleet, Member, MemberStatus
from store.keys import shard_of
from store.roster import Place
from tests.conftest import T0, TEST_CLOCK, Clock
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
)
from tests.store.scene import everything, hear

INF = float("inf")
NAMES = ["zeta", "Alpha", "alpha", "ЖУК", "жаба", "Ёж", "1st", "a\0b"]


@pytest.fixture(params=[1, 4])
async def sharded(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Database]:
    async with opened(redis_url, shards=request.param, clock=TEST_CLOCK) as db:
        await Clock(db).set(T0)
        yield db


@pytest.fixture(params=[1, 3])
async def running(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Database]:
    """By the real clock: late depends on it."""
    async with opened(redis_url, shards=request.param) as db:
        yield db


async def tell(db: Database, fleet: Fleet, *pings: Ping) -> None:
    """Each to the shard of its slug."""
    for ping in pings:
        shard = db.shards[shard_of(ping.heartbeat, len(db.shards))]
        await db.run("members", shard, fleet.id, "1", ping.heartbeat, ping.at, ping.signal, ping.exit_status)


async def walk(db: Database, fleet: Fleet, limit: int, status: MemberStatus | None = None) -> list[Member]:
    """Members over all pages."""
    found: list[Member] = []
    cursor = None
    for _ in range(2_000):
        page, cursor = await fleets.members(db, fleet.id, status=status, limit=limit, cursor=cursor)
        assert len(page) <= limit
        found += page
        if cursor is None:
            return found
    raise AssertionError("the pages never end")


async def test_a_fleet_is_the_same_on_every_shard(sharded: Database) -> None:
    fleet = await make_fleet(
        sharded,
        tags=("x", "y"),
        channels=("c1", "c2"),
        misses=3,
        priority=5,
        alert_text="!",
        durability="replica",
        cap=9,
    )

    assert fleet == await fleets.get(sharded, fleet.id)
    assert (fleet.status, fleet.rev, fleet.created_at, fleet.incident) == ("up", 1, T0, None)
    assert (fleet.settings.tags, fleet.settings.channels, fleet.span_ms) == (("x", "y"), ("c1", "c2"), 210_000)
    copies = await sharded.pipeline([("HGETALL", shard.fleet(fleet.id)) for shard in sharded.shards])
    assert all(copy == copies[0] for copy in copies)
    assert copies[0][b"room"] == {1: b"9", 4: b"3"}[len(sharded.shards)]
    assert [await due(sharded, fleet, shard) for shard in sharded.shards] == [INF] * len(sharded.shards)


async def test_a_ping_key_leads_to_its_fleet_and_is_never_shaped_like_a_token(sharded: Database) -> None:
    fleet = await make_fleet(sharded)

    assert await projects.owners(sharded, [fleet.ping_key]) == [("fleet", fleet.id)]
    assert await projects.owners(sharded, ["another"]) == [None]
    assert tokens.parse(fleet.ping_key) is None
    assert len(fleet.ping_key) == 22


async def test_an_id_in_use_is_drawn_again_and_a_repeated_create_finds_its_own_work(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    shard = db.shards[0]
    before = await everything(db)
    assert await db.run("fleet_create", shard, fleet.id, "ping_key", fleet.ping_key, "name", "other") == 1
    assert await db.run("fleet_create", shard, fleet.id, "ping_key", "another", "name", "other") == 0
    assert await everything(db) == before

    await fleets.delete(db, fleet.id)
    assert await db.run("fleet_create", shard, fleet.id, "ping_key", "another", "name", "other") == 0


async def test_when_no_id_is_free_nothing_is_created(
    db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await make_fleet(db)
    monkeypatch.setattr(tokens, "id_of", lambda _: fleet.id)

    with pytest.raises(Unavailable):
        await make_fleet(db)
    assert [found.id for found in (await fleets.page(db))[0]] == [fleet.id]


@pytest.mark.parametrize("limit", [1, 3, 8, 100])
async def test_pages_follow_the_names_without_regard_to_case(sharded: Database, limit: int) -> None:
    made = [await make_fleet(sharded, name) for name in NAMES]
    await fleets.create(sharded, fleets.FleetSettings(name="another project's"), "other")
    ordered = sorted(made, key=lambda f: (f.settings.name.casefold() + "\0" + f.id).encode())

    found: list[Fleet] = []
    cursor = None
    for _ in range(len(NAMES) + 1):
        page, cursor = await fleets.page(sharded, limit=limit, cursor=cursor)
        found += page
        if cursor is None:
            break
    assert found == ordered


async def test_a_renamed_fleet_is_listed_once_by_its_new_name(db: Database, clock: Clock) -> None:
    await make_fleet(db, "b")
    fleet = await make_fleet(db, "a")
    for name in ("c", "C", "c"):
        await fleets.edit(db, fleet.id, {"name": name})

    assert [found.settings.name for found in (await fleets.page(db))[0]] == ["b", "c"]
    assert await db.execute("ZCARD", keys.fleets("default")) == 2


async def test_what_stopped_half_way_is_not_shown_twice(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db, "a")
    await db.execute("ZADD", keys.fleets("default"), 0, f"b\0{fleet.id}", 0, "c\x000123456789ab")

    assert (await fleets.page(db))[0] == [fleet]


@pytest.mark.parametrize(
    "cursor", ["?", "WyJhIl0=", "WzAsIjAiXQ==", "WzAsIngiLCIiXQ==", "WzAsIjAiLCIiLCIhIl0=", "e30=", "1"]
)
async def test_a_bad_cursor_is_refused(db: Database, clock: Clock, cursor: str) -> None:
    fleet = await make_fleet(db)
    with pytest.raises(BadCursor):
        await fleets.members(db, fleet.id, cursor=cursor)
    with pytest.raises(BadCursor):
        await fleets.page(db, cursor="?")


def test_a_place_survives_its_way_through_a_cursor() -> None:
    for place in (Place(), Place(3, "17"), Place(0, "1800000000000.5625", "a-b_c"), Place(1, "0", "", ("x", "y"))):
        assert Place.parse(str(place)) == place


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_members_are_listed_by_status_each_once(running: Database, limit: int) -> None:
    now = await running.now()
    fleet = await make_fleet(running)
    wanted: dict[str, set[str]] = {"up": set(), "late": set(), "down": set()}
    for number in range(60):
        kind = ("up", "late", "down")[number % 3]
        slug = f"{kind}-{number}"
        at = now - 70_000 if kind == "late" else now - number // 6
        await tell(running, fleet, Ping(slug, at, "fail" if kind == "down" else "success"))
        wanted[kind].add(slug)

    for status in ("up", "late", "down"):
        found = await walk(running, fleet, limit, status)
        assert [member.status for member in found] == [status] * 20
        assert {member.slug for member in found} == wanted[status]
    everyone = await walk(running, fleet, limit)
    assert {member.slug for member in everyone} == set.union(*wanted.values())
    assert len(everyone) == 60
    assert await walk(running, fleet, limit, "paused") == []
    assert await fleets.counts(running, fleet.id) == {"up": 40, "late": 20, "down": 20, "paused": 0}

    await fleets.pause(running, fleet.id)
    paused = await walk(running, fleet, limit, "paused")
    assert {member.slug for member in paused} == set.union(*wanted.values())
    assert len(paused) == 60
    assert await walk(running, fleet, limit, "up") == await walk(running, fleet, limit, "down") == []
    assert await fleets.counts(running, fleet.id) == {"up": 0, "late": 0, "down": 0, "paused": 60}


async def test_the_silent_come_in_the_order_in_which_they_became_so(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, *(Ping(f"m{i:03}", T0 - i // 10, "fail") for i in range(200)))
    expected = sorted((T0 - i // 10, f"m{i:03}") for i in range(200))

    found = await walk(db, fleet, 7, "down")
    assert [(member.since, member.slug) for member in found] == expected


async def test_nobody_is_missed_when_members_leave_between_two_pages(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    slugs = [f"m{i:03}" for i in range(100)]
    await say_all(db, fleet, *(Ping(slug, T0, "fail") for slug in slugs))

    page, cursor = await fleets.members(db, fleet.id, status="down", limit=10)
    assert [member.slug for member in page] == slugs[:10]
    for slug in slugs[5:15]:
        await say(db, fleet, slug, at=T0 + 1)
    page, cursor = await fleets.members(db, fleet.id, status="down", limit=10, cursor=cursor)
    assert [member.slug for member in page] == slugs[15:25]
    await say(db, fleet, slugs[24], "success", at=T0 + 1)
    await say(db, fleet, slugs[24], "fail", at=T0 + 2)  # now the last of all
    page, _ = await fleets.members(db, fleet.id, status="down", limit=10, cursor=cursor)
    assert [member.slug for member in page] == slugs[25:35]


async def test_those_that_are_up_are_listed_while_they_ping(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    slugs = [f"m{i:04}" for i in range(2_000)]
    for start in range(0, len(slugs), fleets.CHUNK):
        await say_all(db, fleet, *(Ping(slug, T0) for slug in slugs[start : start + fleets.CHUNK]))

    found: list[str] = []
    cursor = None
    for number in range(2_000):
        page, cursor = await fleets.members(db, fleet.id, limit=50, cursor=cursor)
        found += [member.slug for member in page]
        assert len(page) == 50 or cursor is None
        await push(db, fleet, *((slug, T0 + SPAN + 1 + number) for slug in slugs[number * 100 : number * 100 + 100]))
        if cursor is None:
            break
    assert sorted(found) == slugs


async def test_one_member_is_read_from_its_shard(sharded: Database) -> None:
    fleet = await make_fleet(sharded)
    for slug in ("a", "b", "c", "d"):
        await tell(sharded, fleet, Ping(slug, T0 - 5))

    for slug in ("a", "b", "c", "d"):
        assert await fleets.member(sharded, fleet.id, slug) == Member(
            slug=slug, status="up", deadline=T0 - 5 + SPAN, last_ping_at=T0 - 5
        )
    assert await fleets.member(sharded, fleet.id, "e") is None
    with pytest.raises(NotFound):
        await fleets.member(sharded, "0123456789ab", "a")


async def test_a_deleted_fleet_leaves_nothing_but_what_messages_need(sharded: Database) -> None:
    fleet, other = await make_fleet(sharded), await make_fleet(sharded, "other")
    for number in range(20):
        await tell(sharded, fleet, Ping(f"m{number}", T0, "fail" if number % 2 else "success"))
        await tell(sharded, other, Ping(f"m{number}", T0))
    await fleets.delete(sharded, fleet.id)

    left = [key.decode() for key in await sharded.execute("KEYS", f"*{fleet.id}*")]
    tomb = sharded.shard(fleet.id).deleted(fleet.id)
    assert left == [tomb]
    assert 0 < await sharded.execute("PTTL", tomb) <= 4 * 86_400_000
    assert await fleets.get_many(sharded, [fleet.id]) == [None]
    assert [found.id for found in await fleets.get_many(sharded, [fleet.id, other.id], deleted=True) if found] == [
        fleet.id, other.id,
    ]  # fmt: skip
    assert await projects.owners(sharded, [fleet.ping_key]) == [None]
    assert [found.id for found in (await fleets.page(sharded))[0]] == [other.id]
    assert await sharded.execute("ZCARD", keys.fleets("default")) == 1
    with pytest.raises(NotFound):
        await fleets.delete(sharded, fleet.id)
    with pytest.raises(NotFound):
        await fleets.get(sharded, fleet.id)


async def test_a_delete_that_stopped_half_way_is_finished_by_repeating_it(sharded: Database) -> None:
    fleet = await make_fleet(sharded)
    await tell(sharded, fleet, *(Ping(f"m{number}", T0) for number in range(20)))
    home = sharded.shard(fleet.id)
    await sharded.run("fleet_delete", home, fleet.id, 1)

    if len(sharded.shards) > 1:
        await fleets.delete(sharded, fleet.id)
    else:
        with pytest.raises(NotFound):  # but it was
            await fleets.delete(sharded, fleet.id)
    assert [key.decode() for key in await sharded.execute("KEYS", f"*{fleet.id}*")] == [home.deleted(fleet.id)]
    assert await projects.owners(sharded, [fleet.ping_key]) == [None]


async def test_who_is_forgotten_is_no_member_whatever_its_status_and_may_join_again(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("up", T0), Ping("down", T0, "fail"), Ping("stays", T0), Ping("returns", T0, "fail"))
    await fleets.look(db, fleet.id)
    await db.execute("DEL", db.shards[0].notifications)

    assert await fleets.forget(db, fleet.id, "up")
    assert await looks_at(db) == []
    assert await fleets.forget(db, fleet.id, "down")
    assert await looks_at(db) == [fleet.id]
    assert not await fleets.forget(db, fleet.id, "down")
    assert not await fleets.forget(db, fleet.id, "unknown")
    assert await causes(db, fleet) == {"returns": "fail"}
    await fleets.pause(db, fleet.id)
    assert await fleets.forget(db, fleet.id, "returns")
    assert await placed(db, fleet) == {"deadlines": {"stays": T0 + SPAN}, "down": {}, "returning": {}}
    assert not await push(db, fleet, ("up", T0 + SPAN))
    assert await say(db, fleet, "up", at=T0) == "parked"
    with pytest.raises(NotFound):
        await fleets.forget(db, "0123456789ab", "a")


async def test_an_old_ping_brings_the_forgotten_back_as_old_as_it_is(db: Database, clock: Clock) -> None:
    """What was said since is forgotten with the member: the deadline is the old ping's, not the newest's."""
    fleet = await make_fleet(db)
    await say_all(db, fleet, Ping("a", T0 - 9_000), Ping("a", T0))
    await fleets.forget(db, fleet.id, "a")

    assert await say(db, fleet, "a", at=T0 - 9_000) == "up"
    assert (await placed(db, fleet))["deadlines"] == {"a": T0 - 9_000 + SPAN}


async def test_who_has_been_silent_for_long_is_forgotten_in_chunks(db: Database, clock: Clock) -> None:
    fleet = await make_fleet(db)
    for start in (0, 250, 500):
        await say_all(db, fleet, *(Ping(f"m{start + i}", T0, "fail") for i in range(250)))
    await say_all(db, fleet, Ping("young", T0 + 1, "fail"), Ping("up", T0))
    await clock.forward(3600)

    assert await fleets.forget_silent(db, fleet.id, 3601) == 0
    assert await fleets.forget_silent(db, fleet.id, 3600) == 750
    assert (await silent(db, fleet), await causes(db, fleet)) == ({"young": T0 + 1}, {"young": "fail"})
    await fleets.pause(db, fleet.id)
    await clock.forward(3600)
    assert await fleets.forget_silent(db, fleet.id, 0) == 0, "of a paused fleet nobody is silent"


async def test_every_change_of_what_nodes_cache_is_announced_on_every_shard(sharded: Database) -> None:
    fleet = await make_fleet(sharded)

    async def announced() -> list[int]:
        entries = [await sharded.execute("XRANGE", shard.changes, "-", "+") for shard in sharded.shards]
        assert all(dict(fields)[b"id"] == fleet.id.encode() for found in entries for _, fields in found)
        return [len(found) for found in entries]

    async def act(work: Any) -> None:
        before = await announced()
        await work
        assert await announced() == [number + 1 for number in before]

    await act(fleets.edit(sharded, fleet.id, {"period": 5}))
    await act(fleets.rotate(sharded, fleet.id))
    await act(fleets.pause(sharded, fleet.id))
    await act(fleets.resume(sharded, fleet.id))
    await act(fleets.delete(sharded, fleet.id))


async def test_shards_are_swept_each_for_itself(sharded: Database) -> None:
    clock = Clock(sharded)
    fleet = await make_fleet(sharded)
    for number in range(40):
        await tell(sharded, fleet, Ping(f"m{number}", T0))
    await clock.set(T0 + 100_000)
    for shard in sharded.shards:
        await sharded.run("pulse", shard, "n1")
    await hear(sharded, clock)

    assert await pass_time(sharded, clock, 0) == 40
    assert (await fleets.counts(sharded, fleet.id))["down"] == 40
    assert len(await looks_at(sharded)) == len(sharded.shards)
