"""Moments as the clock on a wall somewhere shows them, and back: what a form's fields for a day and a time hold."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rules.times import rfc3339
from rules.zones import moment


def zone_of(name: str) -> ZoneInfo:
    """UTC for what is no zone: its own field says so."""
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        return ZoneInfo("UTC")


def at(ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(ms // 1000, zone)


def shown(ms: int, zone: ZoneInfo) -> str:
    """``Thu 31 Jan 2030, 09:00``."""
    return f"{at(ms, zone):%a %-d %b %Y, %H:%M}"


def near(ms: int, zone: ZoneInfo, now: int) -> str:
    """``Thu 31 Jan, 09:00``; with its year if that is not the one of now."""
    there = at(ms, zone)
    is_this_year = there.year == at(now, zone).year
    return f"{there:%a %-d %b, %H:%M}" if is_this_year else shown(ms, zone)


def typed(ms: int | None, zone: ZoneInfo) -> str:
    """As a field for a day and a time holds it; "" for None."""
    return "" if ms is None else f"{at(ms, zone):%Y-%m-%dT%H:%M}"


def sent(text: str, zone: ZoneInfo, *, last: bool = False) -> str | None:
    """As the API takes it; None for an empty field. `last`: where the time comes twice, the second one.

    What is no such time goes on, and the API says what is wrong with it.
    """
    if not text.strip():
        return None
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError:
        return text
    if local.tzinfo is not None or not 1970 < local.year < 2199:  # what the calendar of the zone may not reckon
        return local.replace(tzinfo=local.tzinfo or UTC).isoformat()
    return rfc3339(moment(local.replace(microsecond=0), zone, last=last))
