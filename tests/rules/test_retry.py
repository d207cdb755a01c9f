from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.retry import HOUR, JITTER, RETRY_AFTER_MAX, SCHEDULE, delay, parse_retry_after

NOW = datetime(2026, 10, 21, 7, 28, 0, tzinfo=UTC).timestamp()

attempts = st.integers(1, len(SCHEDULE))
rngs = st.randoms(use_true_random=False)


@given(attempt=attempts, rng=rngs)
def test_a_delay_keeps_its_bounds_and_they_never_shrink(attempt: int, rng: Random) -> None:
    seconds = delay(attempt, retry_after=None, rng=rng)

    assert seconds is not None
    assert SCHEDULE[attempt - 1] <= seconds <= SCHEDULE[attempt - 1] * (1 + JITTER)
    assert attempt == 1 or SCHEDULE[attempt - 1] >= SCHEDULE[attempt - 2]


@given(rng=rngs)
def test_all_delays_together_are_a_bit_over_three_days(rng: Random) -> None:
    delays = [delay(attempt, retry_after=None, rng=rng) for attempt in range(1, len(SCHEDULE) + 1)]

    assert 72 * HOUR < sum(seconds or 0.0 for seconds in delays) < 90 * HOUR


@given(attempt=attempts, asked=st.floats(0, allow_nan=False), rng=rngs)
def test_nothing_is_tried_sooner_than_the_receiver_asked_up_to_an_hour(attempt: int, asked: float, rng: Random) -> None:
    seconds = delay(attempt, retry_after=asked, rng=rng)

    assert seconds is not None
    assert seconds >= min(asked, RETRY_AFTER_MAX)
    assert seconds <= max(RETRY_AFTER_MAX, SCHEDULE[attempt - 1] * (1 + JITTER))


@given(attempt=st.integers(len(SCHEDULE) + 1), asked=st.none() | st.floats(0, 10), rng=rngs)
def test_after_the_last_delay_it_is_a_dead_letter(attempt: int, asked: float | None, rng: Random) -> None:
    assert delay(attempt, retry_after=asked, rng=rng) is None


def test_attempts_count_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        delay(0, retry_after=None, rng=Random(0))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30),
        ("Wednesday, 21-Oct-26 07:29:00 GMT", 60),  # the obsolete form of RFC 850
        ("Wed, 21 Oct 2026 09:28:30 +0200", 30),
        ("Wed, 21 Oct 2026 07:28:30 -0000", 30),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Wed, 99 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(value=st.text() | st.from_regex(r"[0-9]{1,6000}", fullmatch=True))
def test_no_retry_after_header_breaks_the_parser(value: str) -> None:
    seconds = parse_retry_after(value, NOW)

    assert seconds is None or seconds >= 0
