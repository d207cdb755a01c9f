"""What can be done with escalation policies: who is told after whom."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from console import answers, checks, views
from console.routing import Call
from console.schemas import PolicyCreate, PolicyPatch
from rules.policies import Policy
from store import channels, plans


async def create(call: Call[PolicyCreate]) -> answers.Policy:
    """Make an escalation policy."""
    given = call.given.model_dump()
    await _check(call, given)
    made = await plans.POLICIES.create(
        call.context.db, lambda policy: Policy.from_json(policy, given), call.principal.project
    )
    return views.policy(made)


async def page(call: Call[None]) -> answers.Policies:
    """List all escalation policies in the order of their names."""
    found = (await plans.plan(call.context.db, call.principal.project)).policies.values()
    return answers.Policies(policies=tuple(views.policy(policy) for policy in views.by_name(found)))


async def get(call: Call[None]) -> answers.Policy:
    """Read an escalation policy."""
    return views.policy(await plans.POLICIES.get(call.context.db, call.id, call.principal.project))


async def change(call: Call[PolicyPatch]) -> answers.Policy:
    """Change what is sent, and nothing else; open incidents go on with the changed one."""
    changes = call.given.sent()
    before = await plans.POLICIES.get(call.context.db, call.id, call.principal.project)
    await _check(call, changes)
    after = Policy.from_json(call.id, {**asdict(before), **changes})
    await plans.POLICIES.put(call.context.db, call.id, after, call.principal.project)
    return views.policy(after)


async def delete(call: Call[None]) -> None:
    """Delete an escalation policy; whoever names it tells its channels."""
    await plans.POLICIES.delete(call.context.db, call.id, call.principal.project)


async def _check(call: Call[Any], changes: Mapping[str, Any]) -> None:
    if not (steps := changes.get("steps")):
        return
    db, project = call.context.db, call.principal.project
    plan, there = await plans.plan(db, project), await channels.ids(db, project)
    for step in steps:
        checks.known("steps", step["channels"], there, "channel")
        checks.known("steps", step["people"], plan.people, "person")
        checks.known("steps", step["schedules"], plan.schedules, "on-call schedule")
