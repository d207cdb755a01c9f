"""A project's ping key: it addresses heartbeats by slug, and makes those that are missing when asked to.

DESIGN. A ping by slug must find its heartbeat on any shard, so the slugs of a project are one index in the control
plane, and heartbeats live elsewhere: the two cannot change in one script. The index is therefore a hint. An entry is
written before its heartbeat and removed after it, and whoever reads it checks that the heartbeat still has that slug.
Two first pings at once must make one heartbeat: its token is derived from project and slug, so both try to create the
same one, and create.lua tells who was first.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, NamedTuple

from rules import limits, tokens
from store import heartbeats, keys
from store.database import Database
from store.errors import Unavailable
from store.keys import DEFAULT_PROJECT
from store.records import Settings

TRIES: Final = 100  # a derived token may be in use by a heartbeat that was given another slug since
SAME_SLUG_MAX: Final = 100  # entries looked at; two are already ambiguous, but most may be what crashes left


async def ping_key(db: Database, project: str = DEFAULT_PROJECT) -> str:
    """The project's ping key, made when it is first asked for."""
    key = await db.execute("HGET", keys.project(project), "ping_key")
    if key is None:
        drawn = tokens.new_ping_key()
        await db.execute("HSET", keys.PING_KEYS, drawn, f"project {project}")  # first: a key that is shown must work
        if not await db.execute("HSETNX", keys.project(project), "ping_key", drawn):
            await db.execute("HDEL", keys.PING_KEYS, drawn)
        key = await db.execute("HGET", keys.project(project), "ping_key")
    text: str = key.decode()
    return text


async def rotate(db: Database, project: str = DEFAULT_PROJECT) -> str:
    """A new ping key; the old one is gone at once, and for nodes within the caches' age."""
    old, new = await ping_key(db, project), tokens.new_ping_key()
    await db.execute("HSET", keys.PING_KEYS, new, f"project {project}")
    await db.execute("HSET", keys.project(project), "ping_key", new)
    await db.execute("HDEL", keys.PING_KEYS, old)
    return new


async def owners(db: Database, ping_keys: Sequence[str]) -> list[tuple[str, str] | None]:
    """To whom ping keys belong: ("project", name), ("fleet", id) or None.

    A project's key counts only while the project has that one: a rotation may have died half-way, or met another.
    """
    texts = await db.execute("HMGET", keys.PING_KEYS, *ping_keys)
    found = [None if text is None else _owner(text.decode()) for text in texts]
    names = [owner[1] for owner in found if owner and owner[0] == "project"]
    current = iter(await db.pipeline([("HGET", keys.project(name), "ping_key") for name in names]))
    return [
        None if owner and owner[0] == "project" and next(current) != key.encode() else owner
        for key, owner in zip(ping_keys, found, strict=True)
    ]


async def with_slugs(db: Database, wanted: Sequence[tuple[str, str]]) -> list[list[str]]:
    """For each (project, slug) the heartbeats that have it; more than one is ambiguous."""
    reads = [
        ("ZRANGEBYLEX", keys.slugs(project), f"[{slug}\0", f"({slug}\1", "LIMIT", 0, SAME_SLUG_MAX)
        for project, slug in wanted
    ]
    hints = [[_heartbeat(entry) for entry in entries] for entries in await db.pipeline(reads)]
    named = [heartbeat for found in hints for heartbeat in found]
    slugs = await db.pipeline([("HGET", db.shard(h).heartbeat(h), "slug") for h in named])
    has = dict(zip(named, slugs, strict=True))
    return [[h for h in found if has[h] == slug.encode()] for (_, slug), found in zip(wanted, hints, strict=True)]


class Provisioned(NamedTuple):
    heartbeat: str
    now: bool


async def provision(db: Database, project: str, slug: str, *, period: int | None, grace: int | None) -> Provisioned:
    """The heartbeat with this slug, and whether it was made now; period and grace in seconds, None = the default.

    Raises TooMany or Unavailable.
    """
    settings = Settings(
        name=slug,
        slug=slug,
        period=limits.PERIOD_DEFAULT if period is None else period,
        grace=limits.GRACE_DEFAULT if grace is None else grace,
    )
    return await make(db, project, settings)


async def make(db: Database, project: str, settings: Settings) -> Provisioned:
    """Of all that make one with this slug at once, one makes it, and the others find it, with the first one's settings.

    Who looks for the slug first makes no second one beside a heartbeat that has it. Raises TooMany or Unavailable.
    """
    secret, slug = await _secret(db, project), settings.slug
    for number in range(TRIES):
        drawn = hmac.digest(secret, f"{project}/{slug}/{number}".encode(), hashlib.sha256)
        token = tokens.from_bytes(drawn[:16])
        heartbeat = tokens.id_of(token)
        if await db.execute("HGET", db.shard(heartbeat).heartbeat(heartbeat), "slug") not in {None, slug.encode()}:
            continue  # before anything is written: else each ping would leave entries that point nowhere
        made = await heartbeats.put(db, settings, token, project)
        if made is not None:
            return Provisioned(heartbeat, made)
    raise Unavailable("no free heartbeat id was found")


async def signing_key(db: Database) -> bytes:
    """What links are signed with; one for all projects, made when it is first asked for."""
    await db.execute("HSETNX", keys.META, "signing_key", secrets.token_bytes(32))
    key: bytes = await db.execute("HGET", keys.META, "signing_key")
    return key


async def _secret(db: Database, project: str) -> bytes:
    await db.execute("HSETNX", keys.project(project), "secret", secrets.token_bytes(32))
    secret: bytes = await db.execute("HGET", keys.project(project), "secret")
    return secret


def _owner(text: str) -> tuple[str, str]:
    kind, _, name = text.partition(" ")
    return kind, name


def _heartbeat(entry: bytes) -> str:
    return entry.rpartition(b"\0")[2].decode()
