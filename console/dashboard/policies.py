"""Escalation policies: the list, which reads each as a sentence, and the form with its steps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from console import answers, views
from console import policies as api
from console.dashboard import forms
from console.dashboard.forms import Form
from console.dashboard.page import Visit
from console.dashboard.people import channel_names
from console.dashboard.planned import Planned, Row
from console.dashboard.rows import rows_of, with_rows
from console.dashboard.words import typed
from console.routing import Call
from console.schemas import GivenStep, PolicyCreate, PolicyPatch
from rules import limits
from rules.times import duration
from store import plans

#: Whom a step tells, kind -> what a list of them is called. A form names one "<kind>:<id>".
KINDS: Final = {"channels": "Channels", "people": "People", "schedules": "Who is on call"}
TIMES: Final = {1: "once", 2: "twice"}

Names = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """One of the list."""

    policy: answers.Policy
    sentence: str


async def index(visit: Visit) -> Response:
    found = await api.page(Call(visit.context, "", None, principal=visit.visitor))
    names = await _names(visit)
    return visit.page("policies.html", policies=[Line(policy, sentence(policy, names)) for policy in found.policies])


def sentence(policy: answers.Policy, names: Names) -> str:
    """``At once: ops. 10 min later: who is on call in Nights. 5 min later all again, twice.``"""
    parts = []
    for number, step in enumerate(policy.steps):
        told = ", ".join(_called(kind, names[kind].get(id_)) for kind in KINDS for id_ in getattr(step, kind))
        parts.append(f"{_when(number, step.wait)}: {told}.")
    if policy.repeat:
        times = TIMES.get(policy.repeat, f"{policy.repeat} times")
        parts.append(f"{duration(policy.repeat_after)} later all again, {times}.")
    return " ".join(parts)


def form_of(policy: answers.Policy) -> Form:
    rows = [
        {
            "wait": [str(amount) if amount else ""],
            "wait_unit": [unit],
            "targets": [f"{kind}:{id_}" for kind in KINDS for id_ in getattr(step, kind)],
        }
        for step in policy.steps
        for amount, unit in [typed(step.wait) if step.wait else (0, "minutes")]
    ]
    amount, unit = typed(policy.repeat_after)
    repeat = {"repeat": [str(policy.repeat)], "repeat_after": [str(amount)], "repeat_after_unit": [unit]}
    return with_rows({"name": [policy.name], **repeat}, "steps", rows)


def raw_of(form: Form) -> dict[str, Any]:
    steps = [
        {
            "wait": forms.seconds(row, "wait") or 0,
            **{kind: _targets(forms.several(row, "targets"), kind) for kind in KINDS},
        }
        for row in rows_of(form, "steps")
    ]
    return {
        "name": forms.text(form, "name"),
        "steps": steps,
        "repeat": forms.number(form, "repeat"),
        "repeat_after": forms.seconds(form, "repeat_after"),
    }


def _when(number: int, wait: int) -> str:
    if not wait:
        return "At once" if number == 0 else "At the same time"
    return f"{'After ' if number == 0 else ''}{duration(wait)}{' later' if number else ''}"


def _called(kind: str, name: str | None) -> str:
    if name is None:
        return "somebody who was deleted"
    return f"who is on call in {name}" if kind == "schedules" else name


def _targets(chosen: Iterable[str], kind: str) -> list[str]:
    return [each.removeprefix(f"{kind}:") for each in chosen if each.startswith(f"{kind}:")]


def _blank(_: int) -> Form:
    amount, unit = typed(limits.REPEAT_AFTER_DEFAULT)
    return {"repeat": ["0"], "repeat_after": [str(amount)], "repeat_after_unit": [unit]}


async def _names(visit: Visit) -> Names:
    """Of all that a step can tell, kind -> id -> name, each in the order of the names."""
    plan = await plans.plan(visit.context.db, visit.visitor.project)
    return {
        "channels": await channel_names(visit),
        "people": {person.id: person.name for person in views.by_name(plan.people.values())},
        "schedules": {schedule.id: schedule.name for schedule in views.by_name(plan.schedules.values())},
    }


async def _around(visit: Visit, policy: answers.Policy | None, _: Form) -> dict[str, Any]:
    names = await _names(visit)
    return {
        "kinds": KINDS,
        "names": names,
        "called": {f"{kind}:{id_}": _called(kind, name) for kind in KINDS for id_, name in names[kind].items()},
        "sentence": sentence(policy, names) if policy else "",
    }


POLICIES: Final = Planned(
    path="/policies",
    word="policy",
    template="policy.html",
    loss="Heartbeats and fleets that name it tell their channels from then on.",
    api=api,
    creates=PolicyCreate,
    patches=PolicyPatch,
    rows={"steps": Row(part=GivenStep, main="targets")},
    blank=_blank,
    form_of=form_of,
    raw_of=raw_of,
    around=_around,
)
