"""Records of the store as answers."""

from collections.abc import Iterable

from console import answers
from rules.channels import KINDS
from store import records


def heartbeat(record: records.Heartbeat, now: int, public_url: str) -> answers.Heartbeat:
    settings, status = record.settings, record.status(now)
    return answers.Heartbeat(
        id=record.id,
        name=settings.name,
        ping_url=f"{public_url}/ping/{record.token}",
        status=status,
        period=settings.period,
        grace=settings.grace,
        misses=settings.misses,
        max_runtime=settings.max_runtime,
        schedule=None,
        timezone=None,
        tags=settings.tags,
        channels=settings.channels,
        policy=None,
        alert_text=settings.alert_text,
        recovery_text=settings.recovery_text,
        priority=settings.priority,
        resume_on_ping=settings.resume_on_ping,
        created_at=record.created_at,
        since=record.since,
        last_ping_at=max(record.last_ping_at or 0, record.last_fail_at or 0) or None,
        next_deadline_at=None if record.deadline is None else int(record.deadline),
        resume_at=record.resume_at,
        running_since=record.running_since,
        incident=record.incident if status == "down" else None,
    )


def channel(record: records.Channel, *, reveal: Iterable[str] = ()) -> answers.Channel:
    """`reveal`: secrets that may be shown this once."""
    hidden = secret_fields(record.kind) - set(reveal)
    settings = {name: None if name in hidden else value for name, value in record.settings.items()}
    return answers.Channel(
        id=record.id, name=record.name, kind=record.kind, settings=settings, created_at=record.created_at
    )


def secret_fields(kind: str) -> set[str]:
    return {field.name for field in KINDS[kind].fields if field.shown == "never"}


def incident(record: records.Incident, of: records.Heartbeat | None) -> answers.Incident:
    assert record.cause != "test"  # a test is told like an incident but is none
    return answers.Incident(
        id=record.id,
        heartbeat=answers.HeartbeatName(id=record.heartbeat, name=of.settings.name if of else None),
        status="open" if record.status == "open" else "resolved",
        cause=record.cause,
        opened_at=record.opened_at,
        resolved_at=record.resolved_at,
        resolution="void" if record.status == "void" else record.resolution or None,
        exit_status=record.exit_status or None,
        output=record.output.decode(errors="replace"),
    )


def delivery(record: records.Delivery) -> answers.Delivery:
    return answers.Delivery(
        id=record.id,
        incident=record.incident,
        channel=record.channel,
        status=record.status,
        attempts=record.attempts,
        answer=record.answer or None,
        reason=record.reason or None,
        latency_ms=record.latency_ms,
        created_at=record.created_at,
        at=record.at,
        next_at=record.next_at,
    )
