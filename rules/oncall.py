"""People, and who of them is on call.

The shifts of a schedule are counted in days of its time zone's calendar and handed over at one time of the wall clock,
so 09:00 stays 09:00 when that clock is turned. A shift has no length of its own: it ends where the next one begins, so
there is never nobody and never two. On the day that skips the time of the hand-over it is at the jump; where the time
comes twice, at the first.

Times are ms since the epoch, durations seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from rules.zones import moment

SHIFTS_MAX: Final = 1_000  # shown at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A channel that reaches a person. `wait`: seconds after the person was first told, of the first contact 0."""

    channel: str
    wait: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Told by one contact after the other, as long as nobody has acknowledged."""

    id: str
    name: str
    contacts: tuple[Contact, ...]

    @classmethod
    def from_json(cls, person: str, record: Mapping[str, Any]) -> "Person":
        """Raises KeyError or TypeError on a corrupt record."""
        contacts = tuple(Contact(channel=each["channel"], wait=each["wait"]) for each in record["contacts"])
        return cls(id=person, name=record["name"], contacts=contacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody stands in; `end_at` is no more part of it."""

    person: str
    start_at: int
    end_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCall:
    """`people`: ids, in the order of their turns. `days`: of a shift. `handover`: "HH:MM" in the time zone. `start`:
    "YYYY-MM-DD", the day of the first hand-over. `overrides`: in the order in which they were made; the latest wins.
    """

    id: str
    name: str
    timezone: str
    people: tuple[str, ...]
    days: int
    handover: str
    start: str
    overrides: tuple[Override, ...] = ()

    @classmethod
    def from_json(cls, schedule: str, record: Mapping[str, Any]) -> "OnCall":
        """Raises ValueError, KeyError or TypeError on a corrupt record."""
        read = cls(
            id=schedule,
            name=record["name"],
            timezone=record["timezone"],
            people=tuple(record["people"]),
            days=record["days"],
            handover=record["handover"],
            start=record["start"],
            overrides=tuple(
                Override(person=each["person"], start_at=each["start_at"], end_at=each["end_at"])
                for each in record["overrides"]
            ),
        )
        _handed_over(read, 1)  # it can be reckoned with
        return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Who is on call (None = nobody) and when that is asked anew (None = never: nothing is to come)."""

    person: str | None
    until: int | None


def on_call(schedule: OnCall, at_ms: int) -> str | None:
    """The person's id; None before the start, or with nobody in it. An override holds in any case."""
    return duty(schedule, at_ms).person


def duty(schedule: OnCall, at_ms: int) -> Duty:
    """Who is on call, and until when. A new shift is another duty, also of the same person."""
    later: list[int] = []  # where an override begins that goes before what is found
    for override in reversed(schedule.overrides):
        if override.start_at <= at_ms < override.end_at:
            return Duty(person=override.person, until=min([override.end_at, *later]))
        if override.start_at > at_ms:
            later.append(override.start_at)
    found = _rotation(schedule, at_ms)
    return Duty(person=found.person, until=min([*([] if found.until is None else [found.until]), *later], default=None))


def shifts(schedule: OnCall, from_ms: int, until_ms: int) -> list[tuple[int, int, str]]:
    """(start, end, person) between two moments, at most SHIFTS_MAX: the first and the last are cut off there."""
    found: list[tuple[int, int, str]] = []
    at: int | None = from_ms
    while at is not None and at < until_ms and len(found) < SHIFTS_MAX:
        now = duty(schedule, at)
        if now.person is not None:
            found.append((at, until_ms if now.until is None else min(now.until, until_ms), now.person))
        at = now.until
    return found


def _rotation(schedule: OnCall, at_ms: int) -> Duty:
    if not schedule.people:
        return Duty(person=None, until=None)
    if at_ms < (first := _handed_over(schedule, 0)):
        return Duty(person=None, until=first)
    today = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(schedule.timezone)).date()
    shift = max(0, (today - date.fromisoformat(schedule.start)).days // schedule.days - 1)
    while (until := _handed_over(schedule, shift + 1)) <= at_ms:
        shift += 1
    return Duty(person=schedule.people[shift % len(schedule.people)], until=until)


def _handed_over(schedule: OnCall, shift: int) -> int:
    """When a shift begins; never before the one in front of it."""
    day = date.fromisoformat(schedule.start) + timedelta(days=shift * schedule.days)
    return moment(datetime.combine(day, time.fromisoformat(schedule.handover)), ZoneInfo(schedule.timezone))
