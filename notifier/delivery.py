"""One channel's desk: gather company, lease, say it, record how it ended. One desk per channel, so a channel that
hangs delays nobody else, and while it hangs its next message folds more and more.

What to say is not decided here: lease.lua compares what the channel was told with how the incident stands now.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from random import SystemRandom
from typing import Final

from notifier.channels import SENDERS, DeliveryError, Reason, Sender, Senders
from notifier.message import NAMES_MAX, Message, compose, fold
from notifier.metrics import Metrics
from rules import retry
from runtime.logs import log
from store import channels, deliveries, heartbeats, incidents
from store.database import Database
from store.deliveries import Lease, Word
from store.errors import NotFound
from store.records import Channel

COMPANY_S: Final = 0.2  # every message waits this long for others
STORM_S: Final = 3.0  # from the first, once more than FEW have come
FEW: Final = 5  # incidents that are told one by one
LEASE_MS: Final = 30_000  # longer than any sender may take (20 s)
LEASE_MAX: Final = 100  # incidents in one lease.lua
WORDS: Final[tuple[Word, ...]] = ("opened", "resolved", "test")

logger = logging.getLogger(__name__)


class Desk:
    """Tells one channel. `owner`: the name under which this process leases."""

    def __init__(
        self, db: Database, project: str, channel: str, *, owner: str, senders: Senders, metrics: Metrics
    ) -> None:
        self._db = db
        self._project = project
        self._channel = channel
        self._owner = owner
        self._senders = senders
        self._metrics = metrics
        self._rng = SystemRandom()
        self._waiting: dict[str, None] = {}  # incidents in the order in which they came
        self._first_at = 0.0

    def put(self, incident: str) -> None:
        if not self._waiting:
            self._first_at = time.monotonic()
        self._waiting[incident] = None

    async def work(self) -> None:
        """Tells until nothing waits."""
        while self._waiting:
            company = await self._gather()
            try:
                channel = await channels.get(self._db, self._channel, self._project)
            except NotFound:
                await self._drop(company)
                continue
            folds = bool(channel.settings.get("fold", True))
            size = len(company) if folds else FEW
            for i in range(0, len(company), size):
                await self._tell(channel, company[i : i + size])

    async def _gather(self) -> list[str]:
        await asyncio.sleep(self._first_at + COMPANY_S - time.monotonic())
        if len(self._waiting) > FEW:
            await asyncio.sleep(self._first_at + STORM_S - time.monotonic())
        company = list(self._waiting)
        self._waiting.clear()
        return company

    async def _tell(self, channel: Channel, company: Sequence[str]) -> None:
        leases = await self._lease(company)
        for word in WORDS:
            group = [lease for lease in leases if lease.word == word]
            if len(group) > FEW:
                await self._say_folded(channel, word, group)
            else:
                await asyncio.gather(*(self._say(channel, word, lease) for lease in group))

    async def _say(self, channel: Channel, word: Word, lease: Lease) -> None:
        incident = (await incidents.get_many(self._db, [lease.incident]))[0]
        if incident is None:  # trimmed this very moment
            return
        heartbeat = (await heartbeats.get_many(self._db, [incident.heartbeat], deleted=True))[0]
        await self._send(channel, compose(channel.id, word, incident, heartbeat), [lease])

    async def _say_folded(self, channel: Channel, word: Word, group: Sequence[Lease]) -> None:
        some = [i for i in await incidents.get_many(self._db, [lease.incident for lease in group[:NAMES_MAX]]) if i]
        if not some:
            return
        found = await heartbeats.get_many(self._db, [incident.heartbeat for incident in some], deleted=True)
        first = compose(channel.id, word, some[0], found[0])
        await self._send(channel, fold(first, [heartbeat for heartbeat in found if heartbeat], len(group)), group)

    async def _send(self, channel: Channel, message: Message, leases: Sequence[Lease]) -> None:
        started = time.monotonic()
        try:
            answer = await self._sender(channel.kind).send(message, channel.settings)
        except DeliveryError as error:
            await self._failed(channel, leases, error, started)
        else:
            latency_ms = int((time.monotonic() - started) * 1000)
            await self._record(leases, result="told", answer=answer, latency_ms=latency_ms)
            self._metrics.delivered(channel.kind, len(leases), latency_ms / 1000)
            log(logger, logging.INFO, "told", channel=channel.id, what=message.event, incidents=len(leases))

    def _sender(self, kind: str) -> Sender:
        return SENDERS[kind](self._senders)

    async def _failed(self, channel: Channel, leases: Sequence[Lease], error: DeliveryError, started: float) -> None:
        attempt = max(lease.attempt for lease in leases)
        delay_s = None if error.permanent else retry.delay(attempt, retry_after=error.retry_after, rng=self._rng)
        await self._record(
            leases,
            result="dead" if delay_s is None else "retry",
            delay_ms=int((delay_s or 0) * 1000),
            answer=str(error),
            reason=error.reason,
            latency_ms=int((time.monotonic() - started) * 1000),
        )
        self._metrics.failed(channel.kind, error.reason, dead=delay_s is None)
        event = "dead_letter" if delay_s is None else "delivery_failed"
        level = logging.ERROR if delay_s is None else logging.WARNING
        log(logger, level, event, channel=channel.id, reason=error.reason, answer=str(error), attempt=attempt)

    async def _drop(self, company: Sequence[str]) -> None:
        leases = [lease for lease in await self._lease(company) if lease.word]
        if leases:
            answer = "the channel was deleted"
            await self._record(leases, result="dead", answer=answer, reason=Reason.SETTINGS)

    async def _lease(self, company: Sequence[str]) -> list[Lease]:
        """Oldest incident first, so that a group has the same first, and so the same id, when it is told again."""
        found: list[Lease] = []
        for shard in self._db.shards:
            ours = sorted((i for i in company if self._db.shard(i) is shard), key=_opened)
            for i in range(0, len(ours), LEASE_MAX):
                found += await deliveries.lease(
                    self._db,
                    shard,
                    self._channel,
                    ours[i : i + LEASE_MAX],
                    owner=self._owner,
                    lease_ms=LEASE_MS,
                )
        return sorted(found, key=lambda lease: _opened(lease.incident))

    async def _record(
        self,
        leases: Sequence[Lease],
        *,
        result: deliveries.Result,
        delay_ms: int = 0,
        answer: str = "",
        reason: str = "",
        latency_ms: int = 0,
    ) -> None:
        for shard in self._db.shards:
            ours = [lease for lease in leases if self._db.shard(lease.incident) is shard]
            for i in range(0, len(ours), LEASE_MAX):
                await deliveries.outcome(
                    self._db,
                    shard,
                    self._channel,
                    ours[i : i + LEASE_MAX],
                    owner=self._owner,
                    result=result,
                    delay_ms=delay_ms,
                    answer=answer,
                    reason=reason,
                    latency_ms=latency_ms,
                )


def _opened(incident: str) -> tuple[int, str]:
    return int(incident.partition("-")[2]), incident
