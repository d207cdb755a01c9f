"""What a channel is told about a fleet: how many of how many members are down, since when, and some of their names."""

from typing import Any

from notifier.message import (
    EVENTS,
    RECOVERY_PRIORITY,
    Message,
    ending,
    incident_as_told,
    joined,
    message_id,
    name_of,
)
from rules.times import clock_time, duration, rfc3339
from store.deliveries import Lease, Word
from store.fleets import Fleet
from store.records import DEFAULT_PRIORITY, Incident


def compose(
    channel: str, lease: Lease, word: Word, incident: Incident, fleet: Fleet | None, *, members: int
) -> Message:
    """The message about one fleet; `lease` says how many are down, `fleet` None = nobody remembers it.

    The id names that number: a repeat says the same, and has the same id.
    """
    name = name_of(fleet) if fleet else incident.heartbeat
    priority = fleet.settings.priority if fleet else DEFAULT_PRIORITY
    identity = message_id(incident.id, channel, word)
    down, members = lease.silent or 0, max(members, lease.silent or 0)
    if word == "resolved":
        at = incident.resolved_at or incident.opened_at
        by_hand = incident.resolution in {"paused", "deleted"}
        title = f"{name} {ending(incident)}" if by_hand else f"{name}: no member is down any more"
        text = joined(fleet.settings.recovery_text if fleet else "", _recovery(incident))
        priority = min(priority, RECOVERY_PRIORITY)
        examples: tuple[str, ...] = ()
    else:
        at = incident.opened_at if word == "opened" else lease.counted_at or incident.opened_at
        identity += f"_{down}"
        examples = incident.examples[:down]
        now = "now " if word == "grown" else ""
        title = f"{name}: {now}{down:,} of {members:,} members {'is' if down == 1 else 'are'} down"
        alert_text = fleet.settings.alert_text if fleet else ""
        text = joined(alert_text, _trouble(incident, down), _named(examples, down), _details(fleet))
    payload = {
        "event": EVENTS[word],
        "id": identity,
        "at": rfc3339(at),
        "title": title,
        "text": text,
        "heartbeat": _as_heartbeat(word, incident, fleet),
        "incident": incident_as_told(word, incident),
        "fleet": {
            "id": incident.heartbeat,
            "name": fleet.settings.name if fleet else None,
            "down": down,
            "most": max(incident.most, down),
            "members": members,
            "examples": examples,
        },
    }
    return Message(
        id=identity,
        event=EVENTS[word],
        at=at,
        title=title,
        text=text,
        priority=priority,
        output=b"",
        thread=incident.id,
        payload=payload,
    )


def _trouble(incident: Incident, down: int) -> str:
    since = clock_time(incident.opened_at)
    if incident.cause == "failure":
        return f"It reported a failure at {since}." if down == 1 else f"They reported failures, the first at {since}."
    return f"No ping came by {since}." if down == 1 else f"No ping came from the first of them by {since}."


def _named(examples: tuple[str, ...], down: int) -> str:
    lines = [f"- {slug}" for slug in examples]
    if 0 < len(examples) < down:
        lines.append(f"and {down - len(examples):,} more")
    return "\n".join(lines)


def _details(fleet: Fleet | None) -> str:
    if fleet is None:
        return ""
    return f"Period: {duration(fleet.settings.period)}, grace: {duration(fleet.settings.grace)}"


def _recovery(incident: Incident) -> str:
    lasted = duration(((incident.resolved_at or incident.opened_at) - incident.opened_at) / 1000)
    since, most = clock_time(incident.opened_at), incident.most
    at_most = "One member was down." if most == 1 else f"At most {most:,} members were down at once."
    return f"It lasted for {lasted}, since {since}. {at_most}"


def _as_heartbeat(word: Word, incident: Incident, fleet: Fleet | None) -> dict[str, Any]:
    """The same fields as of a heartbeat, so that a receiver need not tell the two apart."""
    if fleet is None:
        return {"id": incident.heartbeat, "name": None}
    settings = fleet.settings
    return {
        "id": fleet.id,
        "name": settings.name,
        "status": "paused" if fleet.status == "paused" else "up" if word == "resolved" else "down",
        "tags": settings.tags,
        "period": settings.period,
        "grace": settings.grace,
        "priority": settings.priority,
        "alert_text": settings.alert_text,
        "recovery_text": settings.recovery_text,
        "last_ping_at": None,
    }
