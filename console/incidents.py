"""What can be done with incidents and deliveries."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from console import answers, views
from console.errors import Invalid, NotFound
from console.routing import Call, Context
from console.schemas import SNOOZE_MAX, Acknowledge, DeadLetters, DeliveryQuery, IncidentQuery, NoteAdd, Snooze
from store import belonging, deliveries, errors, fleets, heartbeats, incidents, records

DEAD_MAX: Final = 10_000  # dead letters taken at once


async def page(call: Call[IncidentQuery]) -> answers.Incidents:
    """List incidents: the open ones, then the resolved ones, the newest first."""
    db, asked = call.context.db, call.given
    try:
        found, cursor = await incidents.page(
            db, status=asked.status, project=call.principal.project, limit=asked.limit, cursor=asked.cursor
        )
    except ValueError:  # it comes from a list with another status
        raise Invalid("cursor must be the next_cursor of another page of this list", field="cursor") from None
    return answers.Incidents(incidents=await _shown(call.context, found), next_cursor=cursor)


async def get(call: Call[None]) -> answers.IncidentDetails:
    """Read an incident and what each channel was told about it."""
    db = call.context.db
    incident = await incidents.get(db, call.id)
    return await _details(call.context, incident)


async def acknowledge(call: Call[Acknowledge]) -> answers.IncidentDetails:
    """Say that somebody has seen it: nobody else is woken. On one that is not open nothing changes."""
    incident = await incidents.get(call.context.db, call.id)
    await incidents.acknowledge(call.context.db, incident.id, _by(call, call.given.by))
    return await _details(call.context, await incidents.get(call.context.db, call.id))


async def snooze(call: Call[Snooze]) -> answers.IncidentDetails:
    """Tell nobody before an end, and then again if it is still open. On one that is not open nothing changes."""
    db, given = call.context.db, call.given
    now = await db.now()
    until = now + given.for_ * 1000 if given.for_ is not None else given.until
    if until is None or not now < until <= now + SNOOZE_MAX * 1000:
        raise Invalid("until must be in the future, at most 31 days", field="until")
    incident = await incidents.get(db, call.id)
    await incidents.snooze(db, incident.id, _by(call, given.by), until=until)
    return await _details(call.context, await incidents.get(db, call.id))


async def add_note(call: Call[NoteAdd]) -> answers.Note:
    """Write down what is known of an incident, open or resolved; the note goes when the incident goes."""
    db, given = call.context.db, call.given
    _must_be_shown(await incidents.get(db, call.id))
    number = await incidents.add_note(db, call.id, _by(call, given.by), given.text)
    return views.note((await incidents.get(db, call.id)).notes[number - 1])


def _by(call: Call[Any], said: str | None) -> str:
    """Who did it: a user under their own name, a program as it says."""
    return call.principal.name if call.principal.user else said or call.principal.name


async def _details(context: Context, incident: records.Incident) -> answers.IncidentDetails:
    _must_be_shown(incident)
    (shown,) = await _shown(context, [incident])
    told = await deliveries.of_incident(context.db, incident.id, incident.channels)
    return answers.IncidentDetails(**dict(shown), deliveries=tuple(views.delivery(delivery) for delivery in told))


def _must_be_shown(incident: records.Incident) -> None:
    """Tests, warnings and problems of our own are told like incidents, and are none."""
    if incident.cause not in {"silence", "failure", "overrun"}:
        raise NotFound("no such incident")


async def get_delivery(call: Call[None]) -> answers.Delivery:
    """Read a delivery."""
    return views.delivery(await deliveries.get(call.context.db, call.id))


async def dead_letters(call: Call[DeliveryQuery]) -> answers.Deliveries:
    """List dead letters: deliveries that were given up, the newest first."""
    found = await _dead_of(call, call.given.limit)
    return answers.Deliveries(deliveries=tuple(views.delivery(delivery) for delivery in found))


async def resend(call: Call[None]) -> answers.Delivery:
    """Tell a channel once more what it was told last, or could not be told."""
    await deliveries.resend(call.context.db, call.id)
    return views.delivery(await deliveries.get(call.context.db, call.id))


async def purge(call: Call[None]) -> None:
    """Take a dead letter off the list."""
    if not await deliveries.purge(call.context.db, [call.id]):
        raise NotFound("no such dead letter")


async def resend_dead(call: Call[DeadLetters]) -> answers.Counted:
    """Tell all that could not be told once more."""
    sent = 0
    for letter in await _chosen(call):
        with suppress(errors.NotFound):  # what it told of is forgotten: it stays on the list until it is purged
            await deliveries.resend(call.context.db, letter)
            sent += 1
    return answers.Counted(count=sent)


async def purge_dead(call: Call[DeadLetters]) -> answers.Counted:
    """Take all dead letters off the list."""
    return answers.Counted(count=await deliveries.purge(call.context.db, await _chosen(call)))


async def _chosen(call: Call[DeadLetters]) -> list[str]:
    found = await _dead_of(call, DEAD_MAX)
    return [letter.id for letter in found if call.given.channel in {None, letter.channel}]


async def _dead_of(call: Call[Any], limit: int) -> list[records.Delivery]:
    """The project's newest. All projects share one list: whoever finds too few of theirs reads it whole."""
    for most in (limit, DEAD_MAX):
        found = await deliveries.dead(call.context.db, limit=most)
        ours = set(await belonging.deliveries_of(call.context.db, call.principal.project, [each.id for each in found]))
        if len(ours) >= limit or len(found) < most:
            break
    return [letter for letter in found if letter.id in ours][:limit]


async def _shown(context: Context, found: Sequence[records.Incident]) -> tuple[answers.Incident, ...]:
    """With the names of whose they are, also of those that were deleted."""
    of_fleets = [incident.heartbeat for incident in found if incident.fleet]
    others = [incident.heartbeat for incident in found if not incident.fleet]
    whose: dict[str, records.Heartbeat | fleets.Fleet | None] = {}
    whose.update(zip(of_fleets, await fleets.get_many(context.db, of_fleets, deleted=True), strict=True))
    whose.update(zip(others, await heartbeats.get_many(context.db, others, deleted=True), strict=True))
    return tuple(views.incident(incident, whose[incident.heartbeat]) for incident in found)
