"""Fleets and members as frozen dataclasses, to and from Redis. Times are ms since the epoch, durations seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import ceil
from typing import Any, Final, Literal

from store.changes import CACHE_AGE_S
from store.records import DEFAULT_PRIORITY, Durability, Hash, encode, settings_of, span_ms

MemberStatus = Literal["up", "late", "down", "paused"]

CACHE_AGE_MS: Final = int(CACHE_AGE_S * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """What a user sets; as in Settings, but for `cap`: so many members at most. Each shard takes its share of them."""

    name: str
    period: int = 86_400
    grace: int = 3_600
    misses: int = 1
    tags: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None
    policy: str = ""
    remind_every: int | None = None
    runbook_url: str = ""
    alert_text: str = ""
    recovery_text: str = ""
    priority: int = DEFAULT_PRIORITY
    durability: Durability | None = None
    cap: int = 1_000_000


def encode_fleet(changes: Mapping[str, Any], shards: int) -> list[Any]:
    """Settings as field, value, ...; an empty value means: not stored, so the default."""
    flat: list[Any] = encode({field: value for field, value in changes.items() if field != "cap"})
    if "cap" in changes:
        flat += ["cap", changes["cap"], "room", ceil(changes["cap"] / shards)]
    return flat


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A template as one read found it. `not_before`: until then nobody falls silent. `incident`: the open one."""

    id: str
    ping_key: str
    project: str
    settings: FleetSettings
    status: Literal["up", "paused"]
    rev: int
    created_at: int
    edited_at: int
    not_before: int
    incident: str | None

    @property
    def span_ms(self) -> int:
        return span_ms(self.settings.period, self.settings.grace, self.settings.misses)

    def late_below(self, now: int) -> int:
        """Whose deadline is below this is late; as for heartbeats that is reckoned on read and counts as up."""
        latest = now + self.span_ms - self.settings.period * 1000
        return latest if self.not_before < latest and self.status == "up" else 0

    @classmethod
    def from_redis(cls, fleet: str, hash_: Hash) -> "Fleet":
        """Raises ValueError or KeyError on a corrupt record."""
        text = {key.decode(): value.decode(errors="replace") for key, value in hash_.items()}
        shared = settings_of(text)
        chosen = {field.name: getattr(shared, field.name) for field in fields(FleetSettings) if field.name != "cap"}
        return cls(
            id=fleet,
            ping_key=text["ping_key"],
            project=text["project"],
            settings=FleetSettings(cap=int(text["cap"]), **chosen),
            status="paused" if text["status"] == "paused" else "up",
            rev=int(text["rev"]),
            created_at=int(text["created"]),
            edited_at=int(text.get("edited", 0)),
            not_before=int(text.get("not_before", 0)),
            incident=text.get("incident"),
        )


@dataclass(frozen=True, slots=True)
class Entries:
    """What Redis holds of one member: its scores in the three zsets, and why it is silent."""

    deadline: float | None
    returning: float | None
    down: float | None
    cause: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """`since`: when it fell silent; `cause`: silence, fail or its exit status; both only of those that are down.

    `last_ping_at` None: unknown, since an edit, a pause or an excuse.
    """

    slug: str
    status: MemberStatus
    since: int | None = None
    deadline: float | None = None
    last_ping_at: int | None = None
    cause: str = ""

    @classmethod
    def from_redis(cls, slug: str, entries: Entries, fleet: Fleet, now: int) -> "Member | None":
        """None = there is no such member."""
        deadline, down = entries.deadline, entries.down
        if deadline is None and down is None and entries.returning is None:
            return None
        last_ping = None if deadline is None else _last_ping(deadline, fleet)
        if fleet.status == "paused":
            return cls(slug=slug, status="paused", last_ping_at=last_ping)
        if down is not None:
            cause = "silence" if entries.cause is None else entries.cause.decode(errors="replace")
            return cls(slug=slug, status="down", since=int(down), cause=cause)
        if deadline is None:  # on its way back from a pause
            return cls(slug=slug, status="up")
        return cls(
            slug=slug,
            status="late" if deadline < fleet.late_below(now) else "up",
            deadline=max(deadline, fleet.not_before),
            last_ping_at=last_ping,
        )


def _last_ping(deadline: float, fleet: Fleet) -> int | None:
    """None = granted, or written by a node that may not have known the span."""
    at = deadline - fleet.span_ms
    return int(at) if at % 1 == 0 and at > fleet.edited_at + CACHE_AGE_MS else None
