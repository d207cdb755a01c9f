"""All that Redis holds, as one text to look for secrets in."""

from typing import Any

from store.database import Database

READS: dict[str, tuple[str | int, ...]] = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", 0, -1),
    "stream": ("XRANGE", "-", "+"),
}


async def dump(db: Database) -> str:
    """Names and contents of every key."""
    found: list[Any] = []
    for name in await db.execute("KEYS", "*"):
        kind = await db.execute("TYPE", name)
        command, *rest = READS[kind.decode() if isinstance(kind, bytes) else kind]
        found.append((name, await db.execute(command, name, *rest)))
    assert found
    return repr(found)
