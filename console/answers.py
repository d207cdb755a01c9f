"""What the API answers: each field as the OpenAPI document promises it. Times are ms here and RFC 3339 outside."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel

from store.problems import Kind


def rfc3339(ms: int) -> str:
    seconds, millis = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03}Z"


Time = Annotated[
    int,
    PlainSerializer(rfc3339),
    Field(json_schema_extra={"format": "date-time"}, examples=["2030-01-31T09:00:00.000Z"]),
]


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, json_schema_serialization_defaults_required=True)


class Heartbeat(Answer):
    """What is watched. `last_ping_at`: the last sign of life, a reported failure too. `next_slot_at`: with a schedule,
    the moment that the next ping is expected for. `last_duration_ms`: of the last run that was ended.
    """

    id: str
    name: str
    slug: str | None
    ping_url: str
    slug_url: str | None
    status: Literal["pending", "up", "late", "down", "paused"]
    period: int
    grace: int
    schedule: str | None
    timezone: str
    early: int
    misses: int
    recover_after: int
    max_runtime: int | None
    post_only: bool
    failure_words: tuple[str, ...]
    success_words: tuple[str, ...]
    start_words: tuple[str, ...]
    unmatched: Literal["ignored", "fail"]
    rate_limit: int | None
    durability: Literal["memory", "disk", "replica"] | None
    tags: tuple[str, ...]
    channels: tuple[str, ...] | None
    policy: str | None
    remind_every: int | None
    warn_late: bool
    runbook_url: str | None
    alert_text: str
    recovery_text: str
    priority: int
    resume_on_ping: bool
    created_at: Time
    since: Time
    last_ping_at: Time | None
    next_slot_at: Time | None
    next_deadline_at: Time | None
    resume_at: Time | None
    running_since: Time | None
    last_duration_ms: int | None
    incident: str | None


class Event(Answer):
    """A row of a heartbeat's log: a ping, or a change. `size`: bytes of its output; `cause`: of a `down`; `until`: the
    end of the time in which we were deaf, of an `excused`.
    """

    id: str
    kind: str
    at: Time
    duration_ms: int | None
    exit_status: str | None
    run: str | None
    size: int
    has_output: bool
    client: str | None
    user_agent: str | None
    cause: str | None
    until: Time | None


class Slot(Answer):
    """A moment at which a ping is expected; `local`: as a clock on the wall shows it."""

    at: Time
    local: str
    deadline_at: Time


class Preview(Answer):
    slots: tuple[Slot, ...]


class Project(Answer):
    """`ping_url`, a slash and a slug: where the heartbeat that has the slug is pinged."""

    name: str
    ping_key: str
    ping_url: str


class MemberCounts(Answer):
    """Members by status; the late are among those that are up."""

    up: int
    late: int
    down: int
    paused: int


class Fleet(Answer):
    """What holds for each member. `ping_url`, a slash and a slug: where a member pings. `incident`: the open one."""

    id: str
    name: str
    ping_key: str
    ping_url: str
    status: Literal["up", "down", "paused"]
    period: int
    grace: int
    misses: int
    tags: tuple[str, ...]
    channels: tuple[str, ...] | None
    policy: str | None
    remind_every: int | None
    runbook_url: str | None
    alert_text: str
    recovery_text: str
    priority: int
    durability: Literal["memory", "disk", "replica"] | None
    cap: int
    members: MemberCounts
    created_at: Time
    incident: str | None


class Member(Answer):
    """One heartbeat of a fleet. `since` and `cause` (silence, fail or an exit status): of one that is down.
    `last_ping_at` null: not known since an edit, a pause or an outage of ours.
    """

    slug: str
    status: Literal["up", "late", "down", "paused"]
    since: Time | None
    last_ping_at: Time | None
    next_deadline_at: Time | None
    cause: str | None


class Forgotten(Answer):
    """How many members are no more."""

    forgotten: int


class Broken(Answer):
    """Why a channel cannot be told. `gone`: the receiver has resigned; nothing but tests is sent until an edit."""

    since: Time
    answer: str
    gone: bool


class Channel(Answer):
    """Where people are told. Secrets in `settings` are null, but for one made by us in the answer that made it."""

    id: str
    name: str
    slug: str | None
    kind: str
    settings: dict[str, Any]
    created_at: Time
    broken: Broken | None


class Delivery(Answer):
    """What one channel was told about one incident."""

    id: str
    incident: str
    channel: str
    status: Literal["waiting", "sending", "told", "retrying", "dead"]
    attempts: int
    answer: str | None
    reason: str | None
    latency_ms: int | None
    created_at: Time
    at: Time | None
    next_at: Time | None


class Telling(Answer):
    """One message that a channel was sent, about `incident` and others up to `count`."""

    at: Time
    incident: str
    what: str
    count: int
    outcome: Literal["told", "retry", "dead"]
    answer: str | None
    reason: str | None
    latency_ms: int


class Tellings(Answer):
    log: tuple[Telling, ...]
    next_cursor: None = None


class Counted(Answer):
    count: int


class Named(Answer):
    """`name` null: deleted too long ago."""

    id: str
    name: str | None


class Note(Answer):
    """What somebody said about an incident."""

    at: Time
    by: str
    text: str


class Incident(Answer):
    """One time of trouble, of a heartbeat or of a fleet: of that, `count` members are silent, `most` were at once, and
    `examples` are some of them. Resolution `void`: it should never have been, the ping had come in time.
    """

    id: str
    heartbeat: Named | None
    fleet: Named | None
    count: int | None
    most: int | None
    examples: tuple[str, ...]
    status: Literal["open", "resolved"]
    cause: Literal["silence", "failure", "overrun"]
    opened_at: Time
    resolved_at: Time | None
    resolution: str | None
    acknowledged_at: Time | None
    acknowledged_by: str | None
    snoozed_until: Time | None
    exit_status: str | None
    output: str
    notes: tuple[Note, ...]


class IncidentDetails(Incident):
    deliveries: tuple[Delivery, ...]


class Heartbeats(Answer):
    heartbeats: tuple[Heartbeat, ...]
    next_cursor: str | None


class HeartbeatCounts(Answer):
    """By status; the late are among those that are up."""

    pending: int
    up: int
    down: int
    paused: int


class Counts(Answer):
    """How many there are. `tagged`: that have the tag that was asked about; null = none was."""

    heartbeats: HeartbeatCounts
    tagged: int | None


class Events(Answer):
    events: tuple[Event, ...]
    next_cursor: str | None


class Channels(Answer):
    channels: tuple[Channel, ...]
    next_cursor: None = None


class Fleets(Answer):
    fleets: tuple[Fleet, ...]
    next_cursor: str | None


class Members(Answer):
    members: tuple[Member, ...]
    next_cursor: str | None


class Incidents(Answer):
    incidents: tuple[Incident, ...]
    next_cursor: str | None


class Deliveries(Answer):
    deliveries: tuple[Delivery, ...]
    next_cursor: None = None


class TestAsked(Answer):
    """Look at the delivery to learn what became of the test."""

    delivery: str


class Contact(Answer):
    """`wait`: seconds after the person was first told."""

    channel: str
    wait: int


class Person(Answer):
    """Somebody who can be told, by one contact after the other."""

    id: str
    name: str
    contacts: tuple[Contact, ...]


class People(Answer):
    people: tuple[Person, ...]
    next_cursor: None = None


class Override(Answer):
    """Somebody stands in, whoever's turn it is; the last one in the list wins."""

    model_config = ConfigDict(serialize_by_alias=True)
    person: str
    from_: Annotated[Time, Field(serialization_alias="from")]
    until: Time


class OnCall(Answer):
    """Whose turn it is. `days`: of a shift; `handover`: the local time at which it begins; `start`: the first day."""

    id: str
    name: str
    timezone: str
    people: tuple[str, ...]
    days: int
    handover: str
    start: str
    overrides: tuple[Override, ...]


class OnCalls(Answer):
    oncall: tuple[OnCall, ...]
    next_cursor: None = None


class OnDuty(Answer):
    """Who is on call. `person` null: nobody is; `until` null: that does not change any more."""

    person: Person | None
    at: Time
    until: Time | None


class Shift(Answer):
    """One turn, or the part of it that was asked for."""

    model_config = ConfigDict(serialize_by_alias=True)
    person: Named
    from_: Annotated[Time, Field(serialization_alias="from")]
    until: Time


class Shifts(Answer):
    shifts: tuple[Shift, ...]
    next_cursor: None = None


class Step(Answer):
    """`wait`: seconds after the step before it; of the first, after the incident opened."""

    wait: int
    channels: tuple[str, ...]
    people: tuple[str, ...]
    schedules: tuple[str, ...]


class Policy(Answer):
    """Who is told after whom. `repeat`: how often all steps are gone through again, `repeat_after` the last one."""

    id: str
    name: str
    steps: tuple[Step, ...]
    repeat: int
    repeat_after: int


class Policies(Answer):
    policies: tuple[Policy, ...]
    next_cursor: None = None


class Window(Answer):
    """A time in which nobody is told: `from` to `until` (null: no end), or on `days` from `start` to `end`."""

    model_config = ConfigDict(serialize_by_alias=True)
    id: str
    name: str
    heartbeats: tuple[str, ...]
    tags: tuple[str, ...]
    everything: bool
    from_: Annotated[Time | None, Field(serialization_alias="from")]
    until: Time | None
    days: tuple[int, ...]
    start: str | None
    end: str | None
    timezone: str


class Windows(Answer):
    windows: tuple[Window, ...]
    next_cursor: None = None


class OpenProblem(Answer):
    """Something that is wrong with flatline itself. `subject`: of a `channel_broken` the channel; "" = all of it."""

    kind: Kind
    subject: str
    text: str
    opened_at: Time


class OpenProblems(Answer):
    problems: tuple[OpenProblem, ...]
    next_cursor: None = None


class DeafWindow(Answer):
    """A time in which nobody could have reached us. `until` null: it lasts."""

    model_config = ConfigDict(serialize_by_alias=True)
    from_: Annotated[Time, Field(serialization_alias="from")]
    until: Time | None
    duration_ms: int


class DeafWindows(Answer):
    deaf: tuple[DeafWindow, ...]
    next_cursor: None = None


class Operators(Answer):
    """Whom problems of flatline itself are told to; none = all channels of the project."""

    channels: tuple[str, ...]


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""


class Problem(Answer):
    code: str
    message: str
    field: str | None


class Error(Answer):
    error: Problem
