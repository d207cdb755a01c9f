"""Channels: small records of the control plane, one hash per project."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import orjson

from store import keys
from store.database import Database, mapped
from store.errors import NotFound
from store.keys import DEFAULT_PROJECT
from store.records import Channel


async def create(
    db: Database, name: str, kind: str, settings: Mapping[str, Any], project: str = DEFAULT_PROJECT
) -> Channel:
    channel = Channel(
        id=token_hex(6), project=project, name=name, kind=kind, settings=settings, created_at=await db.now()
    )
    await _write(db, channel)
    return channel


async def edit(db: Database, channel: Channel, name: str, settings: Mapping[str, Any]) -> Channel:
    await mend(db, channel)
    edited = Channel(
        id=channel.id,
        project=channel.project,
        name=name,
        kind=channel.kind,
        settings=settings,
        created_at=channel.created_at,
    )
    await _write(db, edited)
    return edited


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


async def _write(db: Database, channel: Channel) -> None:
    record = {
        "name": channel.name,
        "kind": channel.kind,
        "settings": channel.settings,
        "created_at": channel.created_at,
    }
    await db.execute("HSET", keys.channels(channel.project), channel.id, orjson.dumps(record))


def _read(project: str, channel: str, text: bytes, broken: bytes | None) -> Channel:
    record = orjson.loads(text) | (orjson.loads(broken) if broken else {})
    return Channel(id=channel, project=project, **record)
