"""Millions of records, written past the scripts: what they leave behind, at the speed of the protocol."""

import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import hiredis

from rules import tokens
from store.database import Database
from store.fleets import Fleet
from store.keys import DEFAULT_PROJECT, Shard

AT_ONCE: Final = 500  # commands, or pairs of one command, in one write
SLUG_LENGTH: Final = 20


def slug(number: int) -> str:
    return f"device-{number:0{SLUG_LENGTH - 7}d}"


def members(db: Database, fleet: Fleet, numbers: Iterable[int], deadline: int) -> None:
    """Members that are up, on the only shard of a database."""
    shard = _only_shard(db)
    pairs = ((f"{deadline + number % 1000}", slug(number)) for number in numbers)
    commands: Iterator[tuple[Any, ...]] = (
        ("ZADD", shard.fleet_deadlines(fleet.id), *(text for pair in chunk for text in pair))
        for chunk in _chunks(pairs)
    )
    send(db, [*commands, ("ZADD", shard.fleets, "LT", deadline, fleet.id)])


@dataclass(frozen=True, slots=True)
class Filled:
    """What one heartbeat is to be like. Only one that is `up` has a deadline; it is `sooner` than the others', ms."""

    name: str
    status: str = "up"
    tags: tuple[str, ...] = ()
    sooner: int = 0


def filled(number: int) -> Filled:
    """As plain as can be."""
    return Filled(f"filled {number:07d}")


def heartbeats(db: Database, count: int, now: int, deadline: int, like: Callable[[int], Filled] = filled) -> list[str]:
    """Heartbeats with settings and indexes and without logs; their tokens."""
    shard, made = _only_shard(db), [tokens.new_token() for _ in range(count)]
    for chunk in _chunks(enumerate(made)):
        hashes: list[tuple[Any, ...]] = []
        indexes: dict[str, list[Any]] = {}  # key -> score, member, ...
        for number, token in chunk:
            heartbeat, each = tokens.id_of(token), like(number)
            is_up, entry = each.status == "up", f"{each.name.casefold()}\0{heartbeat}"
            hashes.append((
                "HSET", shard.heartbeat(heartbeat), "token", token, "project", DEFAULT_PROJECT, "name", each.name,
                "period", 86400, "grace", 3600, "rev", 1, "created", now, "status", each.status, "since", now,
                *(("last_ping", now) if each.status != "pending" else ()),
                *(("tags", "\n".join(each.tags)) if each.tags else ()),
            ))  # fmt: skip
            score = deadline + number % 1000 - each.sooner if is_up else "inf"
            indexes.setdefault(shard.deadlines, []).extend((score, heartbeat))
            for key in (
                shard.names(DEFAULT_PROJECT),
                shard.status(DEFAULT_PROJECT, each.status),
                *(shard.tagged(DEFAULT_PROJECT, tag) for tag in each.tags),
            ):
                indexes.setdefault(key, []).extend((0, entry))
        send(db, [*hashes, *(("ZADD", key, *pairs) for key, pairs in indexes.items())])
    return made


def logs(db: Database, heartbeats: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """The same event log for each: `rows` are fields and values, the oldest first."""
    shard, (first, *others) = _only_shard(db), heartbeats
    send(db, [("XADD", shard.events(first), "*", *row) for row in rows])
    send(db, [("COPY", shard.events(first), shard.events(other)) for other in others])


def send(db: Database, commands: Iterable[tuple[Any, ...]]) -> None:
    """Pipelined, and answered before this returns. Raises on a refused command."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(db.url.removeprefix("unix://"))
        for chunk in _chunks(commands):
            sock.sendall(b"".join(pack(command) for command in chunk))
            drain(sock, len(chunk))


def pack(command: tuple[Any, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)
    return packed


def drain(sock: socket.socket, replies: int) -> list[Any]:
    """So many replies. Raises on an error among them."""
    reader = hiredis.Reader()
    found: list[Any] = []
    while len(found) < replies:
        reader.feed(sock.recv(1 << 16))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, Exception):
                raise reply
            found.append(reply)
    return found


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, AT_ONCE)):
        yield chunk


def _only_shard(db: Database) -> Shard:
    (shard,) = db.shards
    return shard
