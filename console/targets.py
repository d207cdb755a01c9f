"""Whom a heartbeat or a fleet names to be told: channels and a policy of its own project."""

from collections.abc import Mapping
from typing import Any

from console import checks
from console.routing import Call
from store import channels, plans


async def exist(call: Call[Any], changes: Mapping[str, Any]) -> None:
    """Raises Invalid."""
    db, project = call.context.db, call.principal.project
    if wanted := changes.get("channels"):
        checks.known("channels", wanted, await channels.ids(db, project), "channel")
    if policy := changes.get("policy"):
        checks.known("policy", [policy], (await plans.plan(db, project)).policies, "escalation policy")
