"""Maintenance windows: times in which nobody is told of what happens to some heartbeats and fleets.

A window is one-off, from a moment to another or without an end, or it recurs on days of the week between two times of
the wall clock. Where that clock jumps, maintenance lasts rather longer than shorter:

                                     the time is skipped    the time comes twice
    a window that starts then        starts at the jump     starts at the first
    a window that ends then          ends at the jump       ends at the second

Times are ms since the epoch, but for `start` and `end`: "HH:MM" in the window's time zone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from math import inf
from typing import Any, Final
from zoneinfo import ZoneInfo

from rules.zones import moment

FOLLOWED_MAX: Final = 100  # windows, one after the other: a night each for three months; who asks then is told the rest

SPANS: Final = 4_096  # kept: when hundreds of incidents open at once, each asks about the same days of all windows

DAY: Final = timedelta(days=1)
EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`heartbeats`: ids of heartbeats and fleets. Recurring if it has `days` (0 = Monday), which are those that it
    starts on: with an `end` that is not after `start` it ends on the next day. `end_at` None: until it is deleted.
    """

    id: str
    name: str
    heartbeats: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everything: bool = False
    start_at: int | None = None
    end_at: int | None = None
    days: tuple[int, ...] = ()
    start: str = ""
    end: str = ""
    timezone: str = "UTC"

    @classmethod
    def from_json(cls, window: str, record: Mapping[str, Any]) -> "Window":
        """Raises ValueError, KeyError or TypeError on a corrupt record."""
        read = cls(
            id=window,
            name=record["name"],
            heartbeats=tuple(record["heartbeats"]),
            tags=tuple(record["tags"]),
            everything=record["everything"],
            start_at=record["start_at"],
            end_at=record["end_at"],
            days=tuple(record["days"]),
            start=record["start"],
            end=record["end"],
            timezone=record["timezone"],
        )
        if read.days:
            _span(EPOCH, read.start, read.end, read.timezone)  # it can be reckoned with
        else:
            ends(read, 0)
        return read


def covers(window: Window, watched: str, tags: Collection[str]) -> bool:
    """Whether it is meant for this heartbeat or fleet."""
    return window.everything or watched in window.heartbeats or not set(window.tags).isdisjoint(tags)


def ends(window: Window, at_ms: int) -> float | None:
    """The end of what goes on at that moment, inf if it has none; None when nothing does."""
    if window.days:
        return _ends_that_day(window, at_ms)
    start = -inf if window.start_at is None else window.start_at
    end = inf if window.end_at is None else window.end_at
    return end if start <= at_ms < end else None


def held_until(windows: Iterable[Window], watched: str, tags: Collection[str], at_ms: int) -> float | None:
    """When nobody is silenced any more who is at that moment: windows that adjoin or overlap count as one.

    inf = never; None = nobody is silenced now. Only so many windows are followed: ask again at the moment answered.
    """
    covering = [window for window in windows if covers(window, watched, tags)]
    until: float | None = None
    for _ in range(FOLLOWED_MAX):
        moment_ms = at_ms if until is None else int(until)
        later = max((end for window in covering if (end := ends(window, moment_ms)) is not None), default=None)
        if later is None:
            break
        until = later
        if until == inf:
            break
    return until


def _ends_that_day(window: Window, at_ms: int) -> int | None:
    """Of a recurring window. A clock that is turned back over midnight shows a day on which it began tomorrow."""
    today = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(window.timezone)).date()
    spans = (
        _span(day, window.start, window.end, window.timezone)
        for day in (today - DAY, today, today + DAY)
        if day.weekday() in window.days
    )
    return max((until for start, until in spans if start <= at_ms < until), default=None)


@lru_cache(SPANS)
def _span(day: date, start: str, end: str, timezone: str) -> tuple[int, int]:
    """From when to when a window lasts that begins on this day."""
    zone, first, last = ZoneInfo(timezone), time.fromisoformat(start), time.fromisoformat(end)
    until = moment(datetime.combine(day if first < last else day + DAY, last), zone, last=True)
    return moment(datetime.combine(day, first), zone), until
