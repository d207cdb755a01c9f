"""What is accepted, and what a ping leads to. How slots fall is compared with cron and systemd beside this file."""

import random
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import limits, schedules
from rules.schedules import BadSchedule, Due, check, credited, due, slots
from tests.rules.test_schedules_zones import DAY, HOUR, YEAR, ZONES, around

#: Of every density: each second, each minute, in bursts, daily, monthly, yearly, each leap year, in several zones.
EXPRESSIONS: Final = (
    "*:*:*", "* * * * *", "*/5 * * * *", "*:0/10", "*/10 2 * * *", "0-59 2 * * *", "02:*:0/5", "30 2 * * *", "02:30",
    "0 9 * * 1-5", "Sun 02:30", "0 0 L * *", "06-05 04:00", "0 0 29 2 *",
    "02:30\n02:30 US/Pacific\n*:30 Asia/Kathmandu",
)  # fmt: skip

expressions = st.sampled_from(EXPRESSIONS)
zones = st.sampled_from(ZONES)
graces = st.sampled_from([0, 1, 300, DAY])


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """A zone and a millisecond of its year, near a jump of its clock as often as not."""
    zone = draw(zones)
    jump = draw(st.sampled_from(around(zone)))
    near = st.integers((jump - 3 * HOUR) * 1000, (jump + 3 * HOUR) * 1000)
    return zone, draw(st.one_of(near, st.integers(YEAR.start * 1000, YEAR.stop * 1000)))


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def counted(owner: object, name: str, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows by one with each call of a function or method."""
    method, calls = getattr(owner, name), list[object]()

    def call(*args: object) -> object:
        calls.append(args)
        return method(*args)

    monkeypatch.setattr(owner, name, call)
    return calls


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *", "*/15 9-17 * * MON-FRI", "0 0 1 JAN *", "0 0 * * 7", "0 0 L * *", "0 0 LW * *", "0 0 * * 5L",
        "0 0 * * MON#1", "0 0 29 2 *", "0 0 13 * 5", "0 0 31 2 1", "\t30  2 * * *\n", "daily", "Weekly", "quarterly",
        "Mon..Fri 09:00", "Sat,Sun *-*-* 10:00:00", "*:0/5", "*:*:0/15", "*-*-01 03:00 Europe/Berlin", "*-*~1 23:59",
        "Mon *-05~07/1 04:00", "02-29", "00:00 Europe/Riga\r\n00:00 UTC\r\n", "0/6:00 US/Pacific",
    ],
)  # fmt: skip
def test_it_is_accepted(expression: str) -> None:
    check(expression, "Europe/Berlin")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "must not be empty"),
        (" \n ", "must not be empty"),
        ("* * * * *" + " " * 92, "at most 100 characters"),
        ("0 0 * * \uff0a", "plain ASCII"),
        ("0 0 * * *\x00", "plain ASCII"),
        ("@daily", "nickname"),
        ("@reboot", "nickname"),
        ("*/15 * * * * *", "six fields"),
        ("60 * * * *", "cron expression: bad minute"),
        ("0 0 * * 8", "cron expression: bad day-of-week"),
        ("0 0 31 2 *", "cron expression: bad day-of-month"),
        ("*/0 * * * *", "cron expression: bad minute"),
        ("0 0 29 2 */7", "at least once in any 5 years"),
        ("* * */20 * 1L", "at least once in any 5 years"),
        ("0 0 * 2 MON#5", "at least once in any 5 years"),
        ("25:00", "OnCalendar: bad hour"),
        ("every day", "unknown time zone"),
        ("sometimes", "OnCalendar: bad day-of-week"),
        ("* * * *", "neither five fields of cron nor valid OnCalendar"),
        ("0 0 * * *\n0 12 * * *", "neither five fields of cron nor valid OnCalendar"),
        ("*-02-30", "at least once in any 5 years"),
        ("Mon 02-29", "at least once in any 5 years"),
        ("Mon 01-01 12:00", "at least once in any 5 years"),  # 2024, 2029, 2035
        ("daily\nMon 02-29", "at least once in any 5 years"),
        ("Sun *-03-25..31 02:30", "at least once in any 5 years"),  # in Berlin always skipped
        ("2031-01-01", "must not name a year"),
        ("2019-01-01 12:00", "must not name a year"),
        ("2026..2030-*-* 04:00", "must not name a year"),
        ("daily\n2031-01-01", "must not name a year"),
        ("12:00 Europe", "unknown time zone"),
        ("12:00 Mars/Base", "unknown time zone"),
        ("12:00 posix/Europe/Berlin", "unknown time zone"),
        ("12:00 ../Berlin", "valid OnCalendar"),
        ("*:*:0.5", "OnCalendar: bad second"),
    ],
)
def test_it_is_refused_with_a_sentence(expression: str, reason: str) -> None:
    with pytest.raises(BadSchedule, match=reason) as refused:
        check(expression, "Europe/Berlin")

    assert refused.value.field == "schedule"
    assert str(refused.value).startswith("schedule ")


@pytest.mark.parametrize("zone", ["US/Pacific", "Europe/Kiev", "EST5EDT", "Asia/Calcutta", "Etc/GMT+5", "UTC", "Zulu"])
def test_legacy_names_of_zones_are_accepted(zone: str) -> None:
    check("0 4 * * *", zone)


@pytest.mark.parametrize(
    "zone",
    ["", " ", "Europe", "Europe/", "europe/berlin!", "Mars/Base", "CEST", "UTC+3", "localtime", "posixrules", "Factory",
     "right/UTC", "posix/UTC", "../UTC", "/etc/localtime", "tzdata.zi", "UTC\x00", "\ud800", "A" * 10_000],
)  # fmt: skip
def test_what_is_no_place_is_refused_as_a_zone(zone: str) -> None:
    with pytest.raises(BadSchedule, match="timezone must be a name such as Europe/Berlin") as refused:
        check("0 4 * * *", zone)

    assert refused.value.field == "timezone"


@settings(max_examples=300, deadline=None)
@given(
    expression=st.one_of(
        st.text(max_size=limits.SCHEDULE_MAX + 1),
        st.text("0123456789*/-,.:~#L \nMonFri", max_size=limits.SCHEDULE_MAX),
        st.lists(st.text("0123*/-,L", min_size=1, max_size=5), min_size=5, max_size=5).map(" ".join),
    ),
    zone=zones,
    at=st.integers(YEAR.start, YEAR.start + 60 * 365 * DAY),
)
def test_whatever_is_accepted_comes_round_and_all_else_is_a_bad_schedule(expression: str, zone: str, at: int) -> None:
    try:
        check(expression, zone)
    except BadSchedule:
        return
    (slot,) = slots(expression, zone, at * 1000, 1)

    assert at * 1000 < slot < (at + 6 * 366 * DAY) * 1000


@settings(max_examples=200, deadline=None)
@given(expression=expressions, where=moments(), count=st.integers(1, limits.MISSES_MAX), later=st.integers(0, 400_000))
def test_slots_are_the_same_wherever_one_starts_to_look(
    expression: str, where: tuple[str, int], count: int, later: int
) -> None:
    zone, at = where
    found = slots(expression, zone, at, count)

    assert len(found) == count
    assert found == sorted(set(found))
    assert at < found[0]
    assert all(slot % 1000 == 0 for slot in found)
    for start in (at + later, found[count // 2] - 1, found[count // 2]):
        rest = found[bisect_right(found, start) :]
        assert slots(expression, zone, start, len(rest)) == rest


def test_moments_are_asked_for_in_any_order_and_by_many_threads() -> None:
    """Clocks step, pings are late, nodes have threads: what was asked before has no part in the answer."""
    rng = random.Random(1)
    zone = "Europe/Berlin"
    jumps = around(zone)
    asked = [
        (expression, (rng.choice(jumps) + rng.randint(-4 * HOUR, 4 * HOUR)) * 1000 + rng.randint(0, 999))
        for _ in range(60)
        for expression in EXPRESSIONS
    ]
    expected = []
    for expression, at in asked:
        schedules._calendar.cache_clear()
        expected.append(due(expression, zone, at, grace=60, misses=2))

    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            answers = pool.map(lambda job: due(job[0], zone, job[1], grace=60, misses=2), asked)

            assert list(answers) == expected


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_slots_are_reckoned_once_for_all_pings_of_a_minute(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedules._calendar.cache_clear()
    stretches = counted(schedules._Calendar, "_stretch", monkeypatch)
    start = YEAR.start * 1000

    for at in range(start, start + 60_000, 50):
        due(expression, "Europe/Berlin", at, grace=60)
        credited(expression, "Europe/Berlin", at - 5_000, grace=60, misses=1, early=60)

    assert len(stretches) == 1


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["*:*:*", "* * * * *", "02:*:*", "0-59 2 * * *"])
def test_no_hour_that_is_skipped_or_repeated_is_walked_through(
    expression: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work of one call stays small: a few hundred times are read, not the 7,200 of two hours."""
    readings = counted(schedules, "readings", monkeypatch)
    for jump in around(zone):
        for at in (jump - 1, jump, jump + 1, jump + HOUR // 2):
            schedules._calendar.cache_clear()
            due(expression, zone, at * 1000, grace=0)

            assert len(readings) < 500
            readings.clear()


def test_the_cache_is_bounded() -> None:
    for number in range(2 * schedules.CALENDARS):
        due(f"{number % 60} {number // 60} * * *", "UTC", YEAR.start * 1000, grace=0)

    assert schedules._calendar.cache_info().currsize <= schedules.CALENDARS


@settings(max_examples=200, deadline=None)
@given(expression=expressions, where=moments(), grace=graces, misses=st.integers(1, limits.MISSES_MAX))
def test_a_ping_is_due_at_the_next_slot_and_silence_ends_at_the_last_that_may_be_missed(
    expression: str, where: tuple[str, int], grace: int, misses: int
) -> None:
    zone, at = where

    found = due(expression, zone, at, grace=grace, misses=misses)

    ahead = slots(expression, zone, at, misses)
    assert found == Due(ahead[0], ahead[misses - 1] + grace * 1000)
    assert at < found.slot <= found.deadline - grace * 1000


@settings(max_examples=200, deadline=None)
@given(expression=expressions, where=moments(), later=st.integers(0, 7 * HOUR * 1000), misses=st.integers(1, 5))
def test_a_later_ping_is_never_due_sooner(expression: str, where: tuple[str, int], later: int, misses: int) -> None:
    zone, at = where
    first = due(expression, zone, at, grace=60, misses=misses)
    second = due(expression, zone, at + later, grace=60, misses=misses)

    assert second.slot >= first.slot
    assert second.deadline >= first.deadline


@settings(max_examples=300, deadline=None)
@given(
    expression=expressions,
    where=moments(),
    early=st.sampled_from([0, 1, 60, 900, DAY]),
    ahead=st.integers(1, 100_000),
    misses=st.integers(1, 3),
)
def test_an_early_ping_counts_for_the_next_slot_alone_and_only_if_that_is_the_nearest(
    expression: str, where: tuple[str, int], early: int, ahead: int, misses: int
) -> None:
    zone, start = where
    before, slot, after = slots(expression, zone, start, 3)
    at = max(before, slot - ahead)

    found = credited(expression, zone, at, grace=60, misses=misses, early=early)

    if slot - at <= early * 1000 and slot - at < (slot - before) / 2:
        assert found == due(expression, zone, slot, grace=60, misses=misses)
        assert found.slot == after
    else:
        assert found is None


@pytest.mark.parametrize(
    ("expression", "at", "early", "slot"),
    [
        ("0 3 * * *", "2027-05-01T02:59:00Z", 60, "2027-05-02T03:00:00Z"),
        ("0 3 * * *", "2027-05-01T02:58:59.999Z", 60, None),
        ("0 3 * * *", "2027-05-01T02:59:59.999Z", 0, None),
        ("0 3 * * *", "2027-05-01T03:00:00Z", 60, None),  # in time: it waits for tomorrow's already
        ("0 3 * * *", "2027-05-01T01:00:00Z", 7200, "2027-05-02T03:00:00Z"),
        ("* * * * *", "2027-05-01T02:59:30Z", 60, None),  # half the way
        ("* * * * *", "2027-05-01T02:59:30.001Z", 60, "2027-05-01T03:01:00Z"),
        ("0,5 3 * * *", "2027-05-01T03:02:29Z", 900, None),  # nearer to 03:00
        ("0,5 3 * * *", "2027-05-01T03:02:31Z", 900, "2027-05-02T03:00:00Z"),
    ],
)
def test_early_credit_ends_at_early_and_half_way(expression: str, at: str, early: int, slot: str | None) -> None:
    found = credited(expression, "UTC", ms(at), grace=60, misses=1, early=early)

    assert (found and found.slot) == (ms(slot) if slot else None)


@settings(max_examples=150, deadline=None)
@given(expression=expressions, where=moments(), misses=st.integers(1, 3), grace=graces, data=st.data())
def test_a_job_that_pings_about_each_slot_never_alarms_and_one_that_stops_alarms_in_time(
    expression: str, where: tuple[str, int], misses: int, grace: int, data: st.DataObject
) -> None:
    """A heartbeat as it lives: credit only while it owes nothing before the slot to come."""
    zone, start = where
    planned = slots(expression, zone, start, 9 + misses)
    early = 60
    waits = due(expression, zone, start, grace=grace, misses=misses)
    for before, slot, after in zip([start, *planned], planned, planned[1 : 1 + 8], strict=False):
        soonest = max(slot - early * 1000, (before + slot) // 2 + 1) if before != start else slot
        latest = min(slot + grace * 1000, (slot + after) // 2)
        at = data.draw(st.integers(soonest, latest))

        assert at <= waits.deadline
        owes = waits.slot <= at
        credit = None if owes else credited(expression, zone, at, grace=grace, misses=misses, early=early)
        waits = credit or due(expression, zone, at, grace=grace, misses=misses)
        assert waits.slot == after

    assert waits.deadline == planned[8 + misses - 1] + grace * 1000


def test_a_schedule_that_has_ended_is_said_to_have() -> None:
    """systemd's calendar ends with the year 2199."""
    last = ms("2199-12-31T00:00:00Z")

    assert slots("daily", "UTC", last - 1, 3) == [last]
    assert due("daily", "UTC", last - 1, grace=1, misses=3) == Due(last, last + 1000)
    assert credited("daily", "UTC", last, grace=1, misses=1, early=60) is None
    with pytest.raises(BadSchedule, match="no slot any more"):
        due("daily", "UTC", last, grace=1)
