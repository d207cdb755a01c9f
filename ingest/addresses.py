"""To whom a ping key belongs, and which heartbeat has a slug. Both are asked of Redis and believed for a while."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from ingest.commit import GroupCommit
from store import projects
from store.changes import CACHE_AGE_S
from store.database import Database

ENTRIES_MAX: Final = 100_000
LOOKUPS_MAX: Final = 500  # in one round trip

Key = TypeVar("Key")
Value = TypeVar("Value")

Owner = tuple[str, str]  # ("project", name) or ("fleet", id)


class Aged(Generic[Key, Value]):
    """Answers of Redis, none of them believed longer than CACHE_AGE_S; a scan of random keys does not grow it."""

    def __init__(self, look_up: Callable[[list[Key]], Awaitable[list[Value]]], *, queue_limit: int) -> None:
        self._entries: dict[Key, tuple[Value, float]] = {}
        self._lookups = GroupCommit[Key, Value](look_up, most=LOOKUPS_MAX, limit=queue_limit)

    @property
    def refused_at(self) -> float:
        """When somebody was last refused because too many waited, monotonic seconds."""
        return self._lookups.refused_at

    def peek(self, key: Key) -> Value | None:
        """What may be believed without asking."""
        entry = self._entries.get(key)
        return entry[0] if entry is not None and entry[1] > time.monotonic() else None

    async def load(self, key: Key) -> Value:
        """Raises Unavailable or Overloaded."""
        entry = self._entries.get(key)
        now = time.monotonic()
        if entry is not None and entry[1] > now:
            return entry[0]
        value = await self._lookups.submit(key)
        if len(self._entries) >= ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = value, now + CACHE_AGE_S  # as old as the question, not as the answer
        return value

    def forget(self, key: Key) -> None:
        self._entries.pop(key, None)


class Addresses:
    """`owners`: ping key -> Owner or None. `slugs`: (project, slug) -> ids of heartbeats."""

    def __init__(self, db: Database, *, queue_limit: int) -> None:
        async def find_owners(ping_keys: list[str]) -> list[Owner | None]:
            return await projects.owners(db, ping_keys)

        async def find_slugs(wanted: list[tuple[str, str]]) -> list[list[str]]:
            return await projects.with_slugs(db, wanted)

        self.owners = Aged[str, Owner | None](find_owners, queue_limit=queue_limit)
        self.slugs = Aged[tuple[str, str], list[str]](find_slugs, queue_limit=queue_limit)

    @property
    def refused_at(self) -> float:
        return max(self.owners.refused_at, self.slugs.refused_at)
