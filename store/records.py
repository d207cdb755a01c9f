"""Records as frozen dataclasses, to and from Redis. Times are ms since the epoch, durations seconds; None = never."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from typing import Any, Final, Literal

from rules import schedules

Status = Literal["pending", "up", "late", "down", "paused"]
Cause = Literal["silence", "failure", "overrun", "test", "late", "problem"]
Signal = Literal["plain", "success", "start", "fail", "log", "ignored"]
Durability = Literal["memory", "disk", "replica"]

DEFAULT_PRIORITY: Final = 8
NO_CHANNELS: Final = "-"  # stored for "none"; an absent field means all channels of the project

Hash = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user sets. ``channels`` None = all of the project; ``schedule`` "" = every `period` seconds.

    `early`: seconds before its slot that a ping may come and count for it. `*_words`: a body that holds one means that
    signal, and one that holds none means `unmatched`. `rate_limit`: pings a minute and node. `policy`: an escalation
    policy says who is told, in place of `channels`. `remind_every`: seconds; None = told once.
    """

    name: str
    slug: str = ""
    period: int = 86_400
    grace: int = 3_600
    schedule: str = ""
    timezone: str = "UTC"
    early: int = 60
    misses: int = 1
    recover_after: int = 1
    max_runtime: int | None = None
    post_only: bool = False
    failure_words: tuple[str, ...] = ()
    success_words: tuple[str, ...] = ()
    start_words: tuple[str, ...] = ()
    unmatched: Literal["ignored", "fail"] = "ignored"
    rate_limit: int | None = None
    durability: Durability | None = None
    tags: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None
    policy: str = ""
    remind_every: int | None = None
    warn_late: bool = False
    runbook_url: str = ""
    alert_text: str = ""
    recovery_text: str = ""
    priority: int = DEFAULT_PRIORITY
    resume_on_ping: bool = False


#: What the hash does not hold, to keep a heartbeat small.
DEFAULTS: Final = Settings(name="")
ALWAYS_STORED: Final = frozenset({"name", "period", "grace"})
TUPLES: Final = frozenset({"tags", "failure_words", "success_words", "start_words"})


def encode(settings: Mapping[str, Any]) -> list[str]:
    """Settings as field, value, ...; an empty value means: not stored, so the default."""
    flat: list[str] = []
    for field, value in settings.items():
        if field == "channels":
            text = "" if value is None else " ".join(value) or NO_CHANNELS
        elif value == getattr(DEFAULTS, field) and field not in ALWAYS_STORED:
            text = ""
        elif field in TUPLES:
            text = "\n".join(value)
        elif isinstance(value, bool):
            text = "1"
        else:
            text = str(value)
        flat += [field, text]
        if field == "name":
            folded = text.casefold()
            flat += ["sort", "" if folded == text else folded]
    return flat


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A heartbeat's settings and state as one read found them."""

    id: str
    token: str
    project: str
    settings: Settings
    rev: int
    created_at: int
    stored_status: Literal["pending", "up", "down", "paused"]
    since: int
    deadline: float | None
    last_ping_at: int | None
    last_fail_at: int | None
    resume_at: int | None
    incident: str | None
    running_since: int | None
    slot: int | None
    last_duration_ms: int | None

    @property
    def span_ms(self) -> int:
        return span_ms(self.settings.period, self.settings.grace, self.settings.misses)

    def status(self, now: int) -> Status:
        """Late is reckoned on read and counts as up."""
        late_at: float = inf
        if self.deadline is None:
            pass  # nothing is awaited, or a run is under way
        elif self.settings.schedule:
            late_at = self.slot or inf
        else:
            late_at = self.deadline - self.span_ms + self.settings.period * 1000
        return "late" if self.stored_status == "up" and now > late_at else self.stored_status

    @classmethod
    def from_redis(cls, heartbeat: str, fields: Hash, score: float | None) -> "Heartbeat":
        text = decoded(fields)
        settings = settings_of(text)
        deadline = float(text["held"]) if "held" in text else inf if score is None else score
        last_ping, slot = _time(text.get("last_ping")), _time(text.get("slot"))
        if "slot_from" in text and deadline < inf:  # granted, and no sweeper has reckoned it yet
            with suppress(schedules.BadSchedule):
                due = owed(text, settings)
                slot, deadline = due.slot, due.deadline
        if deadline < inf and deadline % 1 == 0 and not settings.schedule:
            reckoned = int(deadline) - span_ms(settings.period, settings.grace, settings.misses)
            last_ping = max(last_ping or 0, reckoned)
        status = text["status"]
        assert status in {"pending", "up", "down", "paused"}
        return cls(
            id=heartbeat,
            token=text["token"],
            project=text["project"],
            settings=settings,
            rev=int(text["rev"]),
            created_at=int(text["created"]),
            stored_status=status,  # type: ignore[arg-type]  # asserted above
            since=int(text["since"]),
            deadline=None if deadline == inf else deadline,
            last_ping_at=last_ping,
            last_fail_at=_time(text.get("last_fail")),
            resume_at=_time(text.get("resume_at")),
            incident=text.get("incident"),
            running_since=min((int(value) for key, value in text.items() if key.startswith("run:")), default=None),
            slot=slot,
            last_duration_ms=int(text["took"]) if "took" in text else None,
        )


def settings_of(text: Mapping[str, str]) -> Settings:
    """Raises ValueError or KeyError on a corrupt record."""
    channels = text.get("channels")
    unmatched, durability = text.get("unmatched", DEFAULTS.unmatched), text.get("durability")
    return Settings(
        name=text["name"],
        slug=text.get("slug", ""),
        period=int(text["period"]),
        grace=int(text["grace"]),
        schedule=text.get("schedule", ""),
        timezone=text.get("timezone", DEFAULTS.timezone),
        early=int(text.get("early", DEFAULTS.early)),
        misses=int(text.get("misses", DEFAULTS.misses)),
        recover_after=int(text.get("recover_after", DEFAULTS.recover_after)),
        max_runtime=_whole(text.get("max_runtime")),
        post_only="post_only" in text,
        failure_words=_lines(text.get("failure_words")),
        success_words=_lines(text.get("success_words")),
        start_words=_lines(text.get("start_words")),
        unmatched=unmatched,  # type: ignore[arg-type]  # console checked it
        rate_limit=_whole(text.get("rate_limit")),
        durability=durability,  # type: ignore[arg-type]  # console checked it
        tags=_lines(text.get("tags")),
        channels=None if channels is None else tuple(channels.split()) if channels != NO_CHANNELS else (),
        policy=text.get("policy", ""),
        remind_every=_whole(text.get("remind_every")),
        warn_late="warn_late" in text,
        runbook_url=text.get("runbook_url", ""),
        alert_text=text.get("alert_text", ""),
        recovery_text=text.get("recovery_text", ""),
        priority=int(text.get("priority", DEFAULTS.priority)),
        resume_on_ping="resume_on_ping" in text,
    )


def owed(text: Mapping[str, str], settings: Settings) -> schedules.Due:
    """What is owed after a grant that nobody has reckoned yet: the next slot after `slot_from`, or after a later ping.

    But not a slot that was met early: by the last ping, unless the slot before it may still have been owed; or by one
    that was lost in the window that excused. Raises BadSchedule.
    """
    schedule, timezone, grace, misses = settings.schedule, settings.timezone, settings.grace, settings.misses
    names = ("slot_from", "last_ping", "excused_to", "slot")
    since, pinged, excused_to, slot = (_time(text.get(name)) or 0 for name in names)

    def after(at: int) -> schedules.Due:
        return schedules.due(schedule, timezone, at, grace=grace, misses=misses)

    def is_near(at: int) -> bool:
        return at + settings.early * 1000 > since

    early = [excused_to] if is_near(excused_to) else []
    if is_near(pinged):
        ahead = after(pinged).slot
        met_it = slot != ahead if pinged < since else after(since).slot == ahead
        early += [pinged] if met_it else []
    found = [after(max(since, pinged))]
    for at in early:
        credited = schedules.credited(schedule, timezone, at, grace=grace, misses=misses, early=settings.early)
        found += [credited] if credited else []
    return max(found, key=lambda due: due.slot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What somebody said about an incident."""

    at: int
    by: str
    text: str

    @classmethod
    def from_redis(cls, value: bytes) -> "Note":
        at, by, text = value.decode(errors="replace").split("\n", 2)
        return cls(at=int(at), by=by, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One time of trouble. ``status`` void = it should never have been: the ping had come in time. A test, a warning
    that a heartbeat is late and a problem of our own are told like incidents, but are none.

    ``fleet``: `heartbeat` is a fleet's id; `count` of its members were silent at the last look, `most` at once, and
    `examples` are up to 20 of their slugs. ``position``: how far its policy has come; ``reminders``: how many there
    were. ``held``: it opened in a maintenance window, and nobody has been told yet. ``problem``: what is wrong with us,
    in a sentence.
    """

    id: str
    heartbeat: str
    project: str
    status: Literal["open", "resolved", "void", "test", "late"]
    cause: Cause
    opened_at: int
    resolved_at: int | None
    resolution: str
    last_ping_at: int | None
    exit_status: str
    output: bytes
    channels: tuple[str, ...]
    fleet: bool = False
    count: int = 0
    most: int = 0
    examples: tuple[str, ...] = ()
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    snoozed_until: int | None = None
    position: str = ""
    reminders: str = ""
    held: bool = False
    problem: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def is_test(self) -> bool:
        return self.status == "test"

    @classmethod
    def from_redis(cls, incident: str, fields: Hash) -> "Incident":
        text = {key.decode(): value for key, value in fields.items()}

        def get(field: str) -> str:
            return text.get(field, b"").decode(errors="replace")

        status, cause = get("status"), get("cause")
        assert status in {"open", "resolved", "void", "test", "late"}
        assert cause in {"silence", "failure", "overrun", "test", "late", "problem"}
        return cls(
            id=incident,
            heartbeat=get("heartbeat"),
            project=get("project"),
            status=status,  # type: ignore[arg-type]  # asserted above
            cause=cause,  # type: ignore[arg-type]  # asserted above
            opened_at=int(get("opened_at")),
            resolved_at=_time(get("resolved_at")),
            resolution=get("resolution"),
            last_ping_at=_time(get("last_ping")),
            exit_status=get("exit"),
            output=text.get("output", b""),
            channels=tuple(field[3:] for field in text if field.startswith("to:")),
            fleet="fleet" in text,
            count=int(get("count") or 0),
            most=int(get("most") or 0),
            examples=tuple(get("examples").split()),
            acknowledged_at=_time(get("acknowledged_at")),
            acknowledged_by=get("acknowledged_by"),
            snoozed_until=_time(get("snoozed_until")),
            position=get("position"),
            reminders=get("reminders"),
            held="held" in text,
            problem=get("problem"),
            notes=tuple(Note.from_redis(text[f"note:{number}"]) for number in range(1, int(get("notes") or 0) + 1)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one channel was told about one incident."""

    id: str
    incident: str
    channel: str
    status: Literal["waiting", "sending", "told", "retrying", "dead"]
    told: str
    attempts: int
    answer: str
    reason: str
    latency_ms: int | None
    created_at: int
    at: int | None
    next_at: int | None

    @classmethod
    def from_redis(cls, delivery: str, fields: Hash) -> "Delivery":
        text = {key.decode(): value.decode(errors="replace") for key, value in fields.items()}
        outcome = text.get("outcome", "")
        status = "sending" if "owner" in text else {"retry": "retrying", "": "waiting"}.get(outcome, outcome)
        incident, _, channel = delivery.partition(":")
        return cls(
            id=delivery,
            incident=incident,
            channel=channel,
            status=status,  # type: ignore[arg-type]  # outcome.lua writes told, retry, dead
            told=text.get("told", ""),
            attempts=int(text.get("attempt", 0)),
            answer=text.get("answer", ""),
            reason=text.get("reason", ""),
            latency_ms=_time(text.get("latency")),
            created_at=int(text["created"]),
            at=_time(text.get("at")),
            next_at=_time(text.get("next")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where people are told; ``settings`` as rules/channels.py checked them. ``slug``: no other channel of the project
    has it; "" = none. ``broken``: why its last message was given up, "" = it works as far as we know; ``gone``: the
    receiver has resigned, and is sent nothing but tests.
    """

    id: str
    project: str
    name: str
    kind: str
    settings: Mapping[str, Any]
    created_at: int
    slug: str = ""
    broken: str = ""
    broken_at: int | None = None
    gone: bool = False


def span_ms(period: int, grace: int, misses: int = 1) -> int:
    """From the last ping to the deadline."""
    return (misses * period + grace) * 1000


def decoded(fields: Hash) -> dict[str, str]:
    """A hash as text; what is no UTF-8 shows."""
    return {key.decode(): value.decode(errors="replace") for key, value in fields.items()}


def _lines(text: str | None) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()


def _whole(text: str | None) -> int | None:
    return int(text) if text else None


def _time(text: str | None) -> int | None:
    return int(text) if text and text != "0" else None
