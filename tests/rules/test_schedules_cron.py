"""cron against a second reckoning: minute by minute through the year's jumps, as the daemon itself goes about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import schedules
from tests.rules.test_schedules_zones import DAY, HOUR, JUMPING, MINUTE, YEAR, ZONES, around, local

AROUND: Final = 14 * HOUR  # before and after a jump: each wall-clock time once, those near the jump twice
ONE_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Field:
    """A field with what it means, written down at the same time, so that nothing here parses."""

    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class Job:
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def wildcard(self) -> bool:
        return "*" in (self.minute.text[0], self.hour.text[0])

    def matches(self, time: datetime) -> bool:
        if time.minute not in self.minute.values or time.hour not in self.hour.values:
            return False
        day, weekday = time.day in self.day.values, time.isoweekday() % 7 in self.weekday.values
        both = "*" in (self.day.text[0], self.weekday.text[0])
        return time.month in self.month.values and ((day and weekday) if both else (day or weekday))


def field(text: str, low: int, high: int) -> Field:
    """For the table below: `*`, `*/5`, `7`, `1-5`, `1-9/2` and lists of them."""

    def values(item: str) -> Iterator[int]:
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))

    return Field(text, frozenset(value for item in text.split(",") for value in values(item)))


def job(text: str) -> Job:
    minute, hour, day, month, weekday = text.split()
    return Job(field(minute, 0, 59), field(hour, 0, 23), field(day, 1, 31), field(month, 1, 12), field(weekday, 0, 6))


@cache
def wakings(zone: str, jump: int) -> list[tuple[int, datetime, list[datetime]]]:
    """Each minute around a jump: the moment, the wall, and the minutes of the wall that cron has not been at."""
    found = []
    reached = local(jump - AROUND, zone) - ONE_MINUTE
    for moment in range(jump - AROUND, jump + AROUND, MINUTE):
        wall = local(moment, zone)
        missed = []
        while reached < wall:
            reached += ONE_MINUTE
            missed.append(reached)
        found.append((moment, wall, missed))
    return found


def runs(job: Job, zone: str, jump: int) -> list[int]:
    """When cron would start the job: each minute it wakes up, looks at the wall, and compares with where it was.

    Wildcard jobs run by the wall alone. Fixed ones run for each minute of the wall that cron has not been at: those
    that were skipped run when it wakes up behind the jump; after a jump back none runs until cron has caught up.
    """
    if job.wildcard:
        return [moment for moment, wall, _ in wakings(zone, jump) if job.matches(wall)]
    return [moment for moment, _, missed in wakings(zone, jump) if any(job.matches(time) for time in missed)]


def assert_same(job: Job, zone: str, jump: int) -> None:
    expected = runs(job, zone, jump)
    found = [slot // 1000 for slot in schedules.slots(job.text, zone, (jump - AROUND) * 1000 - 1, len(expected) + 1)]

    assert (found[:-1], job.text, zone) == (expected, job.text, zone)
    assert found[-1] >= jump + AROUND


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *", "*/10 * * * *", "0 * * * *", "59 * * * *", "15-50/7 * * * *", "0 */2 * * *", "30 */3 * * *",
        "*/10 2 * * *", "* 0-3 * * *", "*/20 23,0,1 * * *", "*/15 */2 * * *", "0,30 */1 * * *",
        "0 0 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "45 1 * * *", "0 2 * * *", "15 2 * * *", "30 2 * * *",
        "59 2 * * *", "0 3 * * *", "45 3 * * *", "30 22 * * *", "59 23 * * *",
        "0-59 2 * * *", "0,15,30,45 0-23 * * *", "0 0-23 * * *", "30 1,2,3 * * *", "0 0-23/2 * * *", "5 1-23/2 * * *",
        "30 2 * * 0", "30 2 * * 1-5", "0 0 * * 6,0", "30 0 */2 * *", "30 2 1-31/2 * 0", "* * * 3,10 0",
    ],
)  # fmt: skip
def test_every_zone_agrees_with_the_daemon_at_every_jump(text: str) -> None:
    for zone in ZONES:
        for jump in around(zone):
            assert_same(job(text), zone, jump)


def fields(low: int, high: int) -> st.SearchStrategy[Field]:
    numbers = st.integers(low, high)
    steps = st.integers(1, high)
    spans = st.tuples(numbers, numbers).map(sorted)
    every = frozenset(range(low, high + 1))
    items = st.one_of(
        numbers.map(lambda number: Field(str(number), frozenset({number}))),
        spans.map(lambda span: Field(f"{span[0]}-{span[1]}", frozenset(range(span[0], span[1] + 1)))),
        st.tuples(spans, steps).map(
            lambda drawn: Field(
                f"{drawn[0][0]}-{drawn[0][1]}/{drawn[1]}", frozenset(range(drawn[0][0], drawn[0][1] + 1, drawn[1]))
            )
        ),
    )
    lists = st.lists(items, min_size=1, max_size=3).map(
        lambda items: Field(",".join(item.text for item in items), frozenset().union(*(item.values for item in items)))
    )
    stars = steps.map(lambda step: Field(f"*/{step}", frozenset(range(low, high + 1, step))))
    return st.one_of(st.just(Field("*", every)), stars, lists)


jobs = st.builds(
    Job, minute=fields(0, 59), hour=fields(0, 23), day=fields(1, 31), month=fields(1, 12), weekday=fields(0, 6)
)


@settings(max_examples=300, deadline=None)
@given(job=jobs, zone=st.sampled_from(ZONES), data=st.data())
def test_any_expression_agrees_with_the_daemon(job: Job, zone: str, data: st.DataObject) -> None:
    jump = data.draw(st.sampled_from(around(zone)))
    try:
        schedules.check(job.text, zone)
    except schedules.BadSchedule:  # never in five years, or too long
        assert runs(job, zone, jump) == [] or len(job.text) > 100
    else:
        assert_same(job, zone, jump)


@pytest.mark.parametrize("zone", ZONES)
def test_a_fixed_time_has_one_slot_on_every_day_of_the_year(zone: str) -> None:
    for time in ("0 0", "30 0", "30 1", "0 2", "30 2", "59 2", "30 22", "30 23"):
        found = schedules.slots(f"{time} * * *", zone, YEAR.start * 1000, 365)

        nights = [(later - earlier) // 1000 for earlier, later in pairwise(found)]

        assert min(nights) >= 22 * HOUR
        assert max(nights) <= 26 * HOUR
        assert YEAR.start + 364 * DAY < found[-1] // 1000 <= YEAR.start + 366 * DAY


@pytest.mark.parametrize("zone", JUMPING)
def test_every_ten_minutes_is_every_ten_minutes_through_all_jumps(zone: str) -> None:
    for jump in around(zone):
        found = schedules.slots("*/10 * * * *", zone, (jump - 5 * HOUR) * 1000, 60)

        assert {later - earlier for earlier, later in pairwise(found)} == {10 * MINUTE * 1000}


@pytest.mark.parametrize(
    ("text", "zone", "from_", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00+01:00", ["03-28T03:00+0200", "03-29T02:30+0200"]),
        ("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00+02:00", ["10-31T02:30+0200", "11-01T02:30+0100"]),
        ("30 2 * * *", "Europe/Berlin", "2027-10-31T02:10+01:00", ["11-01T02:30+0100"]),
        ("30 * * * *", "Europe/Berlin", "2027-03-28T01:10+01:00", ["03-28T01:30+0100", "03-28T03:30+0200"]),
        ("30 * * * *", "Europe/Berlin", "2027-10-31T02:10+02:00", ["10-31T02:30+0200", "10-31T02:30+0100"]),
        ("*/30 2 * * *", "Europe/Berlin", "2027-03-27T12:00+01:00", ["03-29T02:00+0200", "03-29T02:30+0200"]),
        ("30 1,2,3 * * *", "Europe/Berlin", "2027-03-28T01:45+01:00", ["03-28T03:00+0200", "03-28T03:30+0200"]),
        ("*/10 2 * * *", "Australia/Lord_Howe", "2027-04-03T12:00+11:00", ["04-04T02:00+1030", "04-04T02:10+1030"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2027-04-04T01:35+10:30", ["04-05T01:45+1030"]),
        ("0 */2 30 * *", "Africa/Cairo", "2027-04-29T12:00+02:00", ["04-30T02:00+0300", "04-30T04:00+0300"]),
        ("30 0 * * *", "Africa/Cairo", "2027-04-29T12:00+02:00", ["04-30T01:00+0300", "05-01T00:30+0300"]),
        ("30 1 * * *", "Antarctica/Troll", "2027-03-27T12:00+00:00", ["03-28T03:00+0200", "03-29T01:30+0200"]),
        ("0 0 L * *", "Asia/Kathmandu", "2027-02-01T00:00+05:45", ["02-28T00:00+0545", "03-31T00:00+0545"]),
        ("0 9 * * MON#1", "Europe/Kiev", "2027-02-01T12:00+02:00", ["03-01T09:00+0200", "04-05T09:00+0300"]),
        ("0 0 29 2 *", "UTC", "2027-01-01T00:00+00:00", ["02-29T00:00+0000"]),
    ],
)
def test_what_the_guide_says_of_jumps(text: str, zone: str, from_: str, expected: list[str]) -> None:
    after = int(datetime.fromisoformat(from_).timestamp() * 1000)

    found = schedules.slots(text, zone, after, len(expected))

    assert [datetime.fromtimestamp(s / 1000, ZoneInfo(zone)).strftime("%m-%dT%H:%M%z") for s in found] == expected
