"""The zones that schedules are tried in, and the moments at which their clocks jump."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from rules import schedules

#: Where the clock jumps twice a year or more: by 30 minutes, by 2 hours, at midnight, in a zone's negative summer.
JUMPING: Final = (
    "Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "America/Adak", "America/Anchorage", "America/Chicago",
    "America/Havana", "America/Miquelon", "America/New_York", "America/Nuuk", "America/Port-au-Prince",
    "America/Santiago", "America/Scoresbysund", "America/St_Johns", "America/Tijuana", "Antarctica/Troll",
    "Asia/Beirut", "Asia/Famagusta", "Asia/Gaza", "Asia/Jerusalem", "Atlantic/Azores", "Atlantic/Bermuda",
    "Australia/Adelaide", "Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin", "Europe/Chisinau",
    "Europe/Dublin", "Europe/Kiev", "Europe/Lisbon", "Europe/London", "Pacific/Auckland", "Pacific/Chatham",
    "Pacific/Easter", "Pacific/Norfolk", "US/Pacific",
)  # fmt: skip
STEADY: Final = ("America/Phoenix", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Tokyo", "Etc/GMT+5", "UTC")
ZONES: Final = (*JUMPING, *STEADY)

YEAR: Final = range(
    int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())
)
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


def local(moment: int, zone: str) -> datetime:
    """What a clock on the wall shows; `moment` in seconds."""
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None)


@cache
def jumps(zone: str) -> list[int]:
    """The moments of 2027 that have another offset than the one before; no zone jumps but on the half hour."""
    half_hours = YEAR[:: HOUR // 2]
    offsets = [local(moment, zone) - local(moment, "UTC") for moment in half_hours]
    return [half_hours[i] for i in range(1, len(offsets)) if offsets[i] != offsets[i - 1]]


def around(zone: str) -> list[int]:
    """The moments worth looking at: the jumps, or a usual day where there are none."""
    return jumps(zone) or [YEAR[0] + 100 * DAY]


def test_there_are_forty_zones_and_the_odd_ones_are_among_them() -> None:
    sizes = {
        abs(local(jump, zone) - local(jump - MINUTE, zone) - timedelta(minutes=1))
        for zone in JUMPING
        for jump in jumps(zone)
    }

    assert len(set(ZONES)) >= 40
    assert all(len(jumps(zone)) >= 2 for zone in JUMPING)
    assert not any(jumps(zone) for zone in STEADY)
    assert sizes == {timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2)}


def test_every_zone_of_the_database_is_accepted() -> None:
    for zone in available_timezones() - {"localtime", "Factory"}:
        schedules.check("0 4 * * *", zone)
        schedules.check(f"04:00 {zone}", "UTC")
