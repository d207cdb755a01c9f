"""What can be done with maintenance windows, in which nobody is told."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from console import answers, checks, views
from console.errors import Invalid
from console.routing import Call, Context
from console.schemas import WindowCreate, WindowPatch
from rules.windows import Window
from store import fleets, heartbeats, plans


async def create(call: Call[WindowCreate]) -> answers.Window:
    """Make a maintenance window."""
    given = call.given.model_dump()
    await _check(call, given)
    record = await _whole(call.context, given)
    made = await plans.WINDOWS.create(
        call.context.db, lambda window: Window.from_json(window, record), call.principal.project
    )
    return views.window(made)


async def page(call: Call[None]) -> answers.Windows:
    """List all maintenance windows, also those that are over, in the order of their names."""
    found = (await plans.plan(call.context.db, call.principal.project)).windows
    return answers.Windows(windows=tuple(views.window(window) for window in views.by_name(found)))


async def get(call: Call[None]) -> answers.Window:
    """Read a maintenance window."""
    return views.window(await plans.WINDOWS.get(call.context.db, call.id, call.principal.project))


async def change(call: Call[WindowPatch]) -> answers.Window:
    """Change what is sent, and nothing else."""
    changes = call.given.sent()
    before = await plans.WINDOWS.get(call.context.db, call.id, call.principal.project)
    await _check(call, changes)
    after = Window.from_json(call.id, await _whole(call.context, {**asdict(before), **changes}))
    await plans.WINDOWS.put(call.context.db, call.id, after, call.principal.project)
    return views.window(after)


async def delete(call: Call[None]) -> None:
    """Delete a maintenance window, and so end it; what is still down is told within a minute."""
    await plans.WINDOWS.delete(call.context.db, call.id, call.principal.project)


async def _whole(context: Context, record: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are judged together, as they are stored."""
    if not (record["heartbeats"] or record["tags"] or record["everything"]):
        raise Invalid("send heartbeats, tags or everything: a window must be meant for somebody", field="heartbeats")
    recurring = [bool(record[field]) for field in ("days", "start", "end")]
    if not any(recurring):
        start_at = await context.db.now() if record["start_at"] is None else record["start_at"]
        if record["end_at"] is not None and record["end_at"] <= start_at:
            raise Invalid("until must be after from, which is now unless you send it", field="until")
        return {**record, "start_at": start_at, "start": "", "end": ""}
    if record["start_at"] is not None or record["end_at"] is not None:
        raise Invalid("send either from and until, or days, start and end, not both", field="days")
    if not all(recurring):
        raise Invalid("days, start and end belong together: send all three", field="days")
    return {**record, "days": sorted(record["days"])}


async def _check(call: Call[Any], changes: Mapping[str, Any]) -> None:
    if "timezone" in changes:
        checks.schedule_can_be_kept(None, changes["timezone"])
    if wanted := changes.get("heartbeats"):
        db, project = call.context.db, call.principal.project
        found = [*await heartbeats.get_many(db, wanted), *await fleets.get_many(db, wanted)]
        there = [each.id for each in found if each is not None and each.project == project]
        checks.known("heartbeats", wanted, there, "heartbeat or fleet")
