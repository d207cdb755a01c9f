"""A heartbeat's event log, to read."""

from console import answers, views
from console.routing import Call
from console.schemas import EventQuery
from store import events


async def page(call: Call[EventQuery]) -> answers.Events:
    """List what happened to a heartbeat, the newest first; about the last 100 pings and changes are kept."""
    found, cursor = await events.page(call.context.db, call.id, limit=call.given.limit, cursor=call.given.cursor)
    return answers.Events(events=tuple(views.event(event) for event in found), next_cursor=cursor)


async def output(call: Call[None]) -> bytes:
    """Read what a job sent with a ping, byte by byte as it came."""
    return await events.output(call.context.db, call.id, call.part)
