"""What a channel is told: one message, composed once and the same on every retry. About fleets: fleet_message.py."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal

from rules.limits import clean
from rules.times import clock_time, duration, rfc3339
from store.deliveries import Lease, Word
from store.fleets import Fleet
from store.records import DEFAULT_PRIORITY, Heartbeat, Incident, Settings

RECOVERY_PRIORITY: Final = 3  # at most: good news wakes nobody
LATE_PRIORITY: Final = 4  # at most: nothing has happened yet
TEST_PRIORITY: Final = 2
NAMES_MAX: Final = 20  # in a folded message
PREFIX_MIN: Final = 3  # characters that names share before it is worth saying
UNKNOWN: Final = Settings(name="")  # of whom nobody remembers
Event = Literal[
    "incident.opened",
    "incident.escalated",
    "incident.reminder",
    "incident.acknowledged",
    "incident.resolved",
    "heartbeat.late",
    "test",
]
Tone = Literal["bad", "warning", "good", "neutral"]
EVENTS: Final[dict[Word, Event]] = {
    "opened": "incident.opened",
    "grown": "incident.escalated",
    "reminder": "incident.reminder",
    "acknowledged": "incident.acknowledged",
    "resolved": "incident.resolved",
    "late": "heartbeat.late",
    "test": "test",
}
TONES: Final[dict[Event, Tone]] = {
    "incident.opened": "bad",
    "incident.escalated": "bad",
    "incident.reminder": "bad",
    "incident.acknowledged": "warning",
    "incident.resolved": "good",
    "heartbeat.late": "warning",
    "test": "neutral",
}
#: Of many at once.
HEARTBEATS_ARE: Final[dict[Event, str]] = {
    "incident.opened": "down",
    "incident.escalated": "still down",
    "incident.reminder": "still down",
    "incident.acknowledged": "acknowledged",
    "incident.resolved": "up again",
    "heartbeat.late": "late",
}
FLEETS_HAVE: Final[dict[Event, str]] = {
    "incident.opened": "members that are down",
    "incident.reminder": "members that are still down",
    "incident.acknowledged": "members that are down, and somebody knows",
    "incident.escalated": "more members that are down",
    "incident.resolved": "no members that are down any more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """All that any kind of channel needs; each sender takes the parts that it can show. Nothing in it is escaped."""

    id: str  # the same on every retry, so that a receiver can drop a repeat
    event: Event
    at: int  # milliseconds since the epoch
    title: str  # one line
    text: str  # what happened, in sentences; of many incidents also their names
    priority: int  # 0..10, Gotify's scale
    output: bytes  # tail of what the job printed, b"" if nothing
    thread: str  # the same for all messages of one incident
    payload: dict[str, Any]  # the webhook's body
    details: tuple[tuple[str, str], ...] = ()  # label and value, one line each: ("Last ping", "2027-01-15 ...")
    url: str = ""  # the incident's page, where it can be acknowledged; "" = nobody told us our address
    runbook_url: str = ""  # what to do about it, as the owner set it

    @property
    def tone(self) -> Tone:
        return TONES[self.event]

    @property
    def plain(self) -> str:
        """Everything but the title and the output, for channels that show text alone."""
        links = (f"Runbook: {self.runbook_url}" if self.runbook_url else "", self.url)
        details = "\n".join(f"{label}: {value}" for label, value in self.details)
        return joined(self.text, details, "\n".join(filter(None, links)))


def message_id(incident: str, channel: str, word: Word) -> str:
    return f"msg_{incident}_{channel}_{word}"


def compose(channel: str, lease: Lease, incident: Incident, heartbeat: Heartbeat | None, *, url: str = "") -> Message:
    """The message about one incident; `heartbeat` None = one that nobody remembers. `url`: the incident's page."""
    word = lease.word
    assert word
    name = name_of(heartbeat) if heartbeat else incident.heartbeat
    settings = heartbeat.settings if heartbeat else UNKNOWN
    identity, at, priority = message_id(incident.id, channel, word), incident.opened_at, settings.priority
    details, output = _details(incident, heartbeat), incident.output
    match word:
        case "opened" if incident.problem:
            title, text, details = "flatline has a problem", incident.problem, ()
        case "resolved" if incident.problem:
            title, text, details = "flatline: a problem is over", f"It was: {incident.problem}", ()
            at, priority = incident.resolved_at or incident.opened_at, RECOVERY_PRIORITY
        case "test":
            title, text = "Test message from flatline", "If you can read this, the channel works."
            priority, details = TEST_PRIORITY, ()
        case "late":
            title, text = f"{name} is late", joined(settings.alert_text, _lateness(incident, settings))
            priority = min(priority, LATE_PRIORITY)
        case "opened":
            title = f"{name} is {'still ' if lease.step else ''}down"
            text = joined(settings.alert_text, _trouble(incident))
        case "reminder":
            title, at = f"{name} is still down", lease.at
            text = joined(settings.alert_text, _trouble(incident), _so_far(incident, at))
            identity += f"_{lease.number}"
        case "acknowledged":
            title, at = f"{name}: acknowledged", incident.acknowledged_at or incident.opened_at
            text, priority, output = f"Acknowledged by {incident.acknowledged_by}.", RECOVERY_PRIORITY, b""
        case _:
            title, at = f"{name} {ending(incident)}", incident.resolved_at or incident.opened_at
            text, priority = joined(settings.recovery_text, _recovery(incident)), min(priority, RECOVERY_PRIORITY)
            details, output = (), b""
    return finished(
        Message(
            id=identity,
            event="incident.escalated" if word == "opened" and lease.step else EVENTS[word],
            at=at,
            title=title,
            text=text,
            priority=priority,
            output=output,
            thread=incident.id,
            details=details,
            url=url,
            runbook_url=settings.runbook_url if word not in {"test", "resolved"} else "",
            payload={"heartbeat": _heartbeat(incident, heartbeat), "incident": incident_as_told(word, incident)},
        )
    )


def finished(message: Message) -> Message:
    """With what the webhook's body says of the message itself."""
    head = {
        "event": message.event,
        "id": message.id,
        "at": rfc3339(message.at),
        "title": message.title,
        "text": message.plain,
        "priority": message.priority,
        "url": message.url or None,
        "runbook_url": message.runbook_url or None,
    }
    return replace(message, payload={**head, **message.payload, **head})  # again: a message may be finished twice


def fold(first: Message, owners: Sequence[Heartbeat | Fleet], leases: Sequence[Lease], *, back: bool = True) -> Message:
    """One message for many incidents, of heartbeats or of fleets; `owners`: of those that may be named, of `first`
    among them.

    `back`: they ended by a ping, not by hand. The id names all incidents: a receiver that drops what it knows must
    drop a repeat, but not what another incident has joined since.
    """
    down, count = first.tone != "good", len(leases)
    told = sorted(f"{lease.incident}_{lease.number}" if lease.number else lease.incident for lease in leases)
    everyone = [name_of(owner) for owner in owners]
    names = everyone[:NAMES_MAX]
    tags = sorted(set.intersection(*(set(owner.settings.tags) for owner in owners))) if owners else []
    start = common_start(everyone) if len(everyone) > 1 else ""
    shared = [f"tagged {', '.join(tags)}"] if tags else []
    shared += [f"named {start}…"] if start else []
    whom = "All of them" if count == len(everyone) else f"The first {len(everyone)}" if everyone else ""
    lines = [f"- {name}" for name in names]
    if count > len(names):
        lines.append(f"and {count - len(names):,} more")
    if "fleet" in first.payload:
        title = f"{count} fleets have {FLEETS_HAVE[first.event]}"
    else:
        title = f"{count:,} heartbeats are {HEARTBEATS_ARE[first.event] if back else 'no longer down'}"
    priority = max((owner.settings.priority for owner in owners), default=DEFAULT_PRIORITY)
    return finished(
        replace(
            first,
            id=f"{first.id}_{sha256(' '.join(told).encode()).hexdigest()[:12]}",
            title=title,
            text=joined(
                f"{whom} are {' and '.join(shared)}".rstrip("…") + ("…" if start else ".") if shared else "",
                "\n".join(lines),
            ),
            priority=priority if down else min(priority, RECOVERY_PRIORITY),
            output=b"",
            details=(),
            runbook_url="",
            payload={
                **first.payload,
                "folded": {"count": count, "heartbeats": names, "tags": tags, "name_prefix": start},
            },
        )
    )


def common_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a sign that parts words; "" if it is not worth saying."""
    first, last = min(names), max(names)  # what these share, all between them share
    start = first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    cut = re.match(r".*[^\w]", start, re.DOTALL)
    found = cut[0] if cut else ""
    return found if len(found) >= PREFIX_MIN else ""


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


def _details(incident: Incident, heartbeat: Heartbeat | None) -> tuple[tuple[str, str], ...]:
    if heartbeat is None:
        return ()
    settings = heartbeat.settings
    last = heartbeat.last_ping_at or incident.last_ping_at
    found = [("Last ping", clock_time(last) if last else "never")]
    if incident.cause == "silence":
        found.append(("Expected by", clock_time(incident.opened_at - settings.grace * 1000)))
    if incident.exit_status:
        found.append(("Exit status", clean(incident.exit_status)))
    if settings.schedule:
        found.append(("Schedule", f"{clean(settings.schedule)} ({clean(settings.timezone)})"))
    else:
        found.append(("Period", duration(settings.period)))
    found.append(("Grace", duration(settings.grace)))
    if settings.tags:
        found.append(("Tags", clean(", ".join(settings.tags))))
    return tuple(found)


def _lateness(incident: Incident, settings: Settings) -> str:
    return (
        f"A ping was expected by {clock_time(incident.opened_at)}. "
        f"An incident opens if none comes within {duration(settings.grace)} of that."
    )


def _so_far(incident: Incident, at: int) -> str:
    return f"That was {duration(max(0, at - incident.opened_at) // 1000)} ago, and nobody has acknowledged it."


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
        "status": word if word in {"test", "late"} else "resolved" if resolved else "open",
        "cause": incident.cause,
        "opened_at": rfc3339(incident.opened_at),
        "resolved_at": rfc3339(incident.resolved_at) if resolved and incident.resolved_at else None,
        "resolution": incident.resolution if resolved else None,
        "exit_status": int(exit_status) if exit_status.isdigit() else exit_status or None,
        "output": incident.output.decode(errors="replace"),
    }
