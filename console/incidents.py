"""Incidents and deliveries, to read."""

from collections.abc import Sequence

from console import answers, views
from console.errors import Invalid, NotFound
from console.routing import Call, Context
from console.schemas import DeliveryQuery, IncidentQuery
from store import deliveries, fleets, heartbeats, incidents, records


async def page(call: Call[IncidentQuery]) -> answers.Incidents:
    """List incidents: the open ones, then the resolved ones, the newest first."""
    db, asked = call.context.db, call.given
    try:
        found, cursor = await incidents.page(db, status=asked.status, limit=asked.limit, cursor=asked.cursor)
    except ValueError:  # it comes from a list with another status
        raise Invalid("cursor must be the next_cursor of another page of this list", field="cursor") from None
    return answers.Incidents(incidents=await _shown(call.context, found), next_cursor=cursor)


async def get(call: Call[None]) -> answers.IncidentDetails:
    """Read an incident and what each channel was told about it."""
    db = call.context.db
    incident = await incidents.get(db, call.id)
    if incident.status == "test":
        raise NotFound("no such incident")
    (shown,) = await _shown(call.context, [incident])
    told = await deliveries.of_incident(db, incident.id, incident.channels)
    return answers.IncidentDetails(**dict(shown), deliveries=tuple(views.delivery(delivery) for delivery in told))


async def get_delivery(call: Call[None]) -> answers.Delivery:
    """Read a delivery."""
    return views.delivery(await deliveries.get(call.context.db, call.id))


async def dead_letters(call: Call[DeliveryQuery]) -> answers.Deliveries:
    """List dead letters: deliveries that were given up, the newest first."""
    found = await deliveries.dead(call.context.db, limit=call.given.limit)
    return answers.Deliveries(deliveries=tuple(views.delivery(delivery) for delivery in found))


async def _shown(context: Context, found: Sequence[records.Incident]) -> tuple[answers.Incident, ...]:
    """With the names of whose they are, also of those that were deleted."""
    of_fleets = [incident.heartbeat for incident in found if incident.fleet]
    others = [incident.heartbeat for incident in found if not incident.fleet]
    whose: dict[str, records.Heartbeat | fleets.Fleet | None] = {}
    whose.update(zip(of_fleets, await fleets.get_many(context.db, of_fleets, deleted=True), strict=True))
    whose.update(zip(others, await heartbeats.get_many(context.db, others, deleted=True), strict=True))
    return tuple(views.incident(incident, whose[incident.heartbeat]) for incident in found)
