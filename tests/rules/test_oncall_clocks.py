"""Hand-overs where clocks jump: against every minute that a clock on the wall shows."""

from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.oncall import OnCall, on_call, shifts
from tests.rules.test_schedules import ms
from tests.rules.test_schedules_zones import DAY, HOUR, MINUTE, ZONES, jumps, local

NEW_YEAR: Final = int(datetime.fromisoformat("2027-12-31T12:00Z").timestamp())

dates = st.dates(date(2026, 12, 20), date(2028, 1, 10))
times = st.times().map(lambda clock: clock.replace(minute=clock.minute // 5 * 5, second=0, microsecond=0))


def schedule(zone: str, start: str, handover: str, days: int = 1, people: int = 3) -> OnCall:
    return OnCall(
        id="0" * 12, name="Nights", timezone=zone, people=tuple("abcdefg"[:people]), days=days, handover=handover,
        start=start,
    )  # fmt: skip


def first_shown(zone: str, wanted: datetime) -> int:
    """The first moment at which a clock shows that time, or the first after it if it never does, ms."""
    middle = int(datetime.fromisoformat(f"{wanted.isoformat()}Z").timestamp())
    minutes = range(middle - 15 * HOUR, middle + 15 * HOUR, MINUTE)  # offsets are -12 to +14 hours
    shown = [(local(minute, zone), minute) for minute in minutes]
    exact = [minute for clock, minute in shown if clock == wanted]
    return 1000 * min(exact or [minute for clock, minute in shown if clock > wanted])


def moments(data: st.DataObject, zone: str) -> int:
    """A second near a jump or the year's end."""
    middle = data.draw(st.sampled_from([*jumps(zone), NEW_YEAR]))
    return middle + data.draw(st.integers(-2 * DAY, 2 * DAY))


@pytest.mark.parametrize("zone", ZONES)
@given(
    data=st.data(), handover=times, turns=st.tuples(st.sampled_from([1, 2, 7, 30, 366]), st.integers(1, 4)), start=dates
)
@settings(deadline=None, max_examples=20)
def test_shifts_tile_time_and_there_is_one_person_at_any_moment(
    zone: str, data: st.DataObject, handover: time, turns: tuple[int, int], start: date
) -> None:
    second = moments(data, zone)
    rotation = schedule(zone, start.isoformat(), f"{handover:%H:%M}", *turns)
    begins = first_shown(zone, datetime.combine(start, handover))
    from_ms, until_ms = (second - 3 * DAY) * 1000, (second + 3 * DAY) * 1000
    shown = shifts(rotation, from_ms, until_ms)

    assert on_call(rotation, begins - 1) is None
    assert on_call(rotation, begins) == "a"
    assert shown == [] or (shown[0][0], shown[-1][1]) == (max(from_ms, begins), until_ms)
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(shown))
    for at in (second * 1000 - 1, second * 1000, second * 1000 + 1):
        holders = [person for start, end, person in shown if start <= at < end]
        assert holders == ([on_call(rotation, at)] if at >= begins else [])


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data(), handover=times, days=st.sampled_from([1, 2, 7]))
@settings(deadline=None, max_examples=20)
def test_every_hand_over_is_when_the_clock_first_shows_that_time_or_jumps_over_it(
    zone: str, data: st.DataObject, handover: time, days: int
) -> None:
    today = local(moments(data, zone), zone).date()
    start = today - timedelta(days=days * 11)
    rotation = schedule(zone, start.isoformat(), f"{handover:%H:%M}", days)
    begins = [first_shown(zone, datetime.combine(today + timedelta(days=days * n), handover)) for n in (-1, 0, 1)]

    found = shifts(rotation, begins[0], begins[-1])

    assert found == [(begins[0], begins[1], "abc"[10 % 3]), (begins[1], begins[2], "abc"[11 % 3])]


@pytest.mark.parametrize(
    ("zone", "start", "handover", "hand_overs"),
    [
        ("Europe/Berlin", "2027-03-27", "09:00", ["2027-03-27T09:00+01:00", "2027-03-28T09:00+02:00"]),
        ("Europe/Berlin", "2027-03-27", "02:30", ["2027-03-27T02:30+01:00", "2027-03-28T03:00+02:00"]),
        ("Europe/Berlin", "2027-10-30", "09:00", ["2027-10-30T09:00+02:00", "2027-10-31T09:00+01:00"]),
        ("Europe/Berlin", "2027-10-30", "02:30", ["2027-10-30T02:30+02:00", "2027-10-31T02:30+02:00"]),
        ("America/New_York", "2027-03-13", "02:15", ["2027-03-13T02:15-05:00", "2027-03-14T03:00-04:00"]),
        ("America/New_York", "2027-11-06", "01:15", ["2027-11-06T01:15-04:00", "2027-11-07T01:15-04:00"]),
        ("Australia/Lord_Howe", "2027-10-02", "02:15", ["2027-10-02T02:15+10:30", "2027-10-03T02:30+11:00"]),
        ("Australia/Lord_Howe", "2027-04-03", "01:45", ["2027-04-03T01:45+11:00", "2027-04-04T01:45+11:00"]),
        ("Africa/Casablanca", "2027-02-06", "02:30", ["2027-02-06T02:30+01:00", "2027-02-07T02:30+01:00"]),
        ("Africa/Casablanca", "2027-03-13", "02:30", ["2027-03-13T02:30+00:00", "2027-03-14T03:00+01:00"]),
        ("America/Havana", "2027-03-13", "00:00", ["2027-03-13T00:00-05:00", "2027-03-14T01:00-04:00"]),
        ("Europe/Berlin", "2027-12-31", "00:00", ["2027-12-31T00:00+01:00", "2028-01-01T00:00+01:00"]),
        ("Europe/Berlin", "2028-02-28", "09:00", ["2028-02-28T09:00+01:00", "2028-02-29T09:00+01:00"]),
        ("Europe/Berlin", "2028-02-29", "09:00", ["2028-02-29T09:00+01:00", "2028-03-01T09:00+01:00"]),
        ("Pacific/Apia", "2011-12-29", "09:00", ["2011-12-29T09:00-10:00", "2011-12-31T00:00+14:00"]),
    ],
)
def test_a_hand_over_stays_at_its_local_time(zone: str, start: str, handover: str, hand_overs: list[str]) -> None:
    rotation = schedule(zone, start, handover)
    first, second = (ms(text) for text in hand_overs)

    assert [on_call(rotation, at) for at in (first - 1, first, second - 1, second)] == [None, "a", "a", "b"]


def test_a_day_that_a_zone_left_out_is_a_shift_that_ends_where_the_next_begins() -> None:
    """Samoa had no 30 December 2011; who had that day's turn is on call until 09:00 of the 31st."""
    rotation = schedule("Pacific/Apia", "2011-12-29", "09:00")
    found = shifts(rotation, ms("2011-12-29T09:00-10:00"), ms("2012-01-01T09:00+14:00"))

    assert [person for _, _, person in found] == ["a", "b", "c"]
    assert found[1][1] == ms("2011-12-31T09:00+14:00")


def test_a_year_of_weeks_is_fifty_two_and_each_hand_over_is_on_a_monday_at_nine() -> None:
    rotation = schedule("Europe/Berlin", "2027-01-04", "09:00", days=7)
    found = shifts(rotation, ms("2027-01-04T09:00+01:00"), ms("2028-01-03T09:00+01:00"))

    assert len(found) == 52
    assert {f"{local(start // 1000, 'Europe/Berlin'):%a %H:%M}" for start, _, _ in found} == {"Mon 09:00"}
