"""The sweep: store/lua/sweep.lua takes what is due, repeated until nothing is, then sleep until the next due moment.

Any number of workers may run on one shard: each call is atomic, so none leads and none waits for another. Heartbeats
and fleets (sweep_fleet.lua) take turns, so neither keeps the other waiting.
"""

import asyncio
import logging
import random
import time
from typing import Final

from runtime.logs import log
from store import deadlines, fleets
from store.database import Database
from store.errors import Unavailable
from store.keys import Shard
from sweeper.metrics import Metrics

LONGEST_SLEEP_S: Final = 0.2  # something may fall due that was not there when we last looked
GATED_SLEEP_S: Final = 0.03  # due, but no pulse has passed it yet: a pulse comes every 0.1 s
AWAY_SLEEP_S: Final = 0.5

logger = logging.getLogger(__name__)


class Worker:
    """Sweeps one shard."""

    def __init__(self, db: Database, shard: Shard, metrics: Metrics) -> None:
        self._db = db
        self._shard = shard
        self._metrics = metrics
        self._away = False
        self.swept_at = float("-inf")  # monotonic seconds

    async def run(self) -> None:
        """Sweeps for ever; a Redis that is away is waited for."""
        while True:
            try:
                sleep_s = await self.step()
            except Unavailable as error:
                if not self._away:
                    log(logger, logging.WARNING, "redis_away", shard=self._shard.number, reason=str(error))
                self._away, sleep_s = True, AWAY_SLEEP_S
            else:
                if self._away:
                    log(logger, logging.INFO, "redis_back", shard=self._shard.number)
                self._away = False
            # Many workers that slept for the same time would come back in step.
            await asyncio.sleep(sleep_s * random.uniform(0.8, 1.0))  # noqa: S311 - a delay, not a secret

    async def step(self) -> float:
        """One bounded piece of work; answers how long to sleep, seconds."""
        swept = await deadlines.sweep(self._db, self._shard)
        more, corrupt = swept.taken > 0, swept.corrupt
        if swept.due is not None and swept.due <= swept.now:
            fired, dropped = await deadlines.timers(self._db, self._shard)
            chores = await deadlines.chores(self._db, self._shard)
            fleet = await fleets.sweep(self._db, self._shard)
            more = more or fired + chores > 0 or fleet.fleet is not None
            corrupt += fleet.corrupt
            self._metrics.count(fired, chores, dropped, fleet)
        if swept.walking:
            more = await deadlines.clamp(self._db, self._shard) or more
        if swept.unreckoned:
            corrupt += await deadlines.reckon(self._db, self._shard, swept.unreckoned)
        if corrupt:
            log(logger, logging.ERROR, "corrupt_records", shard=self._shard.number, count=corrupt)
        self.swept_at = time.monotonic()
        self._metrics.observe(self._shard.number, swept)
        if more:
            return 0.0
        if swept.due is None:
            return LONGEST_SLEEP_S
        wait_s = (swept.due - swept.now) / 1000
        return min(wait_s, LONGEST_SLEEP_S) if wait_s > 0 else GATED_SLEEP_S
