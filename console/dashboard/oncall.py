"""On-call schedules: who is on call everywhere now, the coming shifts of one, its rotation and its overrides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from console import answers, views
from console import oncall as api
from console import people as people_api
from console.dashboard import forms, local, shifts
from console.dashboard.forms import Form, judged
from console.dashboard.page import Visit
from console.dashboard.people import channel_names
from console.dashboard.planned import Planned, Row, needed
from console.dashboard.rows import rows_of, with_rows
from console.errors import Invalid
from console.reading import checked
from console.routing import Call
from console.schemas import DutyQuery, GivenOverride, OnCallCreate, OnCallPatch, ShiftQuery
from rules import oncall
from rules.times import rfc3339
from store import plans

#: Usual lengths of a shift, in days.
LENGTHS: Final = {"day": 1, "week": 7}
FIRST: Final = 8  # shifts of the table that are seen at once


@dataclass(frozen=True, slots=True)
class Turn:
    """A schedule, who has it now (None = nobody) and who then. `until` None: nothing will change."""

    id: str
    name: str
    timezone: str
    who: str | None
    until: int | None
    until_text: str
    then: str | None


@dataclass(frozen=True, slots=True)
class StandIn:
    """An override: as the API takes it, and as the page shows it."""

    sent: Mapping[str, str]
    who: str
    starts: str
    ends: str
    is_over: bool


async def index(visit: Visit) -> Response:
    """Whose turn it is in each schedule, and the people."""
    now = await visit.context.db.now()
    plan = await plans.plan(visit.context.db, visit.visitor.project)
    people = await people_api.page(Call(visit.context, "", None, principal=visit.visitor))
    names = {person.id: person.name for person in people.people}
    return visit.page(
        "oncalls.html",
        turns=[_turn(schedule, names, now) for schedule in views.by_name(plan.schedules.values())],
        people=people.people,
        channels=await channel_names(visit),
        now=now,
    )


async def stand_in(visit: Visit) -> Response:
    """Adds an override."""
    found: answers.OnCall = await ONCALL.found(visit)
    zone = local.zone_of(found.timezone)
    raw = {
        "person": visit.field("person"),
        "from": local.sent(visit.field("from"), zone) or "",
        "until": local.sent(visit.field("until"), zone, last=True) or "",
    }
    faults = _override_faults(raw)
    if not faults:
        try:
            return await _with_overrides(visit, found, [*_overrides(found), raw])
        except Invalid as error:
            faults = {"overrides": str(error)}
    return await ONCALL.page(visit, found, {**ONCALL.form_of(found), **visit.form}, faults, 422)


async def stand_down(visit: Visit) -> Response:
    """Takes one override out, named by all that it is: others may have changed the list meanwhile."""
    found: answers.OnCall = await ONCALL.found(visit)
    named = {name: visit.field(name) for name in ("person", "from", "until")}
    kept = [override for override in _overrides(found) if override != named]
    return await _with_overrides(visit, found, kept)


def form_of(schedule: answers.OnCall) -> Form:
    length = next((name for name, days in LENGTHS.items() if days == schedule.days), "other")
    form = {
        "name": [schedule.name],
        "timezone": [schedule.timezone],
        "length": [length],
        "days": [str(schedule.days)],
        "handover": [schedule.handover],
        "start": [schedule.start],
    }
    return with_rows(form, "people", [{"person": [person]} for person in schedule.people])


def raw_of(form: Form) -> dict[str, Any]:
    return {
        "name": forms.text(form, "name"),
        "timezone": forms.text(form, "timezone"),
        "people": [forms.text(row, "person") for row in rows_of(form, "people")],
        "days": LENGTHS.get(forms.text(form, "length")) or forms.number(form, "days"),
        "handover": forms.text(form, "handover"),
        "start": forms.text(form, "start"),
    }


def _turn(schedule: oncall.OnCall, names: Mapping[str, str], now: int) -> Turn:
    found = oncall.duty(schedule, now)
    then = None if found.until is None else names.get(oncall.on_call(schedule, found.until) or "")
    until_text = "" if found.until is None else local.near(found.until, local.zone_of(schedule.timezone), now)
    who = names.get(found.person or "")
    return Turn(schedule.id, schedule.name, schedule.timezone, who, found.until, until_text, then)


def _override_faults(raw: Mapping[str, str]) -> dict[str, str]:
    """By field."""
    _, faults = judged(GivenOverride, raw)
    return {field or "until": fault for field, fault in needed(faults, raw).items()}


def _overrides(schedule: answers.OnCall) -> list[dict[str, str]]:
    """As the API takes them."""
    return [
        {"person": each.person, "from": rfc3339(each.from_), "until": rfc3339(each.until)}
        for each in schedule.overrides
    ]


async def _with_overrides(visit: Visit, schedule: answers.OnCall, overrides: list[dict[str, str]]) -> Response:
    given = checked(OnCallPatch, {"overrides": overrides})
    await api.change(Call(visit.context, schedule.id, given, principal=visit.visitor))
    return visit.go(f"{ONCALL.path}/{schedule.id}")


def _blank(now: int) -> Form:
    return {
        "timezone": ["UTC"],
        "length": ["week"],
        "days": ["14"],
        "handover": ["09:00"],
        "start": [f"{local.at(now, local.zone_of('UTC')):%Y-%m-%d}"],
    }


async def _around(visit: Visit, schedule: answers.OnCall | None, _: Form) -> dict[str, Any]:
    now, plan = await visit.context.db.now(), await plans.plan(visit.context.db, visit.visitor.project)
    people = {person.id: person.name for person in views.by_name(plan.people.values())}
    if schedule is None:
        return {"people": people, "drawing": None, "overrides": ()}
    zone = local.zone_of(schedule.timezone)
    overrides = [
        StandIn(
            sent,
            people.get(each.person, "somebody who was deleted"),
            local.near(each.from_, zone, now),
            local.near(each.until, zone, now),
            is_over=each.until <= now,
        )
        for sent, each in zip(_overrides(schedule), schedule.overrides, strict=True)
    ]
    return {
        "people": people,
        "turn": _turn(plan.schedules[schedule.id], people, now),
        "drawing": await _drawing(visit, schedule, now),
        "first": FIRST,
        "overrides": overrides,
    }


async def _drawing(visit: Visit, schedule: answers.OnCall, now: int) -> shifts.Drawing:
    zone = local.zone_of(schedule.timezone)
    asked = checked(ShiftQuery, {"from": rfc3339(now), "until": rfc3339(shifts.end_of(now, zone))})
    found = (await api.shifts(Call(visit.context, schedule.id, asked, principal=visit.visitor))).shifts
    last = checked(DutyQuery, {"at": rfc3339(shifts.end_of(now, zone) - 1)})
    duty = await api.on_duty(Call(visit.context, schedule.id, last, principal=visit.visitor))
    return shifts.drawn(found, now, duty.until, zone)


ONCALL: Final = Planned(
    path="/oncall",
    word="on-call schedule",
    template="oncall.html",
    loss="Its turns and overrides go with it. This cannot be undone.",
    api=api,
    creates=OnCallCreate,
    patches=OnCallPatch,
    rows={"people": Row(part=None, main="person")},
    blank=_blank,
    form_of=form_of,
    raw_of=raw_of,
    around=_around,
    stays=True,
)
