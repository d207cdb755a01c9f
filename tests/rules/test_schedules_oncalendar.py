"""OnCalendar against systemd itself, which prints when a timer would elapse."""

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import schedules
from tests.rules.test_schedules_zones import DAY, HOUR, MINUTE, YEAR, ZONES, around, local

ELAPSE: Final = re.compile(r"(?:Next elapse|Iter\. #\d+): \w{3} (?P<date>\S+) (?P<time>\S+) UTC")
ITERATIONS: Final = 8

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and "CI" not in os.environ, reason="systemd-analyze is not installed"
)


def elapses(expressions: list[str], after: int) -> dict[str, list[int]]:
    """The next moments of each expression strictly after `after`, seconds. Those that systemd refuses are left out."""
    base = datetime.fromtimestamp(after, UTC)
    ran = subprocess.run(
        ["systemd-analyze", "calendar", f"--iterations={ITERATIONS}", f"--base-time={base:%Y-%m-%d %H:%M:%S} UTC",
         *expressions],
        env={"TZ": "UTC", "LC_ALL": "C", "PATH": os.defpath}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    taken = [expression for expression in expressions if f"'{expression}'" not in ran.stderr]
    sections = ran.stdout.split("Normalized form:")[1:]
    return {
        expression: [
            int(datetime.fromisoformat(f"{found['date']}T{found['time']}+00:00").timestamp())
            for found in ELAPSE.finditer(section)
        ]
        for expression, section in zip(taken, sections, strict=True)
    }


def assert_same(expressions: list[str], after: int) -> int:
    """How many were compared."""
    theirs = elapses(expressions, after)
    ours = {
        expression: [slot // 1000 for slot in schedules.slots(expression, "UTC", after * 1000, ITERATIONS)]
        for expression in theirs
    }

    assert ours == theirs
    return len(theirs)


def is_repeated(moment: int, zone: str) -> bool:
    """In the second run of a repeated hour. A timer that is started there depends on what the C library did last."""
    wall = local(moment, zone)
    return any(local(moment - minutes * MINUTE, zone) == wall for minutes in (30, 60, 120))


@pytest.mark.parametrize(
    "expression",
    [
        "minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "*:0/10", "*:30", "*:*:0/20", "00:00", "00:30",
        "01:00", "01:30", "01:45", "02:00", "02:15", "02:30", "02:59:59", "03:00", "23:30", "02/4:30", "0..3:0/15",
        "Sun 02:30", "Mon..Fri 00:30", "Sat,Sun *-*-* 01,02,03:30", "*-*-01,15 02:00", "*-*~1 02:30", "*-02~03 04:05:06",
    ],
)  # fmt: skip
def test_every_zone_agrees_with_systemd_at_every_jump(expression: str) -> None:
    for ahead in (30 * HOUR, 4 * HOUR, 20 * MINUTE):
        for zone in ZONES:
            for jump in around(zone)[:2]:
                assert assert_same([f"{expression} {zone}"], jump - ahead) == 1


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
    st.builds("{}:{}".format, numbers(0, 23), numbers(0, 59)),
    st.builds("{}:{}:{}".format, numbers(0, 23), numbers(0, 59), numbers(0, 59)),
)
expressions = st.builds("{}{}{}".format, weekdays, dates, times)


@settings(max_examples=100, deadline=None)
@given(
    drawn=st.lists(st.tuples(expressions, st.sampled_from(ZONES)), min_size=10, max_size=10),
    near=st.sampled_from(ZONES),
    data=st.data(),
)
def test_any_expression_agrees_with_systemd(drawn: list[tuple[str, str]], near: str, data: st.DataObject) -> None:
    jump = data.draw(st.sampled_from(around(near)))
    after = data.draw(st.one_of(st.integers(jump - 3 * DAY, jump + 3 * DAY), st.integers(YEAR.start, YEAR.stop)))
    lines = {f"{expression} {zone}" for expression, zone in drawn if not is_repeated(after, zone)}

    assert_same([line for line in lines if _is_accepted(line)], after)


def _is_accepted(line: str) -> bool:
    try:
        schedules.check(line, "UTC")
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


def test_each_line_may_have_a_zone_of_its_own() -> None:
    text = "Mon..Fri 09:00 Europe/Kiev\r\n\n 12:00 \n09:00 US/Pacific\n12:00 Asia/Tokyo"
    start = datetime(2027, 2, 5, tzinfo=UTC)  # a Friday

    found = [datetime.fromtimestamp(slot / 1000, UTC) - start for slot in slots_from(text, start, 6)]

    assert found == [timedelta(hours=hours) for hours in (3, 7, 17, 20, 27, 41)]


def slots_from(text: str, start: datetime, count: int) -> list[int]:
    return schedules.slots(text, "America/Havana", int(start.timestamp() * 1000), count)
