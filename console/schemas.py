"""What requests may hold, in a body or in a query string; whatever is not named here is refused."""

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from console.fields import (
    cursor,
    day,
    line,
    moment,
    part_of_line,
    pattern,
    prose,
    reckonable,
    several,
    some,
    unchecked,
    whole,
)
from rules import limits

PAUSE_MAX: Final = 10 * 366 * limits.DAY  # seconds; for longer, pause without an end
SILENT_MAX: Final = 10 * 366 * limits.DAY  # seconds
PAGE_MAX: Final = 500
LOG_MAX: Final = 200
SNOOZE_MIN: Final = 60  # seconds
SNOOZE_MAX: Final = 31 * limits.DAY
CURSOR_MAX: Final = 10_000  # characters of a cursor that carries slugs; a request's head has 16 kB

Name = Annotated[str, line(limits.NAME_MAX)]
Tag = Annotated[str, line(limits.TAG_MAX)]
Prefix = Annotated[str, part_of_line(limits.NAME_MAX)]
Slug = Annotated[str, pattern(limits.SLUG, f"must be 1 to {limits.NAME_MAX} of the characters a-z, 0-9, _ and -")]
PolicyId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of a policy")]
ChannelId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of a channel")]
RemindS = Annotated[int, whole(limits.REMIND_MIN, limits.REMIND_MAX, "seconds")]
WebPage = Annotated[str, pattern("https?://[!-~]{1,1990}", "must be an http:// or https:// address")]
PersonId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of a person")]
OnCallId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of an on-call schedule")]
HeartbeatId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of a heartbeat")]
WatchedId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of a heartbeat or a fleet")]
TimeOfDay = Annotated[str, pattern("([01][0-9]|2[0-3]):[0-5][0-9]", "must be a time of day, 00:00 to 23:59")]
PeriodS = Annotated[int, whole(limits.PERIOD_MIN, limits.PERIOD_MAX, "seconds")]
GraceS = Annotated[int, whole(limits.GRACE_MIN, limits.GRACE_MAX, "seconds")]
RuntimeS = Annotated[int, whole(limits.RUNTIME_MIN, limits.RUNTIME_MAX, "seconds")]
Expression = Annotated[str, unchecked(limits.SCHEDULE_MAX)]
Timezone = Annotated[str, unchecked(limits.TIMEZONE_MAX)]
EarlyS = Annotated[int, whole(limits.EARLY_MIN, limits.EARLY_MAX, "seconds")]
RecoverAfter = Annotated[int, whole(limits.RECOVER_MIN, limits.RECOVER_MAX, "pings")]
RateLimit = Annotated[int, whole(limits.RATE_MIN, limits.RATE_MAX, "pings a minute")]
Word = Annotated[str, part_of_line(limits.WORD_MAX)]
Words = Annotated[tuple[Word, ...], *several(limits.WORDS_MAX)]
Durability = Literal["memory", "disk", "replica"]
Misses = Annotated[int, whole(limits.MISSES_MIN, limits.MISSES_MAX)]
Priority = Annotated[int, whole(limits.PRIORITY_MIN, limits.PRIORITY_MAX)]
Cap = Annotated[int, whole(limits.MEMBERS_MIN, limits.MEMBERS_MAX, "members")]
Text = Annotated[str, prose(limits.TEXT_MAX)]
Moment = Annotated[int, moment(), AfterValidator(reckonable)]
PageSize = Annotated[int, whole(1, PAGE_MAX, text=True)]
EventCursor = Annotated[str, cursor(b"[1-9][0-9]{0,15}-[0-9]{1,10}")]
NameCursor = Annotated[str, cursor(rb"[^\0]+\0[0-9a-f]{12}")]
MemberCursor = Annotated[str, unchecked(CURSOR_MAX)]
IncidentCursor = Annotated[str, cursor(rb"(open|resolved)\t[0-9]{1,16}\t[0-9a-f]{12}-[0-9]{1,16}")]


class Body(BaseModel):
    """A JSON object. `required` False: an empty body and null are as good as {}."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    required: ClassVar[bool] = True

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, each as a whole: within them what was left out has its default."""
        return {name: value for name, value in self.model_dump().items() if name in self.model_fields_set}


class Query(BaseModel):
    """What stands behind the question mark."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _without_defaults(schema: dict[str, Any]) -> None:
    """In a change, what is not sent stays as it is."""
    for field in schema["properties"].values():
        field.pop("default", None)


class HeartbeatCreate(Body):
    """`channels` null = all of the project. `max_runtime` null = the grace, at least a minute. `schedule` null = every
    `period` seconds. `durability` null = that of the ingest nodes. `policy`: an escalation policy says who is told, in
    place of `channels`. `remind_every` null = told once.
    """

    name: Name
    slug: Slug | None = None
    period: PeriodS = limits.PERIOD_DEFAULT
    grace: GraceS = limits.GRACE_DEFAULT
    schedule: Expression | None = None
    timezone: Timezone = "UTC"
    early: EarlyS = limits.EARLY_DEFAULT
    misses: Misses = 1
    recover_after: RecoverAfter = 1
    max_runtime: RuntimeS | None = None
    post_only: bool = False
    failure_words: Words = ()
    success_words: Words = ()
    start_words: Words = ()
    unmatched: Literal["ignored", "fail"] = "ignored"
    rate_limit: RateLimit | None = None
    durability: Durability | None = None
    tags: Annotated[tuple[Tag, ...], *several(limits.TAGS_MAX)] = ()
    channels: Annotated[tuple[ChannelId, ...], *several()] | None = None
    policy: PolicyId | None = None
    remind_every: RemindS | None = None
    warn_late: bool = False
    runbook_url: WebPage | None = None
    alert_text: Text = ""
    recovery_text: Text = ""
    priority: Priority = limits.PRIORITY_DEFAULT
    resume_on_ping: bool = False


class HeartbeatPatch(HeartbeatCreate):
    """Only what is sent is changed."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""


class HeartbeatPut(HeartbeatPatch):
    """Of a heartbeat that is there only what is sent is changed; a new one has the defaults for the rest, and the slug
    for a name.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    required: ClassVar[bool] = False


class CountQuery(Query):
    """`tag`: how many have this tag is told, too."""

    tag: Tag | None = None


class Pause(Body):
    """Without an end the pause lasts until it is resumed."""

    required: ClassVar[bool] = False
    for_: Annotated[int, whole(1, PAUSE_MAX, "seconds")] | None = Field(None, alias="for")
    until: Annotated[int, moment()] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.for_ is not None and self.until is not None:
            raise ValueError("send either for or until, not both")
        return self


class FleetCreate(Body):
    """What holds for each member. `cap`: so many members at most; of several shards each takes its share."""

    name: Name
    period: PeriodS = limits.PERIOD_DEFAULT
    grace: GraceS = limits.GRACE_DEFAULT
    misses: Misses = 1
    tags: Annotated[tuple[Tag, ...], *several(limits.TAGS_MAX)] = ()
    channels: Annotated[tuple[ChannelId, ...], *several()] | None = None
    policy: PolicyId | None = None
    remind_every: RemindS | None = None
    runbook_url: WebPage | None = None
    alert_text: Text = ""
    recovery_text: Text = ""
    priority: Priority = limits.PRIORITY_DEFAULT
    durability: Durability | None = None
    cap: Cap = limits.MEMBERS_DEFAULT


class FleetPatch(FleetCreate):
    """Only what is sent is changed."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""


class Forget(Body):
    """Who has been silent for at least so long is forgotten."""

    silent_for: Annotated[int, whole(0, SILENT_MAX, "seconds")]


class ChannelCreate(Body):
    """`settings` depend on the kind; see the guide to channels. `slug`: no other channel of the project has it."""

    name: Name
    slug: Slug | None = None
    kind: str
    settings: dict[str, Any]


class ChannelPatch(Body):
    """Only what is sent is changed, also within `settings`; a secret sent as null stays as it is."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""
    slug: Slug | None = None
    settings: dict[str, Any] = {}


class ChannelPut(ChannelPatch):
    """As a change of a channel that is there; a new one needs its `kind`, and is named as its slug unless told so."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    kind: str | None = None


class Part(BaseModel):
    """An object within a body; what it lacks, or should not have, is told of the whole."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError("must be an object")  # noqa: TRY004 - pydantic collects ValueErrors
        known = {info.alias or name: info.is_required() for name, info in cls.model_fields.items()}
        for name in value:
            if name not in known:
                unknown = limits.clean(name)[: limits.NAME_MAX]
                raise ValueError(f'must not have the field "{unknown}"; known are {", ".join(known)}')
        for name, is_required in known.items():
            if is_required and name not in value:
                raise ValueError(f"must have the field {name}")
        return value


class GivenContact(Part):
    channel: ChannelId
    wait: Annotated[int, whole(0, limits.CONTACT_WAIT_MAX, "seconds")] = 0


def _in_turn(contacts: tuple[GivenContact, ...]) -> tuple[GivenContact, ...]:
    if len({contact.channel for contact in contacts}) < len(contacts):
        raise ValueError("must not name the same channel twice")
    waits = [contact.wait for contact in contacts]
    if waits[0] or waits != sorted(waits):
        raise ValueError("must begin with a wait of 0, and no wait may be shorter than the one before")
    return contacts


class PersonCreate(Body):
    """Contacts are told in this order, as long as nobody has acknowledged; `wait` counts from the first telling."""

    name: Name
    contacts: Annotated[tuple[GivenContact, ...], *some(1, limits.CONTACTS_MAX), AfterValidator(_in_turn)]


class PersonPatch(PersonCreate):
    """Only what is sent is changed."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""
    contacts: Annotated[tuple[GivenContact, ...], *some(1, limits.CONTACTS_MAX), AfterValidator(_in_turn)] = ()


class GivenOverride(Part):
    person: PersonId
    start_at: Annotated[Moment, Field(alias="from")]
    end_at: Annotated[Moment, Field(alias="until")]

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.end_at <= self.start_at:
            raise ValueError("must end after it begins")
        return self


class OnCallCreate(Body):
    """Shifts of so many `days`, handed over at a local time, from `start` on. Of `overrides` the last one wins."""

    name: Name
    timezone: Timezone = "UTC"
    people: Annotated[tuple[PersonId, ...], *several(limits.SHIFT_PEOPLE_MAX)]
    days: Annotated[int, whole(limits.SHIFT_DAYS_MIN, limits.SHIFT_DAYS_MAX, "days")] = 7
    handover: TimeOfDay = "09:00"
    start: Annotated[str, day()]
    overrides: Annotated[tuple[GivenOverride, ...], *some(0, limits.OVERRIDES_MAX)] = ()


class OnCallPatch(OnCallCreate):
    """Only what is sent is changed; a list is sent as a whole."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""
    people: Annotated[tuple[PersonId, ...], *several(limits.SHIFT_PEOPLE_MAX)] = ()
    start: Annotated[str, day()] = ""


class GivenStep(Part):
    wait: Annotated[int, whole(0, limits.STEP_WAIT_MAX, "seconds")] = 0
    channels: Annotated[tuple[ChannelId, ...], *several(limits.TARGETS_MAX)] = ()
    people: Annotated[tuple[PersonId, ...], *several(limits.TARGETS_MAX)] = ()
    schedules: Annotated[tuple[OnCallId, ...], *several(limits.TARGETS_MAX)] = ()

    @model_validator(mode="after")
    def _has_target(self) -> Self:
        if not (self.channels or self.people or self.schedules):
            raise ValueError("must name at least one channel, person or on-call schedule")
        return self


class PolicyCreate(Body):
    """`wait`: seconds after the step before, of the first after the incident opened. Then all again, `repeat` times."""

    name: Name
    steps: Annotated[tuple[GivenStep, ...], *some(limits.STEPS_MIN, limits.STEPS_MAX)]
    repeat: Annotated[int, whole(0, limits.REPEAT_MAX)] = 0
    repeat_after: Annotated[int, whole(limits.REPEAT_AFTER_MIN, limits.REPEAT_AFTER_MAX, "seconds")] = (
        limits.REPEAT_AFTER_DEFAULT
    )


class PolicyPatch(PolicyCreate):
    """Only what is sent is changed; the steps are sent as a whole."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""
    steps: Annotated[tuple[GivenStep, ...], *some(limits.STEPS_MIN, limits.STEPS_MAX)] = ()


class WindowCreate(Body):
    """Either `from` (null = now) and `until` (null = no end), or `days` (0 = Monday), `start` and `end`: a window with
    an `end` that is not after its `start` ends on the next day.
    """

    name: Name
    heartbeats: Annotated[tuple[WatchedId, ...], *several(limits.COVERED_MAX)] = ()
    tags: Annotated[tuple[Tag, ...], *several(limits.TAGS_MAX)] = ()
    everything: bool = False
    start_at: Moment | None = Field(None, alias="from")
    end_at: Moment | None = Field(None, alias="until")
    days: Annotated[tuple[Annotated[int, whole(0, 6)], ...], *several(7)] = ()
    start: TimeOfDay | None = None
    end: TimeOfDay | None = None
    timezone: Timezone = "UTC"


class WindowPatch(WindowCreate):
    """Only what is sent is changed."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""


class DutyQuery(Query):
    """`at` null = now."""

    at: Moment | None = None


class ShiftQuery(Query):
    """`from` null = now; `until` null = four weeks later."""

    from_: Moment | None = Field(None, alias="from")
    until: Moment | None = None


class HeartbeatQuery(Query):
    """`prefix`: how the name begins, in whatever case. What is asked for holds together: up, and with this tag."""

    limit: PageSize = 100
    cursor: NameCursor | None = None
    status: Literal["pending", "up", "late", "down", "paused"] | None = None
    tag: Tag | None = None
    prefix: Prefix | None = None


class EventQuery(Query):
    limit: PageSize = 100
    cursor: EventCursor | None = None


class ScheduleQuery(Query):
    """As a heartbeat would have them."""

    schedule: Expression
    timezone: Timezone = "UTC"
    grace: Annotated[int, whole(limits.GRACE_MIN, limits.GRACE_MAX, "seconds", text=True)] = limits.GRACE_DEFAULT
    misses: Annotated[int, whole(limits.MISSES_MIN, limits.MISSES_MAX, text=True)] = 1
    count: Annotated[int, whole(1, limits.PREVIEW_MAX, text=True)] = 5


class FleetQuery(Query):
    limit: PageSize = 100
    cursor: NameCursor | None = None


class MemberQuery(Query):
    limit: PageSize = 100
    cursor: MemberCursor | None = None
    status: Literal["up", "late", "down", "paused"] | None = None


class IncidentQuery(Query):
    limit: PageSize = 100
    cursor: IncidentCursor | None = None
    status: Literal["open", "resolved"] | None = None


class LogQuery(Query):
    limit: Annotated[int, whole(1, LOG_MAX, text=True)] = 100


class Acknowledge(Body):
    """`by`: who, as others will read it."""

    required: ClassVar[bool] = False
    by: Name = "the API"


class Snooze(Body):
    """Nobody is told before its end; then they are, if the incident is still open."""

    for_: Annotated[int, whole(SNOOZE_MIN, SNOOZE_MAX, "seconds")] | None = Field(None, alias="for")
    until: Annotated[int, moment()] | None = None
    by: Name = "the API"

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("send either for or until")
        return self


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


class NoteAdd(Body):
    """`by`: who, as others will read it; null = the caller."""

    text: Annotated[str, prose(limits.NOTE_MAX), AfterValidator(_said)]
    by: Name | None = None


class DeadLetters(Body):
    """Null = of all channels."""

    required: ClassVar[bool] = False
    channel: ChannelId | None = None


class DeliveryQuery(Query):
    """Only dead letters are listed; the others stand with their incident."""

    status: Literal["dead"]
    limit: PageSize = 100
