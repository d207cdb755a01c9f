"""Who watches the watcher: what is wrong with flatline itself is told like an incident, and an outgoing heartbeat says
elsewhere that all is well. When we cannot even tell, that one stops, and whoever waits for it tells.

DESIGN. Every notifier watches, and none leads: all see the same facts, and a problem begins or ends only once. A look
may catch a moment (after a stop all that was due meanwhile is late for some seconds), so what is found must last before
it is told. The outgoing heartbeat waits for nothing: it follows a look, and only one that found us at work.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from typing import Final

import aiohttp

from notifier.metrics import Beat, Metrics
from rules.times import duration
from runtime.logs import log
from store import problems
from store.database import Database
from store.errors import Unavailable
from store.keys import DEFAULT_PROJECT
from store.problems import Facts, Kind, Problem

EVERY_S: Final = 10.0
LASTS_S: Final = 15.0  # seen by three looks in a row
LASTS_LONGER_S: Final[Mapping[Kind, float]] = {"not_persisted": 60.0}  # a server that is set up persists a little later
BEAT_S: Final = 60.0

BEHIND_MS: Final = 60_000
UNHEARD_MS: Final = 300_000
WAITING_MS: Final = 60_000
MEMORY: Final = 0.9

#: Then we do not sweep or not deliver, so no heartbeat goes out.
IDLE: Final[frozenset[Kind]] = frozenset({"sweep_stale", "outbox_stale", "hold"})

logger = logging.getLogger(__name__)


def found(facts: Facts) -> dict[Kind, str]:
    """What is wrong, each in a sentence that says what follows from it and where to look."""
    wrong: dict[Kind, str] = {}
    if facts.has_dead_letters:
        wrong["dead_letters"] = "Messages were given up in the last hour: their dead letters say why."
    if facts.behind_ms > BEHIND_MS:
        behind = duration(facts.behind_ms / 1000)
        wrong["sweep_stale"] = f"The sweep is {behind} behind: silence is noticed late. Look at the sweepers."
    if facts.unheard_ms > UNHEARD_MS:
        unheard = duration(facts.unheard_ms / 1000)
        wrong["hold"] = f"No pulse has come for {unheard}: nothing is judged meanwhile. Look at the ingest nodes."
    elif facts.deaf_ms > UNHEARD_MS:
        deaf = duration(facts.deaf_ms / 1000)
        wrong["hold"] = f"Pulses have come late for {deaf}: silence is excused meanwhile. Look at the ingest nodes."
    if not facts.persists:
        wrong["not_persisted"] = "Redis keeps no append-only file and no snapshots: a restart forgets every heartbeat."
    elif facts.writes_fail:
        wrong["not_persisted"] = "Redis cannot write to its disk: a restart forgets what has happened since."
    if facts.memory > MEMORY:
        wrong["redis_memory"] = f"Redis has used {facts.memory:.0%} of maxmemory: once it is full, pings are refused."
    if facts.waiting_ms > WAITING_MS:
        waiting = duration(facts.waiting_ms / 1000)
        wrong["outbox_stale"] = f"A notification has waited for {waiting}: alerts come late. Look at the notifiers."
    return wrong


class Watch:
    """`url`: where the outgoing heartbeat goes, a secret; "" = nowhere. `session`: guarded, see outgoing.py."""

    def __init__(self, db: Database, metrics: Metrics, session: aiohttp.ClientSession, url: str) -> None:
        self._db = db
        self._metrics = metrics
        self._session = session
        self._url = url
        self._since: dict[Kind, float] = {}
        self._beat_at = float("-inf")
        self._away = False

    async def run(self) -> None:
        """Watches for ever; a Redis that is away is waited for."""
        while True:
            await self.step(time.monotonic())
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311 - a delay, not a secret

    async def step(self, at: float) -> None:
        """One look, and the outgoing heartbeat if its time has come. `at`: seconds on any clock that runs evenly."""
        try:
            works = await self._look(at)
        except Unavailable as error:
            if not self._away:
                log(logger, logging.WARNING, "redis_away", loop="watch", reason=str(error))
            self._away, works = True, False
        else:
            self._away = False
        if self._url and at - self._beat_at >= BEAT_S:
            if works:
                self._beat_at = at
            self._metrics.outgoing_heartbeat(await self._beat() if works else "withheld")

    async def _look(self, at: float) -> bool:
        """Begins and ends problems; says whether sweeping and delivering work."""
        wrong = found(await problems.facts(self._db))
        self._since = {kind: self._since.get(kind, at) for kind in wrong}
        lasting = await problems.open_problems(self._db)
        for kind in wrong.keys() - {problem.kind for problem in lasting}:
            if at - self._since[kind] >= LASTS_LONGER_S.get(kind, LASTS_S):
                await self._begin(kind, wrong[kind])
        for problem in lasting:
            if await self._is_over(problem, wrong):
                await problems.end(self._db, problem.kind, problem.subject)
                log(logger, logging.INFO, "problem_over", kind=problem.kind, subject=problem.subject)
        self._metrics.problems(problem.kind for problem in await problems.open_problems(self._db))
        return not IDLE & wrong.keys()

    async def _begin(self, kind: Kind, text: str) -> None:
        told = await problems.operator_channels(self._db)
        if await problems.begin(self._db, kind, "", text, project=DEFAULT_PROJECT, channels=told):
            log(logger, logging.ERROR, "problem", kind=kind, text=text)

    async def _is_over(self, problem: Problem, wrong: Mapping[Kind, str]) -> bool:
        if problem.kind == "channel_broken":  # a message that arrives ends it, too; an edit and a deletion only we see
            return not await problems.is_broken(self._db, problem.subject, problem.project)
        return problem.kind not in wrong

    async def _beat(self) -> Beat:
        """What goes wrong here stops nothing; the URL stands in no log."""
        try:
            async with self._session.get(self._url, allow_redirects=False) as response:
                reason = "" if 200 <= response.status < 300 else f"it answered {response.status}"
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:  # uvloop has them for OSErrors
            reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        if reason:
            log(logger, logging.WARNING, "outgoing_heartbeat_failed", reason=reason)
        return "failed" if reason else "ok"
