"""What the pages call things."""

from typing import Final

from rules.times import duration

STATUSES: Final = {"up": "Up", "late": "Late", "down": "Down", "pending": "Waiting", "paused": "Paused"}

KINDS: Final = {
    "success": "Ping", "start": "Started", "fail": "Failed", "log": "Note", "ignored": "Ignored ping",
    "created": "Created", "up": "Recovered", "down": "Incident opened", "paused": "Paused", "resumed": "Resumed",
    "edited": "Settings changed", "overrun": "Run took too long", "unknown": "End of a run unknown",
    "excused": "Excused: nobody could have reached us", "late": "Late", "acknowledged": "Acknowledged",
    "snoozed": "Snoozed",
}  # fmt: skip

CAUSES: Final = {
    "silence": "No ping came in time",
    "failure": "The job reported a failure",
    "overrun": "A run did not finish in time",
}

#: What a duration is typed in: seconds of each unit.
UNITS: Final = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}

SNOOZES: Final = {3_600: "1 hour", 14_400: "4 hours", 86_400: "1 day"}  # seconds


def snooze_of(choice: str) -> int | None:
    """Seconds; None for what is not offered."""
    return next((seconds for seconds in SNOOZES if str(seconds) == choice), None)


def typed(seconds: int) -> tuple[int, str]:
    """A duration as one number and the largest unit that has no rest."""
    unit = next(unit for unit in reversed(UNITS) if seconds % UNITS[unit] == 0)
    return (seconds // UNITS[unit], unit) if seconds else (0, "seconds")


def every(seconds: int) -> str:
    """What stands behind "every": ``day``, ``5 minutes``, ``1 h 30 min``."""
    amount, unit = typed(seconds)
    if amount == 1:
        return unit.removesuffix("s")
    return f"{amount} {unit}" if amount < 100 else duration(seconds)


def took(ms: int) -> str:
    """``340 ms``, ``2.5 s``, ``12 min 4 s``."""
    if ms < 1_000:
        return f"{ms} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
