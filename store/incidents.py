"""Incidents: read and list. They are opened and closed by the scripts that change a heartbeat or look at a fleet."""

import base64
from collections.abc import Sequence
from typing import Any, Final, Literal

from rules import limits
from store.database import Database, scored
from store.errors import NotFound, TooMany
from store.keys import DEFAULT_PROJECT
from store.records import Incident

REPEAT_MS: Final = 60_000  # the same note by the same person within this is one that was sent twice


async def get(db: Database, incident: str) -> Incident:
    """Raises NotFound."""
    found = (await get_many(db, [incident]))[0]
    if found is None:
        raise NotFound("no such incident")
    return found


async def get_many(db: Database, incidents: Sequence[str]) -> list[Incident | None]:
    """In the order asked for; None where there is none."""
    answers = await db.pipeline([("HGETALL", db.shard(incident).incident(incident)) for incident in incidents])
    return [
        Incident.from_redis(incident, fields) if fields else None
        for incident, fields in zip(incidents, answers, strict=True)
    ]


async def page(
    db: Database,
    *,
    status: Literal["open", "resolved"] | None = None,
    project: str = DEFAULT_PROJECT,
    limit: int = 100,
    cursor: str | None = None,
) -> tuple[list[Incident], str | None]:
    """Newest first: open ones by opening, then resolved ones by closing; and the cursor of the next page.

    A void incident counts as resolved. The page may come back short, with a cursor, where another project's stand.
    """
    states: tuple[Literal["open", "resolved"], ...] = ("open", "resolved") if status is None else (status,)
    entries: list[tuple[str, int, str]] = []
    start_state, before, last = _position(cursor)
    for state in states:
        if start_state and states.index(start_state) > states.index(state):
            continue
        bound = (before, last) if state == start_state else None
        entries += [(state, score, incident) for score, incident in await _newest(db, state, limit, bound)]
    entries = entries[:limit]
    found = await get_many(db, [incident for _, _, incident in entries])
    next_cursor = None
    if len(entries) == limit:
        next_cursor = base64.urlsafe_b64encode("\t".join(map(str, entries[-1])).encode()).decode()
    return [incident for incident in found if incident is not None and incident.project == project], next_cursor


async def _newest(
    db: Database, state: Literal["open", "resolved"], limit: int, before: tuple[int, str] | None
) -> list[tuple[int, str]]:
    """Up to `limit` (score, id) over all shards, descending, strictly before a position."""
    reads: list[tuple[Any, ...]] = []
    for shard in db.shards:
        zset = shard.open if state == "open" else shard.closed
        top = "+inf" if before is None else f"({before[0]}"
        reads.append(("ZREVRANGEBYSCORE", zset, top, "-inf", "WITHSCORES", "LIMIT", 0, limit))
        if before is not None:  # many may share one score: those are read whole and cut here
            reads.append(("ZREVRANGEBYSCORE", zset, before[0], before[0], "WITHSCORES"))
    seen = {(int(score), incident) for flat in await db.pipeline(reads) for incident, score in scored(flat)}
    ordered = sorted(seen, reverse=True)
    return [entry for entry in ordered if before is None or entry < before][:limit]


def _position(cursor: str | None) -> tuple[Literal["open", "resolved"] | None, int, str]:
    if cursor is None:
        return None, 0, ""
    state, score, incident = base64.urlsafe_b64decode(cursor).decode().split("\t")
    return "open" if state == "open" else "resolved", int(score), incident


async def acknowledge(db: Database, incident: str, by: str) -> bool:
    """Nobody else is woken for it; False = it is not open."""
    return bool(await db.run("acknowledge", db.shard(incident), incident, by, ""))


async def snooze(db: Database, incident: str, by: str, *, until: int) -> bool:
    """Nobody is woken before `until`, ms; then they are, if it is still open. False = it is not open."""
    return bool(await db.run("acknowledge", db.shard(incident), incident, by, until))


async def add_note(db: Database, incident: str, by: str, text: str) -> int:
    """The number of the note, from 1: an incident's notes stand in this order. Raises NotFound or TooMany."""
    number = await db.run("note", db.shard(incident), incident, by, text, limits.NOTES_MAX, REPEAT_MS)
    if number == 0:
        raise NotFound("no such incident")
    if number < 0:
        raise TooMany(f"this incident has {limits.NOTES_MAX} notes, and may not have more")
    return int(number)
