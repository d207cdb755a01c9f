"""One node's way to Redis: two queues per shard, one for what is plainly up, one for what a script must judge."""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle
from math import nan
from typing import Any, Final, NamedTuple

from ingest.addresses import Addresses
from ingest.cache import Cache
from ingest.clock import EXACT_MS, Clock
from ingest.commit import GroupCommit, Overloaded, Waiter
from ingest.meaning import reckon
from ingest.metrics import Metrics
from ingest.rates import Rates
from ingest.settings import IngestSettings
from runtime.logs import log
from store import deadlines
from store.arrivals import JUDGED_MAX, LEVELS, MEMBERS_JUDGED_MAX, PLAIN_MAX, Lane, Ping
from store.changes import Known
from store.database import Database
from store.keys import Shard, shard_of
from store.records import Durability

SHED_S: Final = 1.0  # after a refusal no pulse for so long: a node that refuses cannot hear
BULK_MAX: Final = 500  # plain pings of a bulk in one write
BULK_LANES: Final = 2  # so that Redis has the next write when it has answered one
AHEAD_MS: Final = 20  # how far `at` may run ahead of the clock to stay unique; arrive.lua cuts what lies further
CLOSE_S: Final = 5.0  # for what still waits when we stop; then a Redis that hangs has had its time

AS_TOLD: Final = nan  # in place of the clock's offset: no measurement of ours can correct that time

logger = logging.getLogger(__name__)

#: A ping, what is known of its heartbeat, and the clock's offset in its `at`.
Arrival = tuple[Ping, Known, float]


class Together(NamedTuple):
    """Plain pings of many members of one fleet, all at one time."""

    fleet: str
    known: Known
    slugs: list[str]
    at: int
    offset_ms: float

    def arrivals(self) -> list[Arrival]:
        return [(Ping(slug, self.at, fleet=self.fleet), self.known, self.offset_ms) for slug in self.slugs]


#: What a queue takes: an arrival, or None, which marks a place in the line.
Entry = Arrival | None


class ShardQueues:
    """The queues of one shard. An answer is a script's: up, parked, unknown, full, error: ..."""

    def __init__(self, node: "Node", shard: Shard) -> None:
        self._node = node
        self._shard = shard
        self._plain_lane = Lane(node.db, shard)
        self._signal_lane = Lane(node.db, shard)
        self._bulk_lanes = [Lane(node.db, shard) for _ in range(BULK_LANES)]
        limit = node.settings.queue_limit
        self.plain = GroupCommit[Entry, str](self._write_plain, most=PLAIN_MAX, limit=limit)
        self.signals = GroupCommit[Entry, str](self._write_signals, most=JUDGED_MAX, limit=limit)
        chunks = max(1, limit // BULK_MAX)
        self._bulks = [
            GroupCommit[list[Arrival] | Together, list[str]](partial(self._write_bulk, lane), most=1, limit=chunks)
            for lane in self._bulk_lanes
        ]
        self._next_bulk = cycle(self._bulks)

    async def _write_plain(self, entries: list[Entry]) -> list[str]:
        arrivals = [entry for entry in entries if entry is not None]
        return _spread(entries, await self._commit(self._plain_lane, arrivals) if arrivals else [])

    def submit_bulk(self, chunk: list[Arrival] | Together) -> "asyncio.Future[list[str]]":
        """Plain pings that came together; in which order they are written does not matter. Raises Overloaded."""
        return next(self._next_bulk).submit(chunk)

    @property
    def refused_at(self) -> float:
        """When something was last refused, monotonic seconds."""
        return max(queue.refused_at for queue in self._all())

    def _all(self) -> "list[GroupCommit[Any, Any]]":
        return [self.plain, self.signals, *self._bulks]

    async def _write_bulk(self, lane: Lane, chunks: list[list[Arrival] | Together]) -> list[list[str]]:
        return [
            await (self._commit_together(lane, chunk) if isinstance(chunk, Together) else self._commit(lane, chunk))
            for chunk in chunks
        ]

    async def _commit_together(self, lane: Lane, chunk: Together) -> list[str]:
        started = time.perf_counter()
        deadline, durability = chunk.at + chunk.known.span_ms, chunk.known.durability or self._node.settings.durability
        all_up = await lane.commit_together(chunk.fleet, chunk.slugs, deadline, durability)
        self._node.metrics.observe_batch(len(chunk.slugs), time.perf_counter() - started)
        answers = ["up"] * len(chunk.slugs)
        if not all_up:
            await self._judge_those_of({chunk.fleet}, lane, chunk.arrivals(), answers, logged=True)
        return answers

    async def _commit(self, lane: Lane, arrivals: Sequence[Arrival]) -> list[str]:
        started = time.perf_counter()
        moved = [(ping, ping.at + known.span_ms) for ping, known, _ in arrivals]
        not_all_up = await lane.commit(moved, self._durability(arrivals))
        self._node.metrics.observe_batch(len(arrivals), time.perf_counter() - started)
        answers = ["up"] * len(arrivals)
        if not_all_up:
            await self._judge_those_of(not_all_up, lane, arrivals, answers, logged=True)
        return answers

    async def _write_signals(self, entries: list[Entry]) -> list[str]:
        arrivals = [entry for entry in entries if entry is not None]
        answers = [""] * len(arrivals)
        fleets = {ping.fleet for ping, _, _ in arrivals}
        await self._judge_those_of(fleets, self._signal_lane, arrivals, answers, logged=False)
        return _spread(entries, answers)

    async def _judge_those_of(
        self, fleets: set[str], lane: Lane, arrivals: Sequence[Arrival], answers: list[str], *, logged: bool
    ) -> None:
        """Puts what the scripts say into `answers`, for the arrivals of these fleets ("" = of none)."""
        for fleet in fleets:
            places = [i for i, (ping, _, _) in enumerate(arrivals) if ping.fleet == fleet]
            if logged and not fleet:
                for i in places:
                    arrivals[i][0].signal = "plain"
            said = await self._judge(lane, fleet, [arrivals[i] for i in places])
            for i, answer in zip(places, said, strict=True):
                answers[i] = answer

    async def _judge(self, lane: Lane, fleet: str, arrivals: Sequence[Arrival]) -> list[str]:
        answers: list[str] = []
        most = MEMBERS_JUDGED_MAX if fleet else JUDGED_MAX
        for i in range(0, len(arrivals), most):
            chunk = list(arrivals[i : i + most])
            said = await self._ask(lane, fleet, chunk, sure=False)
            if "clock" in said:
                said = await self._measure_and_repeat(lane, fleet, chunk, said)
            if "stale" in said:
                said = await self._reload_and_repeat(lane, chunk, said)
            for (ping, known, _), answer in zip(chunk, said, strict=True):
                if not fleet:
                    known.up = answer == "up" and known.rules is None
                if answer.startswith("error"):
                    log(logger, logging.ERROR, "corrupt_record", heartbeat=fleet or ping.heartbeat, reason=answer)
            answers += said
        return answers

    async def _ask(self, lane: Lane, fleet: str, arrivals: Sequence[Arrival], *, sure: bool) -> list[str]:
        pings, durability = [ping for ping, _, _ in arrivals], self._durability(arrivals)
        if fleet:
            return await lane.judge_members(fleet, pings, sure=sure, durability=durability)
        return await lane.judge(pings, sure=sure, durability=durability)

    def _durability(self, arrivals: Sequence[Arrival]) -> Durability:
        """The strongest that one of them asks for."""
        least = self._node.settings.durability
        return max({known.durability or least for _, known, _ in arrivals}, key=LEVELS.__getitem__, default=least)

    async def _measure_and_repeat(
        self, lane: Lane, fleet: str, arrivals: Sequence[Arrival], said: list[str]
    ) -> list[str]:
        """Our offset was wrong by more than a second, or the batch is simply old: then its `at` is right.

        By how much it was wrong is the difference to the offset in the `at`: the pulse or the other lane may have
        corrected the clock since, and then this measurement finds nothing.
        """
        clock = self._node.clock
        await clock.measure(self._node.db)
        doubtful = [arrival for arrival, answer in zip(arrivals, said, strict=True) if answer == "clock"]
        for ping, known, offset_ms in doubtful:
            wrong_ms = clock.offset_ms - offset_ms
            if abs(wrong_ms) > EXACT_MS:  # else old: what two measurements differ by must not make two times one
                ping.at += round(wrong_ms)
                reckon(ping, known)
        again = iter(await self._ask(lane, fleet, doubtful, sure=True))
        return [next(again) if answer == "clock" else answer for answer in said]

    async def _reload_and_repeat(self, lane: Lane, arrivals: list[Arrival], said: list[str]) -> list[str]:
        """A schedule was changed: what these pings leave owed is reckoned anew. No doubt about their `at` by now."""
        cache, again = self._node.cache, []
        stale = [i for i, answer in enumerate(said) if answer == "stale"]
        for i in stale:
            cache.forget(arrivals[i][0].heartbeat)
        found = await asyncio.gather(*(cache.load(arrivals[i][0].heartbeat) for i in stale))
        for i, known in zip(stale, found, strict=True):
            ping, _, offset_ms = arrivals[i]
            if known is None:
                said[i] = "unknown"
            elif known.corrupt:
                said[i] = "error: its settings cannot be read"
            else:
                reckon(ping, known)
                arrivals[i] = ping, known, offset_ms
                again.append(i)
        if again:
            repeated = await self._ask(lane, "", [arrivals[i] for i in again], sure=True)
            for i, answer in zip(again, repeated, strict=True):
                said[i] = "error: its schedule changes all the time" if answer == "stale" else answer
        return said

    async def pulse(self) -> None:
        """Passes both queues, then tells Redis. Not within a batch: a pulse that fails is no ping's trouble."""
        await self.signals.submit(None)
        await self.plain.submit(None)
        self._node.heard(await deadlines.pulse(self._node.db, self._shard, self._node.name))

    async def aclose(self) -> None:
        await asyncio.gather(*(queue.drained(within_s=CLOSE_S) for queue in self._all()))
        for lane in (self._plain_lane, self._signal_lane, *self._bulk_lanes):
            await lane.aclose()


class Node:
    """Everything of a node that outlives a request."""

    def __init__(self, db: Database, settings: IngestSettings, metrics: Metrics, name: str) -> None:
        self.db = db
        self.settings = settings
        self.metrics = metrics
        self.name = name
        self.clock = Clock()
        self.cache = Cache(db, size=settings.cache_size, queue_limit=settings.queue_limit)
        self.addresses = Addresses(db, queue_limit=settings.queue_limit)
        self.rates = Rates()
        self.peers = 1  # nodes that pulse, ourselves among them
        self.pulsed_at = float("-inf")  # monotonic seconds
        # Apart by durability: who waits for a disk or a replica, perhaps in vain, must not hold up the others.
        self._durable = {level: [ShardQueues(self, shard) for shard in db.shards] for level in LEVELS}
        self._queues = self._durable[settings.durability]
        metrics.watch_cache(self.cache)

    def submit(self, ping: Ping, known: Known, *, told: bool = False) -> "asyncio.Future[str]":
        """Queues a ping of a known heartbeat or member; the answer comes when Redis has answered. Raises Overloaded.

        `told`: its `at` is the sender's word, and no business of our clock.
        """
        if not ping.fleet and not told:
            self._tell_apart(ping, known)
        if known.rules is not None:
            reckon(ping, known)
        plain = known.up and ping.signal == "success" and not ping.rid and not ping.output
        queues = self._queues_of(ping, known)
        return (queues.plain if plain else queues.signals).submit((ping, known, self._offset(told=told)))

    def submit_plain(self, ping: Ping, known: Known, waiter: Waiter) -> None:
        """The same for a ping that is known to be plain, and without a future. Raises Overloaded."""
        if not ping.fleet:
            self._tell_apart(ping, known)
        self._queues_of(ping, known).plain.submit_for((ping, known, self.clock.offset_ms), waiter)

    def submit_many(
        self, pings: Sequence[tuple[int, Ping, Known, bool]]
    ) -> "list[tuple[list[int], asyncio.Future[list[str]]]]":
        """Queues plain pings that came together: (place, ping, known, told). Answers (places, what became of them).

        A chunk that is refused has a future that raises Overloaded.
        """
        chunks: dict[ShardQueues, tuple[list[int], list[Arrival]]] = {}
        for place, ping, known, told in pings:
            if not ping.fleet and not told:
                self._tell_apart(ping, known)
            places, arrivals = chunks.setdefault(self._queues_of(ping, known), ([], []))
            places.append(place)
            arrivals.append((ping, known, self._offset(told=told)))
        return [(places, self._bulk(queues, arrivals)) for queues, (places, arrivals) in chunks.items()]

    def submit_members(
        self, places: Sequence[int], slugs: list[str], at: int, fleet: str, known: Known
    ) -> "list[tuple[Sequence[int], asyncio.Future[list[str]]]]":
        """The same for plain pings of one fleet's members at one time."""
        queues, offset_ms = self._durable[known.durability] if known.durability else self._queues, self.clock.offset_ms
        if len(queues) == 1:
            return [(places, self._bulk(queues[0], Together(fleet, known, slugs, at, offset_ms)))]
        parts: dict[int, tuple[list[int], list[str]]] = {}
        for place, slug in zip(places, slugs, strict=True):
            mine, named = parts.setdefault(shard_of(slug, len(queues)), ([], []))
            mine.append(place)
            named.append(slug)
        return [
            (mine, self._bulk(queues[number], Together(fleet, known, named, at, offset_ms)))
            for number, (mine, named) in parts.items()
        ]

    def _bulk(self, queues: ShardQueues, chunk: list[Arrival] | Together) -> "asyncio.Future[list[str]]":
        try:
            return queues.submit_bulk(chunk)
        except Overloaded as error:
            refused: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    def _queues_of(self, ping: Ping, known: Known) -> ShardQueues:
        queues = self._durable[known.durability] if known.durability else self._queues
        if len(queues) == 1:
            return queues[0]
        if ping.fleet:
            return queues[shard_of(ping.heartbeat, len(queues))]
        return queues[self.db.shard(ping.heartbeat).number]

    def _tell_apart(self, ping: Ping, known: Known) -> None:
        """One node never gives one heartbeat the same `at`. But a burst must not run away from the clock, and a clock
        that was set back must not hold the heartbeat in the future until it has caught up.
        """
        now = self.clock.now()
        latest = known.last_at if known.last_at <= now + 2 * AHEAD_MS else 0
        ping.at = known.last_at = min(max(ping.at, latest + 1), now + AHEAD_MS)

    def _offset(self, *, told: bool) -> float:
        return AS_TOLD if told else self.clock.offset_ms

    async def pulse(self) -> None:
        """Tells every shard that we hear. Raises Unavailable or Overloaded once those without trouble were told."""
        ends = await asyncio.gather(*(queue.pulse() for queue in self._queues), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        self.pulsed_at = time.monotonic()

    def heard(self, pulse: deadlines.Pulse) -> None:
        self.peers = pulse.nodes
        if pulse.deaf:
            self.metrics.deaf_windows.inc()

    @property
    def sheds(self) -> bool:
        """A ping was refused just now."""
        latest = max(queues.refused_at for queues in self._all())
        return time.monotonic() - max(latest, self.cache.refused_at, self.addresses.refused_at) < SHED_S

    async def aclose(self) -> None:
        await asyncio.gather(*(queues.aclose() for queues in self._all()))

    def _all(self) -> list[ShardQueues]:
        return [queues for shards in self._durable.values() for queues in shards]


def _spread(entries: list[Entry], answers: list[str]) -> list[str]:
    """Answers of the pings, with an empty one for each mark between them."""
    rest = iter(answers)
    return ["" if entry is None else next(rest) for entry in entries]
