"""What can be done with heartbeats."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from console import answers, checks, targets, views
from console.errors import Ambiguous, Invalid, NotFound
from console.routing import Call, Made
from console.schemas import CountQuery, HeartbeatCreate, HeartbeatPatch, HeartbeatPut, HeartbeatQuery, Pause
from store import heartbeats, projects, records
from store.database import Database

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
        prefix=asked.prefix or "",
    )
    return answers.Heartbeats(heartbeats=await _all_shown(call, found), next_cursor=cursor)


async def counts(call: Call[CountQuery]) -> answers.Counts:
    """Count heartbeats by status, and those with a tag."""
    db, project, tag = call.context.db, call.principal.project, call.given.tag
    by_status = await heartbeats.count(db, project)
    tagged = None if tag is None else await heartbeats.count_tagged(db, tag, project)
    return answers.Counts(heartbeats=answers.HeartbeatCounts(**by_status), tagged=tagged)


async def get(call: Call[None]) -> answers.Heartbeat:
    """Read a heartbeat."""
    return await _shown(call, await heartbeats.get(call.context.db, call.id))


async def get_by_slug(call: Call[None]) -> answers.Heartbeat:
    """Read the heartbeat that has this slug."""
    found = await _with_slug(call)
    if found is None:
        raise NotFound("no heartbeat has this slug")
    return await _shown(call, found)


async def put(call: Call[HeartbeatPut]) -> answers.Heartbeat | Made:
    """Make the heartbeat with this slug, or change what is sent of it; what is so already is not written."""
    db, given = call.context.db, call.given
    if "slug" in given.model_fields_set and given.slug != call.id:
        raise Invalid("slug must be that of the path, or not be sent", field="slug")
    changes = given.model_dump(exclude_unset=True)
    await _check(call, changes)
    there = await _with_slug(call)
    if there is None:
        checks.schedule_can_be_kept(given.schedule, given.timezone)
        whole = {**given.model_dump(), "slug": call.id, "name": given.name or call.id}
        made = await projects.make(db, call.principal.project, records.Settings(**_stored(whole)))
        there = await heartbeats.get(db, made.heartbeat)
        if made.now:
            return Made(await _shown(call, there))
    changes = _stored(_with_schedule(changes, there.settings))
    if all(getattr(there.settings, name) == value for name, value in changes.items()):
        return await _shown(call, there)
    return await _shown(call, await heartbeats.edit(db, there.id, changes))


async def change(call: Call[HeartbeatPatch]) -> answers.Heartbeat:
    """Change what is sent, and nothing else."""
    changes = call.given.model_dump(exclude_unset=True)
    if not changes:
        return await get(Call(call.context, call.id, None, principal=call.principal))
    await _check(call, changes)
    if "schedule" in changes or "timezone" in changes:
        changes = _with_schedule(changes, (await heartbeats.get(call.context.db, call.id)).settings)
    return await _shown(call, await heartbeats.edit(call.context.db, call.id, _stored(changes)))


async def delete(call: Call[None]) -> None:
    """Delete a heartbeat; its open incident is closed."""
    await heartbeats.delete(call.context.db, call.id)


async def pause(call: Call[Pause]) -> answers.Heartbeat:
    """Pause: nothing alarms, pings are still answered. Pausing again only sets the new end."""
    until = await end_of_pause(call.context.db, call.given.for_, call.given.until)
    return await _shown(call, await heartbeats.pause(call.context.db, call.id, until))


async def resume(call: Call[None]) -> answers.Heartbeat:
    """End a pause: the clock starts anew. On anything that is not paused nothing changes."""
    return await _shown(call, await heartbeats.resume(call.context.db, call.id))


async def rotate(call: Call[None]) -> answers.Heartbeat:
    """Give a new ping URL; the old one ends within seconds."""
    return await _shown(call, await heartbeats.rotate(call.context.db, call.id))


async def end_of_pause(db: Database, seconds: int | None, until: int | None) -> int | None:
    """In ms; None = it has none, for neither was asked. Raises Invalid."""
    if seconds is None and until is None:
        return None
    now = await db.now()
    end = now + (seconds or 0) * 1000 if until is None else until
    if end <= now:
        raise Invalid("until must be in the future", field="until")
    return end


async def _with_slug(call: Call[Any]) -> records.Heartbeat | None:
    """The one whose slug the path names. Raises Ambiguous."""
    db = call.context.db
    (ids,) = await projects.with_slugs(db, [(call.principal.project, call.id)])
    if len(ids) > 1:
        raise Ambiguous(f"{len(ids)} heartbeats have this slug: give all but one another, or use an id")
    found = await heartbeats.get_many(db, ids)
    return found[0] if found else None


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


def _with_schedule(changes: Mapping[str, Any], was: records.Settings) -> dict[str, Any]:
    """Judged and written together, whatever others do meanwhile. Raises Invalid."""
    if "schedule" not in changes and "timezone" not in changes:
        return dict(changes)
    both = {"schedule": was.schedule, "timezone": was.timezone, **changes}
    checks.schedule_can_be_kept(both["schedule"], both["timezone"])
    return both


def _stored(changes: Mapping[str, Any]) -> dict[str, Any]:
    """In the store an empty text stands for none."""
    none = {name: "" for name in NULLABLE if name in changes and changes[name] is None}
    return {**changes, **none}
