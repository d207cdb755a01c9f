"""Whom a maintenance window is meant for, and when it ends. Clock changes are in test_windows_clocks.py."""

from math import inf
from typing import Any, Final

import orjson
import pytest

from rules.windows import FOLLOWED_MAX, Window, covers, ends, held_until
from tests.rules.test_schedules import ms

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
T: Final = ms("2027-03-01T00:00+00:00")  # a Monday


def window(**fields: Any) -> Window:
    return Window(**{"id": "0" * 12, "name": "Patches", "everything": True, **fields})


def hours(start: float, end: float | None, **fields: Any) -> Window:
    """One-off, in hours after that Monday began."""
    end_at = None if end is None else T + int(end * HOUR_MS)
    return window(start_at=T + int(start * HOUR_MS), end_at=end_at, **fields)


def weekly(start: str, end: str, *days: int, **fields: Any) -> Window:
    return window(start=start, end=end, days=days, **fields)


def at(text: str) -> int:
    return ms(f"2027-03-{text}+00:00")


def test_a_window_is_meant_for_what_it_names_by_id_or_by_tag_or_for_all() -> None:
    named = window(everything=False, heartbeats=("a", "b"), tags=("db", "web"))

    assert covers(named, "a", ())
    assert covers(named, "x", ["web"])
    assert not covers(named, "x", ["dbs", ""])
    assert not covers(named, "x", ())
    assert covers(window(), "x", ())
    assert not covers(window(everything=False), "x", ["db"])


def test_a_one_off_window_holds_from_its_first_moment_to_before_its_last() -> None:
    once = hours(1, 2)

    assert [ends(once, T + HOUR_MS + d) for d in (-1, 0)] == [None, T + 2 * HOUR_MS]
    assert [ends(once, T + 2 * HOUR_MS + d) for d in (-1, 0)] == [T + 2 * HOUR_MS, None]


def test_a_window_without_an_end_holds_until_it_is_deleted() -> None:
    assert ends(hours(1, None), T) is None
    assert ends(hours(1, None), T + HOUR_MS) == inf
    assert ends(hours(1, None), T + 100_000 * DAY_MS) == inf


@pytest.mark.parametrize(
    ("start", "end", "days", "moment", "until"),
    [
        ("22:00", "23:30", (0,), "01T21:59:59.999", None),
        ("22:00", "23:30", (0,), "01T22:00", "01T23:30"),
        ("22:00", "23:30", (0,), "01T23:30", None),
        ("22:00", "23:30", (0,), "02T22:30", None),
        ("22:00", "23:30", (0, 1), "02T22:30", "02T23:30"),
        # over midnight it belongs to the day that it starts on
        ("22:00", "06:00", (0,), "01T05:00", None),
        ("22:00", "06:00", (0,), "01T23:00", "02T06:00"),
        ("22:00", "06:00", (0,), "02T05:59:59.999", "02T06:00"),
        ("22:00", "06:00", (0,), "02T06:00", None),
        ("22:00", "06:00", (0,), "02T23:00", None),
        ("22:00", "06:00", (6,), "01T05:00", "01T06:00"),
        # from a time to the same is a whole day
        ("10:00", "10:00", (0,), "02T09:59", "02T10:00"),
        ("10:00", "10:00", (0,), "02T10:00", None),
        ("00:00", "00:00", (0,), "01T00:00", "02T00:00"),
        ("10:00", "10:00", (0, 1), "02T10:00", "03T10:00"),
    ],
)  # fmt: skip
def test_a_recurring_window_holds_on_its_days(
    start: str, end: str, days: tuple[int, ...], moment: str, until: str | None
) -> None:
    assert ends(weekly(start, end, *days), at(moment)) == (None if until is None else at(until))


def test_windows_that_overlap_or_adjoin_are_one() -> None:
    some = [hours(8, 9), hours(1, 3), hours(2, 4), hours(4, 6), hours(6.5, 7)]

    assert held_until(some, "x", (), T + HOUR_MS) == T + 6 * HOUR_MS
    assert held_until(some, "x", (), T + 4 * HOUR_MS - 1) == T + 6 * HOUR_MS
    assert held_until(some, "x", (), T + 6 * HOUR_MS) is None
    assert held_until(some, "x", (), T) is None
    assert held_until([], "x", (), T) is None


def test_of_nested_windows_the_longest_counts_and_one_without_an_end_is_for_ever() -> None:
    assert held_until([hours(2, 3), hours(1, 9)], "x", (), T + 2 * HOUR_MS) == T + 9 * HOUR_MS
    assert held_until([hours(1, 3), hours(3, None)], "x", (), T + HOUR_MS) == inf


def test_recurring_and_one_off_windows_adjoin_too() -> None:
    some = [weekly("22:00", "00:00", 0), weekly("00:00", "02:00", 1), hours(26, 27)]

    assert held_until(some, "x", (), at("01T22:00")) == T + 27 * HOUR_MS


def test_only_windows_that_are_meant_for_it_hold() -> None:
    some = [hours(1, 2, everything=False, tags=("db",)), hours(2, 3, everything=False, heartbeats=("a",))]

    assert held_until(some, "a", ["db"], T + HOUR_MS) == T + 3 * HOUR_MS
    assert held_until(some, "b", ["db"], T + HOUR_MS) == T + 2 * HOUR_MS
    assert held_until(some, "a", [], T + HOUR_MS) is None


def test_windows_that_never_leave_a_gap_are_followed_for_a_while() -> None:
    """A whole day on all days: the answer is finite, and whoever asks again then is told more."""
    always = weekly("00:00", "00:00", *range(7))
    until = held_until([always], "x", (), T)

    assert until == T + FOLLOWED_MAX * DAY_MS
    assert held_until([always], "x", (), int(until)) == T + 2 * FOLLOWED_MAX * DAY_MS


@pytest.mark.parametrize(
    "made", [hours(1, 2, tags=("db",)), hours(1, None), weekly("22:00", "06:00", 0, 6, timezone="Europe/Berlin")]
)
def test_a_record_is_read_as_it_was_written(made: Window) -> None:
    assert Window.from_json(made.id, orjson.loads(orjson.dumps(made))) == made


@pytest.mark.parametrize(
    "change",
    [{"start": "25:00"}, {"timezone": "Mars/Base"}, {"start_at": "now", "days": []}, {"tags": 5}, {"end": None}],
)
def test_a_record_that_cannot_be_reckoned_with_is_not_read(change: dict[str, object]) -> None:
    record = {**orjson.loads(orjson.dumps(weekly("22:00", "06:00", 0))), **change}

    with pytest.raises((ValueError, KeyError, TypeError)):
        Window.from_json("0" * 12, record)
