"""What a channel is told about a fleet: how many of how many members are down, since when, and some of their names."""

from typing import Any, Final

from notifier.message import (
    EVENTS,
    RECOVERY_PRIORITY,
    Message,
    common_start,
    ending,
    finished,
    incident_as_told,
    joined,
    message_id,
    name_of,
)
from rules.limits import clean
from rules.times import clock_time, duration
from store.deliveries import Lease, Word
from store.fleets import Fleet, FleetSettings
from store.records import Incident

UNKNOWN: Final = FleetSettings(name="")  # of which nobody remembers anything


def compose(
    channel: str, lease: Lease, incident: Incident, fleet: Fleet | None, *, members: int, url: str = ""
) -> Message:
    """The message about one fleet; `lease` says how many are down, `fleet` None = nobody remembers it.

    The id names that number: a repeat says the same, and has the same id.
    """
    word = lease.word
    assert word
    name = name_of(fleet) if fleet else incident.heartbeat
    settings = fleet.settings if fleet else UNKNOWN
    priority = settings.priority
    identity = message_id(incident.id, channel, word)
    down, members = lease.silent or 0, max(members, lease.silent or 0)
    if word == "resolved":
        at = incident.resolved_at or incident.opened_at
        by_hand = incident.resolution in {"paused", "deleted"}
        title = f"{name} {ending(incident)}" if by_hand else f"{name}: no member is down any more"
        text = joined(settings.recovery_text, _recovery(incident))
        priority = min(priority, RECOVERY_PRIORITY)
        examples: tuple[str, ...] = ()
    elif word == "acknowledged":
        at = incident.acknowledged_at or incident.opened_at
        title, text = f"{name}: acknowledged", f"Acknowledged by {incident.acknowledged_by}."
        priority, examples = RECOVERY_PRIORITY, ()
    else:
        at = incident.opened_at if word == "opened" else lease.at or incident.opened_at
        identity += f"_{down}" if word != "reminder" else f"_{down}_{lease.times}"
        examples = incident.examples[:down]
        now = {"grown": "now ", "reminder": "still "}.get(word, "")
        title = f"{name}: {now}{down:,} of {members:,} members {'is' if down == 1 else 'are'} down"
        text = joined(settings.alert_text, _trouble(incident, down), _named(examples, down))
    return finished(
        Message(
            id=identity,
            event="incident.escalated" if word == "opened" and lease.step else EVENTS[word],
            at=at,
            title=title,
            text=text,
            priority=priority,
            output=b"",
            thread=incident.id,
            details=_details(fleet) if examples else (),
            url=url,
            runbook_url=settings.runbook_url if examples else "",
            payload={
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
            },
        )
    )


def _trouble(incident: Incident, down: int) -> str:
    since = clock_time(incident.opened_at)
    if incident.cause == "failure":
        return f"It reported a failure at {since}." if down == 1 else f"They reported failures, the first at {since}."
    return f"No ping came by {since}." if down == 1 else f"No ping came from the first of them by {since}."


def _named(examples: tuple[str, ...], down: int) -> str:
    start = common_start(examples) if len(examples) > 1 else ""
    lines = [f"These begin with {start}:"] if start else []
    lines += [f"- {slug}" for slug in examples]
    if 0 < len(examples) < down:
        lines.append(f"and {down - len(examples):,} more")
    return "\n".join(lines)


def _details(fleet: Fleet | None) -> tuple[tuple[str, str], ...]:
    if fleet is None:
        return ()
    found = [("Period", duration(fleet.settings.period)), ("Grace", duration(fleet.settings.grace))]
    if fleet.settings.tags:
        found.append(("Tags", clean(", ".join(fleet.settings.tags))))
    return tuple(found)


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
