"""Recurring windows where clocks jump: against every minute that a clock on the wall shows."""

from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.windows import Window, ends
from rules.zones import moment
from tests.rules.test_schedules import ms
from tests.rules.test_schedules_zones import DAY, MINUTE, ZONES, jumps, local

NEW_YEAR: Final = int(datetime.fromisoformat("2027-12-31T12:00Z").timestamp()) // MINUTE * MINUTE

times = st.times().map(lambda clock: clock.replace(minute=clock.minute // 5 * 5, second=0, microsecond=0))


def window(zone: str, start: str, end: str, *days: int) -> Window:
    return Window(id="0" * 12, name="Night", everything=True, start=start, end=end, days=days, timezone=zone)


@cache
def shown(zone: str, around: int) -> list[tuple[datetime, int]]:
    """What a clock shows at every minute of the nine days around."""
    minutes = range(around - 5 * DAY, around + 4 * DAY, MINUTE)
    return [(local(minute, zone), minute) for minute in minutes]


def named(zone: str, around: int, wanted: datetime, *, last: bool) -> int:
    """The first or last minute that shows this time, or the first that shows a later one, ms."""
    clocks = shown(zone, around)
    exact = [minute for clock, minute in clocks if clock == wanted]
    skipped = (minute for clock, minute in clocks if clock > wanted)
    return 1000 * ((max(exact) if last else min(exact)) if exact else next(skipped))


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data(), start=times, end=times, days=st.sets(st.integers(0, 6), min_size=1))
@settings(deadline=None, max_examples=20)
def test_a_window_holds_at_just_the_minutes_between_its_times_on_the_wall(
    zone: str, data: st.DataObject, start: time, end: time, days: set[int]
) -> None:
    jump = data.draw(st.sampled_from([*jumps(zone), NEW_YEAR]))
    today = local(jump, zone).date()
    near = today + timedelta(days=data.draw(st.integers(-1, 1)))
    nightly = window(zone, f"{start:%H:%M}", f"{end:%H:%M}", *days)
    spans = []
    for day in (near + timedelta(days=n) for n in (-2, -1, 0, 1)):
        if day.weekday() in days:
            last_day = day if end > start else day + timedelta(days=1)
            first = named(zone, jump, datetime.combine(day, start), last=False)
            spans.append((first, named(zone, jump, datetime.combine(last_day, end), last=True)))

    noon = named(zone, jump, datetime.combine(near, time(12)), last=False)
    asked = [at for span in spans for edge in span for at in (edge - 1, edge)]
    asked += range(noon - 43_200_000, noon + 43_200_000, 300_000)
    for at in asked:
        if abs(at - noon) <= 43_200_000:
            expected = max((until for first, until in spans if first <= at < until), default=None)
            assert ends(nightly, at) == expected, f"{nightly} at {at}"


@pytest.mark.parametrize(
    ("zone", "start", "end", "day", "edges"),
    [
        # the clock goes forward
        ("Europe/Berlin", "01:00", "04:00", 6, "2027-03-28T01:00+01:00 2027-03-28T04:00+02:00"),
        ("Europe/Berlin", "02:30", "04:00", 6, "2027-03-28T03:00+02:00 2027-03-28T04:00+02:00"),
        ("Europe/Berlin", "01:00", "02:30", 6, "2027-03-28T01:00+01:00 2027-03-28T03:00+02:00"),
        ("Europe/Berlin", "22:00", "02:30", 5, "2027-03-27T22:00+01:00 2027-03-28T03:00+02:00"),
        ("America/New_York", "02:15", "02:45", 0, "2027-03-15T02:15-04:00 2027-03-15T02:45-04:00"),
        ("Australia/Lord_Howe", "02:10", "03:00", 6, "2027-10-03T02:30+11:00 2027-10-03T03:00+11:00"),
        ("Africa/Casablanca", "01:00", "02:30", 6, "2027-03-14T01:00+00:00 2027-03-14T03:00+01:00"),
        ("America/Havana", "00:00", "02:00", 6, "2027-03-14T01:00-04:00 2027-03-14T02:00-04:00"),
        # the clock goes back
        ("Europe/Berlin", "01:00", "04:00", 6, "2027-10-31T01:00+02:00 2027-10-31T04:00+01:00"),
        ("Europe/Berlin", "02:30", "04:00", 6, "2027-10-31T02:30+02:00 2027-10-31T04:00+01:00"),
        ("Europe/Berlin", "02:15", "02:45", 6, "2027-10-31T02:15+02:00 2027-10-31T02:45+01:00"),
        ("Europe/Berlin", "22:00", "02:30", 5, "2027-10-30T22:00+02:00 2027-10-31T02:30+01:00"),
        ("America/New_York", "01:30", "01:30", 6, "2027-11-07T01:30-04:00 2027-11-08T01:30-05:00"),
        ("Australia/Lord_Howe", "01:45", "01:50", 6, "2027-04-04T01:45+11:00 2027-04-04T01:50+10:30"),
        ("Africa/Casablanca", "02:00", "02:30", 6, "2027-02-07T02:00+01:00 2027-02-07T02:30+00:00"),
        # the year's end, the leap day
        ("Europe/Berlin", "23:00", "01:00", 4, "2027-12-31T23:00+01:00 2028-01-01T01:00+01:00"),
        ("Europe/Berlin", "23:00", "01:00", 0, "2028-02-28T23:00+01:00 2028-02-29T01:00+01:00"),
        ("Europe/Berlin", "23:00", "01:00", 1, "2028-02-29T23:00+01:00 2028-03-01T01:00+01:00"),
    ],
)  # fmt: skip
def test_maintenance_lasts_rather_longer_than_shorter(zone: str, start: str, end: str, day: int, edges: str) -> None:
    first, until = edges.split()
    nightly = window(zone, start, end, day)
    first_ms, until_ms = ms(first), ms(until)

    assert date.fromisoformat(first[:10]).weekday() == day
    assert [ends(nightly, at) for at in (first_ms - 1, first_ms, until_ms - 1, until_ms)] == [
        None, until_ms, until_ms, None,
    ]  # fmt: skip


def test_where_an_occurrence_reaches_into_the_next_the_next_one_s_end_counts() -> None:
    """A whole day from 01:30 to 01:30, which comes twice on 7 November: both go on between the two."""
    daily = window("America/New_York", "01:30", "01:30", 5, 6)

    assert ends(daily, ms("2027-11-07T01:29-04:00")) == ms("2027-11-07T01:30-05:00")
    assert ends(daily, ms("2027-11-07T01:45-04:00")) == ms("2027-11-08T01:30-05:00")


def test_a_window_goes_on_while_the_clock_is_turned_back_to_the_day_before() -> None:
    """Newfoundland's used to go from 00:01 to 23:01, so Sunday had begun, and it was Saturday again."""
    sunday = window("America/St_Johns", "00:00", "02:00", 6)
    asked = ("2010-11-06T23:59-02:30", "2010-11-07T00:00-02:30", "2010-11-06T23:30-03:30", "2010-11-07T01:59-03:30")

    assert [ends(sunday, ms(at)) for at in asked] == [None, *[ms("2010-11-07T02:00-03:30")] * 3]


def test_a_window_that_the_clock_jumps_over_does_not_happen_that_day() -> None:
    skipped = window("Europe/Berlin", "02:15", "02:45", 6)

    assert not any(ends(skipped, at) for at in range(ms("2027-03-28T00:00Z"), ms("2027-03-28T03:00Z"), 60_000))


def test_the_jump_is_found_to_the_second() -> None:
    berlin, samoa = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")

    assert moment(datetime.fromisoformat("2027-03-28T02:00"), berlin) == ms("2027-03-28T01:00Z")
    assert moment(datetime.fromisoformat("2027-03-28T02:59:59"), berlin, last=True) == ms("2027-03-28T01:00Z")
    assert moment(datetime.fromisoformat("2027-03-28T03:00"), berlin) == ms("2027-03-28T01:00Z")
    assert moment(datetime.fromisoformat("2011-12-30T09:00"), samoa) == ms("2011-12-30T10:00Z")
