"""What the API answers: each field as the OpenAPI document promises it. Times are ms here and RFC 3339 outside."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel


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
    """What is watched. `last_ping_at`: the last sign of life, a reported failure too."""

    id: str
    name: str
    ping_url: str
    status: Literal["pending", "up", "late", "down", "paused"]
    period: int
    grace: int
    misses: int
    max_runtime: int | None
    schedule: None
    timezone: None
    tags: tuple[str, ...]
    channels: tuple[str, ...] | None
    policy: None
    alert_text: str
    recovery_text: str
    priority: int
    resume_on_ping: bool
    created_at: Time
    since: Time
    last_ping_at: Time | None
    next_deadline_at: Time | None
    resume_at: Time | None
    running_since: Time | None
    incident: str | None


class Channel(Answer):
    """Where people are told. Secrets in `settings` are null, but for one made by us in the answer that made it."""

    id: str
    name: str
    kind: str
    settings: dict[str, Any]
    created_at: Time


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


class HeartbeatName(Answer):
    """`name` null: deleted too long ago."""

    id: str
    name: str | None


class Incident(Answer):
    """One time of trouble. Resolution `void`: it should never have been, the ping had come in time."""

    id: str
    heartbeat: HeartbeatName
    status: Literal["open", "resolved"]
    cause: Literal["silence", "failure", "overrun"]
    opened_at: Time
    resolved_at: Time | None
    resolution: str | None
    exit_status: str | None
    output: str


class IncidentDetails(Incident):
    deliveries: tuple[Delivery, ...]


class Heartbeats(Answer):
    heartbeats: tuple[Heartbeat, ...]
    next_cursor: str | None


class Channels(Answer):
    channels: tuple[Channel, ...]
    next_cursor: None = None


class Incidents(Answer):
    incidents: tuple[Incident, ...]
    next_cursor: str | None


class Deliveries(Answer):
    deliveries: tuple[Delivery, ...]
    next_cursor: None = None


class TestAsked(Answer):
    """Look at the delivery to learn what became of the test."""

    delivery: str


class Document(RootModel[dict[str, Any]]):
    """An OpenAPI 3.1 document."""


class Problem(Answer):
    code: str
    message: str
    field: str | None


class Error(Answer):
    error: Problem
