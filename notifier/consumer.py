"""Reads the outbox of one shard: look at the incidents it names, take note of who must be told, then acknowledge.

A notification only says "look here". It is deleted once every delivery has a record and a chore in Redis, so a
notifier may die at any point: before that the entry is claimed by another, after that the chore comes due. An entry
that nobody can make sense of is set aside after some tries and holds up nobody else.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Final

from notifier.desks import Desks
from notifier.escalation import Escalation
from notifier.fleets import Fleets
from notifier.reading import legible_incidents
from runtime.logs import log
from store import notifications
from store.database import Database
from store.errors import Unavailable
from store.keys import Shard
from store.notifications import Notification, Reader

CLAIM_EVERY_S: Final = 2.0
CLAIM_IDLE_MS: Final = 5_000  # taking note lasts milliseconds: an entry this old has lost its notifier
TRIES: Final = 3  # then an entry is set aside
AWAY_S: Final = 0.5

logger = logging.getLogger(__name__)


class Consumer:
    """Reads one shard."""

    def __init__(self, db: Database, shard: Shard, desks: Desks, fleets: Fleets, name: str) -> None:
        self._db = db
        self._shard = shard
        self._desks = desks
        self._fleets = fleets
        self._escalation = Escalation(db)
        self._reader = Reader(db, shard, name)
        self._claimed_at = float("-inf")
        self._away = False
        self.read_at = float("-inf")  # monotonic seconds

    async def run(self) -> None:
        """Reads for ever; a Redis that is away is waited for."""
        try:
            while True:
                try:
                    await self._step()
                except Unavailable as error:
                    if not self._away:
                        log(logger, logging.WARNING, "redis_away", shard=self._shard.number, reason=str(error))
                    self._away = True
                    await asyncio.sleep(AWAY_S)
                else:
                    self._away = False
                    self.read_at = time.monotonic()
        finally:
            await self._reader.aclose()

    async def _step(self) -> None:
        if self._away or self._claimed_at < 0:
            await self._reader.make_group()
        await self._look_at(await self._reader.read())
        if time.monotonic() - self._claimed_at > CLAIM_EVERY_S:
            claimed = await self._reader.claim(idle_ms=CLAIM_IDLE_MS)
            random.shuffle(claimed)  # so that one whose records Redis refuses to read is not always in front
            await self._look_at(claimed)
            self._claimed_at = time.monotonic()

    async def _look_at(self, found: Sequence[Notification]) -> None:
        for notification in found:
            try:
                await self._look(notification)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - it stays pending and is claimed again; the others go on
                tries = await self._reader.tries(notification.entry)
                log(logger, logging.ERROR, "notification_failed", error, entry=notification.entry, tries=tries)
                if tries >= TRIES:
                    await self._reader.set_aside(notification)
                    log(logger, logging.CRITICAL, "notification_set_aside", entry=notification.entry)

    async def _look(self, notification: Notification) -> None:
        if notification.fleet:  # what people must hear of this comes as an entry of the incident's own shard
            await self._fleets.look(notification.fleet)
        for project, pairs in await self._escalation.due(notification.chores):
            self._desks.put(project, pairs)
        if notification.deliveries:
            await self._put_off(notification)
        else:
            told = await self._escalation.first(notification.project, notification.incidents)
            seen = [(f"look:{each}", None) for each in notification.incidents if each not in told.failed]
            await notifications.enlist(self._db, self._shard, notification.entry, told.pairs, [*told.chores, *seen])
            self._desks.put(notification.project, told.pairs)
            for project, pairs in await self._escalation.due(told.at_once):
                self._desks.put(project, pairs)

    async def _put_off(self, notification: Notification) -> None:
        """What somebody has taken note of before, and is due again: a retry, a lease whose owner died, a test."""
        found = await legible_incidents(self._db, [incident for incident, _ in notification.deliveries])
        await notifications.enlist(self._db, self._shard, notification.entry, notification.deliveries)
        for pair, incident in zip(notification.deliveries, found, strict=True):
            self._desks.put(incident.project if incident else "", [pair], urgent=bool(incident and incident.is_test))
