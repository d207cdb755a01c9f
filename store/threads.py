"""What a channel was told together: it is acknowledged together and, where a service keys its alerts, ended together.

A set per channel and thread holds the incidents that are not over. Joining and leaving twice change nothing, so a
notifier that repeats a message after a crash closes neither too early nor never.
"""

from collections.abc import Sequence
from typing import Final

from store import keys
from store.database import Database

KEEP_S: Final = 60 * 86_400


async def join(db: Database, channel: str, thread: str, incidents: Sequence[str]) -> None:
    key = keys.thread(channel, thread)
    await db.pipeline([("SADD", key, *incidents), ("EXPIRE", key, KEEP_S)])


async def members(db: Database, channel: str, thread: str) -> list[str]:
    """In no order; [] = there is no such thread."""
    return [incident.decode() for incident in await db.execute("SMEMBERS", keys.thread(channel, thread))]


async def leave(db: Database, channel: str, thread: str, incidents: Sequence[str]) -> int:
    """How many of the thread are still open."""
    key = keys.thread(channel, thread)
    _, left = await db.pipeline([("SREM", key, *incidents), ("SCARD", key)])
    return int(left)
