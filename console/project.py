"""The project's ping key, with which heartbeats are pinged by their slugs."""

from console import answers
from console.routing import Call
from store import members, projects


async def get(call: Call[None]) -> answers.Project:
    """Read the project's ping key."""
    return await _shown(call, await projects.ping_key(call.context.db, call.principal.project))


async def rotate(call: Call[None]) -> answers.Project:
    """Give the project a new ping key; the old one ends within seconds, for all its heartbeats."""
    return await _shown(call, await projects.rotate(call.context.db, call.principal.project))


async def _shown(call: Call[None], ping_key: str) -> answers.Project:
    named = await members.project(call.context.db, call.principal.project)
    ping_url = f"{call.context.public_url}/ping/{ping_key}"
    return answers.Project(name=named.name, ping_key=ping_key, ping_url=ping_url)
