"""Heartbeats: create, read, change, list. Everything that changes one is a script on its shard."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rules import limits, tokens
from store import keys
from store.database import Database
from store.errors import NotFound, TooMany, Unavailable
from store.keys import DEFAULT_PROJECT, Shard
from store.records import Heartbeat, Settings, encode

WALK: Final = 500  # entries that a page looks at when few of them fit: some 25 ms
STRIDE: Final = 200  # of them at once, after the first look

Index = Callable[[Shard], str]


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


async def tag(db: Database, heartbeat: str, tags: Sequence[str]) -> None:
    """Adds those that it has not; what others add meanwhile stays. Raises NotFound or TooMany."""
    await _retag(db, heartbeat, "tag", tags)


async def untag(db: Database, heartbeat: str, tags: Sequence[str]) -> None:
    """Takes off those that it has. Raises NotFound."""
    await _retag(db, heartbeat, "untag", tags)


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
    """And back again, if another edit has meanwhile given it the same slug anew."""
    if slug := before.settings.slug:
        await db.execute("ZREM", keys.slugs(before.project), f"{slug}\0{before.id}")
        if await db.execute("HGET", db.shard(before.id).heartbeat(before.id), "slug") == slug.encode():
            await _hint(db, before.project, slug, before.id)


async def _retag(db: Database, heartbeat: str, how: str, tags: Sequence[str]) -> None:
    answer = await db.run("tag", db.shard(heartbeat), heartbeat, how, limits.TAGS_MAX, *tags)
    if answer == 0:
        raise NotFound("no such heartbeat")
    if answer == 2:
        raise TooMany(f"a heartbeat has at most {limits.TAGS_MAX} tags")


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

    `status` late is reckoned: its page walks those that are up. Where few fit, a page walks on until it is half full,
    but not for long: it may come back short, with a cursor. `prefix`: how their names begin, in whatever case.
    """
    walk, *also = await _indexes(db, project, "up" if status == "late" else status, tag)
    position, now = base64.urlsafe_b64decode(cursor or ""), await db.now()
    found: list[tuple[bytes, Heartbeat]] = []
    at_once, walked, more = limit, 0, True
    while more and len(found) * 2 < limit and walked < WALK:
        entries = await _entries(db, map(walk, db.shards), at_once, position, prefix)
        position = entries[-1] if entries else position
        more, walked, at_once = len(entries) == at_once, walked + len(entries), STRIDE
        for index in also:
            entries = await _those_in(db, index, entries)
        records = await get_many(db, [_id(entry) for entry in entries])
        found += [
            (entry, record)
            for entry, record in zip(entries, records, strict=True)
            if record is not None and status in {None, record.status(now)}
        ]
    if len(found) > limit:
        more, position = True, found[limit - 1][0]
    return [record for _, record in found[:limit]], base64.urlsafe_b64encode(position).decode() if more else None


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


async def _indexes(db: Database, project: str, status: str | None, tag: str | None) -> list[Index]:
    """The index to walk, and the one in which its entries must also be: of two the smaller is walked, for what is in
    both is dense in it.
    """
    found: list[Index] = []
    if tag is not None:
        found.append(lambda shard: shard.tagged(project, tag))
    if status is not None:
        found.append(lambda shard: shard.status(project, status))
    if len(found) == 2:
        cards = await db.pipeline([("ZCARD", index(shard)) for index in found for shard in db.shards])
        if sum(cards[len(db.shards) :]) < sum(cards[: len(db.shards)]):
            found.reverse()
    return found or [lambda shard: shard.names(project)]


async def _entries(db: Database, indexes: Iterable[str], limit: int, position: bytes, prefix: str) -> list[bytes]:
    """The next entries over all shards: each gives at most `limit`, the smallest win."""
    begins = prefix.casefold().encode()
    start = b"(" + position if position > begins else b"[" + begins if begins else b"-"
    end = b"(" + begins + b"\xff" if begins else b"+"  # no UTF-8 text has this byte, so all that begin so are smaller
    ranges = await db.pipeline([("ZRANGEBYLEX", index, start, end, "LIMIT", 0, limit) for index in indexes])
    return sorted(entry for entries in ranges for entry in entries)[:limit]


async def _those_in(db: Database, index: Index, entries: list[bytes]) -> list[bytes]:
    scores = await db.pipeline([("ZSCORE", index(db.shard(_id(entry))), entry) for entry in entries])
    return [entry for entry, score in zip(entries, scores, strict=True) if score is not None]


def _id(entry: bytes) -> str:
    return entry.rpartition(b"\0")[2].decode()
