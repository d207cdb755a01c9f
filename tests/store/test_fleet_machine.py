"""The scripts about fleets against the model: whatever nodes, people, clocks, outages and sweepers do, in any order."""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import inf
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from store import changes, deadlines, fleets, incidents
from store.arrivals import Lane, Ping
from store.changes import FLEET, Changes, Known
from store.database import Database, opened
from tests.conftest import T0, TEST_CLOCK, Sockets, clean
from tests.store.fleet_model import FleetModel
from tests.store.fleet_scene import causes, due, looks_at, placed
from tests.store.model import AHEAD, CACHE_AGE, GAP, World

T = TypeVar("T")

FLEETS = 2
SLUGS = ("a", "b", "c", "d")
DEVICE = "device"  # it pings all the time, as its fleet's period asks: it must never fall silent
EXCUSED = 3  # times in a row without a ping

which_fleet = st.integers(0, FLEETS - 1)
slugs = st.sampled_from(SLUGS)
nodes = st.integers(0, 2)
lateness = st.sampled_from([0, 0, 0, 0, 0, 7, 900, 4_000, 20_000, 60_000])
pauses = st.sampled_from([0, 1, 1_000, 5_000, 20_000])
spells = st.sampled_from([1, 900, 3_000, 8_000, 31_000, 61_000, 200_000, 900_000])
periods = st.sampled_from([10, 60, 300])
graces = st.sampled_from([1, 30, 400])
misses = st.sampled_from([1, 1, 3])
signals = st.sampled_from(["success", "success", "start", "fail", "fail", "log"])
limits = st.integers(1, 3)


@dataclass
class Node:
    """An ingest node: a clock that is a little off, and a cache that may be a little old."""

    lane: Lane
    changes: Changes
    off: int
    cache: dict[str, Known] = field(default_factory=dict)
    read_at: float = -inf


@dataclass
class Batch:
    node: Node
    fleet: str
    ping: Ping
    deadline: int | None  # None: for members.lua


class Machine(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.world = World(T0)
        self.fleets: list[FleetModel | None] = [None] * FLEETS
        self.gone: list[str] = []
        self.delayed: list[Batch] = []
        self.sent: list[Batch] = []
        self.pinged: dict[tuple[str, str], int] = {}  # (fleet, slug) -> until when an accepted ping keeps it up
        self.next_ping: dict[str, int] = {}  # fleet -> when its device pings again
        self.unheard: dict[str, int] = {}  # fleet -> windows since its device was heard
        self.counted: dict[str, int] = {}  # fleet -> silent members at the last look
        self.do(self.begin())

    # Every call to Redis of one example runs on one loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def begin(self) -> None:
        self.db: Database = await self.stack.enter_async_context(opened(clean(self.url), clock=TEST_CLOCK))
        self.shard = self.db.shards[0]
        self.nodes = []
        for off in (-3, 0, 4):
            lane = Lane(self.db, self.shard)
            self.stack.push_async_callback(lane.aclose)
            self.nodes.append(Node(lane, Changes(self.db), off))
        await self.move(0)
        await self.hear()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is not None:
                return  # what follows would hide it
            self.do(self.everyone_falls_silent_in_the_end())
            self.do(self.everything_is_counted_in_the_end())
        finally:
            self.do(self.stack.aclose())
            self.runner.close()

    def alive(self) -> list[FleetModel]:
        return [fleet for fleet in self.fleets if fleet is not None]

    async def move(self, ms: int) -> None:
        self.world.now += ms
        await self.db.execute("SET", "{flatline}:test:now", self.world.now)

    async def hear(self, *, restarted: bool = False) -> None:
        if restarted:
            await self.db.execute("HSET", self.shard.pulse, "run", "another")
        self.world.hear(restarted=restarted)
        await deadlines.pulse(self.db, self.shard, "node")

    async def work(self, limit: int = 3) -> None:
        """What sweepers do all the time."""
        while await deadlines.clamp(self.db, self.shard):
            pass
        if self.world.walking:
            self.world.walking = False
            for fleet in self.alive():
                fleet.stepped = True
        for _ in range(1000):
            if not await self.sweep(limit):
                return
        raise AssertionError("no end")

    async def sweep(self, limit: int) -> bool:
        swept = await fleets.sweep(self.db, self.shard, limit)
        if swept.fleet is None:
            return False
        (fleet,) = (fleet for fleet in self.alive() if fleet.id == swept.fleet)
        silent = fleet.sweep(limit)
        assert swept.silent == len(silent)
        for slug, since in silent.items():
            assert since + AHEAD >= self.pinged.get((fleet.id, slug), 0), "silence, though it pinged in time"
            assert slug != DEVICE or self.unheard[fleet.id] > EXCUSED, "silence, though it pings all the time"
        return True

    # Nodes

    async def known(self, node: Node, fleet: str) -> Known | None:
        """The cache: forgets what changed when it looks, and looks only when the last look is too old."""
        if not node.read_at <= self.world.now < node.read_at + CACHE_AGE:
            forget = await node.changes.read()
            node.read_at = self.world.now
            for id_ in list(node.cache) if forget is None else forget:
                node.cache.pop(id_, None)
        if fleet not in node.cache:
            (found,) = await changes.lookup(self.db, [FLEET + fleet])
            if found is None:
                return None
            node.cache[fleet] = found
        return node.cache[fleet]

    async def batch(self, node: Node, fleet: str, slug: str, signal: str, late: int) -> Batch | None:
        known = await self.known(node, fleet)
        if known is None:
            return None
        at = self.world.now + node.off - late
        exit_status = "3" if signal == "fail" else ""
        ping = Ping(slug, at, signal, exit_status, fleet=fleet)
        return Batch(node, fleet, ping, at + known.span_ms if signal == "success" else None)

    async def write(self, batch: Batch) -> str:
        """Sends a batch as the node does: one ZADD, and members.lua where that was not enough."""
        self.sent = [*self.sent[-20:], batch]
        ping = batch.ping
        fleet = next((each for each in self.alive() if each.id == batch.fleet), None)
        if batch.deadline is not None:
            moved = not await batch.node.lane.commit([(ping, batch.deadline)])
            assert moved == (fleet is not None and fleet.push(ping.heartbeat, batch.deadline))
            if moved and fleet is not None:
                self.accepted(fleet, ping.heartbeat, ping.at)
                return "up"
        at = self.world.now if ping.at > self.world.now + 1000 else ping.at  # the node measures its clock anew
        judged = Ping(ping.heartbeat, at, ping.signal, ping.exit_status)
        (answer,) = await batch.node.lane.judge_members(batch.fleet, [judged], sure=True)
        if fleet is None:
            assert answer == "unknown"
            return answer
        assert answer == fleet.arrive(ping.heartbeat, ping.signal, at, ping.exit_status)
        if ping.signal in {"success", "start"}:
            self.accepted(fleet, ping.heartbeat, at)
        return answer

    def accepted(self, fleet: FleetModel, slug: str, at: int) -> None:
        at = min(at, self.world.now)
        if slug in fleet.up:
            key = fleet.id, slug
            self.pinged[key] = max(self.pinged.get(key, 0), at + fleet.span)

    def send(self, number: int, node: int, slug: str, signal: str, *, late: int = 0, times: int = 1) -> None:
        fleet = self.fleets[number]
        if fleet is None:
            return
        batch = self.do(self.batch(self.nodes[node], fleet.id, slug, signal, late))
        assert batch is not None
        for _ in range(times):
            self.do(self.write(batch))
        if not times:
            self.delayed.append(batch)

    @rule(number=which_fleet, node=nodes, slug=slugs, after=pauses, late=lateness, times=st.sampled_from([1, 1, 2]))
    def plain_ping(self, number: int, node: int, slug: str, *, after: int, late: int, times: int) -> None:
        self.do(self.listen(after))
        self.send(number, node, slug, "success", late=late, times=times)

    @rule(
        number=which_fleet, node=nodes, slug=slugs, signal=signals, after=pauses, late=lateness,
        times=st.sampled_from([1, 1, 2]),
    )  # fmt: skip
    def signal(self, number: int, node: int, slug: str, signal: str, *, after: int, late: int, times: int) -> None:
        self.do(self.listen(after))
        self.send(number, node, slug, signal, late=late, times=times)

    @rule(number=which_fleet, node=nodes, slug=slugs, signal=signals)
    def a_signal_is_on_its_way(self, number: int, node: int, slug: str, signal: str) -> None:
        self.send(number, node, slug, signal, times=0)

    @precondition(lambda self: self.delayed)
    @rule(which=st.integers(0, 5))
    def a_delayed_batch_is_written(self, which: int) -> None:
        self.do(self.write(self.delayed.pop(which % len(self.delayed))))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 20))
    def an_old_batch_is_repeated(self, which: int) -> None:
        self.do(self.write(self.sent[which % len(self.sent)]))

    # People

    @initialize(period=periods, grace=graces, misses=misses)
    def they_ping_already(self, period: int, grace: int, misses: int) -> None:
        for number in range(FLEETS):
            self.create(number, period, grace, misses, cap=1000)
            for slug in SLUGS:
                self.send(number, 0, slug, "success")

    @rule(number=which_fleet, period=periods, grace=graces, misses=misses, cap=st.sampled_from([3, 1000]))
    def create(self, number: int, period: int, grace: int, misses: int, cap: int) -> None:
        if self.fleets[number] is not None:
            return
        chosen = fleets.FleetSettings(name=f"{number}", period=period, grace=grace, misses=misses, cap=cap)
        created = self.do(fleets.create(self.db, chosen))
        self.fleets[number] = FleetModel(created.id, self.world, period, grace, misses, cap)
        self.next_ping[created.id] = self.world.now
        self.unheard[created.id] = 0

    @rule(number=which_fleet, times=st.sampled_from([1, 2]))
    def pause(self, number: int, times: int) -> None:
        if fleet := self.fleets[number]:
            for _ in range(times):
                self.do(fleets.pause(self.db, fleet.id))
                fleet.pause()

    @rule(number=which_fleet, times=st.sampled_from([1, 2]))
    def resume(self, number: int, times: int) -> None:
        if fleet := self.fleets[number]:
            for _ in range(times):
                anew = fleet.status == "paused"
                self.do(fleets.resume(self.db, fleet.id))
                fleet.resume()
                for slug in fleet.members - fleet.down.keys() if anew else ():
                    self.pinged[fleet.id, slug] = max(self.pinged.get((fleet.id, slug), 0), self.world.now + fleet.span)

    @rule(number=which_fleet, period=periods, grace=graces, misses=misses, times=st.sampled_from([1, 2]))
    def edit(self, number: int, period: int, grace: int, misses: int, times: int) -> None:
        if fleet := self.fleets[number]:
            for _ in range(times):
                longer = -fleet.span
                self.do(fleets.edit(self.db, fleet.id, {"period": period, "grace": grace, "misses": misses}))
                fleet.edit(period, grace, misses)
                longer += fleet.span
                for key in [key for key in self.pinged if key[0] == fleet.id]:
                    known = self.pinged[key]
                    self.pinged[key] = known + longer if longer > 0 else min(known, self.world.now + fleet.span)
            self.next_ping[fleet.id] = min(self.next_ping[fleet.id], self.world.now + period * 1000)

    @rule(number=which_fleet, slug=st.sampled_from([*SLUGS, DEVICE]))
    def forget(self, number: int, slug: str) -> None:
        if fleet := self.fleets[number]:
            assert self.do(fleets.forget(self.db, fleet.id, slug)) == (slug in fleet.members)
            fleet.leave(slug)
            self.pinged.pop((fleet.id, slug), None)
            self._left(fleet)

    @rule(number=which_fleet, seconds=st.sampled_from([0, 10, 100, 1_000]))
    def forget_the_silent(self, number: int, seconds: int) -> None:
        if fleet := self.fleets[number]:
            before = len(fleet.members)
            fleet.forget_silent(seconds * 1000)
            assert self.do(fleets.forget_silent(self.db, fleet.id, seconds)) == before - len(fleet.members)
            self._left(fleet)

    def _left(self, fleet: FleetModel) -> None:
        """A device that was forgotten owes us its next ping first: an old one that is repeated meanwhile brings it back
        as old as that ping is; after an edit to a shorter period, perhaps with no time left until the next one.
        """
        if DEVICE not in fleet.members:
            self.unheard[fleet.id] = EXCUSED + 1

    @rule(number=which_fleet)
    def delete(self, number: int) -> None:
        if fleet := self.fleets[number]:
            self.do(fleets.delete(self.db, fleet.id))
            self.gone.append(fleet.id)
            self.fleets[number] = None

    # Time

    @rule(ms=spells)
    def time_passes_and_we_hear(self, ms: int) -> None:
        self.do(self.listen(ms))

    async def listen(self, ms: int, *, devices: bool = True) -> None:
        """Jumps from one due moment to the next, with a pulse just before each: as if there was one each second."""
        until = self.world.now + ms
        while True:
            await self.hear_on()
            if devices:
                await self.devices_ping()
            await self.work()
            if self.world.now >= until:
                return
            due = min((fleet.next_due for fleet in self.alive()), default=inf)
            if devices:
                due = min([due, *(self.next_ping[fleet.id] for fleet in self.alive())])
            await self.move(int(min(until, max(due, self.world.now) + 2)) - self.world.now)

    async def devices_ping(self) -> None:
        for number, fleet in enumerate(self.alive()):
            if self.next_ping[fleet.id] <= self.world.now:
                batch = await self.batch(self.nodes[number], fleet.id, DEVICE, "success", 0)
                assert batch is not None
                await self.write(batch)
                self.next_ping[fleet.id] = self.world.now + fleet.period * 1000
                self.unheard[fleet.id] = 0

    async def hear_on(self) -> None:
        if self.world.pulse is not None and self.world.now > self.world.pulse:
            self.world.pulse = self.world.now - 1
            await self.db.execute("HSET", self.shard.pulse, "at", self.world.pulse)
        await self.hear()

    @rule(ms=spells, restarted=st.booleans())
    def we_are_deaf_for_a_while(self, ms: int, *, restarted: bool) -> None:
        async def deaf() -> None:
            await self.move(ms)
            await self.work()
            await self.hear(restarted=restarted)

        self.do(deaf())
        for fleet in self.alive():
            if ms > GAP:
                self.unheard[fleet.id] += 1
                while self.next_ping[fleet.id] <= self.world.now:  # what it sent meanwhile is lost
                    self.next_ping[fleet.id] += fleet.period * 1000

    @rule(ms=st.sampled_from([200, 5_000, 100_000, 4_000_000]), work=st.booleans())
    def the_clock_steps_back(self, ms: int, *, work: bool) -> None:
        async def step() -> None:
            await self.move(-ms)
            await self.hear()
            if work:
                await self.work()

        self.do(step())
        self.pinged.clear()
        for fleet in self.alive():
            self.next_ping[fleet.id] -= ms

    @rule(limit=limits)
    def one_sweeper_takes_a_chunk(self, limit: int) -> None:
        self.do(self.sweep(limit))

    @rule()
    def two_sweepers_at_once(self) -> None:
        async def race() -> None:
            swept = await asyncio.gather(*(fleets.sweep(self.db, self.shard) for _ in range(2)))
            for each in swept:
                for fleet in self.alive():
                    if each.fleet == fleet.id:
                        fleet.sweep(fleets.CHUNK)

        self.do(race())

    # Notifiers

    @rule(number=which_fleet)
    def a_notifier_looks(self, number: int) -> None:
        if fleet := self.fleets[number]:
            self.do(self.look(fleet))

    async def look(self, fleet: FleetModel) -> None:
        incident = await fleets.look(self.db, fleet.id)
        await self.db.execute("DEL", self.shard.notifications)
        for other in self.alive():  # the entries are gone: as if they all had been read
            await self.db.run("fleet_silent", self.shard, other.id)
            self.counted[other.id] = other.silent
        record = await fleets.get(self.db, fleet.id)
        assert (record.incident is not None) == (fleet.silent > 0)
        if record.incident is not None:
            assert record.incident == incident
            assert (await incidents.get(self.db, record.incident)).count == fleet.silent

    # What must hold after each step

    @invariant()
    def redis_agrees_with_the_rules(self) -> None:
        if hasattr(self, "db"):
            self.do(self.compare())

    async def compare(self) -> None:
        db, told = self.db, await looks_at(self.db)
        for fleet in self.alive():
            record = await fleets.get(db, fleet.id)
            assert (record.status, record.edited_at) == (fleet.status, fleet.edited)
            assert record.not_before == fleet.not_before
            walk = await db.execute("HGET", self.shard.fleet(fleet.id), "walk")
            assert (None if walk is None else int(walk)) == fleet.walk
            assert await placed(db, record) == {
                "deadlines": {slug: deadline.score for slug, deadline in fleet.up.items()},
                "down": fleet.down,
                "returning": fleet.returning,
            }
            assert await causes(db, record) == fleet.causes
            assert fleet.causes.keys() <= fleet.down.keys()
            assert len(fleet.members) == len(fleet.up) + len(fleet.down) + len(fleet.returning)
            assert len(fleet.members) <= fleet.cap
            found = await due(db, record)
            assert found is not None
            late = found > max(fleet.next_due, self.world.pulse or 0)
            assert not late or self.world.walking, "it would be looked at too late"
            assert told.count(fleet.id) <= 1, "told more than once before anybody looked"
            assert told.count(fleet.id) or fleet.silent == self.counted.get(fleet.id, 0), "nobody is told"
        left = [key.decode() for key in await db.execute("KEYS", "*:fleet:*")]
        assert not any(gone in key for gone in self.gone for key in left), "a deleted fleet came back"
        assert await db.execute("ZCARD", self.shard.fleets) == len(self.alive())

    # What must hold in the end

    async def everyone_falls_silent_in_the_end(self) -> None:
        """Nobody pings any more, and we hear all the time."""
        self.pinged.clear()
        self.unheard = dict.fromkeys(self.unheard, EXCUSED + 1)
        for fleet in self.alive():
            await fleets.resume(self.db, fleet.id)
            fleet.resume()
        await self.listen(100_000_000, devices=False)  # deadlines that were written by a clock that had jumped
        for fleet in self.alive():
            assert fleet.members == fleet.down.keys()
        await self.compare()

    async def everything_is_counted_in_the_end(self) -> None:
        for fleet in self.alive():
            await self.look(fleet)
        for gone in self.gone:
            await fleets.look(self.db, gone)
        open_ones = [(await fleets.get(self.db, fleet.id)).incident for fleet in self.alive() if fleet.silent]
        found, _ = await incidents.page(self.db, status="open")
        assert {incident.id for incident in found} == set(open_ones)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["valkey-9", "redis-7", "redis-6.2"])
def test_the_scripts_keep_the_rules_of_fleets_whatever_happens(sockets: Sockets, effort: settings, kind: str) -> None:
    if kind not in sockets.binaries:
        pytest.skip(f"no {kind} on this machine")

    class Bound(Machine):
        url = sockets.url(kind)

    run_state_machine_as_test(Bound, settings=effort)
