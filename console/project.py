"""The project's ping key, with which heartbeats are pinged by their slugs."""

from console import answers
from console.routing import Call, Context
from store import projects
from store.keys import DEFAULT_PROJECT


async def get(call: Call[None]) -> answers.Project:
    """Read the project's ping key."""
    return _shown(call.context, await projects.ping_key(call.context.db))


async def rotate(call: Call[None]) -> answers.Project:
    """Give the project a new ping key; the old one ends within seconds, for all its heartbeats."""
    return _shown(call.context, await projects.rotate(call.context.db))


def _shown(context: Context, ping_key: str) -> answers.Project:
    return answers.Project(name=DEFAULT_PROJECT, ping_key=ping_key, ping_url=f"{context.public_url}/ping/{ping_key}")
