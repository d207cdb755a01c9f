"""What can be done with people: who can be told, and by which channels."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from console import answers, checks, views
from console.routing import Call
from console.schemas import PersonCreate, PersonPatch
from rules.oncall import Person
from store import channels, plans


async def create(call: Call[PersonCreate]) -> answers.Person:
    """Make a person."""
    given = call.given.model_dump()
    await _check(call, given)
    made = await plans.PEOPLE.create(
        call.context.db, lambda person: Person.from_json(person, given), call.principal.project
    )
    return views.person(made)


async def page(call: Call[None]) -> answers.People:
    """List all people in the order of their names."""
    found = (await plans.plan(call.context.db, call.principal.project)).people.values()
    return answers.People(people=tuple(views.person(person) for person in views.by_name(found)))


async def get(call: Call[None]) -> answers.Person:
    """Read a person."""
    return views.person(await plans.PEOPLE.get(call.context.db, call.id, call.principal.project))


async def change(call: Call[PersonPatch]) -> answers.Person:
    """Change what is sent, and nothing else."""
    changes = call.given.sent()
    before = await plans.PEOPLE.get(call.context.db, call.id, call.principal.project)
    await _check(call, changes)
    after = Person.from_json(call.id, {**asdict(before), **changes})
    await plans.PEOPLE.put(call.context.db, call.id, after, call.principal.project)
    return views.person(after)


async def delete(call: Call[None]) -> None:
    """Delete a person whom no on-call schedule and no policy names."""
    plan = await plans.plan(call.context.db, call.principal.project)
    users = [
        f'the on-call schedule "{schedule.name}"'
        for schedule in views.by_name(plan.schedules.values())
        if call.id in {*schedule.people, *(override.person for override in schedule.overrides)}
    ]
    users += checks.policies_with("people", call.id, plan)
    checks.unused("person", users)
    await plans.PEOPLE.delete(call.context.db, call.id, call.principal.project)


async def _check(call: Call[Any], changes: Mapping[str, Any]) -> None:
    if contacts := changes.get("contacts"):
        there = await channels.ids(call.context.db, call.principal.project)
        checks.known("contacts", (contact["channel"] for contact in contacts), there, "channel")
