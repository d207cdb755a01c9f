"""OnCalendar against systemd itself, which prints when a timer would elapse."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rules import schedules
from tests.rules.test_schedules_zones import DAY, HOUR, YEAR, ZONES, around, local

ELAPSE: Final = re.compile(r"(?:Next elapse|Iter\. #\d+): \w{3} (?P<date>\S+) (?P<time>\S+) UTC")
ITERATIONS: Final = 4

#: systemd 252 loses slots of these behind a jump within the hour and in a zone whose summer time is the standard one.
#: Nor are hours with steps tried (systemd issue 13745): it skips the rest of the day behind a jump, or gives up.
LOST: Final = {
    "Pacific/Chatham": {"02:59:59", "*:0/10", "0..3:0/15"},
    "Europe/Dublin": {"Sat,Sun *-*-* 01,02,03:30"},
}

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and "CI" not in os.environ, reason="systemd-analyze is not installed"
)


def elapses(expressions: list[str], zone: str, after: int) -> dict[str, list[int]]:
    """The next moments of each expression strictly after `after`, seconds. What systemd refuses is left out.

    The zone is written into each line: systemd then reckons every moment in a fresh process. In one process the
    answers for a repeated hour depend on what the C library was asked before.
    """
    base = datetime.fromtimestamp(after, UTC)
    ran = subprocess.run(
        ["systemd-analyze", "calendar", f"--iterations={ITERATIONS}", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC",
         *(f"{expression} {zone}" for expression in expressions)],
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": os.defpath}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    taken = [expression for expression in expressions if f"'{expression} {zone}'" not in ran.stderr]
    sections = ran.stdout.split("Normalized form:")[1:]
    return {
        expression: [
            int(datetime.fromisoformat(f"{found['date']}T{found['time']}+00:00").timestamp())
            for found in ELAPSE.finditer(section)
        ]
        for expression, section in zip(taken, sections, strict=True)
    }


def assert_same(expressions: list[str], zone: str, after: int) -> int:
    """How many were compared."""
    theirs = {
        expression: [first_reading(moment, zone) for moment in moments]
        for expression, moments in elapses(expressions, zone, after).items()
    }
    ours = {
        expression: [slot // 1000 for slot in schedules.slots(expression, zone, after * 1000, ITERATIONS)]
        for expression in theirs
    }

    assert (zone, ours) == (zone, theirs)
    return len(theirs)


def first_reading(moment: int, zone: str) -> int:
    """The first moment at which the wall shows the same: another one for those in the second run of a repeated hour.

    Systemd takes the second for a timer that comes from a moment with that offset: one started in the second run, and
    one whose last slot was in winter. Which it is then depends on the machine's past, and is no part of a schedule.
    """
    wall = local(moment, zone)
    return next((moment - size for size in (HOUR // 2, HOUR, 2 * HOUR) if local(moment - size, zone) == wall), moment)


OFTEN: Final = ("minutely", "hourly", "*:0/10", "*:30", "*:*:0/20", "0..3:0/15", "00..23:00", "*-*-* *:*:59")
DAILY: Final = (
    "daily", "weekly", "monthly", "quarterly", "00:00", "00:30", "01:00", "01:30", "01:45", "02:00", "02:15", "02:30",
    "02:59:59", "03:00", "22:30", "23:30", "Sun 02:30", "Mon..Fri 00:30", "Sat,Sun *-*-* 01,02,03:30",
    "*-*-01,15 02:00", "*-*~1 02:30", "*-02~03 04:05:06", "Mon *-05~07/1 04:00", "*-02-29",
)  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
def test_every_zone_agrees_with_systemd_at_every_jump(zone: str) -> None:
    for expressions, hours in ((OFTEN, 1), (DAILY, 30)):
        tried = [expression for expression in expressions if expression not in LOST.get(zone, ())]
        for jump in around(zone):
            assert assert_same(tried, zone, jump - hours * HOUR) == len(tried)


def numbers(low: int, high: int, *, steps: bool = True) -> st.SearchStrategy[str]:
    """A field. Its steps divide it: systemd 252 loses midnight's slot of `0/26` (systemd issue 22665)."""
    one = st.integers(low, high)
    span = st.lists(one, min_size=2, max_size=2, unique=True).map(sorted)
    step = st.sampled_from([divisor for divisor in range(2, high) if (high + 1) % divisor == 0])
    items = [one.map(str), span.map(lambda ends: f"{ends[0]}..{ends[1]}")]
    if steps:
        items.append(st.builds(lambda by: f"{low}/{by}", step))
    return st.one_of(st.just("*"), st.lists(st.one_of(items), min_size=1, max_size=3).map(",".join))


weekdays = st.sampled_from(["", "", "Mon ", "Sunday ", "Mon..Fri ", "Sat,Sun ", "Tue-Thu ", "mon,wed ", "Fri, "])
dates = st.one_of(
    st.sampled_from(["", "*-*-* ", "*-*~1 ", "*-*~3 ", "*-02-29 "]),
    st.builds("{}-{} ".format, numbers(1, 12, steps=False), numbers(1, 28, steps=False)),
    st.builds("*-{}-{} ".format, numbers(1, 12, steps=False), numbers(1, 31, steps=False)),
    st.builds("*-{}~{} ".format, numbers(1, 12, steps=False), st.integers(1, 28)),
)
times = st.one_of(
    st.builds("{}:{}".format, numbers(0, 23, steps=False), numbers(0, 59)),
    st.builds("{}:{}:{}".format, numbers(0, 23, steps=False), numbers(0, 59), numbers(0, 59)),
)
expressions = st.builds("{}{}{}".format, weekdays, dates, times)


@settings(max_examples=50, deadline=None)
@given(
    drawn=st.lists(expressions, min_size=8, max_size=8, unique=True),
    zone=st.sampled_from([zone for zone in ZONES if zone not in LOST]),
    data=st.data(),
)
def test_any_expression_agrees_with_systemd(drawn: list[str], zone: str, data: st.DataObject) -> None:
    jump = data.draw(st.sampled_from(around(zone)))
    after = data.draw(st.one_of(st.integers(jump - 3 * DAY, jump + 3 * DAY), st.integers(YEAR.start, YEAR.stop)))
    assume(first_reading(after, zone) == after)

    assert_same([expression for expression in drawn if is_accepted(expression)], zone, after)


def is_accepted(expression: str) -> bool:
    try:
        schedules.check(expression, "UTC")
    except schedules.BadSchedule:
        return False
    return True


def test_a_repeated_hour_passes_in_silence_wherever_one_starts_in_it() -> None:
    """As a timer does that has been running since before: the state of the C library is no part of a schedule."""
    jump = next(jump for jump in around("Europe/Berlin") if local(jump, "Europe/Berlin").hour == 2)
    over = (jump + HOUR) * 1000

    for expression in ("*:*:*", "minutely", "*:0/7", "02:30\n03:00"):
        for after in (jump * 1000 - 1, jump * 1000, jump * 1000 + 1, over - HOUR * 500, over - 1):
            assert schedules.slots(expression, "Europe/Berlin", after, 1) == [over]


@pytest.mark.parametrize("zone", ZONES)
def test_a_zone_in_the_line_goes_before_that_of_the_heartbeat(zone: str) -> None:
    for expression in ("02:30", "Mon..Fri *-*-* *:0/15", "daily"):
        in_line = schedules.slots(f"{expression} {zone}", "America/Havana", YEAR.start * 1000, 400)

        assert in_line == schedules.slots(expression, zone, YEAR.start * 1000, 400)


def test_each_line_may_have_a_zone_of_its_own() -> None:
    text = "Mon..Fri 09:00 Europe/Kiev\r\n\n 12:00 \n09:00 US/Pacific\n12:00 Asia/Tokyo"
    friday = int(datetime(2027, 2, 5, tzinfo=UTC).timestamp()) * 1000

    hours = [(slot - friday) / HOUR / 1000 for slot in schedules.slots(text, "America/Havana", friday, 6)]

    assert hours == [3, 7, 17, 27, 41, 51]  # noon in Havana is nine o'clock on the Pacific
