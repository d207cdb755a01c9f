"""What can be done with fleets and their members."""

from collections.abc import Mapping
from typing import Any

from console import answers, checks, targets, views
from console.errors import Invalid, NotFound
from console.routing import Call, Context
from console.schemas import FleetCreate, FleetPatch, FleetQuery, Forget, MemberQuery
from store import errors, fleets


async def create(call: Call[FleetCreate]) -> answers.Fleet:
    """Make a fleet; whoever pings its URL with a slug is a member of it."""
    given = call.given.model_dump()
    await _check(call, given)
    settings = fleets.FleetSettings(**_stored(given))
    return await _shown(call.context, await fleets.create(call.context.db, settings, call.principal.project))


async def page(call: Call[FleetQuery]) -> answers.Fleets:
    """List fleets in the order of their names."""
    db, project, asked = call.context.db, call.principal.project, call.given
    found, cursor = await fleets.page(db, project, limit=asked.limit, cursor=asked.cursor)
    shown = []
    for fleet in found:
        try:
            shown.append(await _shown(call.context, fleet))
        except errors.NotFound:  # deleted meanwhile
            continue
    return answers.Fleets(fleets=tuple(shown), next_cursor=cursor)


async def get(call: Call[None]) -> answers.Fleet:
    """Read a fleet, and how many of its members are up and down."""
    return await _shown(call.context, await fleets.get(call.context.db, call.id))


async def change(call: Call[FleetPatch]) -> answers.Fleet:
    """Change what is sent, and nothing else; no change alarms by itself."""
    changes = call.given.model_dump(exclude_unset=True)
    if not changes:
        return await get(Call(call.context, call.id, None, principal=call.principal))
    await _check(call, changes)
    return await _shown(call.context, await fleets.edit(call.context.db, call.id, _stored(changes)))


async def delete(call: Call[None]) -> None:
    """Delete a fleet with all its members; its open incident is closed."""
    await fleets.delete(call.context.db, call.id)


async def pause(call: Call[None]) -> answers.Fleet:
    """Pause: no member alarms, pings are still answered, an open incident is closed."""
    return await _shown(call.context, await fleets.pause(call.context.db, call.id))


async def resume(call: Call[None]) -> answers.Fleet:
    """End a pause: the clock of every member starts anew. On a fleet that is not paused nothing changes."""
    return await _shown(call.context, await fleets.resume(call.context.db, call.id))


async def rotate(call: Call[None]) -> answers.Fleet:
    """Give a new ping key; the old one ends within seconds, for all members."""
    return await _shown(call.context, await fleets.rotate(call.context.db, call.id))


async def forget(call: Call[Forget]) -> answers.Forgotten:
    """Forget the members that have been silent for so long; whoever pings again is a member again."""
    return answers.Forgotten(forgotten=await fleets.forget_silent(call.context.db, call.id, call.given.silent_for))


async def members(call: Call[MemberQuery]) -> answers.Members:
    """List members, of each shard the silent ones first; a page may come back short, with a cursor."""
    db, asked = call.context.db, call.given
    try:
        found, cursor = await fleets.members(db, call.id, status=asked.status, limit=asked.limit, cursor=asked.cursor)
    except fleets.BadCursor as error:
        raise Invalid(f"cursor {error}", field="cursor") from None
    return answers.Members(members=tuple(views.member(member) for member in found), next_cursor=cursor)


async def member(call: Call[None]) -> answers.Member:
    """Read a member."""
    found = await fleets.member(call.context.db, call.id, call.part)
    if found is None:
        raise NotFound("no such member")
    return views.member(found)


async def forget_member(call: Call[None]) -> None:
    """Forget a member, whatever its status; if it pings again it is a member again."""
    if not await fleets.forget(call.context.db, call.id, call.part):
        raise NotFound("no such member")


async def _shown(context: Context, fleet: fleets.Fleet) -> answers.Fleet:
    return views.fleet(fleet, await fleets.counts(context.db, fleet.id), context.public_url)


async def _check(call: Call[Any], changes: Mapping[str, Any]) -> None:
    checks.durability_can_be_had(call.context, changes.get("durability"))
    await targets.exist(call, changes)


def _stored(changes: Mapping[str, Any]) -> dict[str, Any]:
    """In the store an empty text stands for none."""
    return {**changes, **{name: "" for name in ("policy", "runbook_url") if name in changes and changes[name] is None}}
