"""The list of heartbeats: pages, rows, and what can be done with many at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from console import answers, views
from console.bulk import Bulk, act
from console.dashboard.history import ROWS, Strip, strip
from console.dashboard.page import Visit, is_id, own_path
from console.dashboard.words import STATUSES
from console.errors import BadRequest
from console.reading import checked
from console.routing import Call
from console.schemas import HeartbeatQuery
from rules import limits
from store import channels, events, heartbeats, projects, records

PAGE: Final = 50  # rows
ACTIONS: Final = {"pause": "Pause", "resume": "Resume", "delete": "Delete"}


@dataclass(frozen=True, slots=True)
class Row:
    """`stale_at`: when what it shows is no longer true although nothing happened: it becomes late."""

    h: answers.Heartbeat
    strip: Strip
    stale_at: int | None


@dataclass(frozen=True, slots=True)
class Filter:
    """A link that narrows the list. `count` None: it can only be reckoned."""

    status: str
    name: str
    count: int | None
    href: str
    chosen: bool


async def index(visit: Visit) -> Response:
    """The list, or the way to the first heartbeat."""
    db, project, query = visit.context.db, visit.visitor.project, visit.query
    prefix = limits.clean(query.get("q", "")).lstrip()[: limits.NAME_MAX]
    asked = checked(HeartbeatQuery, {name: query[name] for name in ("status", "tag", "cursor") if query.get(name)})
    counts = await heartbeats.count(db, project)
    if not sum(counts.values()):
        return visit.page("first.html", values={}, faults={}, is_told=bool(await channels.ids(db, project)))
    found, cursor = await heartbeats.page(
        db, project=project, limit=PAGE, cursor=asked.cursor, status=asked.status, tag=asked.tag, prefix=prefix
    )
    kept = {"q": prefix, "tag": asked.tag or "", "status": asked.status or ""}
    return visit.page(
        "list.html",
        rows=await rows(visit, found),
        now=await db.now(),
        counts=counts,
        total=sum(counts.values()),
        filters=_filters(counts, kept),
        kept=kept,
        tagged=await heartbeats.count_tagged(db, asked.tag, project) if asked.tag else 0,
        without_tag=_link(kept, tag=""),
        first=_link(kept) if asked.cursor else "",
        more=_link(kept, cursor=cursor) if cursor else "",
        here=_link(kept, cursor=asked.cursor or ""),
    )


async def some_rows(visit: Visit) -> Response:
    """Rows that an open list shows, as they are now; those that are gone are taken out."""
    ids = [id_ for id_ in dict.fromkeys(visit.query.get("ids", "").split(",")) if is_id(id_)][:PAGE]
    found = await heartbeats.get_many(visit.context.db, ids)
    ours = [each for each in found if each is not None and each.project == visit.visitor.project]
    gone = sorted(set(ids) - {each.id for each in ours})
    now = await visit.context.db.now()
    return visit.page("rows.html", rows=await rows(visit, ours), gone=gone, now=now, oob=True)


async def rows(visit: Visit, found: Sequence[records.Heartbeat]) -> list[Row]:
    """What the page's rows show, with their histories in one round trip."""
    context = visit.context
    now = await context.db.now()
    logs = await events.recent(context.db, [each.id for each in found], count=ROWS)
    by_slug = any(each.settings.slug for each in found)
    ping_key = await projects.ping_key(context.db, visit.visitor.project) if by_slug else ""
    return [
        Row(views.heartbeat(each, now, context.public_url, ping_key), strip(log), stale_at(each, now))
        for each, log in zip(found, logs, strict=True)
    ]


def stale_at(heartbeat: records.Heartbeat, now: int) -> int | None:
    if heartbeat.deadline is None or heartbeat.status(now) != "up":
        return None
    if heartbeat.settings.schedule:
        return heartbeat.slot
    return int(heartbeat.deadline) - heartbeat.span_ms + heartbeat.settings.period * 1000


async def bulk(visit: Visit) -> Response:
    """One thing done with all that were marked; asks first."""
    db, action = visit.context.db, visit.field("action")
    back = own_path(visit.field("back"))
    if action not in ACTIONS:
        raise BadRequest("There is no such action.")
    ids = [id_ for id_ in dict.fromkeys(visit.form.get("id", [])) if is_id(id_)]
    found = await heartbeats.get_many(db, ids)
    ours = [each for each in found if each is not None and each.project == visit.visitor.project]
    if not ours:
        return visit.go(back)
    if visit.field("sure") != "yes":
        return visit.page(
            "confirm.html",
            title=f"{ACTIONS[action]} {len(ours)} heartbeat{'' if len(ours) == 1 else 's'}?",
            text=_consequence(action),
            names=[each.settings.name for each in ours],
            button=ACTIONS[action],
            danger=action == "delete",
            to="/bulk",
            back=back,
            fields=[("action", action), ("sure", "yes"), ("back", back), *(("id", each.id) for each in ours)],
        )
    asked = checked(Bulk, {"action": action, "ids": [each.id for each in ours]})
    await act(Call(visit.context, "", asked, principal=visit.visitor))  # what is not there any more is no fault here
    return visit.go(back)


def _consequence(action: str) -> str:
    return {
        "pause": "Pings are still answered, and nothing alarms until they are resumed. Open incidents end.",
        "resume": "The clock of each starts anew from now. What is not paused stays as it is.",
        "delete": "Their ping URLs end within seconds, and their history goes with them. This cannot be undone.",
    }[action]


def _filters(counts: dict[str, int], kept: dict[str, str]) -> list[Filter]:
    shown = ["down", "late", "up", "pending", "paused"]
    every = Filter("", "All", sum(counts.values()), _link(kept, status=""), not kept["status"])
    return [every] + [
        Filter(status, STATUSES[status], counts.get(status), _link(kept, status=status), kept["status"] == status)
        for status in shown
    ]


def _link(kept: dict[str, str], **changes: str) -> str:
    given = {name: value for name, value in {**kept, **changes}.items() if value}
    return f"/?{urlencode(given)}" if given else "/"
