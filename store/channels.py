"""Channels: small records of the control plane, one hash per project."""

from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import orjson

from store import keys
from store.database import Database
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
    text = await db.execute("HGET", keys.channels(project), channel)
    if text is None:
        raise NotFound("no such channel")
    return _read(project, channel, text)


async def of_project(db: Database, project: str = DEFAULT_PROJECT) -> list[Channel]:
    """All of a project's channels, oldest first."""
    records = await db.execute("HGETALL", keys.channels(project))
    found = [_read(project, channel.decode(), text) for channel, text in records.items()]
    return sorted(found, key=lambda channel: (channel.created_at, channel.id))


async def ids(db: Database, project: str = DEFAULT_PROJECT) -> list[str]:
    """Whom a project tells, without reading the records: a corrupt one must not keep the others from being told."""
    return sorted(channel.decode() for channel in await db.execute("HKEYS", keys.channels(project)))


async def delete(db: Database, channel: str, project: str = DEFAULT_PROJECT) -> None:
    """What still waits for it is dropped by the notifier. Raises NotFound."""
    if not await db.execute("HDEL", keys.channels(project), channel):
        raise NotFound("no such channel")


async def _write(db: Database, channel: Channel) -> None:
    record = {
        "name": channel.name,
        "kind": channel.kind,
        "settings": channel.settings,
        "created_at": channel.created_at,
    }
    await db.execute("HSET", keys.channels(channel.project), channel.id, orjson.dumps(record))


def _read(project: str, channel: str, text: bytes) -> Channel:
    record = orjson.loads(text)
    return Channel(id=channel, project=project, **record)
