"""Incidents and deliveries, to read."""

from console import answers, views
from console.errors import Invalid, NotFound
from console.routing import Call
from console.schemas import DeliveryQuery, IncidentQuery
from store import deliveries, heartbeats, incidents


async def page(call: Call[IncidentQuery]) -> answers.Incidents:
    """List incidents: the open ones, then the resolved ones, the newest first."""
    db, asked = call.context.db, call.given
    try:
        found, cursor = await incidents.page(db, status=asked.status, limit=asked.limit, cursor=asked.cursor)
    except ValueError:  # it comes from a list with another status
        raise Invalid("cursor must be the next_cursor of another page of this list", field="cursor") from None
    of = await heartbeats.get_many(db, [incident.heartbeat for incident in found], deleted=True)
    shown = tuple(views.incident(incident, heartbeat) for incident, heartbeat in zip(found, of, strict=True))
    return answers.Incidents(incidents=shown, next_cursor=cursor)


async def get(call: Call[None]) -> answers.IncidentDetails:
    """Read an incident and what each channel was told about it."""
    db = call.context.db
    incident = await incidents.get(db, call.id)
    if incident.status == "test":
        raise NotFound("no such incident")
    (heartbeat,) = await heartbeats.get_many(db, [incident.heartbeat], deleted=True)
    told = await deliveries.of_incident(db, incident.id, incident.channels)
    shown = tuple(views.delivery(delivery) for delivery in told)
    return answers.IncidentDetails(**dict(views.incident(incident, heartbeat)), deliveries=shown)


async def get_delivery(call: Call[None]) -> answers.Delivery:
    """Read a delivery."""
    return views.delivery(await deliveries.get(call.context.db, call.id))


async def dead_letters(call: Call[DeliveryQuery]) -> answers.Deliveries:
    """List dead letters: deliveries that were given up, the newest first."""
    found = await deliveries.dead(call.context.db, limit=call.given.limit)
    return answers.Deliveries(deliveries=tuple(views.delivery(delivery) for delivery in found))
