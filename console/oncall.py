"""What can be done with on-call schedules, and whose turn it is."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from console import answers, checks, views
from console.errors import Invalid
from console.routing import Call
from console.schemas import DutyQuery, OnCallCreate, OnCallPatch, ShiftQuery
from rules import limits, oncall
from rules.oncall import OnCall
from store import plans

WEEKS_MS: Final = 28 * limits.DAY * 1000  # shown unless asked otherwise
YEAR_MS: Final = 366 * limits.DAY * 1000  # shown at once


async def create(call: Call[OnCallCreate]) -> answers.OnCall:
    """Make an on-call schedule."""
    given = call.given.model_dump()
    await _check(call, given)
    made = await plans.ONCALL.create(
        call.context.db, lambda drawn: OnCall.from_json(drawn, given), call.principal.project
    )
    return views.oncall(made)


async def page(call: Call[None]) -> answers.OnCalls:
    """List all on-call schedules in the order of their names."""
    found = (await plans.plan(call.context.db, call.principal.project)).schedules.values()
    return answers.OnCalls(oncall=tuple(views.oncall(schedule) for schedule in views.by_name(found)))


async def get(call: Call[None]) -> answers.OnCall:
    """Read an on-call schedule."""
    return views.oncall(await plans.ONCALL.get(call.context.db, call.id, call.principal.project))


async def change(call: Call[OnCallPatch]) -> answers.OnCall:
    """Change what is sent, and nothing else; turns are always counted from the start."""
    changes = call.given.sent()
    before = await plans.ONCALL.get(call.context.db, call.id, call.principal.project)
    await _check(call, changes)
    after = OnCall.from_json(call.id, {**asdict(before), **changes})
    await plans.ONCALL.put(call.context.db, call.id, after, call.principal.project)
    return views.oncall(after)


async def delete(call: Call[None]) -> None:
    """Delete an on-call schedule that no policy names."""
    plan = await plans.plan(call.context.db, call.principal.project)
    checks.unused("on-call schedule", checks.policies_with("schedules", call.id, plan))
    await plans.ONCALL.delete(call.context.db, call.id, call.principal.project)


async def on_duty(call: Call[DutyQuery]) -> answers.OnDuty:
    """Tell who is on call, now or at another time."""
    schedule = await plans.ONCALL.get(call.context.db, call.id, call.principal.project)
    at = await call.context.db.now() if call.given.at is None else call.given.at
    found = oncall.duty(schedule, at)
    person = (await plans.plan(call.context.db, call.principal.project)).people.get(found.person or "")
    return answers.OnDuty(person=views.person(person) if person else None, at=at, until=found.until)


async def shifts(call: Call[ShiftQuery]) -> answers.Shifts:
    """Show the shifts of some time, at most of a year."""
    schedule = await plans.ONCALL.get(call.context.db, call.id, call.principal.project)
    start = await call.context.db.now() if call.given.from_ is None else call.given.from_
    end = start + WEEKS_MS if call.given.until is None else call.given.until
    if not start < end <= start + YEAR_MS:
        raise Invalid("until must be after from, and at most 366 days", field="until")
    people = (await plans.plan(call.context.db, call.principal.project)).people
    return answers.Shifts(shifts=tuple(views.shift(shift, people) for shift in oncall.shifts(schedule, start, end)))


async def _check(call: Call[Any], changes: Mapping[str, Any]) -> None:
    if "timezone" in changes:
        checks.schedule_can_be_kept(None, changes["timezone"])
    if changes.get("people") or changes.get("overrides"):
        there = (await plans.plan(call.context.db, call.principal.project)).people
        checks.known("people", changes.get("people", ()), there, "person")
        stand_ins = (override["person"] for override in changes.get("overrides", ()))
        checks.known("overrides", stand_ins, there, "person")
