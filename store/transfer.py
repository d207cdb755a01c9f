"""All that a server holds as lines of an export; store/restore.py brings them into an empty one.

DESIGN. The control plane is copied key by key, whatever will be in it one day, but for keys that have an end (sessions,
attempts). What belongs to a shard is copied by heartbeat, fleet and incident, and put where its id belongs now. Ids and
tokens stay, so no client needs an edit. A line holds a bounded part, so memory stays bounded, too. A server that works
meanwhile is not frozen: each line is true for its moment, and what falls between is excused by the deaf window that
begins with the export and ends with the import.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final

import orjson
from redis.exceptions import RedisError

from store import keys
from store.database import SCHEMA, Database, mapped, reason
from store.errors import Unavailable
from store.keys import Shard

FORMAT: Final = 1
CHUNK: Final = 500  # entries of a zset, a hash or a set in one line, about: SCAN gives no promise
RECORDS: Final = 25  # heartbeats or incidents that are read at once: with outputs they may have 64 kB each
TOLD_MAX: Final = 200  # rows of a channel's log, as the API shows
LOG_STREAMS: Final = ("events", "outputs", "failures")

Line = dict[str, Any]


async def export(db: Database) -> AsyncIterator[Line]:
    """The lines, the header first and the end last. Raises Unavailable."""
    count = 1
    yield {
        "kind": "flatline-export",
        "format": FORMAT,
        "schema": SCHEMA,
        "exported_at": await db.now(),
        "shards": len(db.shards),
    }
    for part in (_meta, _control_plane, _fleets, _heartbeats, _deleted, _incidents, _told, _chores):
        async for line in part(db):
            count += 1
            yield line
    yield {"kind": "end", "lines": count}


async def count(db: Database) -> int:
    """Heartbeats, for a progress bar."""
    return sum(await db.pipeline([("ZCARD", shard.deadlines) for shard in db.shards]))


async def _meta(db: Database) -> AsyncIterator[Line]:
    key = await db.execute("HGET", keys.META, "signing_key")
    if key is not None:
        yield {"kind": "meta", "signing_key": _text(key)}


async def _control_plane(db: Database) -> AsyncIterator[Line]:
    async for key in _keys(db, "{flatline}:*"):
        kind, ttl = await db.pipeline([("TYPE", key), ("PTTL", key)])
        if key == keys.META or ttl != -1 or kind == b"stream":
            continue
        async for entries in _entries(db, key, kind.decode()):
            yield {"kind": "plain", "key": key, "type": kind.decode(), "entries": entries}


async def _fleets(db: Database) -> AsyncIterator[Line]:
    async for chunk in _scanned(db, "ZSCAN", db.shards[0].fleets):
        for id_, _ in chunk:
            fleet = id_.decode()
            fields = await db.execute("HGETALL", db.shard(fleet).fleet(fleet))
            if not fields:
                continue
            yield {"kind": "fleet", "id": fleet, "fields": _told_pairs(fields)}
            for shard in db.shards:
                for zset in ("deadlines", "down", "returning", "causes"):
                    async for entries in _members(db, f"{shard.fleet(fleet)}:{zset}", zset):
                        yield {"kind": "members", "fleet": fleet, "zset": zset, "entries": entries}


async def _members(db: Database, key: str, zset: str) -> AsyncIterator[list[Any]]:
    async for chunk in _scanned(db, "HSCAN" if zset == "causes" else "ZSCAN", key):
        yield [[name.decode(), _text(value) if zset == "causes" else _score(value)] for name, value in chunk]


async def _heartbeats(db: Database) -> AsyncIterator[Line]:
    for shard in db.shards:
        async for chunk in _scanned(db, "ZSCAN", shard.deadlines):
            for i in range(0, len(chunk), RECORDS):
                some = [_heartbeat(db, shard, id_.decode()) for id_, _ in chunk[i : i + RECORDS]]
                for line in await asyncio.gather(*some):
                    if line is not None:
                        yield line


async def _heartbeat(db: Database, shard: Shard, id_: str) -> Line | None:
    names = [f"{kind}:{id_}" for kind in ("resume", "settle", "late")]
    # In one moment: up and parked without a run, half of each, would never alarm.
    fields, deadline, *rest = await _at_once(
        db,
        [
            ("HGETALL", shard.heartbeat(id_)),
            ("ZSCORE", shard.deadlines, id_),
            *(("ZSCORE", shard.timers, name) for name in names),
            *(("XRANGE", f"{shard.tag}{log}:{id_}", "-", "+") for log in LOG_STREAMS),
        ],
    )
    if not fields or deadline is None:
        return None
    timers = [[name, _score(due)] for name, due in zip(names, rest[:3], strict=True) if due is not None]
    runs = [name.decode().removeprefix("run:") for name in fields if name.startswith(b"run:")]
    overdue = [f"overdue:{id_}:{run}" for run in runs]
    for name, due in zip(overdue, await db.pipeline([("ZSCORE", shard.timers, each) for each in overdue]), strict=True):
        # One that ended a moment ago: the deaf window excuses it. Without a timer it would stay parked for ever.
        timers.append([name, 1 if due is None else _score(due)])
    logs = {log: _rows(rows) for log, rows in zip(LOG_STREAMS, rest[3:], strict=True)}
    return {
        "kind": "heartbeat",
        "id": id_,
        "fields": _told_pairs(fields),
        "deadline": _score(deadline),
        "timers": timers,
        **logs,
    }


async def _deleted(db: Database) -> AsyncIterator[Line]:
    async for key in _keys(db, "{[0-9]*}:deleted:*"):
        fields, ttl = await db.pipeline([("HGETALL", key), ("PTTL", key)])
        if fields and ttl > 0:
            yield {"kind": "deleted", "id": key.rpartition(":")[2], "fields": _told_pairs(fields), "ttl": ttl}


async def _incidents(db: Database) -> AsyncIterator[Line]:
    for shard in db.shards:
        async for id_, problem in _incidents_of(db, shard):
            line = await _incident(db, shard, id_)
            if line is not None:
                yield line
                if problem:
                    yield {"kind": "problem", "name": problem, "incident": id_}


async def _incidents_of(db: Database, shard: Shard) -> AsyncIterator[tuple[str, str]]:
    """Ids of incidents that something points to, and of which problem of ours they are, if any."""
    for zset in (shard.open, shard.closed):
        async for chunk in _scanned(db, "ZSCAN", zset):
            for id_, _ in chunk:
                yield id_.decode(), ""
    async for chunk in _scanned(db, "ZSCAN", shard.dead):
        for id_ in {delivery.decode().partition(":")[0] for delivery, _ in chunk}:
            yield id_, ""
    async for chunk in _scanned(db, "HSCAN", shard.problems):
        for name, incident in chunk:
            yield incident.decode(), name.decode()


async def _incident(db: Database, shard: Shard, id_: str) -> Line | None:
    key = shard.incident(id_)
    fields, ttl, is_open, closed = await _at_once(
        db, [("HGETALL", key), ("PTTL", key), ("ZSCORE", shard.open, id_), ("ZSCORE", shard.closed, id_)]
    )
    if not fields:
        return None
    channels = [name.decode()[3:] for name in fields if name.startswith(b"to:")]
    reads = [(command, shard.delivery(id_, channel)) for channel in channels for command in ("HGETALL", "PTTL")]
    found = await db.pipeline(reads)
    deliveries = {
        channel: {"fields": _told_pairs(fields), "ttl": ttl}
        for channel, fields, ttl in zip(channels, found[::2], found[1::2], strict=True)
        if fields
    }
    return {
        "kind": "incident",
        "id": id_,
        "fields": _told_pairs(fields),
        "ttl": ttl,
        "open": None if is_open is None else _score(is_open),
        "closed": None if closed is None else _score(closed),
        "deliveries": deliveries,
    }


async def _told(db: Database) -> AsyncIterator[Line]:
    for key in {key async for key in _keys(db, keys.CHANNELS + "*")}:  # a SCAN may show one twice
        for channel in await db.execute("HKEYS", key):
            reads = [("XREVRANGE", shard.told(channel.decode()), "+", "-", "COUNT", TOLD_MAX) for shard in db.shards]
            rows = [row for found in await db.pipeline(reads) for row in _rows(found)]
            newest = sorted(rows, key=_place)[-TOLD_MAX:]
            if newest:
                yield {"kind": "log", "channel": channel.decode(), "rows": newest}


async def _chores(db: Database) -> AsyncIterator[Line]:
    for shard in db.shards:
        for kind, zset in (("dead", shard.dead), ("chores", shard.chores)):
            async for chunk in _scanned(db, "ZSCAN", zset):
                yield {"kind": kind, "entries": [[member.decode(), _score(due)] for member, due in chunk]}
        start = "-"
        while rows := await db.execute("XRANGE", shard.notifications, start, "+", "COUNT", CHUNK):
            for _, flat in rows:
                fields = {name.decode(): value.decode(errors="replace") for name, value in mapped(flat).items()}
                yield {"kind": "notification", "fields": fields}
            start = f"({rows[-1][0].decode()}"


async def _entries(db: Database, key: str, kind: str) -> AsyncIterator[list[Any]]:
    """A key of the control plane in parts."""
    match kind:
        case "string":
            value = await db.execute("GET", key)
            if value is not None:
                yield [_text(value)]
        case "hash":
            async for chunk in _scanned(db, "HSCAN", key):
                yield [[_text(name), _text(value)] for name, value in chunk]
        case "zset":
            async for chunk in _scanned(db, "ZSCAN", key):
                yield [[_text(member), _score(score)] for member, score in chunk]
        case "set":
            async for chunk in _scanned(db, "SSCAN", key):
                yield [_text(member) for member in chunk]


async def _keys(db: Database, pattern: str) -> AsyncIterator[str]:
    cursor = 0
    while True:
        cursor, found = await db.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1_000)
        for key in found:
            yield key.decode()
        if int(cursor) == 0:
            return
        cursor = int(cursor)


async def _scanned(db: Database, command: str, key: str) -> AsyncIterator[list[Any]]:
    """Chunks of a collection that are not empty; pairs, but for a set."""
    cursor = 0
    while True:
        cursor, found = await db.execute(command, key, cursor, "COUNT", CHUNK)
        entries = list(found.items()) if isinstance(found, dict) else list(found)
        if entries:
            yield entries
        if int(cursor) == 0:
            return
        cursor = int(cursor)


async def _at_once(db: Database, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Several reads of one shard in one moment."""
    try:
        async with db.redis.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute())
    except (RedisError, OSError) as error:
        raise Unavailable(reason(error)) from error


def _rows(rows: Iterable[Any]) -> list[Any]:
    return [[id_.decode(), _told_pairs(mapped(fields))] for id_, fields in rows]


def _place(row: Sequence[Any]) -> tuple[int, int]:
    ms, _, number = row[0].partition("-")
    return int(ms), int(number)


def _told_pairs(fields: Mapping[bytes, bytes]) -> list[Any]:
    return [[_text(name), _text(value)] for name, value in fields.items()]


def _text(value: bytes) -> Any:
    """As JSON can hold it: a text, or base64 of what is none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _score(score: Any) -> float | str:
    """JSON has no infinity."""
    number = float(score)
    return str(number) if abs(number) == inf else number


def dumps(line: Line) -> bytes:
    return orjson.dumps(line) + b"\n"
