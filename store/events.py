"""A heartbeat's event log, to read: a row for each ping and each change, and what the jobs said with them.

Rows are written by log_row in store/arrivals.py and by log() in the scripts; outputs stand apart, under the id of their
row, and the oldest of them go first (keep() in lua/arrive.lua).
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.database import Database, mapped
from store.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row. Texts of strangers are decoded with replacement; "" = the row does not say.

    `size`: bytes of the output. `cause`: of a `down`. `until`: of an `excused`, the end of the time in which we were
    deaf.
    """

    id: str
    kind: str
    at: int
    duration_ms: int | None
    exit_status: str
    run: str
    size: int
    client: str
    user_agent: str
    cause: str
    until: int | None
    has_output: bool


async def page(
    db: Database, heartbeat: str, *, limit: int = 100, cursor: str | None = None
) -> tuple[list[Event], str | None]:
    """The newest first, and the cursor of the next page. Raises NotFound when there is no such heartbeat."""
    shard = db.shard(heartbeat)
    end = "+" if cursor is None else "(" + base64.urlsafe_b64decode(cursor).decode()
    exists, rows, *oldest = await db.pipeline(
        [
            ("EXISTS", shard.heartbeat(heartbeat)),
            ("XREVRANGE", shard.events(heartbeat), end, "-", "COUNT", limit),
            ("XRANGE", shard.outputs(heartbeat), "-", "+", "COUNT", 1),
            ("XRANGE", shard.failures(heartbeat), "-", "+", "COUNT", 1),
        ]
    )
    if not exists:
        raise NotFound("no such heartbeat")
    outputs, failures = (_place(kept[0][0].decode()) if kept else None for kept in oldest)
    found = []
    for id_, flat in rows:
        fields = _text(flat)
        kept_from = failures if fields["kind"] == "fail" else outputs
        found.append(_event(id_.decode(), fields, kept_from))
    more = len(found) == limit
    return found, base64.urlsafe_b64encode(found[-1].id.encode()).decode() if more else None


async def recent(db: Database, heartbeats: Sequence[str], *, count: int) -> list[list[Event]]:
    """The newest rows of many heartbeats in one round trip, each the newest first; whether their outputs are still kept
    is not looked at.
    """
    reads = [("XREVRANGE", db.shard(each).events(each), "+", "-", "COUNT", count) for each in heartbeats]
    return [[_event(id_.decode(), _text(flat), None) for id_, flat in rows] for rows in await db.pipeline(reads)]


async def output(db: Database, heartbeat: str, event: str) -> bytes:
    """What came with a ping, as it came. Raises NotFound when that is nothing, or no longer kept."""
    shard = db.shard(heartbeat)
    streams = (shard.outputs(heartbeat), shard.failures(heartbeat))
    for rows in await db.pipeline([("XRANGE", stream, event, event) for stream in streams]):
        for _, flat in rows:
            kept = mapped(flat)[b"output"]
            if kept:
                return kept
    raise NotFound("no such output; only the last ones are kept")


def _text(flat: Any) -> dict[str, str]:
    return {key.decode(): value.decode(errors="replace") for key, value in mapped(flat).items()}


def _event(id_: str, fields: Mapping[str, str], kept_from: tuple[int, int] | None) -> Event:
    size = int(fields.get("size") or 0)
    return Event(
        id=id_,
        kind=fields["kind"],
        at=int(fields["at"]),
        duration_ms=_whole(fields.get("took")),
        exit_status=fields.get("exit", ""),
        run=fields.get("rid", ""),
        size=size,
        client=fields.get("from", ""),
        user_agent=fields.get("agent", ""),
        cause=fields.get("cause", ""),
        until=_whole(fields.get("until")),
        has_output=size > 0 and kept_from is not None and _place(id_) >= kept_from,
    )


def _place(id_: str) -> tuple[int, int]:
    """Ids are in the order of time: milliseconds, then a number within them."""
    ms, _, number = id_.partition("-")
    return int(ms), int(number)


def _whole(text: str | None) -> int | None:
    return int(text) if text else None
