"""All commands of the API as one table: from it come the parsers and docs/cli.md."""

from dataclasses import dataclass
from typing import Final, Literal

Value = Literal["text", "whole", "duration", "texts", "choice", "flag"]


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option that becomes a field of the body, or of the query of a list. `texts`: may be given again."""

    name: str
    field: str
    help: str
    value: Value = "text"
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Command:
    """One operation. `path` holds {id} where it is about one thing, which the words name; `takes`: "body" has --set and
    --from, "name" also a first word that is the new one's name, "slug" one that stands for {slug}; "action": the first
    word says what is done with all that are found. `columns`: of its table. `confirm`: what is lost.
    """

    noun: str
    verb: str
    method: str
    path: str
    help: str
    options: tuple[Option, ...] = ()
    takes: Literal["", "body", "name", "slug", "action"] = ""
    columns: tuple[str, ...] = ()
    confirm: str = ""

    @property
    def is_about_one(self) -> bool:
        return "{id}" in self.path

    @property
    def has_fields(self) -> bool:
        """Whether --set and --from are among its options."""
        return self.takes in {"body", "name", "slug"}


@dataclass(frozen=True, kw_only=True)
class Noun:
    """`path`: of its list; `plural`: the list's name in the answer; `named`: what may stand for an id."""

    name: str
    path: str
    plural: str
    help: str
    id: str
    named: bool = True


NOUNS: Final = (
    Noun(name="heartbeat", path="/api/heartbeats", plural="heartbeats", id="[0-9a-f]{12}", help="what is watched"),
    Noun(name="fleet", path="/api/fleets", plural="fleets", id="[0-9a-f]{12}", help="many that share one ping key"),
    Noun(name="channel", path="/api/channels", plural="channels", id="[0-9a-f]{12}", help="where people are told"),
    Noun(
        name="incident",
        path="/api/incidents",
        plural="incidents",
        id="[0-9a-f]{12}-[0-9]{1,16}",
        help="times of trouble",
        named=False,
    ),
    Noun(name="policy", path="/api/policies", plural="policies", id="[0-9a-f]{12}", help="who is told after whom"),
)

LIMIT: Final = Option(name="--limit", field="limit", value="whole", help="rows at most, 1 to 500 (100)")
CURSOR: Final = Option(name="--cursor", field="cursor", help="go on where the page before ended")
TAG: Final = Option(name="--tag", field="tags", value="texts", help="a tag; may be given again")
CHANNEL: Final = Option(name="--channel", field="channels", value="texts", help="a channel's id; may be given again")
NAME: Final = Option(name="--name", field="name", help="its new name")
BY: Final = Option(name="--by", field="by", help="who, as others will read it")
RHYTHM: Final = (
    Option(name="--period", field="period", value="duration", help="90, 5m, 1h30m, 1d between pings"),
    Option(name="--grace", field="grace", value="duration", help="how late it may be"),
)
TELLING: Final = (
    TAG,
    CHANNEL,
    Option(name="--policy", field="policy", help="a policy's id"),
    Option(name="--priority", field="priority", value="whole", help="0 to 10"),
)
SCHEDULE: Final = (
    Option(name="--schedule", field="schedule", help="cron or OnCalendar, in place of a period"),
    Option(name="--timezone", field="timezone", help="of the schedule"),
)
SLUG: Final = Option(name="--slug", field="slug", help="its short name in URLs")
HEARTBEAT: Final = (*RHYTHM, *SCHEDULE, SLUG, *TELLING)
SETTINGS: Final = (
    Option(name="--kind", field="kind", help="webhook, email, gotify …: see channels.md"),
    Option(name="--setting", field="settings", value="texts", help="NAME=VALUE; may be given again"),
)
HEARTBEAT_STATUS: Final = Option(
    name="--status",
    field="status",
    value="choice",
    choices=("pending", "up", "late", "down", "paused"),
    help="only these",
)
MEMBER_STATUS: Final = Option(
    name="--status", field="status", value="choice", choices=("up", "late", "down", "paused"), help="only these"
)
INCIDENT_STATUS: Final = Option(
    name="--status", field="status", value="choice", choices=("open", "resolved"), help="only these"
)
#: Which heartbeats are meant.
FILTERS: Final = (
    HEARTBEAT_STATUS,
    Option(name="--tag", field="tag", help="only with this tag"),
    Option(name="--prefix", field="prefix", help="only those whose names begin so"),
)
ACTIONS: Final = ("pause", "resume", "delete", "tag", "untag")
HEARTBEATS: Final = ("id", "name", "status", "last_ping_at", "next_deadline_at")
INCIDENTS: Final = ("id", "of", "status", "cause", "opened_at", "acknowledged_by")


def _of(noun: str, path: str, edited: tuple[Option, ...], lost: str) -> tuple[Command, ...]:
    """What every kind of thing that one can make has."""
    one = f"{path}/{{id}}"
    return (
        Command(noun=noun, verb="get", method="GET", path=one, help="Show one."),
        Command(noun=noun, verb="create", method="POST", path=path, help="Make one.", options=edited, takes="name"),
        Command(
            noun=noun,
            verb="edit",
            method="PATCH",
            path=one,
            help="Change what is given; the rest stays.",
            options=(NAME, *edited),
            takes="body",
        ),
        Command(noun=noun, verb="delete", method="DELETE", path=one, help="Delete one, for good.", confirm=lost),
    )


COMMANDS: Final = (
    Command(
        noun="heartbeat",
        verb="list",
        method="GET",
        path="/api/heartbeats",
        help="List heartbeats by name.",
        options=(*FILTERS, LIMIT, CURSOR),
        columns=HEARTBEATS,
    ),
    Command(
        noun="heartbeat",
        verb="count",
        method="GET",
        path="/api/counts",
        help="Count them by status, and those with a tag.",
        options=(Option(name="--tag", field="tag", help="how many have this tag, too"),),
    ),
    *_of("heartbeat", "/api/heartbeats", HEARTBEAT, "it and its history"),
    Command(
        noun="heartbeat",
        verb="apply",
        method="PUT",
        path="/api/heartbeats/by-slug/{slug}",
        help="Make the one with this slug, or change what is given of it.",
        options=(NAME, *RHYTHM, *SCHEDULE, *TELLING),
        takes="slug",
    ),
    Command(
        noun="heartbeat",
        verb="bulk",
        method="POST",
        path="/api/heartbeats/bulk",
        help="Pause, resume, delete, tag or untag all that are found.",
        options=(
            *FILTERS,
            Option(name="--for", field="for", value="duration", help="resume by itself after so long"),
            Option(name="--which", field="tags", value="texts", help="the tag to add or take off; may be given again"),
        ),
        takes="action",
    ),
    Command(
        noun="heartbeat",
        verb="pause",
        method="POST",
        path="/api/heartbeats/{id}/pause",
        help="Let nothing alarm; pings are still answered.",
        options=(Option(name="--for", field="for", value="duration", help="resume by itself after so long"),),
    ),
    Command(
        noun="heartbeat",
        verb="resume",
        method="POST",
        path="/api/heartbeats/{id}/resume",
        help="End a pause; the clock starts anew.",
    ),
    Command(
        noun="heartbeat",
        verb="rotate",
        method="POST",
        path="/api/heartbeats/{id}/rotate",
        help="Give a new ping URL.",
        confirm="the old ping URL",
    ),
    Command(
        noun="heartbeat",
        verb="events",
        method="GET",
        path="/api/heartbeats/{id}/events",
        help="List what happened, the newest first.",
        options=(LIMIT, CURSOR),
        columns=("id", "at", "kind", "exit_status", "duration_ms", "client"),
    ),
    Command(
        noun="fleet",
        verb="list",
        method="GET",
        path="/api/fleets",
        help="List fleets by name.",
        options=(LIMIT, CURSOR),
        columns=("id", "name", "status", "members"),
    ),
    *_of("fleet", "/api/fleets", (*RHYTHM, *TELLING), "it and all its members"),
    Command(noun="fleet", verb="pause", method="POST", path="/api/fleets/{id}/pause", help="Let no member alarm."),
    Command(noun="fleet", verb="resume", method="POST", path="/api/fleets/{id}/resume", help="End a pause."),
    Command(
        noun="fleet",
        verb="rotate",
        method="POST",
        path="/api/fleets/{id}/rotate",
        help="Give a new ping key.",
        confirm="the old ping key",
    ),
    Command(
        noun="fleet",
        verb="members",
        method="GET",
        path="/api/fleets/{id}/members",
        help="List members.",
        options=(MEMBER_STATUS, LIMIT, CURSOR),
        columns=("slug", "status", "since", "last_ping_at", "cause"),
    ),
    Command(
        noun="channel",
        verb="list",
        method="GET",
        path="/api/channels",
        help="List channels.",
        columns=("id", "name", "kind", "broken"),
    ),
    *_of("channel", "/api/channels", (SLUG, *SETTINGS), "it"),
    Command(
        noun="channel",
        verb="apply",
        method="PUT",
        path="/api/channels/by-slug/{slug}",
        help="Make the one with this slug, or change what is given of it.",
        options=(NAME, *SETTINGS),
        takes="slug",
    ),
    Command(
        noun="channel",
        verb="test",
        method="POST",
        path="/api/channels/{id}/test",
        help="Send a test message, and say what became of it.",
    ),
    Command(
        noun="incident",
        verb="list",
        method="GET",
        path="/api/incidents",
        help="List the open ones, then the resolved ones, the newest first.",
        options=(INCIDENT_STATUS, LIMIT, CURSOR),
        columns=INCIDENTS,
    ),
    Command(noun="incident", verb="get", method="GET", path="/api/incidents/{id}", help="Show one, and who was told."),
    Command(
        noun="incident",
        verb="acknowledge",
        method="POST",
        path="/api/incidents/{id}/acknowledge",
        help="Say that somebody has seen it: nobody else is woken.",
        options=(BY,),
    ),
    Command(
        noun="incident",
        verb="snooze",
        method="POST",
        path="/api/incidents/{id}/snooze",
        help="Tell nobody for a while.",
        options=(Option(name="--for", field="for", value="duration", help="how long, 1m to 31d"), BY),
    ),
    Command(
        noun="incident",
        verb="note",
        method="POST",
        path="/api/incidents/{id}/notes",
        help="Write down what is known of it.",
        options=(Option(name="--text", field="text", help="the note"), BY),
    ),
    Command(
        noun="policy",
        verb="list",
        method="GET",
        path="/api/policies",
        help="List escalation policies.",
        columns=("id", "name", "steps", "repeat"),
    ),
    *_of(
        "policy",
        "/api/policies",
        (
            Option(name="--repeat", field="repeat", value="whole", help="0 to 9 times through all steps again"),
            Option(name="--repeat-after", field="repeat_after", value="duration", help="after the last step"),
        ),
        "it",
    ),
)


def noun(name: str) -> Noun:
    return next(each for each in NOUNS if each.name == name)


def verbs(name: str) -> list[Command]:
    return [each for each in COMMANDS if each.noun == name]
