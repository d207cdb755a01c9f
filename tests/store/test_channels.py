"""Channels, people, policies and the like: what is deleted stays deleted, and there is an end to how many there are."""

from dataclasses import replace

import pytest

from rules.oncall import Person
from store import channels, heartbeats, keys, plans, projects
from store.channels import CHANNELS_MAX
from store.database import Database
from store.errors import NotFound, TooMany
from tests.store.scene import make


async def test_an_edit_brings_no_deleted_channel_back(db: Database) -> None:
    channel = await channels.create(db, "ops", "webhook", {"secret": "s"})
    await channels.delete(db, channel.id)

    with pytest.raises(NotFound):
        await channels.edit(db, channel, "ops", {"secret": "s"})
    assert await channels.ids(db) == []


async def test_an_edit_brings_no_deleted_person_back(db: Database) -> None:
    ada = await plans.PEOPLE.create(db, lambda id_: Person(id=id_, name="Ada", contacts=()))
    await plans.PEOPLE.put(db, ada.id, replace(ada, name="Ada Lovelace"))
    assert (await plans.PEOPLE.get(db, ada.id)).name == "Ada Lovelace"
    await plans.PEOPLE.delete(db, ada.id)

    with pytest.raises(NotFound):
        await plans.PEOPLE.put(db, ada.id, ada)
    assert await plans.PEOPLE.all(db) == {}


async def test_a_project_has_so_many_channels_and_no_more(db: Database) -> None:
    channel = await channels.create(db, "ops", "webhook", {})
    stored = await db.execute("HGET", keys.channels("default"), channel.id)
    for number in range(CHANNELS_MAX - 1):
        await db.execute("HSET", keys.channels("default"), f"{number:012}", stored)

    with pytest.raises(TooMany):
        await channels.create(db, "one more", "webhook", {})
    assert (await channels.edit(db, channel, "another name", {})).name == "another name"
    assert (await channels.create(db, "elsewhere", "webhook", {}, "0123456789ab")).name == "elsewhere"


async def test_a_slug_that_comes_back_while_it_is_taken_off_is_found(db: Database) -> None:
    """Two edits at once, away from a slug and back to it: the slower one ends last."""
    made = await make(db, slug="a")
    before = await heartbeats.get(db, made.id)
    await heartbeats.edit(db, made.id, {"slug": "b"})
    await heartbeats.edit(db, made.id, {"slug": "a"})
    await heartbeats._unhint(db, before)

    assert await projects.with_slugs(db, [("default", "a")]) == [[made.id]]
