"""When a failed delivery is tried again, and when we give up: pure, so that the whole schedule is one table."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random
from typing import Final

MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE

# Seconds to wait after the 1st, 2nd, ... failure, in the spirit of Standard Webhooks: quick at first, for a restart;
# then more than three days (74 to 88 hours with the jitter), for a weekend. One try more than there are entries.
SCHEDULE: Final = (
    5.0,
    30.0,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    1 * HOUR,
    2 * HOUR,
    4 * HOUR,
    6 * HOUR,
    8 * HOUR,
    8 * HOUR,
    10 * HOUR,
    10 * HOUR,
    12 * HOUR,
    12 * HOUR,
)
JITTER: Final = 0.2  # share of the delay added at most; never taken away, so the schedule is also the lower bound
RETRY_AFTER_MAX: Final = HOUR  # a receiver may slow us down, not silence us


def delay(attempt: int, *, retry_after: float | None, rng: Random) -> float | None:
    """Seconds from the `attempt`-th failure (the first is 1) to the next try; None: give up, it is a dead letter.

    `retry_after`: seconds the receiver asked for; never tried sooner than that, up to one hour.
    """
    if attempt < 1:
        raise ValueError(f"attempts count from 1, not {attempt}")
    if attempt > len(SCHEDULE):
        return None
    jittered = SCHEDULE[attempt - 1] * (1 + JITTER * rng.random())
    return max(jittered, min(retry_after or 0.0, RETRY_AFTER_MAX))


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by a Retry-After header: whole seconds or an HTTP date; None when it is neither.

    `now`: seconds since the epoch. A date that has passed is 0.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)  # not int(): thousands of digits are refused there, here they are merely "for ever"
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None
