"""Redis' clock on this node: our monotonic clock plus an offset, so that a step of our own wall clock moves nothing."""

import time
from typing import Final

from store.database import Database

EXACT_MS: Final = 5.0  # a round trip longer than this tells us less than we knew before


class Clock:
    """`now()` costs no round trip; `measure()` corrects it."""

    def __init__(self) -> None:
        self._measured = False
        self._offset_ms = 0.0

    @property
    def offset_ms(self) -> float:
        """What `now()` adds; whoever keeps a time over a measurement can tell by it how far that was off."""
        return self._offset_ms

    async def measure(self, db: Database) -> None:
        """Half the round trip is the error: well below a millisecond on one network.

        A slow answer (Redis or this loop hung) leaves seconds of doubt: then the offset moves no further than it must.
        """
        sent = time.monotonic() * 1000
        redis_ms = await db.now()
        received = time.monotonic() * 1000
        least, most = redis_ms - received, redis_ms + 1 - sent
        if most - least < EXACT_MS or not self._measured:
            self._offset_ms = (least + most) / 2
        else:
            self._offset_ms = min(max(self._offset_ms, least), most)
        self._measured = True

    def now(self) -> int:
        """Milliseconds since the epoch in Redis' clock."""
        return int(time.monotonic() * 1000 + self._offset_ms)
