"""Brings the lines of an export into an empty server, whatever its number of shards.

Everything is written so that a repeat does no harm: an export may show one thing twice.
"""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import Any, ClassVar, Final

import orjson

from store import keys
from store.database import SCHEMA, Database, mapped
from store.deadlines import deaf_windows
from store.keys import Shard, shard_of
from store.transfer import CHUNK, FORMAT, LOG_STREAMS, Line

PARTS_MAX: Final = 5_000  # arguments of commands that wait for a round trip; with outputs some 6 MB
WINDOWS_MAX: Final = 100  # as pulse.lua keeps
#: Fields of a fleet's template that only its home shard has.
HOME: Final = frozenset({"incident", "last_incident", "paused_incident", "generation", "applied", "looked"})

Command = tuple[Any, ...]


class BadExport(ValueError):
    """The lines cannot be imported; the message is one sentence."""


class NotEmpty(Exception):
    """The server holds things already."""


class Import:
    """Takes lines one by one, then `finish`. Raises BadExport or Unavailable."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._exported_at: int | None = None
        self._lines = 0
        self._ended = False
        self._fleets: list[str] = []
        self._waiting: list[Command] = []
        self._parts = 0
        self._last: dict[str, tuple[int, int]] = {}  # stream -> its newest id: those of several shards become one

    async def take(self, line: Line) -> None:
        self._lines += 1
        kind = line.get("kind")
        if self._exported_at is None:
            await self._begin(line)
        elif kind == "end":
            self._ended = line["lines"] == self._lines - 1
        else:
            put = self.PUT.get(str(kind))
            if put is None:
                raise BadExport(f"line {self._lines} is of a kind that this flatline does not know")
            try:
                commands = list(put(self, line))
            except (KeyError, ValueError, TypeError, AttributeError):
                raise BadExport(f"line {self._lines} cannot be read") from None
            self._waiting += commands
            self._parts += sum(map(len, commands))
            if self._parts >= PARTS_MAX:
                await self._flush()

    async def finish(self) -> None:
        """Makes nodes that run already forget what they know, and starts what is due."""
        if self._exported_at is None or not self._ended:
            raise BadExport("the file is cut: its end is missing")
        await self._flush()
        await self._be_deaf()
        newest = await self._db.pipeline(
            [("XREVRANGE", shard.changes, "+", "-", "COUNT", 1) for shard in self._db.shards]
        )
        for shard, entries in zip(self._db.shards, newest, strict=True):
            number = int(mapped(entries[0][1])[b"n"]) if entries else 0
            # A gap in the count: whoever reads it forgets everything.
            await self._db.execute("XADD", shard.changes, "*", "id", "-", "n", number + 2)
            if self._fleets:
                # 1 = long due: the next sweep reckons when there is something to do.
                await self._write([("ZADD", shard.fleets, 1, fleet) for fleet in self._fleets])

    async def _begin(self, line: Line) -> None:
        if line.get("kind") != "flatline-export":
            raise BadExport("this is no export of flatline")
        if line.get("format") != FORMAT or int(line.get("schema", 0)) > SCHEMA:
            raise BadExport("the export was written by a newer flatline: upgrade this one")
        self._exported_at = int(line["exported_at"])
        await self._be_deaf()

    async def _be_deaf(self) -> None:
        """From the export to now nobody could have reached us: nothing alarms for that time. Where no node has pulsed
        yet the window goes on until one does.
        """
        now = await self._db.now()
        assert self._exported_at is not None
        begin = min(self._exported_at, now)
        for shard in self._db.shards:
            await self._add_windows(shard, [(begin, now)])
            await self._db.execute("HSETNX", shard.pulse, "at", now)

    async def _add_windows(self, shard: Shard, more: Iterable[tuple[int, int]]) -> None:
        merged: list[tuple[int, int]] = []
        for begin, end in sorted([*await deaf_windows(self._db, shard), *more]):
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        kept = [part for begin, end in merged[-WINDOWS_MAX:] for part in (end, begin)]
        await self._write([("DEL", shard.deaf), ("ZADD", shard.deaf, *kept)])

    async def _flush(self) -> None:
        waiting, self._waiting, self._parts = self._waiting, [], 0
        await self._write(waiting)

    async def _write(self, commands: Sequence[tuple[Any, ...]]) -> None:
        for i in range(0, len(commands), CHUNK):
            await self._db.pipeline(commands[i : i + CHUNK])

    def _meta(self, line: Line) -> Iterable[Command]:
        yield "HSET", keys.META, "signing_key", _bytes(line["signing_key"])

    def _plain(self, line: Line) -> Iterable[Command]:
        key = str(line["key"])
        if not key.startswith("{flatline}:") or key == keys.META:
            raise ValueError(key)
        yield from _collection(key, line["type"], line["entries"])

    def _heartbeat(self, line: Line) -> Iterable[Command]:
        id_ = str(line["id"])
        shard = self._db.shard(id_)
        fields = _pairs(line["fields"])
        text = {name.decode(): value for name, value in fields.items()}
        project, name = text["project"].decode(), text.get("sort", text["name"]) + b"\0" + id_.encode()
        tags = text.get("tags", b"").decode().split("\n") if text.get("tags") else []
        yield "HSET", shard.heartbeat(id_), *_flat(fields)
        indexes = (shard.names(project), shard.status(project, text["status"].decode()))
        for index in (*indexes, *(shard.tagged(project, tag) for tag in tags)):
            yield "ZADD", index, 0, name
        for log in LOG_STREAMS:
            yield "DEL", f"{shard.tag}{log}:{id_}"  # shown twice it would be written twice
            yield from self._stream(f"{shard.tag}{log}:{id_}", line[log])
        for timer, due in line["timers"]:
            yield "ZADD", shard.timers, due, timer
        yield "ZADD", shard.deadlines, line["deadline"], id_  # last: from here on it may be judged

    def _fleet(self, line: Line) -> Iterable[Command]:
        id_ = str(line["id"])
        fields = _pairs(line["fields"])
        fields[b"room"] = str(ceil(int(fields[b"cap"]) / len(self._db.shards))).encode()
        everywhere = {name: value for name, value in fields.items() if name.decode() not in HOME}
        home = self._db.shard(id_)
        self._fleets.append(id_)
        for shard in self._db.shards:
            yield "HSET", shard.fleet(id_), *_flat(fields if shard is home else everywhere)
            yield "ZADD", shard.fleets, "NX", "inf", id_

    def _members(self, line: Line) -> Iterable[Command]:
        zset, fleet = line["zset"], line["fleet"]
        if zset not in {"deadlines", "down", "returning", "causes"}:
            raise ValueError(zset)
        parts: dict[int, list[Any]] = {}
        for slug, value in line["entries"]:
            number = shard_of(slug, len(self._db.shards))
            parts.setdefault(number, []).extend((slug, _bytes(value)) if zset == "causes" else (value, slug))
        for number, flat in parts.items():
            key = f"{self._db.shards[number].fleet(fleet)}:{zset}"
            yield "HSET" if zset == "causes" else "ZADD", key, *flat

    def _deleted(self, line: Line) -> Iterable[Command]:
        key = self._db.shard(line["id"]).deleted(line["id"])
        yield "HSET", key, *_flat(_pairs(line["fields"]))
        yield "PEXPIRE", key, int(line["ttl"])

    def _incident(self, line: Line) -> Iterable[Command]:
        id_ = str(line["id"])
        shard = self._db.shard(id_)
        yield from _with_end(shard.incident(id_), line)
        for channel, delivery in line["deliveries"].items():
            yield from _with_end(shard.delivery(id_, channel), delivery)
        for zset in ("open", "closed"):
            if line[zset] is not None:
                yield "ZADD", getattr(shard, zset), line[zset], id_

    def _problem(self, line: Line) -> Iterable[Command]:
        yield "HSET", self._db.shard(line["incident"]).problems, line["name"], line["incident"]

    def _due(self, line: Line) -> Iterable[Command]:
        for member, due in line["entries"]:
            about = member.partition(":")[2] if line["kind"] == "chores" else member
            shard = self._db.shard(about)
            yield "ZADD", shard.chores if line["kind"] == "chores" else shard.dead, due, member

    def _notification(self, line: Line) -> Iterable[Command]:
        fields = {name: str(value) for name, value in line["fields"].items()}
        project = fields.get("project", "")
        if fields.get("fleet"):
            home = self._db.shard(fields["fleet"])
            yield "XADD", home.notifications, "*", "project", project, "fleet", fields["fleet"]
        parts: dict[tuple[int, str], list[str]] = {}
        for field in ("incidents", "deliveries", "chores"):
            for name in fields.get(field, "").split():
                about = name.partition(":")[2] if field == "chores" else name
                parts.setdefault((self._db.shard(about).number, field), []).append(name)
        for (number, field), names in parts.items():
            yield "XADD", self._db.shards[number].notifications, "*", "project", project, field, " ".join(names)

    def _log(self, line: Line) -> Iterable[Command]:
        for row in line["rows"]:
            incident = _pairs(row[1])[b"incident"].decode()
            yield from self._stream(self._db.shard(incident).told(line["channel"]), [row])

    def _stream(self, key: str, rows: Iterable[Any]) -> Iterable[Command]:
        for id_, fields in rows:
            ms, _, number = id_.partition("-")
            place = int(ms), int(number)
            last = self._last.get(key, (0, 0))
            if place <= last:
                place = last[0], last[1] + 1
            self._last[key] = place
            yield "XADD", key, f"{place[0]}-{place[1]}", *_flat(_pairs(fields))
        if not key.partition(":")[2].startswith("told:"):
            self._last.pop(key, None)  # it came whole; a million of them would not fit in memory

    #: Kind of a line -> what makes commands of it.
    PUT: ClassVar[Mapping[str, Callable[..., Iterable[Command]]]] = {
        "meta": _meta,
        "plain": _plain,
        "heartbeat": _heartbeat,
        "fleet": _fleet,
        "members": _members,
        "deleted": _deleted,
        "incident": _incident,
        "problem": _problem,
        "chores": _due,
        "dead": _due,
        "notification": _notification,
        "log": _log,
    }


async def require_empty(db: Database) -> None:
    """Raises NotEmpty when there is a heartbeat, a fleet, a channel or a user."""
    reads = [("ZCARD", key) for shard in db.shards for key in (shard.deadlines, shard.fleets)]
    reads += [("HLEN", keys.channels(keys.DEFAULT_PROJECT)), ("HLEN", keys.USERS)]
    if any(await db.pipeline(reads)):
        raise NotEmpty


def loads(text: bytes) -> Line:
    """Raises BadExport."""
    try:
        line = orjson.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict):
        raise BadExport("a line is no JSON object")
    return line


def _collection(key: str, kind: str, entries: Sequence[Any]) -> Iterable[Command]:
    match kind:
        case "string":
            yield "SET", key, _bytes(entries[0])
        case "hash":
            yield "HSET", key, *(_bytes(part) for pair in entries for part in pair)
        case "zset":
            yield "ZADD", key, *(part for member, score in entries for part in (score, _bytes(member)))
        case "set":
            yield "SADD", key, *(_bytes(member) for member in entries)
        case _:
            raise ValueError(kind)


def _with_end(key: str, line: Line) -> Iterable[Command]:
    yield "HSET", key, *_flat(_pairs(line["fields"]))
    if int(line["ttl"]) > 0:
        yield "PEXPIRE", key, int(line["ttl"])


def _pairs(told: Iterable[Any]) -> dict[bytes, bytes]:
    return {_bytes(name): _bytes(value) for name, value in told}


def _flat(fields: Mapping[bytes, bytes]) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


def _bytes(told: Any) -> bytes:
    if isinstance(told, str):
        return told.encode()
    return base64.b64decode(told["base64"], validate=True)
