"""The shifts of four weeks as a table tells them and as a picture draws them: a lane for each person.

Each day of the calendar is as wide as any other, also the one with 23 or 25 hours: 09:00 stands at the same place of
all the days on which no clock is turned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from console import answers
from console.dashboard import local
from rules.zones import moment

DAYS: Final = 28  # drawn
DAY_WIDTH: Final = 10  # of the picture's own units
WEEK: Final = 7  # days


@dataclass(frozen=True, slots=True)
class Line:
    """One shift, or a time with nobody (`who` None). `starts_at` None: it goes on already; `ends_at` None: for good."""

    who: str | None
    starts_at: int | None
    starts: str
    ends_at: int | None
    ends: str


@dataclass(frozen=True, slots=True)
class Bar:
    """`text`: what it stands for, to be read where the mouse is."""

    x: float
    width: float
    text: str
    is_now: bool


@dataclass(frozen=True, slots=True)
class Lane:
    who: str | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """`weeks`: the days that they begin with."""

    lines: tuple[Line, ...]
    lanes: tuple[Lane, ...]
    weeks: tuple[str, ...]
    width: int = DAYS * DAY_WIDTH


def end_of(now: int, zone: ZoneInfo) -> int:
    """Where the picture ends: today is its first day."""
    return _midnight(local.at(now, zone).date() + timedelta(days=DAYS), zone)


def drawn(shifts: Sequence[answers.Shift], now: int, last_until: int | None, zone: ZoneInfo) -> Drawing:
    """`shifts`: from now to the end of the picture; `last_until`: when what goes on there ends, None = never."""
    first, end = local.at(now, zone).date(), end_of(now, zone)
    spans = _without_gaps(shifts, now, end)
    lanes: dict[tuple[str, str | None], list[Bar]] = {}
    lines = []
    for person, who, start, until in spans:
        ends_at = last_until if until == end else until
        line = Line(
            who,
            None if start == now else start,
            "now" if start == now else local.near(start, zone, now),
            ends_at,
            "for good" if ends_at is None else local.near(ends_at, zone, now),
        )
        lines.append(line)
        left, right = _x(start, first, zone), _x(until, first, zone)
        text = f"{who or 'Nobody'}: {line.starts} to {line.ends}"
        bar = Bar(round(left, 2), round(max(right - left, 0.2), 2), text, is_now=start == now)
        lanes.setdefault((person, who), []).append(bar)
    return Drawing(
        lines=tuple(lines),
        lanes=tuple(Lane(who, tuple(bars)) for (_, who), bars in lanes.items()),
        weeks=tuple(f"{first + timedelta(days=day):%a %-d %b}" for day in range(0, DAYS, WEEK)),
    )


def _without_gaps(shifts: Sequence[answers.Shift], now: int, end: int) -> list[tuple[str, str | None, int, int]]:
    """(person, name, start, end); times with nobody have no person: the ids of people are never empty."""
    spans: list[tuple[str, str | None, int, int]] = []
    at = now
    for shift in shifts:
        if shift.from_ > at:
            spans.append(("", None, at, shift.from_))
        spans.append((shift.person.id, shift.person.name or "somebody who was deleted", shift.from_, shift.until))
        at = shift.until
    if at < end:
        spans.append(("", None, at, end))
    return spans


def _x(ms: int, first: date, zone: ZoneInfo) -> float:
    """Where a moment lies: the days from the first one on, and the part of its day that has passed."""
    day = local.at(ms, zone).date()
    start, end = _midnight(day, zone), _midnight(day + timedelta(days=1), zone)
    return ((day - first).days + min(max(0.0, (ms - start) / (end - start)), 1.0)) * DAY_WIDTH


def _midnight(day: date, zone: ZoneInfo) -> int:
    """When a day begins; where the clock skips midnight, at the jump."""
    return moment(datetime.combine(day, time()), zone)
