"""Heartbeats: create, read, change, list. Everything that changes one is a script on its shard."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rules import limits, tokens
from store import keys
from store.database import Database
from store.errors import NotFound, TooMany, Unavailable
from store.keys import DEFAULT_PROJECT, Shard
from store.records import Heartbeat, Settings, encode


async def create(
    db: Database, settings: Settings, project: str = DEFAULT_PROJECT, token: str | None = None
) -> Heartbeat:
    """Creates a heartbeat, pending. With a `token` a repeat finds the first one's work."""
    for _ in range(8):  # ids have 48 bits: a second draw is rare, an eighth means something else is wrong
        drawn = token or tokens.new_token()
        if await put(db, settings, drawn, project) is not None:
            return await get(db, tokens.id_of(drawn))
        if token:
            break
    raise Unavailable("no free heartbeat id was found")


async def put(db: Database, settings: Settings, token: str, project: str = DEFAULT_PROJECT) -> bool | None:
    """Creates a heartbeat with this token. True: made now; False: it was there; None: its id is another's."""
    heartbeat = tokens.id_of(token)
    shard = db.shard(heartbeat)
    names = await db.pipeline([("ZCARD", each.names(project)) for each in db.shards])
    if sum(names) >= limits.HEARTBEATS_MAX:
        raise TooMany(f"a project has at most {limits.HEARTBEATS_MAX} heartbeats")
    await _hint(db, project, settings.slug, heartbeat)
    fields = encode(asdict(settings))
    answer = await db.run("create", shard, heartbeat, "token", token, "project", project, *fields)
    return {0: None, 1: True, 2: False}[answer]


async def get(db: Database, heartbeat: str) -> Heartbeat:
    """Raises NotFound."""
    found = (await get_many(db, [heartbeat]))[0]
    if found is None:
        raise NotFound("no such heartbeat")
    return found


async def get_many(db: Database, heartbeats: Sequence[str], *, deleted: bool = False) -> list[Heartbeat | None]:
    """In the order asked for; None where there is none. `deleted`: also what was deleted in the last four days."""
    reads: list[tuple[Any, ...]] = []
    for heartbeat in heartbeats:
        shard = db.shard(heartbeat)
        reads += [("HGETALL", shard.heartbeat(heartbeat)), ("ZSCORE", shard.deadlines, heartbeat)]
    answers = await db.pipeline(reads)
    found: list[Heartbeat | None] = [
        Heartbeat.from_redis(heartbeat, fields, score) if fields else None
        for heartbeat, fields, score in zip(heartbeats, answers[::2], answers[1::2], strict=True)
    ]
    if deleted and None in found:
        gone = [heartbeat for heartbeat, record in zip(heartbeats, found, strict=True) if record is None]
        tombs = await db.pipeline([("HGETALL", db.shard(heartbeat).deleted(heartbeat)) for heartbeat in gone])
        were = {
            heartbeat: Heartbeat.from_redis(heartbeat, fields, None)
            for heartbeat, fields in zip(gone, tombs, strict=True)
            if b"token" in fields  # a deleted fleet's key has the same name
        }
        found = [record or were.get(heartbeat) for heartbeat, record in zip(heartbeats, found, strict=True)]
    return found


async def edit(db: Database, heartbeat: str, changes: Mapping[str, Any]) -> Heartbeat:
    """Writes only the given settings. Raises NotFound."""
    if "slug" not in changes:
        return await _change(db, "edit", heartbeat, *encode(changes))
    before = await get(db, heartbeat)
    await _hint(db, before.project, changes["slug"], heartbeat)
    after = await _change(db, "edit", heartbeat, *encode(changes))
    if before.settings.slug != after.settings.slug:
        await _unhint(db, before)
    return after


async def rotate(db: Database, heartbeat: str) -> Heartbeat:
    """A new ping token; the old one dies within the longest age of the ingest nodes' caches. Raises NotFound."""
    return await _change(db, "edit", heartbeat, "token", tokens.new_token(heartbeat))


async def pause(db: Database, heartbeat: str, until: int | None = None) -> Heartbeat:
    """Pauses, for good or until a time in ms. Raises NotFound."""
    return await _change(db, "pause", heartbeat, "" if until is None else until)


async def resume(db: Database, heartbeat: str) -> Heartbeat:
    """Ends a pause; on anything else nothing changes. Raises NotFound."""
    return await _change(db, "resume", heartbeat)


async def delete(db: Database, heartbeat: str) -> None:
    """Raises NotFound."""
    before = await get(db, heartbeat)
    if not await db.run("delete", db.shard(heartbeat), heartbeat):
        raise NotFound("no such heartbeat")
    await _unhint(db, before)


async def _hint(db: Database, project: str, slug: str, heartbeat: str) -> None:
    """Where a slug may be found; see store/projects.py."""
    if slug:
        await db.execute("ZADD", keys.slugs(project), 0, f"{slug}\0{heartbeat}")


async def _unhint(db: Database, before: Heartbeat) -> None:
    if before.settings.slug:
        await db.execute("ZREM", keys.slugs(before.project), f"{before.settings.slug}\0{before.id}")


async def _change(db: Database, script: str, heartbeat: str, *args: Any) -> Heartbeat:
    if not await db.run(script, db.shard(heartbeat), heartbeat, *args):
        raise NotFound("no such heartbeat")
    return await get(db, heartbeat)


async def page(
    db: Database,
    *,
    project: str = DEFAULT_PROJECT,
    limit: int = 100,
    cursor: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    prefix: str = "",
) -> tuple[list[Heartbeat], str | None]:
    """Heartbeats in the order of their names, and the cursor of the next page.

    `status` late is reckoned: its page walks those that are up and may come back short, with a cursor. `prefix`: how
    their names begin, in whatever case.
    """
    stored = "up" if status == "late" else status
    walk = [_index(shard, project, stored, tag) for shard in db.shards]
    entries = await _entries(db, walk, limit, cursor, prefix)
    more = len(entries) == limit
    position = entries[-1] if entries else b""
    if tag and stored:
        entries = await _also_in(db, project, stored, entries)
    found = [h for h in await get_many(db, [_id(entry) for entry in entries]) if h is not None]
    if status:
        now = await db.now()
        found = [h for h in found if h.status(now) == status]
    return found, base64.urlsafe_b64encode(position).decode() if more else None


async def count(db: Database, project: str = DEFAULT_PROJECT) -> dict[str, int]:
    """Heartbeats by stored status: a ZCARD each."""
    statuses = ("pending", "up", "down", "paused")
    cards = await db.pipeline([("ZCARD", shard.status(project, status)) for shard in db.shards for status in statuses])
    return {status: sum(int(card) for card in cards[i :: len(statuses)]) for i, status in enumerate(statuses)}


async def count_tagged(db: Database, tag: str, project: str = DEFAULT_PROJECT) -> int:
    """Heartbeats with this tag: a ZCARD."""
    return sum(await db.pipeline([("ZCARD", shard.tagged(project, tag)) for shard in db.shards]))


@dataclass(frozen=True, slots=True)
class Glance:
    """What a look at one heartbeat would show, cheap for many at once: as long as it is equal, nothing has happened."""

    status: bytes
    rev: bytes
    deadline: float | None
    event: bytes


async def glances(db: Database, heartbeats: Sequence[str]) -> list[Glance | None]:
    """In the order asked for; None where there is none."""
    reads: list[tuple[Any, ...]] = []
    for heartbeat in heartbeats:
        shard = db.shard(heartbeat)
        reads += [
            ("HMGET", shard.heartbeat(heartbeat), "status", "rev"),
            ("ZSCORE", shard.deadlines, heartbeat),
            ("XREVRANGE", shard.events(heartbeat), "+", "-", "COUNT", 1),
        ]
    answers = await db.pipeline(reads)
    return [
        Glance(status, rev or b"", None if score is None else float(score), newest[0][0] if newest else b"")
        if status is not None
        else None
        for (status, rev), score, newest in zip(answers[::3], answers[1::3], answers[2::3], strict=True)
    ]


def _index(shard: Shard, project: str, status: str | None, tag: str | None) -> str:
    if tag is not None:
        return shard.tagged(project, tag)
    return shard.names(project) if status is None else shard.status(project, status)


async def _entries(db: Database, indexes: Iterable[str], limit: int, cursor: str | None, prefix: str) -> list[bytes]:
    """The next entries over all shards: each gives at most `limit`, the smallest win."""
    begins = prefix.casefold().encode()
    start = b"(" + base64.urlsafe_b64decode(cursor) if cursor else b"[" + begins if begins else b"-"
    end = b"(" + begins + b"\xff" if begins else b"+"  # no UTF-8 text has this byte, so all that begin so are smaller
    ranges = await db.pipeline([("ZRANGEBYLEX", index, start, end, "LIMIT", 0, limit) for index in indexes])
    return sorted(entry for entries in ranges for entry in entries)[:limit]


async def _also_in(db: Database, project: str, status: str, entries: list[bytes]) -> list[bytes]:
    scores = await db.pipeline([("ZSCORE", db.shard(_id(entry)).status(project, status), entry) for entry in entries])
    return [entry for entry, score in zip(entries, scores, strict=True) if score is not None]


def _id(entry: bytes) -> str:
    return entry.rpartition(b"\0")[2].decode()
