"""What this node knows of heartbeats, and until when it may believe it."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from ingest.commit import GroupCommit
from store.changes import CACHE_AGE_S, FLEET, Changes, Known, lookup
from store.database import Database
from store.errors import Unavailable

Value = TypeVar("Value")

READ_EVERY_S: Final = 0.25  # far below CACHE_AGE_S: an edit reaches a node that lives within this
UNKNOWN_AGE_S: Final = 2.0
UNKNOWN_MAX: Final = 10_000  # a scan of random tokens must not grow memory
FORGOTTEN_MAX: Final = 10_000
LOOKUPS_MAX: Final = 500  # in one round trip


class Cache:
    """Heartbeats by id, and fleets by FLEET + id. Believed only if the changes were read within CACHE_AGE_S."""

    def __init__(self, db: Database, *, size: int, queue_limit: int) -> None:
        self._db = db
        self._size = size
        self._known: dict[str, Known] = {}
        self._forgotten: dict[str, Known] = {}  # only for the `at` that their heartbeats were given last
        self._unknown: dict[str, float] = {}
        self._loading: dict[str, asyncio.Task[Known | None]] = {}
        self._read_at = float("-inf")

        async def look_up(heartbeats: list[str]) -> list[Known | None]:
            return await lookup(db, heartbeats)

        self._lookups = GroupCommit[str, Known | None](look_up, most=LOOKUPS_MAX, limit=queue_limit)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def refused_at(self) -> float:
        """When a ping was last refused because too many waited for a lookup, monotonic seconds."""
        return self._lookups.refused_at

    def peek(self, heartbeat: str) -> Known | None:
        """What is known now and may be believed, without asking Redis."""
        if time.monotonic() - self._read_at > CACHE_AGE_S:
            return None
        return self._known.get(heartbeat)

    def load(self, heartbeat: str) -> Awaitable[Known | None]:
        """Asks Redis, once for all who ask meanwhile; None = there is no such heartbeat.

        Raises Unavailable or Overloaded.
        """
        if self._unknown.get(heartbeat, 0) > time.monotonic():
            return _nobody()
        task = self._loading.get(heartbeat)
        if task is None:
            task = self._loading[heartbeat] = asyncio.create_task(self._load(heartbeat))
            task.add_done_callback(_collect)
        return asyncio.shield(task)

    async def _load(self, heartbeat: str) -> Known | None:
        this = asyncio.current_task()
        try:
            known = await self._lookups.submit(heartbeat)
            # Forgotten while we asked: the answer may be older than the change, good for this ping but not to keep.
            believed = self._loading.get(heartbeat) is this
            if known is not None:
                if old := self._known.get(heartbeat) or self._forgotten.pop(heartbeat, None):
                    known.last_at = old.last_at  # no longer believed, but its `at` is given away
                if believed:
                    _put(self._known, heartbeat, known, self._size)
                else:
                    _put(self._forgotten, heartbeat, known, FORGOTTEN_MAX)
            elif believed:
                _put(self._unknown, heartbeat, time.monotonic() + UNKNOWN_AGE_S, UNKNOWN_MAX)
            return known
        finally:
            if self._loading.get(heartbeat) is this:
                del self._loading[heartbeat]

    def forget(self, heartbeat: str) -> None:
        if known := self._known.pop(heartbeat, None):
            _put(self._forgotten, heartbeat, known, FORGOTTEN_MAX)
        self._unknown.pop(heartbeat, None)
        self._loading.pop(heartbeat, None)

    async def follow_changes(self) -> None:
        """Reads the changes for ever; while Redis is away nothing is believed for long."""
        changes = Changes(self._db)
        while True:
            started = time.monotonic()
            try:
                forget = await changes.read()
            except Unavailable:
                pass
            else:
                if forget is None:
                    self._known.clear()
                    self._unknown.clear()
                    self._loading.clear()
                else:
                    for changed in forget:
                        self.forget(changed)
                        self.forget(FLEET + changed)
                self._read_at = started
            await asyncio.sleep(READ_EVERY_S)


async def _nobody() -> None:
    return None


def _put(entries: dict[str, Value], key: str, value: Value, size: int) -> None:
    """The oldest goes first: dicts keep their order, and a lost entry costs one lookup."""
    if len(entries) >= size and key not in entries:
        del entries[next(iter(entries))]
    entries[key] = value


def _collect(task: "asyncio.Task[Known | None]") -> None:
    """Everyone who waited may have hung up: the error is then nobody's."""
    if not task.cancelled():
        task.exception()
