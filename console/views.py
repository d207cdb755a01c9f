"""Records of the store as answers."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from console import answers
from rules.channels import KINDS
from rules.oncall import OnCall, Person
from rules.policies import Policy
from rules.windows import Window
from store import deliveries, events, fleets, problems, records

Planned = TypeVar("Planned", Person, OnCall, Policy, Window)


def heartbeat(record: records.Heartbeat, now: int, public_url: str, ping_key: str) -> answers.Heartbeat:
    """`ping_key`: the project's, for a heartbeat with a slug."""
    settings, status = record.settings, record.status(now)
    is_awaited = settings.schedule and status in {"up", "late"}
    return answers.Heartbeat(
        id=record.id,
        name=settings.name,
        slug=settings.slug or None,
        ping_url=f"{public_url}/ping/{record.token}",
        slug_url=f"{public_url}/ping/{ping_key}/{settings.slug}" if settings.slug else None,
        status=status,
        period=settings.period,
        grace=settings.grace,
        schedule=settings.schedule or None,
        timezone=settings.timezone,
        early=settings.early,
        misses=settings.misses,
        recover_after=settings.recover_after,
        max_runtime=settings.max_runtime,
        post_only=settings.post_only,
        failure_words=settings.failure_words,
        success_words=settings.success_words,
        start_words=settings.start_words,
        unmatched=settings.unmatched,
        rate_limit=settings.rate_limit,
        durability=settings.durability,
        tags=settings.tags,
        channels=settings.channels,
        policy=settings.policy or None,
        remind_every=settings.remind_every,
        warn_late=settings.warn_late,
        runbook_url=settings.runbook_url or None,
        alert_text=settings.alert_text,
        recovery_text=settings.recovery_text,
        priority=settings.priority,
        resume_on_ping=settings.resume_on_ping,
        created_at=record.created_at,
        since=record.since,
        last_ping_at=max(record.last_ping_at or 0, record.last_fail_at or 0) or None,
        next_slot_at=record.slot if is_awaited else None,
        next_deadline_at=None if record.deadline is None else int(record.deadline),
        resume_at=record.resume_at,
        running_since=record.running_since,
        last_duration_ms=record.last_duration_ms,
        incident=record.incident if status == "down" else None,
    )


def fleet(record: fleets.Fleet, members: Mapping[str, int], public_url: str) -> answers.Fleet:
    """`members`: how many, by status."""
    settings = record.settings
    return answers.Fleet(
        id=record.id,
        name=settings.name,
        ping_key=record.ping_key,
        ping_url=f"{public_url}/ping/{record.ping_key}",
        status="down" if record.incident and record.status == "up" else record.status,
        period=settings.period,
        grace=settings.grace,
        misses=settings.misses,
        tags=settings.tags,
        channels=settings.channels,
        policy=settings.policy or None,
        remind_every=settings.remind_every,
        runbook_url=settings.runbook_url or None,
        alert_text=settings.alert_text,
        recovery_text=settings.recovery_text,
        priority=settings.priority,
        durability=settings.durability,
        cap=settings.cap,
        members=answers.MemberCounts(**members),
        created_at=record.created_at,
        incident=record.incident,
    )


def member(record: fleets.Member) -> answers.Member:
    return answers.Member(
        slug=record.slug,
        status=record.status,
        since=record.since,
        last_ping_at=record.last_ping_at,
        next_deadline_at=None if record.deadline is None else int(record.deadline),
        cause=record.cause or None,
    )


def event(record: events.Event) -> answers.Event:
    return answers.Event(
        id=record.id,
        kind=record.kind,
        at=record.at,
        duration_ms=record.duration_ms,
        exit_status=record.exit_status or None,
        run=record.run or None,
        size=record.size,
        has_output=record.has_output,
        client=record.client or None,
        user_agent=record.user_agent or None,
        cause=record.cause or None,
        until=record.until,
    )


def channel(record: records.Channel, *, reveal: Iterable[str] = ()) -> answers.Channel:
    """`reveal`: secrets that may be shown this once."""
    hidden = secret_fields(record.kind) - set(reveal)
    settings = {name: None if name in hidden else value for name, value in record.settings.items()}
    return answers.Channel(
        id=record.id,
        name=record.name,
        slug=record.slug or None,
        kind=record.kind,
        settings=settings,
        created_at=record.created_at,
        broken=answers.Broken(since=record.broken_at or 0, answer=record.broken, gone=record.gone)
        if record.broken
        else None,
    )


def secret_fields(kind: str) -> set[str]:
    return {field.name for field in KINDS[kind].fields if field.shown == "never"}


def incident(record: records.Incident, of: records.Heartbeat | fleets.Fleet | None) -> answers.Incident:
    """`of`: whose it is; None = deleted too long ago."""
    named = answers.Named(id=record.heartbeat, name=of.settings.name if of else None)
    assert record.cause in {"silence", "failure", "overrun"}  # others are told like an incident but are none
    return answers.Incident(
        id=record.id,
        heartbeat=None if record.fleet else named,
        fleet=named if record.fleet else None,
        count=record.count if record.fleet else None,
        most=record.most if record.fleet else None,
        examples=record.examples,
        status="open" if record.status == "open" else "resolved",
        cause=record.cause,
        opened_at=record.opened_at,
        resolved_at=record.resolved_at,
        resolution="void" if record.status == "void" else record.resolution or None,
        acknowledged_at=record.acknowledged_at,
        acknowledged_by=record.acknowledged_by or None,
        snoozed_until=record.snoozed_until,
        exit_status=record.exit_status or None,
        output=record.output.decode(errors="replace"),
        notes=tuple(note(each) for each in record.notes),
    )


def note(record: records.Note) -> answers.Note:
    return answers.Note(at=record.at, by=record.by, text=record.text)


def telling(record: deliveries.Telling) -> answers.Telling:
    return answers.Telling(
        at=record.at,
        incident=record.incident,
        what=record.word,
        count=record.count,
        outcome=record.outcome,  # type: ignore[arg-type]  # outcome.lua writes told, retry, dead
        answer=record.answer or None,
        reason=record.reason or None,
        latency_ms=record.latency_ms,
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


def by_name(found: Iterable[Planned]) -> list[Planned]:
    return sorted(found, key=lambda record: (record.name.casefold(), record.id))


def person(record: Person) -> answers.Person:
    contacts = tuple(answers.Contact(channel=each.channel, wait=each.wait) for each in record.contacts)
    return answers.Person(id=record.id, name=record.name, contacts=contacts)


def oncall(record: OnCall) -> answers.OnCall:
    return answers.OnCall(
        id=record.id,
        name=record.name,
        timezone=record.timezone,
        people=record.people,
        days=record.days,
        handover=record.handover,
        start=record.start,
        overrides=tuple(
            answers.Override(person=each.person, from_=each.start_at, until=each.end_at) for each in record.overrides
        ),
    )


def shift(found: tuple[int, int, str], people: Mapping[str, Person]) -> answers.Shift:
    start, end, id_ = found
    named = answers.Named(id=id_, name=people[id_].name if id_ in people else None)
    return answers.Shift(person=named, from_=start, until=end)


def policy(record: Policy) -> answers.Policy:
    steps = tuple(
        answers.Step(wait=step.wait, channels=step.channels, people=step.people, schedules=step.schedules)
        for step in record.steps
    )
    return answers.Policy(
        id=record.id, name=record.name, steps=steps, repeat=record.repeat, repeat_after=record.repeat_after
    )


def window(record: Window) -> answers.Window:
    return answers.Window(
        id=record.id,
        name=record.name,
        heartbeats=record.heartbeats,
        tags=record.tags,
        everything=record.everything,
        from_=record.start_at,
        until=record.end_at,
        days=record.days,
        start=record.start or None,
        end=record.end or None,
        timezone=record.timezone,
    )


def problem(record: problems.Problem) -> answers.OpenProblem:
    return answers.OpenProblem(kind=record.kind, subject=record.subject, text=record.text, opened_at=record.opened_at)


def deaf_window(start: int, end: int | None, now: int) -> answers.DeafWindow:
    return answers.DeafWindow(from_=start, until=end, duration_ms=(now if end is None else end) - start)
