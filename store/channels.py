"""Channels: small records of the control plane, one hash per project.

A slug is one channel's. So whoever writes one looks whether it is free, and the write counts only if nobody has changed
the project's channels since the look: of two that make a channel with one slug at once, one makes it.
"""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Final

import orjson

from store import keys
from store.database import Database, mapped
from store.errors import NotFound, StoreError, TooMany
from store.keys import DEFAULT_PROJECT
from store.records import Channel

CHANNELS_MAX: Final = 250  # of a project: a step of a policy may tell all of them, in one script


class SlugTaken(StoreError):
    """Another channel has this slug."""


async def create(
    db: Database,
    name: str,
    kind: str,
    settings: Mapping[str, Any],
    project: str = DEFAULT_PROJECT,
    *,
    slug: str = "",
) -> Channel:
    """Raises SlugTaken or TooMany."""
    channel = Channel(
        id=token_hex(6),
        project=project,
        name=name,
        kind=kind,
        settings=settings,
        created_at=await db.now(),
        slug=slug,
    )
    await _write(db, channel, there=False)
    return channel


async def edit(
    db: Database, channel: Channel, name: str, settings: Mapping[str, Any], *, slug: str | None = None
) -> Channel:
    """`slug` None = the one that it has. Raises NotFound or SlugTaken."""
    edited = Channel(
        id=channel.id,
        project=channel.project,
        name=name,
        kind=channel.kind,
        settings=settings,
        created_at=channel.created_at,
        slug=channel.slug if slug is None else slug,
    )
    await _write(db, edited, there=True)
    return edited


async def with_slug(db: Database, slug: str, project: str = DEFAULT_PROJECT) -> Channel | None:
    return next((each for each in await of_project(db, project) if each.slug == slug), None)


async def get(db: Database, channel: str, project: str = DEFAULT_PROJECT) -> Channel:
    """Raises NotFound."""
    text, broken = await db.pipeline(
        [("HGET", keys.channels(project), channel), ("HGET", keys.BROKEN + project, channel)]
    )
    if text is None:
        raise NotFound("no such channel")
    return _read(project, channel, text, broken)


async def of_project(db: Database, project: str = DEFAULT_PROJECT) -> list[Channel]:
    """All of a project's channels, oldest first."""
    records, broken = map(
        mapped, await db.pipeline([("HGETALL", keys.channels(project)), ("HGETALL", keys.BROKEN + project)])
    )
    found = [_read(project, channel.decode(), text, broken.get(channel)) for channel, text in records.items()]
    return sorted(found, key=lambda channel: (channel.created_at, channel.id))


async def ids(db: Database, project: str = DEFAULT_PROJECT) -> list[str]:
    """Whom a project tells, without reading the records: a corrupt one must not keep the others from being told."""
    return sorted(channel.decode() for channel in await db.execute("HKEYS", keys.channels(project)))


async def set_broken(db: Database, channel: Channel, why: str, *, gone: bool) -> None:
    """Remembers that it cannot be told, for its owner; `gone`: it wants to be told no more."""
    about = orjson.dumps({"broken": why, "broken_at": await db.now(), "gone": gone})
    await db.execute("HSETNX", keys.BROKEN + channel.project, channel.id, about)


async def mend(db: Database, channel: Channel) -> None:
    """It was told something, or changed."""
    await db.execute("HDEL", keys.BROKEN + channel.project, channel.id)


async def delete(db: Database, channel: str, project: str = DEFAULT_PROJECT) -> None:
    """What still waits for it is dropped by the notifier. Raises NotFound."""
    if not await db.execute("HDEL", keys.channels(project), channel):
        raise NotFound("no such channel")
    await db.execute("HDEL", keys.BROKEN + project, channel)


async def _write(db: Database, channel: Channel, *, there: bool) -> None:
    """Whatever was wrong with it is to be seen anew. `there`: it was, so it must be still. Raises NotFound, SlugTaken
    or TooMany.
    """
    key = keys.channels(channel.project)
    record = {
        "name": channel.name,
        "kind": channel.kind,
        "settings": channel.settings,
        "created_at": channel.created_at,
        **({"slug": channel.slug} if channel.slug else {}),
    }

    def check(stored: dict[bytes, bytes]) -> None:
        others = {id_: text for id_, text in stored.items() if id_ != channel.id.encode()}
        if there and len(others) == len(stored):  # deleted meanwhile: it must not come back
            raise NotFound("no such channel")
        if not there and len(others) >= CHANNELS_MAX:
            raise TooMany(f"a project may have {CHANNELS_MAX} channels at most")
        if channel.slug and any(_slug(other) == channel.slug for other in others.values()):
            raise SlugTaken(f'there is a channel with the slug "{channel.slug}" already')

    write = ("HSET", key, channel.id, orjson.dumps(record))
    await db.write_checked(key, check, [write, ("HDEL", keys.BROKEN + channel.project, channel.id)])


def _slug(text: bytes) -> str:
    """Of a record as it is stored; a corrupt one has none, and keeps no other from being written."""
    try:
        return str(orjson.loads(text).get("slug", ""))
    except (ValueError, AttributeError):
        return ""


def _read(project: str, channel: str, text: bytes, broken: bytes | None) -> Channel:
    record = orjson.loads(text) | (orjson.loads(broken) if broken else {})
    return Channel(id=channel, project=project, **record)
