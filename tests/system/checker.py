"""What was sent, answered and told, and what that must add up to. Pure: it reads logs, it asks nobody."""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sent:
    """One ping that was answered 200: it was sent at `sent_ms` and answered at `answered_ms`, one clock for all."""

    heartbeat: str
    sent_ms: float
    answered_ms: float


@dataclass(frozen=True, slots=True)
class Told:
    """One message that a channel took."""

    message: str
    event: str
    heartbeat: str
    incident: str


@dataclass
class Logs:
    """`silent`: heartbeat -> when it stopped for good; `returned`: it stopped, and came back after."""

    sent: list[Sent] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    steady: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    returned: set[str] = field(default_factory=set)
    kills: int = 0  # of processes that tell


def faults(logs: Logs, last_ping_ms: dict[str, int | None]) -> list[str]:
    """Every promise that was broken, as sentences; `last_ping_ms` is what the store says in the end."""
    found: list[str] = []
    newest: dict[str, Sent] = {}
    for sent in logs.sent:
        if sent.heartbeat not in newest or sent.sent_ms > newest[sent.heartbeat].sent_ms:
            newest[sent.heartbeat] = sent
    for heartbeat, sent in newest.items():
        stored = last_ping_ms.get(heartbeat)
        if stored is None or stored < sent.sent_ms - 5:  # a node's clock may be some milliseconds off
            found.append(f"{heartbeat}: a ping sent at {sent.sent_ms:.0f} was answered 200 and lost (stored {stored})")

    opened: dict[str, set[str]] = defaultdict(set)
    order: dict[tuple[str, str], list[str]] = defaultdict(list)
    messages: dict[str, int] = defaultdict(int)
    for told in logs.told:
        messages[told.message] += 1
        order[(told.heartbeat, told.incident)].append(told.event)
        if told.event == "incident.opened":
            opened[told.heartbeat].add(told.incident)
    found += [f"{heartbeat} kept pinging and was told silent" for heartbeat in logs.steady & set(opened)]
    for heartbeat in logs.silent | logs.returned:
        if not opened[heartbeat]:
            found.append(f"{heartbeat} fell silent and nobody was told")
        elif len(opened[heartbeat]) > 1:
            found.append(f"{heartbeat} fell silent once and was opened {len(opened[heartbeat])} times")
    for (heartbeat, incident), events in order.items():
        if events != sorted(events):  # "incident.opened" comes before "incident.resolved"
            found.append(f"{incident}: told out of order: {events}")
        if heartbeat in logs.returned and events[-1] != "incident.resolved":
            found.append(f"{incident}: its recovery was not told")
    repeats = sum(count - 1 for count in messages.values())
    if repeats > logs.kills * 5:  # one desk says at most five at a time; a kill repeats at most those
        found.append(f"{repeats} messages were repeated with {logs.kills} kills")
    return found
