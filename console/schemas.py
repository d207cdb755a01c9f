"""What requests may hold, in a body or in a query string; whatever is not named here is refused."""

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from console.fields import cursor, line, moment, part_of_line, pattern, prose, several, unchecked, whole
from rules import limits

PAUSE_MAX: Final = 10 * 366 * limits.DAY  # seconds; for longer, pause without an end
SILENT_MAX: Final = 10 * 366 * limits.DAY  # seconds
PAGE_MAX: Final = 500
CURSOR_MAX: Final = 50_000  # characters of a cursor that carries slugs

Name = Annotated[str, line(limits.NAME_MAX)]
Tag = Annotated[str, line(limits.TAG_MAX)]
Slug = Annotated[str, pattern(limits.SLUG, f"must be 1 to {limits.NAME_MAX} of the characters a-z, 0-9, _ and -")]
ChannelId = Annotated[str, pattern("[0-9a-f]{12}", "must be the id of a channel")]
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
PageSize = Annotated[int, whole(1, PAGE_MAX, text=True)]
EventCursor = Annotated[str, cursor(b"[1-9][0-9]{0,15}-[0-9]{1,10}")]
NameCursor = Annotated[str, cursor(rb"[^\0]+\0[0-9a-f]{12}")]
MemberCursor = Annotated[str, unchecked(CURSOR_MAX)]
IncidentCursor = Annotated[str, cursor(rb"(open|resolved)\t[0-9]{1,16}\t[0-9a-f]{12}-[0-9]{1,16}")]


class Body(BaseModel):
    """A JSON object. `required` False: an empty body and null are as good as {}."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    required: ClassVar[bool] = True


class Query(BaseModel):
    """What stands behind the question mark."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _without_defaults(schema: dict[str, Any]) -> None:
    """In a change, what is not sent stays as it is."""
    for field in schema["properties"].values():
        field.pop("default", None)


class HeartbeatCreate(Body):
    """`channels` null = all of the project. `max_runtime` null = the grace, at least a minute. `schedule` null = every
    `period` seconds. `durability` null = that of the ingest nodes.
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
    alert_text: Text = ""
    recovery_text: Text = ""
    priority: Priority = limits.PRIORITY_DEFAULT
    resume_on_ping: bool = False


class HeartbeatPatch(HeartbeatCreate):
    """Only what is sent is changed."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""


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
    """`settings` depend on the kind; see the guide to channels."""

    name: Name
    kind: str
    settings: dict[str, Any]


class ChannelPatch(Body):
    """Only what is sent is changed, also within `settings`; a secret sent as null stays as it is."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)
    name: Name = ""
    settings: dict[str, Any] = {}


class HeartbeatQuery(Query):
    limit: PageSize = 100
    cursor: NameCursor | None = None
    status: Literal["pending", "up", "late", "down", "paused"] | None = None
    tag: Tag | None = None


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


class DeliveryQuery(Query):
    """Only dead letters are listed; the others stand with their incident."""

    status: Literal["dead"]
    limit: PageSize = 100
