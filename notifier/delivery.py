"""One channel's desk: gather company, lease, say it, record how it ended. One desk per channel, so a channel that
hangs delays nobody else, and while it hangs its next message folds more and more.

What to say is not decided here: lease.lua compares what the channel was told with how the incident stands now.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from random import SystemRandom
from typing import Final, TypeVar

from notifier import fleet_message
from notifier.channels import SENDERS, DeliveryError, Reason, Sender, Senders
from notifier.message import NAMES_MAX, Message, compose, fold
from notifier.metrics import Metrics
from notifier.reading import count_members, legible_incidents, legible_owners
from rules import retry
from runtime.logs import log
from store import channels, deliveries
from store.database import Database
from store.deliveries import Lease, Word
from store.errors import NotFound, StoreError
from store.fleets import Fleet
from store.keys import Shard
from store.records import Channel, Heartbeat, Incident

COMPANY_S: Final = 0.2  # every message waits this long for others
STORM_S: Final = 3.0  # from the first, once more than FEW have come
FEW: Final = 5  # incidents that are told one by one
LEASE_MS: Final = 30_000  # longer than any sender may take (20 s)
LEASE_MAX: Final = 100  # incidents in one lease.lua
WORDS: Final[tuple[Word, ...]] = ("opened", "grown", "resolved", "test")
CANNOT_SEND: Final = "flatline could not make this message; its log says why"

Item = TypeVar("Item")

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
            company = deque(await self._gather())
            while company:
                # Read anew each time: told a few at a time, a storm outlasts an edit or the end of the channel.
                try:
                    channel = await channels.get(self._db, self._channel, self._project)
                except NotFound:
                    await self._drop(company)
                    break
                size = len(company) if channel.settings.get("fold", True) else min(FEW, len(company))
                await self._tell(channel, [company.popleft() for _ in range(size)])

    async def _gather(self) -> list[str]:
        await asyncio.sleep(self._first_at + COMPANY_S - time.monotonic())
        if len(self._waiting) > FEW:
            await asyncio.sleep(self._first_at + STORM_S - time.monotonic())
        company = list(self._waiting)
        self._waiting.clear()
        return company

    async def _tell(self, channel: Channel, company: Sequence[str]) -> None:
        leases = await self._lease(company)
        groups: list[tuple[Word, list[Lease]]] = []
        for word, of_fleets in product(WORDS, (True, False)):
            # Apart: a fleet with a million silent members is not to vanish among three hundred heartbeats.
            group = [lease for lease in leases if lease.word == word and (lease.silent is not None) == of_fleets]
            groups += [(word, group)] if len(group) > FEW else [(word, [lease]) for lease in group]
        # All at once: a lease lasts for one send and no longer. And all to their end: what nobody waits for any more
        # could still be talking when the next desk of this channel, under the same name, leases the same incident.
        sayings = (self._say(channel, word, group) for word, group in groups)
        ends = await asyncio.gather(*sayings, return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end

    async def _say(self, channel: Channel, word: Word, group: Sequence[Lease]) -> None:
        """One message, for one incident or for many, and how it ended."""
        started = time.monotonic()
        try:
            message = await self._compose(channel, word, group)
            answer = await self._sender(channel.kind).send(message, channel.settings)
        except DeliveryError as error:
            await self._failed(channel, group, error, started)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a record or settings that nobody checked: put off like any failure
            log(logger, logging.ERROR, "cannot_send", error, channel=channel.id, incident=group[0].incident)
            await self._failed(channel, group, DeliveryError(Reason.SETTINGS, CANNOT_SEND), started)
        else:
            latency_ms = int((time.monotonic() - started) * 1000)
            await self._record(group, result="told", answer=answer, latency_ms=latency_ms)
            self._metrics.delivered(channel.kind, len(group), latency_ms / 1000)
            log(logger, logging.INFO, "told", channel=channel.id, what=message.event, incidents=len(group))

    async def _compose(self, channel: Channel, word: Word, group: Sequence[Lease]) -> Message:
        named = [lease.incident for lease in group[:NAMES_MAX]]
        some = [incident for incident in await legible_incidents(self._db, named) if incident]
        if not some:
            raise DeliveryError(Reason.SETTINGS, "the incident's record cannot be read")
        owners = await legible_owners(self._db, some)
        leases = {lease.incident: lease for lease in group}
        first = await self._compose_one(channel, word, some[0], owners[0], leases[some[0].id])
        if len(group) == 1 or word == "test":  # one test message answers for all who asked
            return first
        back = not any(incident.resolution in {"paused", "deleted"} for incident in some)
        known = [owner for owner in owners if owner]
        told = [lease.incident if lease.silent is None else f"{lease.incident}_{lease.silent}" for lease in group]
        return fold(first, known, told, back=back)

    async def _compose_one(
        self, channel: Channel, word: Word, incident: Incident, owner: Heartbeat | Fleet | None, lease: Lease
    ) -> Message:
        if not incident.fleet:
            return compose(channel.id, word, incident, owner if isinstance(owner, Heartbeat) else None)
        fleet = owner if isinstance(owner, Fleet) else None
        members = await count_members(self._db, fleet.id) if fleet else 0
        return fleet_message.compose(channel.id, lease, word, incident, fleet, members=members)

    def _sender(self, kind: str) -> Sender:
        if kind not in SENDERS:  # made by a newer version, or its sender was removed: retried until one knows it
            raise DeliveryError(Reason.SETTINGS, "this notifier cannot send to this kind of channel")
        return SENDERS[kind](self._senders)

    async def _failed(self, channel: Channel, leases: Sequence[Lease], error: DeliveryError, started: float) -> None:
        # Some of a folded message may have been tried for days and others never: each waits, or is given up, by itself.
        for attempt in sorted({lease.attempt for lease in leases}):
            delay_s = None if error.permanent else retry.delay(attempt, retry_after=error.retry_after, rng=self._rng)
            await self._record(
                [lease for lease in leases if lease.attempt == attempt],
                result="dead" if delay_s is None else "retry",
                delay_ms=int((delay_s or 0) * 1000),
                answer=str(error),
                reason=error.reason,
                latency_ms=int((time.monotonic() - started) * 1000),
            )
            event = "dead_letter" if delay_s is None else "delivery_failed"
            level = logging.ERROR if delay_s is None else logging.WARNING
            log(logger, level, event, channel=channel.id, reason=error.reason, answer=str(error), attempt=attempt)
        self._metrics.failed(channel.kind, error.reason, dead=delay_s is None)

    async def _drop(self, company: Iterable[str]) -> None:
        leases = [lease for lease in await self._lease(company) if lease.word]
        if leases:
            answer = "the channel was deleted"
            await self._record(leases, result="dead", answer=answer, reason=Reason.SETTINGS)

    async def _lease(self, company: Iterable[str]) -> list[Lease]:
        """Oldest incident first, so that a group has the same first, and the same names, when it is told again."""
        found: list[Lease] = []
        for shard, ours in self._by_shard(sorted(company, key=_opened), str):
            found += await deliveries.lease(self._db, shard, self._channel, ours, owner=self._owner, lease_ms=LEASE_MS)
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
        for shard, ours in self._by_shard(leases, lambda lease: lease.incident):
            await deliveries.outcome(
                self._db,
                shard,
                self._channel,
                ours,
                owner=self._owner,
                result=result,
                delay_ms=delay_ms,
                answer=answer,
                reason=reason,
                latency_ms=latency_ms,
            )

    def _by_shard(self, items: Iterable[Item], incident: Callable[[Item], str]) -> Iterator[tuple[Shard, list[Item]]]:
        """Pieces that fit one script, in order within a shard; each item is looked at once, for a storm is long."""
        shards: dict[int, list[Item]] = {}
        for item in items:
            shards.setdefault(self._db.shard(incident(item)).number, []).append(item)
        for number, ours in shards.items():
            for i in range(0, len(ours), LEASE_MAX):
                yield self._db.shards[number], ours[i : i + LEASE_MAX]


def _opened(incident: str) -> tuple[int, str]:
    opened = incident.partition("-")[2]
    return int(opened) if opened.isdecimal() else 0, incident
