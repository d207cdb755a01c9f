"""One node's way to Redis: two queues per shard, one for what is plainly up, one for what a script must judge."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from ingest.cache import Cache
from ingest.clock import Clock
from ingest.commit import GroupCommit
from ingest.metrics import Metrics
from ingest.settings import IngestSettings
from runtime.logs import log
from store import deadlines
from store.arrivals import JUDGED_MAX, PLAIN_MAX, Lane, Ping
from store.changes import Known
from store.database import Database
from store.keys import Shard

SHED_S: Final = 1.0  # after a refusal no pulse for so long: a node that refuses cannot hear

logger = logging.getLogger(__name__)

#: What a queue takes: a ping with what is known of its heartbeat, or None, which marks a place in the line.
Entry = tuple[Ping, Known] | None


class ShardQueues:
    """The queues of one shard. An answer is arrive.lua's: up, parked, unknown, error: ..."""

    def __init__(self, node: "Node", shard: Shard) -> None:
        self._node = node
        self._shard = shard
        self._plain_lane = Lane(node.db, shard)
        self._signal_lane = Lane(node.db, shard)
        limit = node.settings.queue_limit
        self.plain = GroupCommit[Entry, str](self._write_plain, most=PLAIN_MAX, limit=limit)
        self.signals = GroupCommit[Entry, str](self._write_signals, most=JUDGED_MAX, limit=limit)

    async def _write_plain(self, entries: list[Entry]) -> list[str]:
        pings = [entry for entry in entries if entry is not None]
        answers = ["up"] * len(pings)
        if pings:
            started = time.perf_counter()
            all_up = await self._plain_lane.commit([(ping, ping.at + known.span_ms) for ping, known in pings])
            self._node.metrics.observe_batch(len(pings), time.perf_counter() - started)
            if not all_up:
                for ping, _ in pings:
                    ping.signal = "plain"
                answers = await self._judge(self._plain_lane, pings)
        if len(pings) < len(entries):
            pulse = await deadlines.pulse(self._node.db, self._shard, self._node.name)
            self._node.heard(pulse)
        return _spread(entries, answers)

    async def _write_signals(self, entries: list[Entry]) -> list[str]:
        pings = [entry for entry in entries if entry is not None]
        return _spread(entries, await self._judge(self._signal_lane, pings))

    async def _judge(self, lane: Lane, pings: Sequence[tuple[Ping, Known]]) -> list[str]:
        answers: list[str] = []
        for i in range(0, len(pings), JUDGED_MAX):
            chunk = [ping for ping, _ in pings[i : i + JUDGED_MAX]]
            said = await lane.judge(chunk, sure=False)
            if "clock" in said:
                said = await self._measure_and_repeat(lane, chunk, said)
            answers += said
        for (ping, known), answer in zip(pings, answers, strict=True):
            known.up = answer == "up"
            if answer.startswith("error"):
                log(logger, logging.ERROR, "corrupt_record", heartbeat=ping.heartbeat, reason=answer)
        return answers

    async def _measure_and_repeat(self, lane: Lane, pings: list[Ping], said: list[str]) -> list[str]:
        """Our offset was wrong by more than a second, or the batch is simply old: then its `at` is right."""
        before = self._node.clock.now()
        await self._node.clock.measure(self._node.db)
        moved = self._node.clock.now() - before
        doubtful = [ping for ping, answer in zip(pings, said, strict=True) if answer == "clock"]
        for ping in doubtful:
            ping.at += moved
        again = iter(await lane.judge(doubtful, sure=True))
        return [next(again) if answer == "clock" else answer for answer in said]

    async def aclose(self) -> None:
        await asyncio.gather(self.plain.drained(), self.signals.drained())
        await self._plain_lane.aclose()
        await self._signal_lane.aclose()


class Node:
    """Everything of a node that outlives a request."""

    def __init__(self, db: Database, settings: IngestSettings, metrics: Metrics, name: str) -> None:
        self.db = db
        self.settings = settings
        self.metrics = metrics
        self.name = name
        self.clock = Clock()
        self.cache = Cache(db, size=settings.cache_size, queue_limit=settings.queue_limit)
        self.peers = 1  # nodes that pulse, ourselves among them
        self.pulsed_at = float("-inf")  # monotonic seconds
        self._queues = {shard.number: ShardQueues(self, shard) for shard in db.shards}
        metrics.watch_cache(self.cache)

    def submit(self, ping: Ping, known: Known) -> "asyncio.Future[str]":
        """Queues a ping of a known heartbeat; the answer comes when Redis has answered. Raises Overloaded."""
        ping.at = known.last_at = max(ping.at, known.last_at + 1)  # one node never gives one heartbeat the same `at`
        queues = self._queues[self.db.shard(ping.heartbeat).number]
        plain = known.up and ping.signal == "success" and not ping.rid and not ping.output
        return (queues.plain if plain else queues.signals).submit((ping, known))

    async def pulse(self) -> None:
        """Passes both queues of every shard, then tells Redis that we hear. Raises Unavailable or Overloaded."""
        queues = self._queues.values()
        await asyncio.gather(*(queue.signals.submit(None) for queue in queues))
        await asyncio.gather(*(queue.plain.submit(None) for queue in queues))
        self.pulsed_at = time.monotonic()

    def heard(self, pulse: deadlines.Pulse) -> None:
        self.peers = pulse.nodes
        if pulse.deaf:
            self.metrics.deaf_windows.inc()

    @property
    def sheds(self) -> bool:
        """A ping was refused just now."""
        latest = max(max(queue.plain.refused_at, queue.signals.refused_at) for queue in self._queues.values())
        return time.monotonic() - latest < SHED_S

    async def aclose(self) -> None:
        await asyncio.gather(*(queues.aclose() for queues in self._queues.values()))


def _spread(entries: list[Entry], answers: list[str]) -> list[str]:
    """Answers of the pings, with an empty one for each mark between them."""
    rest = iter(answers)
    return ["" if entry is None else next(rest) for entry in entries]
