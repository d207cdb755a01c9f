"""Looks at fleets: counts the silent members over all shards and brings each fleet's incident up to date.

A million members that fall silent at once make an entry on every shard after every look. So a process looks at one
fleet once at a time, and a look that began after an entry was read serves that entry, too.
"""

import asyncio
import time
from weakref import WeakValueDictionary

from store import fleets
from store.database import Database


class _Looks:
    """Of one fleet, as long as somebody looks at it or waits to."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.began_at = float("-inf")  # the last one that came to its end, monotonic seconds


class Fleets:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._looks: WeakValueDictionary[str, _Looks] = WeakValueDictionary()

    async def look(self, fleet: str) -> None:
        """Returns when a look that began after this call has come to its end. Raises Unavailable."""
        asked_at = time.monotonic()
        looks = self._looks.setdefault(fleet, _Looks())
        async with looks.lock:
            if looks.began_at > asked_at:
                return
            began_at = time.monotonic()
            await fleets.look(self._db, fleet)
            looks.began_at = began_at
