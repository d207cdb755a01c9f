import asyncio

import pytest

from rules import limits
from store import heartbeats
from store.database import Database
from store.errors import NotFound, TooMany
from tests.store.scene import everything, log_of, make


async def tagged(db: Database, tag: str) -> list[str]:
    return [each.settings.name for each in (await heartbeats.page(db, tag=tag))[0]]


async def test_tags_come_and_go_in_their_order_and_in_the_index(db: Database) -> None:
    made = await make(db, tags=("a", "b"))
    await heartbeats.tag(db, made.id, ["c", "a", "d"])
    both = await heartbeats.get(db, made.id)
    await heartbeats.untag(db, made.id, ["b", "d", "never"])
    left = await heartbeats.get(db, made.id)

    assert both.settings.tags == ("a", "b", "c", "d")
    assert (left.settings.tags, left.rev) == (("a", "c"), made.rev + 2)
    assert [await tagged(db, tag) for tag in "abcd"] == [["backup"], [], ["backup"], []]


async def test_the_last_tag_can_be_taken_off(db: Database) -> None:
    made = await make(db, tags=("a",))
    await heartbeats.untag(db, made.id, ["a"])

    assert (await heartbeats.get(db, made.id)).settings.tags == ()
    assert await db.execute("HEXISTS", db.shards[0].heartbeat(made.id), "tags") == 0


async def test_what_is_so_already_is_not_written(db: Database) -> None:
    made = await make(db, tags=("a", "b"))
    before = await everything(db)
    await heartbeats.tag(db, made.id, ["b", "a"])
    await heartbeats.untag(db, made.id, ["c"])

    assert await everything(db) == before
    assert ((await heartbeats.get(db, made.id)).rev, await log_of(db, made)) == (made.rev, ["created"])


async def test_those_that_tag_at_once_take_nothing_from_each_other(db: Database) -> None:
    made = await make(db)
    names = [f"tag {number}" for number in range(limits.TAGS_MAX)]
    await asyncio.gather(*(heartbeats.tag(db, made.id, [name]) for name in names))

    assert set((await heartbeats.get(db, made.id)).settings.tags) == set(names)


async def test_there_is_an_end_to_tags_and_then_none_is_added(db: Database) -> None:
    made = await make(db, tags=tuple(f"t{number}" for number in range(limits.TAGS_MAX - 1)))
    with pytest.raises(TooMany, match="at most 20 tags"):
        await heartbeats.tag(db, made.id, ["x", "y"])
    assert (await heartbeats.get(db, made.id)).settings.tags == made.settings.tags
    await heartbeats.tag(db, made.id, ["x", "t0"])

    assert (await heartbeats.get(db, made.id)).settings.tags == (*made.settings.tags, "x")


async def test_nobody_there_is_no_heartbeat(db: Database) -> None:
    for retag in (heartbeats.tag, heartbeats.untag):
        with pytest.raises(NotFound):
            await retag(db, "0" * 12, ["x"])


async def test_a_log_tells_of_it_as_of_any_edit(db: Database) -> None:
    made = await make(db)
    await heartbeats.tag(db, made.id, ["x"])

    assert await log_of(db, made) == ["created", "edited"]
