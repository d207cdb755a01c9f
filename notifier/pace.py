"""How fast one channel may be told: a bucket of tokens, and a breaker.

What has to wait here gathers company, so a slow or a broken receiver gets fewer and larger messages instead of a row
of them, and no other channel notices.
"""

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Final

BREAKS_AFTER: Final = 5  # failures in a row
FIRST_BREAK_S: Final = 5.0
LONGEST_BREAK_S: Final = 60.0


class Pace:
    """Of one channel, for as long as the process lives: what it has failed outlasts the desk that saw it.

    `clock`: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._per_s = inf
        self._burst = inf
        self._tokens = inf
        self._counted_at = clock()
        self._failures = 0
        self._broken_until = 0.0  # monotonic seconds
        self._urgent = asyncio.Event()

    def limit(self, *, per_s: float, burst: int) -> None:
        """Messages a second in the long run, and at once."""
        self._per_s, self._burst = per_s, burst
        self._tokens = min(self._tokens, burst)

    async def ready(self) -> None:
        """Waits until the next message may go, or until somebody cannot wait."""
        try:
            async with asyncio.timeout(self.wait_s()):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._urgent.clear()

    def hurry(self) -> None:
        """Somebody sits in front of a screen and wants to see whether the channel works."""
        self._urgent.set()

    def take(self) -> None:
        """One message goes, whether it was its turn or not: those after it wait the longer."""
        now = self._clock()
        self._tokens = min(self._burst, self._earned(now)) - 1 if self._burst < inf else inf
        self._counted_at = now

    def worked(self) -> None:
        self._failures, self._broken_until = 0, 0.0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= BREAKS_AFTER:
            pause_s = min(LONGEST_BREAK_S, FIRST_BREAK_S * 2 ** (self._failures - BREAKS_AFTER))
            self._broken_until = self._clock() + pause_s

    def wait_s(self) -> float:
        """Seconds until the next message may go."""
        now = self._clock()
        owed_s = 0.0 if self._tokens == inf else (1 - self._earned(now)) / self._per_s
        return max(0.0, owed_s, self._broken_until - now)

    def _earned(self, now: float) -> float:
        return self._tokens + (now - self._counted_at) * self._per_s
