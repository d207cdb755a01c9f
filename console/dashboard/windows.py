"""Maintenance windows: the list, which says when it is quiet, and the form."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from math import inf
from typing import Any, Final

from starlette.responses import Response

from console import answers, views
from console import windows as api
from console.dashboard import forms, local
from console.dashboard.forms import Form
from console.dashboard.page import Visit, is_id
from console.dashboard.planned import Planned
from console.schemas import WindowCreate, WindowPatch
from rules import limits
from rules.windows import Window, ends
from rules.zones import moment
from store import fleets, heartbeats, plans

FOUND: Final = 20  # heartbeats and fleets offered of those whose names begin as was typed
FLEETS: Final = 500  # that are looked through for them
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SENT_DAYS: Final = frozenset("0123456")  # as a form sends them
LOOKED_AHEAD: Final = 16  # days: a weekly window whose time is skipped by a clock comes a week later


@dataclass(frozen=True, slots=True)
class Line:
    """One of the list. `until`: of the quiet that is now, None = until it is deleted. `next_at`: when it comes."""

    window: Window
    when: str
    whom: str
    is_now: bool
    until: int | None
    next_at: int | None


async def index(visit: Visit) -> Response:
    now = await visit.context.db.now()
    found = views.by_name((await plans.plan(visit.context.db, visit.visitor.project)).windows)
    return visit.page("windows.html", lines=[line(window, now) for window in found], now=now)


def line(window: Window, now: int) -> Line:
    end = ends(window, now)
    until = None if end is None or end == inf else int(end)
    return Line(window, when(window), whom(window), end is not None, until, next_start(window, now))


def next_start(window: Window, now: int) -> int | None:
    """When it is quiet next; None = not any more."""
    if not window.days:
        return window.start_at if window.start_at is not None and window.start_at > now else None
    zone = local.zone_of(window.timezone)
    today = local.at(now, zone).date()
    days = (today + timedelta(days=day) for day in range(-1, LOOKED_AHEAD))
    starts = (
        moment(datetime.combine(day, time.fromisoformat(window.start)), zone)
        for day in days
        if day.weekday() in window.days
    )
    return next((start for start in starts if start > now and ends(window, start) is not None), None)


def when(window: Window) -> str:
    """``Mon to Fri, 22:00 to 02:00 on the next day, Europe/Berlin``."""
    zone = local.zone_of(window.timezone)
    if window.days:
        over = " on the next day" if window.end <= window.start else ""
        return f"{_days(window.days)}, {window.start} to {window.end}{over}, {window.timezone}"
    start = "" if window.start_at is None else f"From {local.shown(window.start_at, zone)} "
    if window.end_at is None:
        return f"{start}until it is deleted, {window.timezone}"
    return f"{start}to {local.shown(window.end_at, zone)}, {window.timezone}"


def whom(window: Window) -> str:
    if window.everything:
        return "Everything"
    parts = [f"{len(window.heartbeats)} by name"] if window.heartbeats else []
    return ", ".join([*parts, *(f"tag {tag}" for tag in window.tags)])


def form_of(window: answers.Window) -> Form:
    zone = local.zone_of(window.timezone)
    return {
        "name": [window.name],
        "meant": ["everything" if window.everything else "some"],
        "heartbeats": list(window.heartbeats),
        "tags": [", ".join(window.tags)],
        "kind": ["weekly" if window.days else "once"],
        "from": [local.typed(window.from_, zone)],
        "until": [local.typed(window.until, zone)],
        "days": [str(day) for day in window.days],
        "start": [window.start or ""],
        "end": [window.end or ""],
        "timezone": [window.timezone],
    }


def raw_of(form: Form) -> dict[str, Any]:
    """The fields of the other kind are not sent, though the form holds them."""
    zone, is_weekly = local.zone_of(forms.text(form, "timezone")), forms.text(form, "kind") == "weekly"
    return {
        "name": forms.text(form, "name"),
        "everything": forms.text(form, "meant") == "everything",
        "heartbeats": forms.several(form, "heartbeats"),
        "tags": forms.words(form, "tags"),
        "from": None if is_weekly else local.sent(forms.text(form, "from"), zone),
        "until": None if is_weekly else local.sent(forms.text(form, "until"), zone, last=True),
        "days": [int(day) for day in forms.several(form, "days") if day in SENT_DAYS] if is_weekly else [],
        "start": forms.text(form, "start") if is_weekly else None,
        "end": forms.text(form, "end") if is_weekly else None,
        "timezone": forms.text(form, "timezone"),
    }


def _days(days: tuple[int, ...]) -> str:
    """``every day``, ``Mon to Fri``, ``Mon, Thu``."""
    if len(days) == len(DAYS):
        return "Every day"
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{DAYS[days[0]]} to {DAYS[days[-1]]}"
    return ", ".join(DAYS[day] for day in days)


async def _around(visit: Visit, window: answers.Window | None, form: Form) -> dict[str, Any]:
    """The names of what it covers, and what can be added to it."""
    db, project = visit.context.db, visit.visitor.project
    chosen = [id_ for id_ in forms.several(form, "heartbeats") if is_id(id_)][: limits.COVERED_MAX]
    watched, grouped = await heartbeats.get_many(db, chosen), await fleets.get_many(db, chosen)
    covered = {each.id: each.settings.name for each in watched if each is not None and each.project == project}
    covered |= {each.id: each.settings.name for each in grouped if each is not None and each.project == project}
    return {
        "days": DAYS,
        "covered": covered,
        "offered": await _offered(visit, forms.text(form, "q"), covered),
        "line": await _line(visit, window.id) if window else None,
    }


async def _line(visit: Visit, id_: str) -> Line:
    return line(await plans.WINDOWS.get(visit.context.db, id_, visit.visitor.project), await visit.context.db.now())


async def _offered(visit: Visit, prefix: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """Names that begin so, by id, without those that are chosen already."""
    prefix = limits.clean(prefix)[: limits.NAME_MAX]
    if not prefix:
        return {}
    db, project = visit.context.db, visit.visitor.project
    watched, _ = await heartbeats.page(db, project=project, prefix=prefix, limit=FOUND)
    grouped, _ = await fleets.page(db, project, limit=FLEETS)
    begins = [fleet for fleet in grouped if fleet.settings.name.casefold().startswith(prefix.casefold())]
    names = {each.id: each.settings.name for each in watched}
    names |= {each.id: each.settings.name for each in begins[:FOUND]}
    return {id_: name for id_, name in names.items() if id_ not in chosen}


def _blank(_: int) -> Form:
    return {"meant": ["some"], "kind": ["once"], "start": ["22:00"], "end": ["02:00"], "timezone": ["UTC"]}


WINDOWS: Final = Planned(
    path="/windows",
    word="maintenance window",
    template="window.html",
    loss="It ends with that. What is still down is told within a minute.",
    api=api,
    creates=WindowCreate,
    patches=WindowPatch,
    rows={},
    blank=_blank,
    form_of=form_of,
    raw_of=raw_of,
    around=_around,
)
