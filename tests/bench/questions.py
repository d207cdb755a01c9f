"""A million heartbeats of one project, and what a console is asked about them, each beside the bare Redis calls."""

import base64
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from store import heartbeats
from store.database import Database
from store.keys import DEFAULT_PROJECT, Shard
from tests.bench import fill

MANY: Final = 1_000_000
SPREAD: Final = 700_001  # coprime with MANY: heartbeats are made in another order than that of their names
JOBS: Final = 20  # of a host; so 50,000 hosts
PLACES: Final = 100  # where the list is opened, evenly in the order of names
LOGGED: Final = 60  # heartbeats with an event log from each place on; at the beginning of the list as many as FIRST
FIRST: Final = 10_000  # names; among them are the first pages of every status and tag
ROWS: Final = 100  # of an event log
DAY_MS: Final = 86_400_000
SOON_MS: Final = 1_800_000  # before the end of the grace: late
STATUSES: Final = ("pending", "up", "down", "paused")
API_PAGE: Final = 100
PAGE: Final = 50  # of the dashboard
STRIP: Final = 45  # rows of a log that the dashboard reads
EVERY: Final = 101  # heartbeats; one of them is down, one paused, one pending, one late


def rank(number: int) -> int:
    """The place of a heartbeat in the order of names."""
    return number * SPREAD % MANY


def like(number: int) -> fill.Filled:
    """300,000 have the tag `big`, ten the tag `small`; some 9,900 are down, paused, pending and late each."""
    place = rank(number)
    tags = ("big",) * (place % 10 < 3) + ("small",) * (place % (MANY // 10) == 0)
    status = {7: "down", 8: "paused", 9: "pending"}.get(place % EVERY, "up")
    return fill.Filled(name_at(place), status, tags, sooner=DAY_MS - SOON_MS if place % EVERY == 10 else 0)


def has_log(number: int) -> bool:
    """Logs of all would take 13 GB; these are on the pages that are asked for."""
    place = rank(number)
    return place < FIRST or place % (MANY // PLACES) < LOGGED


def name_at(place: int) -> str:
    return f"host-{place // JOBS:05d} job {place % JOBS:02d}"


def _place(n: int) -> int:
    """Of the n-th request: each another one, in no order."""
    return n * 37 % PLACES * (MANY // PLACES)


def _before(n: int) -> str:
    """The n-th place as the end of the page before."""
    return f"{name_at(_place(n))}\0{'0' * 12}"


def _cursor(n: int) -> str:
    return quote(base64.urlsafe_b64encode(_before(n).encode()))


def _prefix(n: int) -> str:
    """Of 2,000 names."""
    return f"host-{_place(n) // JOBS:05d}"[:-2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`path`: of the n-th request. The rest is what the bare calls read: `limit` entries of an `index` from a place
    `start` on, of those the ones that are `also` in another, their records and logs; and four counts.
    """

    what: str
    path: Callable[[int], str]
    index: str = ""
    start: Callable[[int], str] = lambda _: "-"
    limit: int = API_PAGE
    also: str = ""
    has_logs: bool = False
    has_counts: bool = False


def questions(shard: Shard) -> list[Question]:
    project = DEFAULT_PROJECT
    names, big, small = shard.names(project), shard.tagged(project, "big"), shard.tagged(project, "small")
    up, down = shard.status(project, "up"), shard.status(project, "down")
    api, page = "/api/heartbeats", partial(Question, limit=PAGE, has_logs=True, has_counts=True)

    def deep(n: int) -> str:
        return f"({_before(n)}"

    return [
        Question(what=f"GET {api}", path=lambda _: api, index=names),
        Question(what=f"GET {api}, deep in", path=lambda n: f"{api}?cursor={_cursor(n)}", index=names, start=deep),
        Question(
            what=f"GET {api}?limit=500, deep in", path=lambda n: f"{api}?limit=500&cursor={_cursor(n)}", index=names,
            start=deep, limit=500,
        ),
        Question(what=f"GET {api}?status=down", path=lambda _: f"{api}?status=down", index=down),
        Question(what=f"GET {api}?status=up", path=lambda _: f"{api}?status=up", index=up),
        Question(what=f"GET {api}?status=late", path=lambda _: f"{api}?status=late", index=up, limit=heartbeats.WALK),
        Question(what=f"GET {api}?tag= of 300,000", path=lambda _: f"{api}?tag=big", index=big),
        Question(what=f"GET {api}?tag= of 10", path=lambda _: f"{api}?tag=small", index=small),
        Question(
            what=f"GET {api}?tag= of 300,000 &status=down", path=lambda _: f"{api}?tag=big&status=down", index=down,
            limit=3 * API_PAGE, also=big,
        ),
        page(what="GET /", path=lambda _: "/", index=names),
        page(what="GET /?cursor=, deep in", path=lambda n: f"/?cursor={_cursor(n)}", index=names, start=deep),
        page(
            what="GET /?q= of 2,000 names", path=lambda n: f"/?q={_prefix(n)}", index=names,
            start=lambda n: f"[{_prefix(n)}",
        ),
        page(what="GET /?status=down", path=lambda _: "/?status=down", index=down),
        page(what="GET /?tag= of 300,000", path=lambda _: "/?tag=big", index=big),
        Question(what="GET /counts", path=lambda _: "/counts", has_counts=True),
    ]  # fmt: skip


class Bare:
    """The same data straight from the server: packed commands, one round trip for each step, parsed by hiredis."""

    def __init__(self, db: Database, sock: socket.socket) -> None:
        self._shard = db.shards[0]
        self._sock = sock
        sock.connect(db.url.removeprefix("unix://"))

    def ids(self, question: Question, n: int) -> list[str]:
        """Of those that were read."""
        ids: list[str] = []
        if question.has_counts:
            self._ask([("ZCARD", self._shard.status(DEFAULT_PROJECT, status)) for status in STATUSES])
        if question.index:
            (entries,) = self._ask([
                ("ZRANGEBYLEX", question.index, question.start(n), "+", "LIMIT", 0, question.limit)
            ])  # fmt: skip
            if question.also:
                scores = self._ask([("ZSCORE", question.also, entry) for entry in entries])
                entries = [entry for entry, score in zip(entries, scores, strict=True) if score is not None]
            ids = [entry[-12:].decode() for entry in entries]
            self._ask([command for id_ in ids for command in self._reads(id_, with_log=question.has_logs)])
        return ids

    def _reads(self, id_: str, *, with_log: bool) -> list[tuple[Any, ...]]:
        shard = self._shard
        log = [("XREVRANGE", shard.events(id_), "+", "-", "COUNT", STRIP)] if with_log else []
        return [("HGETALL", shard.heartbeat(id_)), ("ZSCORE", shard.deadlines, id_), *log]

    def _ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        self._sock.sendall(b"".join(map(fill.pack, commands)))
        return fill.drain(self._sock, len(commands))
