"""API keys of projects. Only the SHA-256 of a key is kept: it has 256 random bits, so nothing slower is needed.

The record is found by the key's hash; a project's list leads from ids to hashes. The record is written last and removed
first: what is in no list opens nothing.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

import orjson

from store import keys
from store.database import Database, mapped
from store.errors import NotFound, TooMany

KEYS_MAX: Final = 1_000  # of a project
KEY_BYTES: Final = 32
USED_EVERY_MS: Final = 60_000  # so often the last use is written
KEY: Final = re.compile(rb"fl[a-z]_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """`used_at`: to the minute; None = never."""

    id: str
    project: str
    name: str
    scopes: tuple[str, ...]
    created_at: int
    used_at: int | None = None


async def create(db: Database, project: str, name: str, scopes: Sequence[str], letter: str) -> tuple[ApiKey, str]:
    """The record, and the key, which nobody can read again. `letter`: what its prefix says of it. Raises TooMany."""
    if await db.execute("HLEN", keys.API_KEYS_OF + project) >= KEYS_MAX:
        raise TooMany(f"a project may have {KEYS_MAX:,} API keys at most")
    key = f"fl{letter}_{secrets.token_urlsafe(KEY_BYTES)}"
    made = ApiKey(id=token_hex(6), project=project, name=name, scopes=tuple(scopes), created_at=await db.now())
    digest = digest_of(key.encode())
    await db.execute("HSET", keys.API_KEYS_OF + project, made.id, digest)
    await db.execute("HSET", keys.API_KEYS, digest, orjson.dumps(made))
    return made, key


async def find(db: Database, key: bytes) -> ApiKey | None:
    """Whose key this is, and a note that it was used; None = nobody's."""
    if not KEY.fullmatch(key):
        return None
    digest = digest_of(key)
    text, used, (seconds, _) = await db.pipeline(
        [("HGET", keys.API_KEYS, digest), ("HGET", keys.API_KEYS_USED, digest), ("TIME",)]
    )
    if text is None:
        return None
    now = int(seconds) * 1000
    if now - int(used or 0) >= USED_EVERY_MS:
        await db.execute("HSET", keys.API_KEYS_USED, digest, now)
    return _read(text, used)


async def of_project(db: Database, project: str) -> list[ApiKey]:
    """Oldest first."""
    digests = list(mapped(await db.execute("HGETALL", keys.API_KEYS_OF + project)).values())
    if not digests:
        return []
    texts, used = await db.pipeline([("HMGET", keys.API_KEYS, *digests), ("HMGET", keys.API_KEYS_USED, *digests)])
    found = [_read(text, at) for text, at in zip(texts, used, strict=True) if text]
    return sorted(found, key=lambda key: (key.created_at, key.id))


async def delete(db: Database, project: str, id_: str) -> None:
    """It opens nothing from now on. Raises NotFound."""
    digest = await db.execute("HGET", keys.API_KEYS_OF + project, id_)
    if digest is None:
        raise NotFound("no such key")
    await db.execute("HDEL", keys.API_KEYS, digest)
    await db.execute("HDEL", keys.API_KEYS_USED, digest)
    await db.execute("HDEL", keys.API_KEYS_OF + project, id_)


def digest_of(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def _read(text: bytes, used: bytes | None) -> ApiKey:
    record = orjson.loads(text)
    return ApiKey(**{**record, "scopes": tuple(record["scopes"]), "used_at": int(used) if used else None})
