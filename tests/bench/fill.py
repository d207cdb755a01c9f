"""Millions of records, written past the scripts: what they leave behind, at the speed of the protocol."""

import contextlib
import socket
from collections.abc import Iterable, Iterator
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


def heartbeats(db: Database, count: int, now: int, deadline: int) -> list[str]:
    """Heartbeats that are up, with settings and indexes and without logs; their tokens."""
    shard, made = _only_shard(db), [tokens.new_token() for _ in range(count)]
    names, up = shard.names(DEFAULT_PROJECT), shard.status(DEFAULT_PROJECT, "up")
    for chunk in _chunks(enumerate(made)):
        commands: list[tuple[Any, ...]] = []
        for number, token in chunk:
            heartbeat, name = tokens.id_of(token), f"filled {number:07d}"
            fields = (
                "token", token, "project", DEFAULT_PROJECT, "name", name, "period", 86400, "grace", 3600, "rev", 1,
                "created", now, "status", "up", "since", now, "last_ping", now,
            )  # fmt: skip
            commands += (
                ("HSET", shard.heartbeat(heartbeat), *fields),
                ("ZADD", shard.deadlines, deadline + number % 1000, heartbeat),
                ("ZADD", names, 0, f"{name}\0{heartbeat}"),
                ("ZADD", up, 0, f"{name}\0{heartbeat}"),
            )
        send(db, commands)
    return made


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


def drain(sock: socket.socket, replies: int) -> None:
    """Reads so many replies. Raises on an error among them."""
    reader = hiredis.Reader()
    while replies:
        reader.feed(sock.recv(1 << 16))
        while (reply := reader.gets()) is not False:
            if isinstance(reply, Exception):
                raise reply
            replies -= 1


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, AT_ONCE)):
        yield chunk


def _only_shard(db: Database) -> Shard:
    (shard,) = db.shards
    return shard
