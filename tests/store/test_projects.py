"""Ping keys and slugs: an index that is only a hint, and heartbeats that are made by their first ping."""

import asyncio

import pytest

from rules import limits, tokens
from store import heartbeats, keys, projects
from store.database import Database, opened
from store.errors import TooMany, Unavailable
from store.projects import Provisioned
from store.records import Heartbeat, Settings
from tests.conftest import Clock
from tests.store.scene import everything


async def make(db: Database, slug: str, project: str = "default") -> Heartbeat:
    return await heartbeats.create(db, Settings(name="x", slug=slug), project)


async def find(db: Database, slug: str, project: str = "default") -> list[str]:
    return (await projects.with_slugs(db, [(project, slug)]))[0]


async def provision(db: Database, slug: str, project: str = "default") -> Provisioned:
    return await projects.provision(db, project, slug, period=None, grace=None)


# Ping keys


async def test_a_ping_key_is_made_once_and_belongs_to_its_project(db: Database) -> None:
    first = await asyncio.gather(*(projects.ping_key(db, "a") for _ in range(5)))
    other = await projects.ping_key(db, "b")

    assert len({*first, other}) == 2
    assert tokens.parse(other) is None
    assert await projects.owners(db, [other, first[0], "nobody's"]) == [("project", "b"), ("project", "a"), None]


async def test_a_rotated_ping_key_is_gone_at_once(db: Database) -> None:
    old = await projects.ping_key(db)
    new = await projects.rotate(db)

    assert new not in {old, ""}
    assert await projects.owners(db, [old, new]) == [None, ("project", "default")]
    assert await projects.ping_key(db) == new


@pytest.mark.parametrize("steps", [1, 2])
async def test_a_rotation_that_dies_half_way_leaves_one_ping_key(db: Database, steps: int) -> None:
    old, new = await projects.ping_key(db), tokens.new_ping_key()
    await db.execute("HSET", keys.PING_KEYS, new, "project default")
    if steps == 2:
        await db.execute("HSET", keys.project("default"), "ping_key", new)

    valid, other = (new, old) if steps == 2 else (old, new)
    assert await projects.owners(db, [valid, other]) == [("project", "default"), None]
    assert await projects.ping_key(db) == valid


async def test_two_rotations_at_once_leave_one_ping_key(db: Database) -> None:
    old = await projects.ping_key(db)
    drawn = await asyncio.gather(*(projects.rotate(db) for _ in range(4)))

    found = await projects.owners(db, [old, *drawn])
    assert found.count(None) == 4
    assert found[1 + drawn.index(await projects.ping_key(db))] == ("project", "default")


async def test_a_ping_key_can_be_read_when_memory_is_full(db: Database) -> None:
    key = await projects.ping_key(db)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await projects.ping_key(db) == key
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)


# Slugs


async def test_a_slug_is_found_in_its_project_alone(db: Database) -> None:
    one, two, other = await make(db, "a"), await make(db, "a", "p"), await make(db, "ab")
    await make(db, "")

    wanted = [("default", "a"), ("p", "a"), ("default", "ab"), ("p", "ab"), ("default", "b"), ("q", "a")]
    assert await projects.with_slugs(db, wanted) == [[one.id], [two.id], [other.id], [], [], []]


async def test_two_heartbeats_may_have_one_slug_and_both_are_found(db: Database) -> None:
    made = [await make(db, "a") for _ in range(2)]

    assert sorted(await find(db, "a")) == sorted(each.id for each in made)


async def test_a_slug_follows_an_edit_and_ends_with_its_heartbeat(db: Database) -> None:
    made = await make(db, "a")
    for before, after in (("a", "b"), ("b", "b"), ("b", ""), ("", "c")):
        await heartbeats.edit(db, made.id, {"slug": after, "name": "y"})
        if after:
            assert await find(db, after) == [made.id]
        if before != after and before:
            assert await find(db, before) == []
    await heartbeats.delete(db, made.id)

    assert await find(db, "c") == []
    assert await db.execute("ZCARD", keys.slugs("default")) == 0


async def test_what_a_crash_leaves_in_the_index_hides_nobody(db: Database) -> None:
    made = await make(db, "a")
    other = await make(db, "b")
    left = [f"a\0{number:012x}" for number in range(30)] + [f"a\0{other.id}", f"b\0{made.id}"]
    for entry in left:
        await db.execute("ZADD", keys.slugs("default"), 0, entry)

    assert (await find(db, "a"), await find(db, "b")) == ([made.id], [other.id])


async def test_slugs_are_found_on_every_shard(redis_url: str) -> None:
    async with opened(redis_url, shards=4) as db:
        made = {f"s{number}": (await make(db, f"s{number}")).id for number in range(12)}
        found = await projects.with_slugs(db, [("default", slug) for slug in made])

        assert found == [[heartbeat] for heartbeat in made.values()]
        assert len({db.shard(heartbeat).number for heartbeat in made.values()}) > 1


# Heartbeats that are made by their first ping


async def test_a_provisioned_heartbeat_is_pending_with_the_defaults(db: Database, clock: Clock) -> None:
    made = await provision(db, "srv01")
    found = await heartbeats.get(db, made.heartbeat)

    assert made.now
    assert found.settings == Settings(name="srv01", slug="srv01", period=86_400, grace=3_600)
    assert (found.stored_status, found.settings.channels) == ("pending", None)
    assert await find(db, "srv01") == [made.heartbeat]


async def test_its_period_and_grace_may_be_given(db: Database) -> None:
    made = await projects.provision(db, "default", "srv01", period=60, grace=0)
    settings = (await heartbeats.get(db, made.heartbeat)).settings

    assert (settings.period, settings.grace) == (60, 0)


async def test_of_those_who_come_at_once_one_makes_it(db: Database) -> None:
    made = await asyncio.gather(*(provision(db, "srv01") for _ in range(10)))

    assert len({each.heartbeat for each in made}) == 1
    assert [each.now for each in made].count(True) == 1
    assert await db.execute("ZCARD", db.shards[0].names("default")) == 1


async def test_a_repeat_changes_nothing(db: Database, clock: Clock) -> None:
    first = await provision(db, "srv01")
    await heartbeats.edit(db, first.heartbeat, {"name": "renamed", "period": 60})
    before = await everything(db)
    await clock.forward(5)

    assert await provision(db, "srv01") == Provisioned(first.heartbeat, now=False)
    assert await everything(db) == before


async def test_its_token_cannot_be_reckoned_from_the_slug(db: Database) -> None:
    one, two = await provision(db, "srv01"), await provision(db, "srv01", "p")
    assert one.heartbeat != two.heartbeat
    await db.execute("FLUSHALL")

    assert (await provision(db, "srv01")).heartbeat != one.heartbeat


async def test_one_that_was_given_another_slug_makes_room_for_a_new_one_any_number_of_times(db: Database) -> None:
    found = []
    for number in range(20):
        made = await provision(db, "new")
        assert made.now
        await heartbeats.edit(db, made.heartbeat, {"slug": f"srv{number}"})
        found.append(made.heartbeat)

    assert len(set(found)) == 20
    assert await find(db, "new") == []
    assert await db.execute("ZCARD", keys.slugs("default")) == 20
    assert [await find(db, f"srv{number}") for number in range(20)] == [[each] for each in found]


async def test_one_that_was_deleted_is_made_anew(db: Database) -> None:
    first = await provision(db, "srv01")
    await heartbeats.delete(db, first.heartbeat)

    again = await provision(db, "srv01")
    assert again.now
    assert await find(db, "srv01") == [again.heartbeat]


async def test_one_whose_index_entry_was_lost_is_found_again(db: Database) -> None:
    made = await provision(db, "srv01")
    await db.execute("DEL", keys.slugs("default"))

    assert not (await provision(db, "srv01")).now
    assert await find(db, "srv01") == [made.heartbeat]


async def test_a_token_is_taken_by_another_slug_and_by_another_secret(db: Database) -> None:
    token = tokens.new_token()
    settings = Settings(name="x", slug="a")
    assert [await heartbeats.put(db, settings, token) for _ in range(2)] == [True, False]

    assert await heartbeats.put(db, Settings(name="x", slug="b"), token) is None
    assert await heartbeats.put(db, Settings(name="x"), token) is None
    assert await heartbeats.put(db, settings, tokens.new_token(tokens.id_of(token))) is None
    assert (await find(db, "a"), await find(db, "b")) == ([tokens.id_of(token)], [])


async def test_a_full_project_makes_no_more(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEARTBEATS_MAX", 2)
    for slug in ("a", "b"):
        await provision(db, slug)

    with pytest.raises(TooMany, match="at most 2"):
        await provision(db, "c")
    assert await find(db, "c") == []
    assert (await provision(db, "a", "another project")).now


async def test_what_cannot_be_written_is_not_made(db: Database) -> None:
    await provision(db, "a")
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(Unavailable):
            await provision(db, "b")
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)

    assert await find(db, "b") == []
    assert (await provision(db, "b")).now
