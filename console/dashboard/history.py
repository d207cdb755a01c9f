"""What lately happened to a heartbeat: as a strip of marks in the list, and as rows of its page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from console.dashboard.words import KINDS, took
from store.events import Event

MARKS: Final = 30  # in a strip
ROWS: Final = 45  # read for a strip: starts and edits show nothing
STEP: Final = 5  # of the strip's units from mark to mark

#: Kind of a row -> how it is marked. A run's start shows nothing: its end does.
MARKED: Final = {
    "success": "good", "fail": "bad", "log": "note", "ignored": "note", "down": "flat", "overrun": "bad",
    "excused": "unknown", "unknown": "unknown", "paused": "rest",
}  # fmt: skip
#: Top and height of a mark in a strip that is 22 high: a healthy heart beats, a silent one is a flat line.
SIZES: Final = {
    "good": (4, 14), "bad": (0, 22), "note": (9, 4), "flat": (18, 4), "unknown": (7, 8), "rest": (10, 2)
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    look: str
    x: float
    y: int
    width: float
    height: int


@dataclass(frozen=True, slots=True)
class Strip:
    """`text`: what a screen reader says instead."""

    marks: tuple[Mark, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the timeline. `look` as in a strip; `detail`: what else there is to say, in words."""

    event: Event
    look: str
    title: str
    detail: str


def strip(events: Sequence[Event]) -> Strip:
    """`events`: the newest first, as the store has them; the strip ends with the newest."""
    looks = [MARKED[event.kind] for event in events if event.kind in MARKED][:MARKS][::-1]
    first = MARKS - len(looks)
    marks = tuple(_mark(look, (first + place) * STEP) for place, look in enumerate(looks))
    if not marks:
        return Strip((), "no pings yet")
    good, bad, silent = (looks.count(look) for look in ("good", "bad", "flat"))
    parts = [f"{good} good"] + [f"{count} {word}" for count, word in ((bad, "failed"), (silent, "alarms")) if count]
    return Strip(marks, f"last {len(marks)}: {', '.join(parts)}")


def timeline(events: Sequence[Event]) -> list[Line]:
    """The newest first. The start of a run that has ended stands in the line of its end."""
    ended: set[str] = set()
    lines = []
    for event in events:
        if event.kind == "start" and event.run in ended:
            ended.discard(event.run)
            continue
        if event.kind in {"success", "fail"} and event.duration_ms is not None:
            ended.add(event.run)
        lines.append(_line(event))
    return lines


def _line(event: Event) -> Line:
    details = [
        f"exit status {event.exit_status}" if event.exit_status else "",
        f"took {took(event.duration_ms)}" if event.duration_ms is not None else "",
        f"run {event.run}" if event.run and event.duration_ms is None else "",
        {"silence": "no ping came in time", "overrun": "a run did not finish in time",
         "failure": "the job reported a failure"}.get(event.cause, ""),
        event.client,
        event.user_agent,
    ]  # fmt: skip
    look = MARKED.get(event.kind, "plain")
    return Line(event, look, KINDS.get(event.kind, event.kind), " · ".join(filter(None, details)))


def durations(events: Sequence[Event]) -> list[list[float]]:
    """For the chart: seconds since the epoch, and seconds that the run took; the oldest first."""
    ended = [event for event in reversed(events) if event.duration_ms is not None]
    return [[event.at / 1000 for event in ended], [(event.duration_ms or 0) / 1000 for event in ended]]


def _mark(look: str, at: int) -> Mark:
    top, height = SIZES[look]
    wide = look in {"flat", "rest"}  # so that neighbours join to a line
    return Mark(look, at, top, STEP if wide else 3, height)
