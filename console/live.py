"""What happens, told to open pages as server-sent events.

DESIGN. One reader per process, and only while somebody watches: once a second it takes a glance at the heartbeats that
the open pages show, each of them once however many people look at it, and at the counts of their projects, in one
pipeline; how many fleets are down has no index, so it is read from the fleets, less often. Rejected: one subscription
per client (connections grow with people); the streams of changes and notifications (a plain ping stands in neither, and
that a ping came is what a page must show); publishing from the scripts (the price would be paid on every ping, watched
or not). A client is told at most once a second, only of what it shows, and nothing but ids: it fetches what it wants to
see again, through the same checks as ever.

What happened between the rendering of a page and its first glance is not lost: the page says when it was rendered, and
whose newest event is later counts as changed. A reconnect says the same with the id of the last message.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from runtime.logs import log
from store import fleets, heartbeats
from store.database import Database
from store.errors import Unavailable
from store.heartbeats import Glance

LOOK_S: Final = 1.0
ALIVE_S: Final = 15.0  # a comment, so that proxies keep the connection and a dead one is noticed
RETRY_MS: Final = 3_000
WATCHERS_MAX: Final = 500  # per process; who comes later asks again and again instead
IDS_MAX: Final = 100  # of one page
WATCHED_MAX: Final = 10_000  # heartbeats on all pages: they are read together, each second
STREAM_S: Final = 600.0  # then the page connects again, if it may still look
FLEETS_S: Final = 5.0  # for which the number of fleets that are down is kept: there is no index of them
FLEETS_MAX: Final = 500  # looked at, of a project

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How a project stands. `heartbeats`: by stored status. `fleets`: those with an open incident."""

    heartbeats: Mapping[str, int]
    fleets: int

    @property
    def down(self) -> int:
        return self.heartbeats["down"] + self.fleets

    def told(self) -> dict[str, Any]:
        return {"counts": self.heartbeats, "down": self.down}


class Tallies:
    """The tallies of all projects, for every page and every reader of one process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._fleets: dict[str, tuple[float, int]] = {}  # project -> kept until, how many

    async def of(self, project: str) -> Tally:
        counts = await heartbeats.count(self._db, project)
        return Tally(heartbeats=counts, fleets=await self._fleets_down(project))

    async def _fleets_down(self, project: str) -> int:
        until, count = self._fleets.get(project, (None, 0))
        if until is not None and time.monotonic() < until:
            return count
        if until is not None:  # whoever comes while we read takes the old number
            self._fleets[project] = (time.monotonic() + FLEETS_S, count)
        try:
            found, _ = await fleets.page(self._db, project, limit=FLEETS_MAX)
            count = sum(fleet.incident is not None for fleet in found)
        except (ValueError, KeyError) as error:  # one corrupt record must not take every page with it
            log(logger, logging.ERROR, "fleets_unreadable", error)
        self._fleets[project] = (time.monotonic() + FLEETS_S, count)
        return count


@dataclass(eq=False, slots=True)
class Watcher:
    """One open page. `since`: what happened before, ms, it knows; None = it was told all that its reader saw."""

    project: str
    ids: frozenset[str]
    since: int | None
    tally: Tally | None = None
    changed: set[str] = field(default_factory=set)
    at: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self, tally: Tally) -> bytes:
        body = orjson.dumps({**tally.told(), "changed": sorted(self.changed)})
        self.changed.clear()
        return b"id: %d\ndata: %b\n\n" % (self.at, body)


class Live:
    """The reader of one process and its watchers."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.tallies = Tallies(db)
        self._watchers: set[Watcher] = set()
        self._seen: dict[str, Glance | None] = {}
        self._reader: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def is_full(self) -> bool:
        return len(self._watchers) >= WATCHERS_MAX or sum(len(each.ids) for each in self._watchers) >= WATCHED_MAX

    async def stream(
        self, project: str, ids: Iterable[str], since: int, stopping: asyncio.Event | None = None
    ) -> AsyncIterator[bytes]:
        """Messages for one page until it goes, or until `stopping`: a server that stops would wait for us in vain.

        `ids` must be the project's own.
        """
        watcher = Watcher(project, frozenset(ids), since)
        self._stopping = stopping or self._stopping
        self._watchers.add(watcher)
        try:
            self._read()
            yield b"retry: %d\n\n" % RETRY_MS
            until = time.monotonic() + STREAM_S
            while not self._stops and time.monotonic() < until:
                try:
                    async with asyncio.timeout(ALIVE_S):
                        await watcher.wake.wait()
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                watcher.wake.clear()
                if watcher.tally is not None and not self._stops:
                    yield watcher.told(watcher.tally)
        finally:
            self._watchers.discard(watcher)

    @property
    def _stops(self) -> bool:
        return self._stopping is not None and self._stopping.is_set()

    def _read(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._look(), name="live")

    async def _look(self) -> None:
        """Until the last watcher has gone; the next one starts it again."""
        while self._watchers and not self._stops:
            try:
                await self._glance()
            except Unavailable as error:
                log(logger, logging.WARNING, "live_unavailable", reason=str(error))
            except Exception as error:  # noqa: BLE001  only loops catch broadly
                log(logger, logging.ERROR, "live_failed", error)
            if self._stopping is None:
                await asyncio.sleep(LOOK_S)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), LOOK_S)
        self._seen.clear()
        for watcher in self._watchers:
            watcher.wake.set()

    async def _glance(self) -> None:
        watchers = tuple(self._watchers)
        ids = sorted(frozenset[str]().union(*(watcher.ids for watcher in watchers)))
        now = await self._db.now()
        seen = dict(zip(ids, await heartbeats.glances(self._db, ids), strict=True))
        tallies = {project: await self.tallies.of(project) for project in {each.project for each in watchers}}
        changed = {id_ for id_ in ids if id_ in self._seen and seen[id_] != self._seen[id_]}
        self._seen = seen
        for watcher in watchers:
            news = changed & watcher.ids
            if watcher.since is not None:
                news |= {id_ for id_ in watcher.ids if _happened(seen[id_], watcher.since)}
                watcher.since = None
            watcher.at = now
            if news or watcher.tally != tallies[watcher.project]:
                watcher.changed |= news
                watcher.tally = tallies[watcher.project]
                watcher.wake.set()


def _happened(glance: Glance | None, since: int) -> bool:
    """Ids of events begin with the time at which they were written."""
    return glance is None or int(glance.event.partition(b"-")[0] or 0) >= since
