"""What can be done with heartbeats."""

from collections.abc import Sequence

from console import answers, views
from console.errors import Invalid
from console.routing import Call, Context
from console.schemas import HeartbeatCreate, HeartbeatPatch, HeartbeatQuery, Pause
from store import channels, heartbeats, records


async def create(call: Call[HeartbeatCreate]) -> answers.Heartbeat:
    """Make a heartbeat; it is pending until its first ping."""
    await _must_exist(call.context, call.given.channels)
    settings = records.Settings(**call.given.model_dump())
    return await _shown(call.context, await heartbeats.create(call.context.db, settings))


async def page(call: Call[HeartbeatQuery]) -> answers.Heartbeats:
    """List heartbeats in the order of their names."""
    db, asked = call.context.db, call.given
    found, cursor = await heartbeats.page(
        db, limit=asked.limit, cursor=asked.cursor, status=asked.status, tag=asked.tag
    )
    now = await db.now()
    shown = tuple(views.heartbeat(heartbeat, now, call.context.public_url) for heartbeat in found)
    return answers.Heartbeats(heartbeats=shown, next_cursor=cursor)


async def get(call: Call[None]) -> answers.Heartbeat:
    """Read a heartbeat."""
    return await _shown(call.context, await heartbeats.get(call.context.db, call.id))


async def change(call: Call[HeartbeatPatch]) -> answers.Heartbeat:
    """Change what is sent, and nothing else."""
    changes = call.given.model_dump(exclude_unset=True)
    if not changes:
        return await get(Call(call.context, call.id, None))
    await _must_exist(call.context, changes.get("channels"))
    return await _shown(call.context, await heartbeats.edit(call.context.db, call.id, changes))


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
    return await _shown(call.context, await heartbeats.pause(call.context.db, call.id, until))


async def resume(call: Call[None]) -> answers.Heartbeat:
    """End a pause: the clock starts anew. On anything that is not paused nothing changes."""
    return await _shown(call.context, await heartbeats.resume(call.context.db, call.id))


async def rotate(call: Call[None]) -> answers.Heartbeat:
    """Give a new ping URL; the old one ends within seconds."""
    return await _shown(call.context, await heartbeats.rotate(call.context.db, call.id))


async def _shown(context: Context, heartbeat: records.Heartbeat) -> answers.Heartbeat:
    return views.heartbeat(heartbeat, await context.db.now(), context.public_url)


async def _must_exist(context: Context, wanted: Sequence[str] | None) -> None:
    if not wanted:
        return
    known = {channel.id for channel in await channels.of_project(context.db)}
    for channel in wanted:
        if channel not in known:
            raise Invalid(f"channels names {channel}, and there is no such channel", field="channels")
