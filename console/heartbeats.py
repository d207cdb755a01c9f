"""What can be done with heartbeats."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from console import answers, checks, targets, views
from console.errors import Invalid
from console.routing import Call
from console.schemas import HeartbeatCreate, HeartbeatPatch, HeartbeatQuery, Pause
from store import heartbeats, projects, records

NULLABLE: Final = ("slug", "schedule", "policy", "runbook_url")  # texts that may be null


async def create(call: Call[HeartbeatCreate]) -> answers.Heartbeat:
    """Make a heartbeat; it is pending until its first ping."""
    given = call.given
    await _check(call, given.model_dump())
    checks.schedule_can_be_kept(given.schedule, given.timezone)
    settings = records.Settings(**_stored(given.model_dump()))
    return await _shown(call, await heartbeats.create(call.context.db, settings, call.principal.project))


async def page(call: Call[HeartbeatQuery]) -> answers.Heartbeats:
    """List heartbeats in the order of their names."""
    db, asked = call.context.db, call.given
    found, cursor = await heartbeats.page(
        db,
        project=call.principal.project,
        limit=asked.limit,
        cursor=asked.cursor,
        status=asked.status,
        tag=asked.tag,
    )
    return answers.Heartbeats(heartbeats=await _all_shown(call, found), next_cursor=cursor)


async def get(call: Call[None]) -> answers.Heartbeat:
    """Read a heartbeat."""
    return await _shown(call, await heartbeats.get(call.context.db, call.id))


async def change(call: Call[HeartbeatPatch]) -> answers.Heartbeat:
    """Change what is sent, and nothing else."""
    changes = call.given.model_dump(exclude_unset=True)
    if not changes:
        return await get(Call(call.context, call.id, None, principal=call.principal))
    await _check(call, changes)
    if "schedule" in changes or "timezone" in changes:  # judged and written together, whatever others do meanwhile
        was = (await heartbeats.get(call.context.db, call.id)).settings
        changes = {"schedule": was.schedule, "timezone": was.timezone, **changes}
        checks.schedule_can_be_kept(changes["schedule"], changes["timezone"])
    return await _shown(call, await heartbeats.edit(call.context.db, call.id, _stored(changes)))


async def delete(call: Call[None]) -> None:
    """Delete a heartbeat; its open incident is closed."""
    await heartbeats.delete(call.context.db, call.id)


async def pause(call: Call[Pause]) -> answers.Heartbeat:
    """Pause: nothing alarms, pings are still answered. Pausing again only sets the new end."""
    until = call.given.until
    if until is not None or call.given.for_ is not None:
        now = await call.context.db.now()
        until = now + (call.given.for_ or 0) * 1000 if until is None else until
        if until <= now:
            raise Invalid("until must be in the future", field="until")
    return await _shown(call, await heartbeats.pause(call.context.db, call.id, until))


async def resume(call: Call[None]) -> answers.Heartbeat:
    """End a pause: the clock starts anew. On anything that is not paused nothing changes."""
    return await _shown(call, await heartbeats.resume(call.context.db, call.id))


async def rotate(call: Call[None]) -> answers.Heartbeat:
    """Give a new ping URL; the old one ends within seconds."""
    return await _shown(call, await heartbeats.rotate(call.context.db, call.id))


async def _shown(call: Call[Any], heartbeat: records.Heartbeat) -> answers.Heartbeat:
    return (await _all_shown(call, [heartbeat]))[0]


async def _all_shown(call: Call[Any], found: Sequence[records.Heartbeat]) -> tuple[answers.Heartbeat, ...]:
    context = call.context
    now = await context.db.now()
    by_slug = any(heartbeat.settings.slug for heartbeat in found)
    ping_key = await projects.ping_key(context.db, call.principal.project) if by_slug else ""
    return tuple(views.heartbeat(heartbeat, now, context.public_url, ping_key) for heartbeat in found)


async def _check(call: Call[Any], changes: Mapping[str, Any]) -> None:
    checks.durability_can_be_had(call.context, changes.get("durability"))
    await targets.exist(call, changes)


def _stored(changes: Mapping[str, Any]) -> dict[str, Any]:
    """In the store an empty text stands for none."""
    none = {name: "" for name in NULLABLE if name in changes and changes[name] is None}
    return {**changes, **none}
