"""Redis' clock on this node: our monotonic clock plus an offset, so that a step of our own wall clock moves nothing."""

import time

from store.database import Database


class Clock:
    """`now()` costs no round trip; `measure()` corrects it."""

    def __init__(self) -> None:
        self._offset_ms = 0.0

    async def measure(self, db: Database) -> None:
        """Half the round trip is the error: well below a millisecond on one network."""
        sent = time.monotonic()
        redis_ms = await db.now()
        self._offset_ms = redis_ms + 0.5 - (sent + time.monotonic()) * 500

    def now(self) -> int:
        """Milliseconds since the epoch in Redis' clock."""
        return int(time.monotonic() * 1000 + self._offset_ms)
