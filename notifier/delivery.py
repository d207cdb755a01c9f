"""One channel's desk: gather company, lease, say it, record how it ended. One desk per channel, so a channel that
hangs delays nobody else, and while it hangs its next message folds more and more.

What to say is not decided here: lease.lua compares what the channel was told with how the incident stands now.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import product
from random import SystemRandom
from typing import Final, TypeVar

from notifier.channels import SENDERS, DeliveryError, Reason, Senders, Service
from notifier.links import Links
from notifier.metrics import Metrics
from notifier.pace import Pace
from notifier.writing import SAMPLE, About, Writer, is_off
from rules import retry
from runtime.logs import log
from runtime.tasks import background
from store import channels, deliveries, problems, threads
from store.database import Database
from store.deliveries import Lease, Word
from store.errors import NotFound, StoreError
from store.keys import Shard
from store.records import Channel

COMPANY_S: Final = 0.2  # every message waits this long for others
STORM_S: Final = 3.0  # from the first, once more than FEW have come
FEW: Final = 5  # incidents that are told one by one
LEASE_MS: Final = 15_000  # how soon another notifier takes over from one that died
RENEW_S: Final = 5.0
ATTEMPT_S: Final = 45.0  # for one message in all; senders have shorter deadlines of their own
LEASE_MAX: Final = 100  # incidents in one lease.lua
WORDS: Final[tuple[Word, ...]] = (
    "opened", "grown", "reminder", "acknowledged", "resolved", "late", "test"
)  # fmt: skip
CANNOT_SEND: Final = "flatline could not make this message; its log says why"
OFF: Final = "off by the channel's settings"

Item = TypeVar("Item")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """What all desks of a process share. `owner`: the name under which it leases."""

    owner: str
    senders: Senders
    metrics: Metrics
    links: Links


class Desk:
    """Tells one channel."""

    def __init__(self, db: Database, project: str, channel: str, supplies: Supplies, pace: Pace) -> None:
        self._db = db
        self._project = project
        self._channel = channel
        self._owner = supplies.owner
        self._senders = supplies.senders
        self._metrics = supplies.metrics
        self._writer = Writer(db, supplies.links)
        self._pace = pace
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
            await self._pace.ready()  # before company is gathered: what comes meanwhile is company, too
            company = deque(await self._gather())
            while company:
                # Read anew each time: told a few at a time, a storm outlasts an edit or the end of the channel.
                try:
                    channel = await channels.get(self._db, self._channel, self._project)
                except NotFound:
                    await self._drop(company, "the channel was deleted")
                    break
                size = len(company) if channel.settings.get("fold", True) else min(FEW, len(company))
                await self._tell(channel, [company.popleft() for _ in range(size)])
                if company:
                    await self._pace.ready()

    async def _gather(self) -> list[str]:
        await asyncio.sleep(self._first_at + COMPANY_S - time.monotonic())
        if len(self._waiting) > FEW:
            await asyncio.sleep(self._first_at + STORM_S - time.monotonic())
        company = list(self._waiting)
        self._waiting.clear()
        return company

    async def _tell(self, channel: Channel, company: Sequence[str]) -> None:
        service = SENDERS.get(channel.kind)
        if service:
            self._pace.limit(per_s=service.per_s, burst=service.burst)
        leases = await self._lease(company, acknowledges=bool(service and service.acknowledges))
        groups = _groups(leases, service)
        about = await self._writer.read([lease.incident for _, group in groups for lease in group[:SAMPLE]])
        async with self._kept(leases):
            for word, group in groups:  # one after the other: who dies here has at most one message to repeat
                await self._say(channel, word, group, about)

    async def _say(self, channel: Channel, word: Word, group: Sequence[Lease], about: About) -> None:
        """One message, for one incident or for many, and how it ended."""
        started, thread = time.monotonic(), _thread(channel, group)
        if channel.gone and word != "test":
            return await self._record(group, result="dead", answer=channel.broken, reason=Reason.GONE)
        if is_off(channel, word):
            return await self._record(group, result="told", answer=OFF)
        try:
            async with asyncio.timeout(ATTEMPT_S):
                answer = await self._send(channel, word, group, about, thread=thread)
        except DeliveryError as error:
            await self._failed(channel, group, error, started, thread=thread)
        except TimeoutError:
            await self._failed(
                channel, group, DeliveryError(Reason.TIMEOUT, "it took too long"), started, thread=thread
            )
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a record or settings that nobody checked: put off like any failure
            log(logger, logging.ERROR, "cannot_send", error, channel=channel.id, incident=group[0].incident)
            await self._failed(channel, group, DeliveryError(Reason.SETTINGS, CANNOT_SEND), started, thread=thread)
        else:
            latency_ms = int((time.monotonic() - started) * 1000)
            await self._record(group, result="told", answer=answer, latency_ms=latency_ms, thread=thread)
            await self._worked(channel)
            self._metrics.delivered(channel.kind, len(group), latency_ms / 1000)
            log(logger, logging.INFO, "told", channel=channel.id, what=word, incidents=len(group))

    async def _send(self, channel: Channel, word: Word, group: Sequence[Lease], about: About, *, thread: str) -> str:
        """The receiver's answer. Raises DeliveryError, or whatever."""
        service = SENDERS.get(channel.kind)
        if service is None:  # made by a newer version, or its sender was removed: retried until one knows it
            raise DeliveryError(Reason.SETTINGS, "this notifier cannot send to this kind of channel")
        message = await self._writer.write(channel, word, group, about)
        if thread:
            if word == "resolved" and (left := await self._leave(thread, group)):
                return f"not sent: {left} of this alert are still down"
            message = replace(message, thread=thread)
        if word != "resolved" and (thread or len(group) > 1):
            incidents = [lease.incident for lease in group]
            await threads.join(self._db, self._channel, thread or incidents[0], incidents)
        self._pace.take()
        return await service.make(self._senders).send(message, channel.settings)

    @asynccontextmanager
    async def _kept(self, leases: Sequence[Lease]) -> AsyncIterator[None]:
        """The leases last as long as the telling."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(RENEW_S)
                for shard, ours in self._by_shard(leases, lambda lease: lease.incident):
                    await deliveries.renew(self._db, shard, self._channel, ours, owner=self._owner, lease_ms=LEASE_MS)

        async with background(renew, name="renew"):
            yield

    async def _leave(self, thread: str, group: Sequence[Lease]) -> int:
        """How many of a thread are still down when these are over."""
        return await threads.leave(self._db, self._channel, thread, [lease.incident for lease in group])

    async def _failed(
        self, channel: Channel, leases: Sequence[Lease], error: DeliveryError, started: float, *, thread: str
    ) -> None:
        """`thread` is kept: a receiver that did not answer may have heard all the same."""
        is_dead = False
        # Some of a folded message may have been tried for days and others never: each waits, or is given up, by itself.
        for attempt in sorted({lease.attempt for lease in leases}):
            given_up = error.tries is not None and attempt >= error.tries
            delay_s = None if given_up else retry.delay(attempt, retry_after=error.retry_after, rng=self._rng)
            is_dead = is_dead or delay_s is None
            await self._record(
                [lease for lease in leases if lease.attempt == attempt],
                result="dead" if delay_s is None else "retry",
                delay_ms=int((delay_s or 0) * 1000),
                answer=str(error),
                reason=error.reason,
                latency_ms=int((time.monotonic() - started) * 1000),
                thread=thread,
            )
            event = "dead_letter" if delay_s is None else "delivery_failed"
            level = logging.ERROR if delay_s is None else logging.WARNING
            log(logger, level, event, channel=channel.id, reason=error.reason, answer=str(error), attempt=attempt)
        self._pace.failed()
        self._metrics.failed(channel.kind, error.reason, dead=is_dead)
        if is_dead and error.breaks:
            await self._broken(channel, error)

    async def _broken(self, channel: Channel, error: DeliveryError) -> None:
        """Its owner hears of it, through another one."""
        if channel.broken:
            return
        others = [
            other.id
            for other in await channels.of_project(self._db, channel.project)
            if other.id != channel.id and not other.broken
        ]
        text = f"The channel {channel.name} ({channel.kind}) cannot be told any more: {error}."
        await problems.begin(self._db, "channel_broken", channel.id, text, project=channel.project, channels=others)
        await channels.set_broken(self._db, channel, str(error), gone=error.reason is Reason.GONE)

    async def _worked(self, channel: Channel) -> None:
        self._pace.worked()
        if channel.broken:
            await channels.mend(self._db, channel)
            await problems.end(self._db, "channel_broken", channel.id)

    async def _drop(self, company: Iterable[str], answer: str) -> None:
        leases = [lease for lease in await self._lease(company) if lease.word]
        if leases:
            await self._record(leases, result="dead", answer=answer, reason=Reason.SETTINGS)

    async def _lease(self, company: Iterable[str], *, acknowledges: bool = False) -> list[Lease]:
        """Oldest incident first, so that a group has the same first, and the same names, when it is told again."""
        found: list[Lease] = []
        for shard, ours in self._by_shard(sorted(company, key=_opened), str):
            found += await deliveries.lease(
                self._db,
                shard,
                self._channel,
                ours,
                owner=self._owner,
                lease_ms=LEASE_MS,
                acknowledges=acknowledges,
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
        thread: str = "",
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
                thread=thread,
            )

    def _by_shard(self, items: Iterable[Item], incident: Callable[[Item], str]) -> Iterator[tuple[Shard, list[Item]]]:
        """Pieces that fit one script, in order within a shard; each item is looked at once, for a storm is long."""
        shards: dict[int, list[Item]] = {}
        for item in items:
            shards.setdefault(self._db.shard(incident(item)).number, []).append(item)
        for number, ours in shards.items():
            for i in range(0, len(ours), LEASE_MAX):
                yield self._db.shards[number], ours[i : i + LEASE_MAX]


def _groups(leases: Sequence[Lease], service: Service | None) -> list[tuple[Word, list[Lease]]]:
    """What is told in one message each."""
    groups: list[tuple[Word, list[Lease]]] = []
    for word, of_fleets in product(WORDS, (True, False)):
        # Apart: a fleet with a million silent members is not to vanish among three hundred heartbeats.
        group = [lease for lease in leases if lease.word == word and (lease.silent is not None) == of_fleets]
        if service and service.threads:
            by_thread: dict[str, list[Lease]] = {}
            for lease in group:  # what begins has none yet, but for a repeat of what may have been said
                by_thread.setdefault(lease.thread or ("" if word == "opened" else lease.incident), []).append(lease)
            group = by_thread.pop("", [])
            groups += [(word, some) for some in by_thread.values()]
        groups += [(word, group)] if len(group) > FEW else [(word, [lease]) for lease in group]
    return groups


def _thread(channel: Channel, group: Sequence[Lease]) -> str:
    """What a message is told under; "" where the receiver knows no such thing."""
    service = SENDERS.get(channel.kind)
    return (group[0].thread or group[0].incident) if service and service.threads else ""


def _opened(incident: str) -> tuple[int, str]:
    opened = incident.partition("-")[2]
    return int(opened) if opened.isdecimal() else 0, incident
