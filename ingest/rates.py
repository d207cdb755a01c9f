"""How often one heartbeat may be pinged, on this node: the generic cell rate algorithm, one number per heartbeat."""

import time
from typing import Final

TRACKED_MAX: Final = 100_000
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS  # whole numbers: what is added a thousand times must not drift


class Rates:
    """A heartbeat may spend a minute's pings at once, and then one each (60 / rate) seconds."""

    def __init__(self) -> None:
        self._free_at: dict[str, int] = {}  # monotonic ns: when all that was spent will have been earned again

    def wait_s(self, heartbeat: str, per_minute: int) -> float:
        """0 = the ping may pass, and is counted; else seconds until one may."""
        now, each = time.monotonic_ns(), MINUTE_NS // per_minute
        free_at = max(self._free_at.get(heartbeat, now), now) + each
        if free_at - now > MINUTE_NS:
            return (free_at - now - MINUTE_NS) / SECOND_NS
        if len(self._free_at) >= TRACKED_MAX and heartbeat not in self._free_at:
            del self._free_at[next(iter(self._free_at))]
        self._free_at[heartbeat] = free_at
        return 0.0
