"""What a channel is told: one message, composed once and the same on every retry. About fleets: fleet_message.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from rules.limits import clean
from rules.times import clock_time, duration, rfc3339
from store.deliveries import Word
from store.fleets import Fleet
from store.records import DEFAULT_PRIORITY, Heartbeat, Incident

RECOVERY_PRIORITY: Final = 3  # at most: good news wakes nobody
TEST_PRIORITY: Final = 2
NAMES_MAX: Final = 20  # in a folded message
EVENTS: Final = {
    "opened": "incident.opened",
    "grown": "incident.escalated",
    "resolved": "incident.resolved",
    "test": "test",
}
FLEETS_HAVE: Final = {
    "incident.opened": "members that are down",
    "incident.escalated": "more members that are down",
    "incident.resolved": "no members that are down any more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """All that any kind of channel needs; each sender takes the parts that it can show."""

    id: str  # the same on every retry, so that a receiver can drop a repeat
    event: str  # "incident.opened", "incident.resolved", "test", ...
    at: int  # milliseconds since the epoch
    title: str  # one line
    text: str
    priority: int  # 0..10, Gotify's scale
    output: bytes  # tail of what the job printed, b"" if nothing
    thread: str  # the same for all messages of one incident
    payload: dict[str, Any]  # the webhook's body


def message_id(incident: str, channel: str, word: Word) -> str:
    return f"msg_{incident}_{channel}_{word}"


def compose(channel: str, word: Word, incident: Incident, heartbeat: Heartbeat | None) -> Message:
    """The message about one incident; `heartbeat` None = a test, or one that nobody remembers."""
    name = name_of(heartbeat) if heartbeat else incident.heartbeat
    at = incident.resolved_at or incident.opened_at
    if word == "test":
        title, text, priority = "Test message from flatline", "If you can read this, the channel works.", TEST_PRIORITY
    elif word == "opened":
        title, priority = f"{name} is down", heartbeat.settings.priority if heartbeat else DEFAULT_PRIORITY
        text = joined(heartbeat.settings.alert_text if heartbeat else "", _trouble(incident), _details(heartbeat))
        at = incident.opened_at
    else:
        title = f"{name} {ending(incident)}"
        priority = min(heartbeat.settings.priority if heartbeat else DEFAULT_PRIORITY, RECOVERY_PRIORITY)
        text = joined(heartbeat.settings.recovery_text if heartbeat else "", _recovery(incident))
    output = incident.output if word == "opened" else b""
    identity = message_id(incident.id, channel, word)
    payload = {
        "event": EVENTS[word],
        "id": identity,
        "at": rfc3339(at),
        "title": title,
        "text": text,
        "heartbeat": _heartbeat(incident, heartbeat),
        "incident": incident_as_told(word, incident),
    }
    return Message(
        id=identity,
        event=EVENTS[word],
        at=at,
        title=title,
        text=text,
        priority=priority,
        output=output,
        thread=incident.id,
        payload=payload,
    )


def fold(
    first: Message, owners: Sequence[Heartbeat | Fleet], incidents: Sequence[str], *, back: bool = True
) -> Message:
    """One message for many incidents, of heartbeats or of fleets; `owners`: those of the first NAMES_MAX, of `first`
    among them.

    `back`: they ended by a ping, not by hand. The id names all incidents: a receiver that drops what it knows must
    drop a repeat, but not what another incident has joined since.
    """
    down = first.event != EVENTS["resolved"]
    count = len(incidents)
    identity = f"{first.id}_{sha256(' '.join(sorted(incidents)).encode()).hexdigest()[:12]}"
    names = [name_of(owner) for owner in owners][:NAMES_MAX]
    shared = set.intersection(*(set(owner.settings.tags) for owner in owners)) if owners else set()
    tags = sorted(shared)
    lines = [f"- {name}" for name in names]
    if count > len(names):
        lines.append(f"and {count - len(names)} more")
    if "fleet" in first.payload:
        title = f"{count} fleets have {FLEETS_HAVE[first.event]}"
    else:
        title = f"{count} heartbeats are {'down' if down else 'up again' if back else 'no longer down'}"
    whom = "All of them" if count == len(names) else "Those named here"
    text = joined(f"{whom} are tagged {', '.join(tags)}." if tags else "", "\n".join(lines))
    priority = max((owner.settings.priority for owner in owners), default=DEFAULT_PRIORITY)
    return Message(
        id=identity,
        event=first.event,
        at=first.at,
        title=title,
        text=text,
        priority=priority if down else min(priority, RECOVERY_PRIORITY),
        output=b"",
        thread=first.thread,
        payload={
            **first.payload,
            "id": identity,
            "title": title,
            "text": text,
            "folded": {"count": count, "heartbeats": names, "tags": tags},
        },
    )


def name_of(owner: Heartbeat | Fleet) -> str:
    return clean(owner.settings.name) or owner.id


def joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part.strip())


def _trouble(incident: Incident) -> str:
    if incident.cause == "failure":
        return "The job reported a failure" + (
            f": exit status {incident.exit_status}." if incident.exit_status else "."
        )
    if incident.cause == "overrun":
        return f"A run did not finish in time: it was due at {clock_time(incident.opened_at)}."
    return f"No ping came by {clock_time(incident.opened_at)}."


def _details(heartbeat: Heartbeat | None) -> str:
    if heartbeat is None:
        return ""
    settings = heartbeat.settings
    last = clock_time(heartbeat.last_ping_at) if heartbeat.last_ping_at else "never"
    return f"Last ping: {last}\nPeriod: {duration(settings.period)}, grace: {duration(settings.grace)}"


def ending(incident: Incident) -> str:
    return {"paused": "was paused", "deleted": "was deleted"}.get(incident.resolution, "is up again")


def _recovery(incident: Incident) -> str:
    down_for = duration(((incident.resolved_at or incident.opened_at) - incident.opened_at) / 1000)
    if incident.status == "void":
        return "The ping had come in time; it was written late. There was no outage."
    return f"It was down for {down_for}, since {clock_time(incident.opened_at)}."


def _heartbeat(incident: Incident, heartbeat: Heartbeat | None) -> dict[str, Any]:
    if heartbeat is None:
        return {"id": incident.heartbeat or None, "name": None}
    settings = heartbeat.settings
    return {
        "id": heartbeat.id,
        "name": settings.name,
        "status": heartbeat.stored_status,
        "tags": settings.tags,
        "period": settings.period,
        "grace": settings.grace,
        "priority": settings.priority,
        "alert_text": settings.alert_text,
        "recovery_text": settings.recovery_text,
        "last_ping_at": rfc3339(heartbeat.last_ping_at) if heartbeat.last_ping_at else None,
    }


def incident_as_told(word: Word, incident: Incident) -> dict[str, Any]:
    """As this channel must see it: opened first, whatever has happened since."""
    resolved = word == "resolved"
    exit_status = incident.exit_status
    return {
        "id": incident.id,
        "status": "test" if word == "test" else "resolved" if resolved else "open",
        "cause": incident.cause,
        "opened_at": rfc3339(incident.opened_at),
        "resolved_at": rfc3339(incident.resolved_at) if resolved and incident.resolved_at else None,
        "resolution": incident.resolution if resolved else None,
        "exit_status": int(exit_status) if exit_status.isdigit() else exit_status or None,
        "output": incident.output.decode(errors="replace"),
    }
