"""Schedules: the moments at which pings are expected, written as cron or as systemd's OnCalendar.

One line of five fields is cron and means what it means to Debian's cron. Everything else is OnCalendar, one expression
a line; a line may end in a zone of its own. A **slot** is a moment at which a ping is expected.

When a zone's clock jumps, wall-clock times are skipped or come twice. What becomes of a job at 02:30 then:

                                              02:30 is skipped    02:30 comes twice
    cron, `30 2 * * *`: a fixed time          slot at the jump    slot at the first
    cron, minute or hour begins with `*`      no slot             slot at both
    OnCalendar, `02:30` and `*:30` alike      no slot             slot at the first

So a fixed time of cron has one slot on every day, never none and never two. OnCalendar has none on the day that skips
it, and not even `minutely` has slots in the hour that is repeated, because systemd lets that hour pass in silence
(systemd issues 5595 and 8647): a slot there would be a false alarm.

The libraries reckon bare wall-clock times; what a zone makes of them is reckoned here. Left to themselves both answer
with moments that have passed when they start in a repeated hour, and cronsim loses slots in Lord Howe's half hour and
invents some where a day begins at 01:00.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from oncalendar import BaseIterator, OnCalendarError

from rules import limits
from rules.zones import jump, readings

YEARS_MAX: Final = 5  # calendar years in a row of which one must have a slot; 29 February comes every four
CYCLE: Final = range(2024, 2052)  # dates fall on the same weekdays again after 28 years, until 2100

CRON_FIELDS: Final = 5
CALENDARS: Final = 512  # parsed expressions that a process keeps; 6 to 22 kB each, with many lines up to 190 kB
AHEAD: Final = 3_600  # seconds for which slots are reckoned at once ...
AHEAD_SLOTS: Final = 128  # ... but no more than these: an hour of every-second slots takes too long at once
BEHIND: Final = 120  # seconds before the moment asked for: pings come in any order, and early credit looks back, too

SECOND: Final = timedelta(seconds=1)
ANY_TIME: Final = datetime(CYCLE.start, 1, 1)  # noqa: DTZ001 - the libraries are given bare wall-clock times
EVERY_YEAR: Final = BaseIterator("daily", ANY_TIME).years

PLAIN: Final = re.compile(r"[ -~\t\r\n]*")
ONE_TO_ITSELF: Final = re.compile(r"\b(\w+)-\1/\d+")  # 5-5/2 is 5; cronsim takes it for 5-59/2
NOT_A_ZONE: Final = re.compile(r"(posix|right)/|(localtime|posixrules|Factory)$")  # files of the machine, not places


class BadSchedule(ValueError):
    """A schedule that cannot be kept; the text names the field and says what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field} {message}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Due:
    """Both in milliseconds since the epoch."""

    slot: int  # the one that the next ping must meet
    deadline: int  # when silence becomes an incident


def check(expression: str, timezone: str) -> None:
    """Whether a heartbeat can live by it. Raises BadSchedule.

    Refused is also what does not go on for ever: a year is named, or five years in a row may have no slot. The answer
    does not depend on today's date, so what was accepted once stays acceptable.
    """
    if len(expression) > limits.SCHEDULE_MAX:
        raise BadSchedule("schedule", f"must have at most {limits.SCHEDULE_MAX} characters")
    if not PLAIN.fullmatch(expression):
        raise BadSchedule("schedule", "must be plain ASCII text")
    for line in _lines(expression, timezone):
        _check_recurrence(_Calendar([line]))


def slots(expression: str, timezone: str, after_ms: int, count: int) -> list[int]:
    """The next `count` slots strictly after `after_ms`, ascending; fewer only when the schedule ends (in 2200)."""
    return [slot * 1000 for slot in islice(_calendar(expression, timezone).walk(after_ms // 1000), count)]


def due(expression: str, timezone: str, at_ms: int, *, grace: int, misses: int = 1) -> Due:
    """What a ping at `at_ms` leads to: the first slot after it, and the `misses`-th one plus `grace` seconds."""
    ahead = _calendar(expression, timezone).after(at_ms // 1000, misses)
    if not ahead:
        raise BadSchedule("schedule", "has no slot any more")
    return Due(ahead[0] * 1000, (ahead[-1] + grace) * 1000)


def credited(expression: str, timezone: str, at_ms: int, *, grace: int, misses: int, early: int) -> Due | None:
    """What a ping leads to if it counts for the slot that is still to come; None if it comes too soon for that.

    It may count if that slot is at most `early` seconds ahead and nearer than the slot before. Only for a heartbeat
    that waits for just that slot: one that still owes an earlier slot met that one, late.
    """
    calendar = _calendar(expression, timezone)
    ahead = calendar.after(at_ms // 1000, 1)
    if not ahead or (distance := ahead[0] * 1000 - at_ms) > early * 1000:
        return None
    if calendar.after((at_ms - distance - 1) // 1000, 1) != ahead:  # another slot as near as this one, or nearer
        return None
    return due(expression, timezone, ahead[0] * 1000, grace=grace, misses=misses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One expression in its zone. Inside, moments are whole seconds since the epoch."""

    times: CronSim | BaseIterator  # parsed; copied for each walk, never advanced
    zone: ZoneInfo
    at_jump: bool  # a skipped time has its slot at the jump, otherwise none
    twice: bool  # a repeated time has a slot at both, otherwise at the first

    def walk(self, after: int) -> Iterator[int]:
        """The slots after `after`, ascending; a few before it and some doubled may be among them."""
        times = copy(self.times)
        times.dt = self._start(after)
        seconds: deque[int] = deque()  # of repeated times, until their turn comes
        for local in times:
            first, second = readings(local, self.zone)
            if first > second:
                turned, times.dt = self._turn(local)
                if self.at_jump:
                    yield turned
                continue
            while seconds and seconds[0] < first:
                yield seconds.popleft()
            yield first
            if self.twice and first < second:
                seconds.append(second)
        yield from seconds

    def _start(self, after: int) -> datetime:
        """The wall-clock time after which to look."""
        local = datetime.fromtimestamp(after, self.zone).replace(tzinfo=None, fold=0)
        first, second = readings(local, self.zone)
        if first < second and self.twice:
            return local - timedelta(seconds=second - first)  # what is earlier by then comes again
        if first < after:
            return self._turn(local)[1]  # the rest of a repeated hour, which has had its slots
        return local

    def _turn(self, local: datetime) -> tuple[int, datetime]:
        """For a repeated or skipped time: the moment of the jump, and the last second of all such times."""
        low, high = sorted(readings(local, self.zone))
        turned = jump(low, high, self.zone)
        return turned, local + timedelta(seconds=turned - low) - SECOND


class _Calendar:
    """All lines together, and the slots that were reckoned last: next slots are reckoned once, not per ping.

    Pings of thousands of heartbeats ask for the same stretch of time. It is one tuple, replaced as a whole, so threads
    may share it; a moment outside it is merely reckoned anew.
    """

    __slots__ = ("_known", "_lines")

    def __init__(self, lines: list[_Line]) -> None:
        self._lines = lines
        self._known: tuple[int, ...] = ()  # a moment, then every slot after it up to the last one here

    def walk(self, after: int) -> Iterator[int]:
        """Every slot strictly after `after`."""
        last = after
        for slot in merge(*(line.walk(after) for line in self._lines)):
            if slot > last:
                last = slot
                yield slot

    def after(self, moment: int, count: int) -> tuple[int, ...]:
        known = self._known
        index = bisect_right(known, moment)
        if not index or index + count > len(known):
            known = self._known = self._stretch(moment, count)
            index = bisect_right(known, moment)
        return known[index : index + count]

    def _stretch(self, moment: int, count: int) -> tuple[int, ...]:
        known = [moment - BEHIND]
        ahead = 0
        for slot in self.walk(moment - BEHIND):
            known.append(slot)
            ahead += slot > moment
            if ahead >= count and (ahead >= AHEAD_SLOTS or slot > moment + AHEAD):
                break
        return tuple(known)


def _check_recurrence(calendar: _Calendar) -> None:
    year = CYCLE.start
    while year < CYCLE.stop:
        slot = next(calendar.walk(int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) - 1), None)
        if slot is None or (found := datetime.fromtimestamp(slot, UTC).year) >= year + YEARS_MAX:
            raise BadSchedule("schedule", f"must come round at least once in any {YEARS_MAX} years")
        year = found + 1


@lru_cache(CALENDARS)
def _calendar(expression: str, timezone: str) -> _Calendar:
    return _Calendar(_lines(expression, timezone))


def _lines(expression: str, timezone: str) -> list[_Line]:
    zone = _zone(timezone)
    if not zone:
        raise BadSchedule("timezone", "must be a name such as Europe/Berlin or UTC")
    lines = [line for line in expression.split("\n") if line.strip()]
    if not lines:
        raise BadSchedule("schedule", "must not be empty")
    if lines[0].lstrip().startswith("@"):
        raise BadSchedule("schedule", "must not be a nickname such as @daily: write 0 0 * * * or daily")
    fields = len(lines[0].split()) if len(lines) == 1 else 0
    if fields == CRON_FIELDS + 1:
        raise BadSchedule("schedule", "must not have six fields: for seconds write OnCalendar, such as *:*:0/15")
    return [_cron(lines[0], zone)] if fields == CRON_FIELDS else [_on_calendar(line, zone) for line in lines]


def _cron(line: str, zone: ZoneInfo) -> _Line:
    try:
        times = CronSim(ONE_TO_ITSELF.sub(r"\1", line), ANY_TIME)
    except CronSimError as error:
        raise BadSchedule("schedule", f"is not a valid cron expression: {str(error).lower()}") from None
    minute, hour, *_ = line.split()
    wildcard = minute.startswith("*") or hour.startswith("*")
    return _Line(times=times, zone=zone, at_jump=not wildcard, twice=wildcard)


def _on_calendar(line: str, default: ZoneInfo) -> _Line:
    *rest, last = line.split()
    named = bool(rest) and last[0].isalpha()  # the only other words, weekdays, come first
    zone = _zone(last) if named else default
    if not zone:
        raise BadSchedule("schedule", "names an unknown time zone")
    try:
        times = BaseIterator(" ".join(rest) if named else line, ANY_TIME)
    except OnCalendarError as error:
        reason = str(error).lower()
        raise BadSchedule("schedule", f"is neither five fields of cron nor valid OnCalendar: {reason}") from None
    if times.years != EVERY_YEAR:
        raise BadSchedule("schedule", "must not name a year: it has to go on for ever")
    times.years = EVERY_YEAR  # one set for all: it is the largest part of a line
    return _Line(times=times, zone=zone, at_jump=False, twice=False)


def _zone(name: str) -> ZoneInfo | None:
    if NOT_A_ZONE.match(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder, such as Europe
        return None
