"""Times and durations as people and JSON read them."""

from datetime import UTC, datetime
from typing import Final

UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def rfc3339(ms: int) -> str:
    """UTC with milliseconds, ``2026-01-02T03:04:05.678Z``; `ms` since the epoch."""
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def clock_time(ms: int) -> str:
    """For a message: ``2026-01-02 03:04:05 UTC``."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """The two largest units: ``1 h 5 min``, ``3 s``."""
    rest = max(0, int(seconds))
    parts = []
    for size, unit in UNITS:
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2]) or "less than a second"
