"""The scripts against the model: whatever nodes, people, clocks, outages and notifiers do, in any order."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
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

from ingest.meaning import reckon
from rules import tokens
from store import changes, deadlines, deliveries, heartbeats, notifications
from store.arrivals import Lane, Ping
from store.changes import Changes, Known
from store.database import GROUP, Database, opened
from store.records import Settings
from tests.conftest import TEST_CLOCK, Sockets, clean
from tests.store.model import CACHE_AGE, Heart, World

T = TypeVar("T")

CHANNEL = "c1"
LEASE_MS = 20_000
HEARTS = 2
START = 1_806_194_400_000  # 28 March 2027, 00:40 UTC: in 20 minutes the clocks in Berlin jump from 02:00 to 03:00
NEAR = 7_200_000  # ms
FOR_EVER = 20 * 86_400_000  # ms; longer than whatever is granted, in days with one slot

#: A schedule and its zone; none of them: a period.
PERIOD = ("", "UTC")
SCHEDULES = (
    ("*/3 * * * *", "UTC"),
    ("0 * * * *", "UTC"),
    ("*/20 * * * *", "Europe/Berlin"),
    ("30 2 * * *", "Europe/Berlin"),  # skipped on that day
    ("*:0/7:30", "Europe/Berlin"),  # OnCalendar
    ("*:*:0/10", "UTC"),
)

who = st.integers(0, HEARTS - 1)
nodes = st.integers(0, 2)
rids = st.sampled_from(["", "a", "b"])
lateness = st.sampled_from([0, 0, 0, 0, 0, 7, 900, 4_000, 20_000, 60_000])
pauses = st.sampled_from([0, 1, 1_000, 5_000, 20_000])
spells = st.sampled_from([1, 900, 3_000, 8_000, 31_000, 61_000, 200_000, 900_000])
periods = st.sampled_from([10, 60, 300, 1_000])
graces = st.sampled_from([1, 30, 400])
misses = st.sampled_from([1, 1, 3])
plans = st.sampled_from([PERIOD] * 6 + [*SCHEDULES])
earliness = st.sampled_from([60, 60, 0, 600])
goods = st.sampled_from([1, 1, 2, 3])


@dataclass
class Node:
    """An ingest node: a clock that is a little off, a cache that may be a little old, and batches under way."""

    lane: Lane
    changes: Changes
    off: int
    cache: dict[str, Known] = field(default_factory=dict)
    read_at: float = -inf
    last_at: int = 0


@dataclass
class Batch:
    node: Node
    ping: Ping
    known: Known
    deadline: int | None  # None: for arrive.lua


@dataclass
class Telling:
    owner: str
    lease: deliveries.Lease
    until: int


class Machine(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.world = World(START)
        self.hearts: list[Heart | None] = [None] * HEARTS
        self.gone: list[str] = []
        self.all_incidents: list[str] = []
        self.delayed: list[Batch] = []
        self.sent: list[Batch] = []
        self.pinged: dict[str, int] = {}  # heartbeat -> span in time of its newest accepted ping, as a deadline
        self.told: dict[str, list[str]] = {}
        self.noted: list[str] = []  # in the order in which somebody first took note
        self.repeatable: set[str] = set()  # what a crash between sending and noting may say once more
        self.tellings: list[Telling] = []
        self.notifiers = 0
        self.hanging: list[deadlines.Swept] = []
        self.do(self.begin())

    # Every call to Redis of one example runs on one loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def begin(self) -> None:
        self.db: Database = await self.stack.enter_async_context(opened(clean(self.url), clock=TEST_CLOCK))
        self.shard = self.db.shards[0]
        self.reader = notifications.Reader(self.db, self.shard, "reader")
        self.stack.push_async_callback(self.reader.aclose)
        await self.reader.make_group()
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
            self.do(self.everything_alarms_in_the_end())
            self.do(self.everything_is_told_in_the_end())
        finally:
            self.do(self.stack.aclose())
            self.runner.close()

    async def move(self, ms: int) -> None:
        self.world.now += ms
        await self.db.execute("SET", "{flatline}:test:now", self.world.now)

    async def hear(self, *, restarted: bool = False) -> None:
        if restarted:
            await self.db.execute("HSET", self.shard.pulse, "run", "another")
        self.world.hear(restarted=restarted)
        await deadlines.pulse(self.db, self.shard, "node")

    async def work(self) -> None:
        """What sweepers do all the time."""
        while await deadlines.clamp(self.db, self.shard):
            pass
        if self.world.walking:
            self.world.walking = False
            self.each(Heart.clamp)
        await self.reckon(await self.sweep())
        await deadlines.timers(self.db, self.shard)
        self.each(Heart.timers)
        await deadlines.chores(self.db, self.shard)

    async def sweep(self, sweepers: int = 1) -> list[deadlines.Swept]:
        swept = await asyncio.gather(*(deadlines.sweep(self.db, self.shard) for _ in range(sweepers)))
        handed_out = {heart.id for heart in self.each(Heart.sweep)}
        assert {heartbeat for each in swept for heartbeat, _, _ in each.unreckoned} == handed_out
        return swept

    async def reckon(self, swept: list[deadlines.Swept]) -> None:
        unreckoned = [each.unreckoned for each in swept]
        assert not any(await asyncio.gather(*(deadlines.reckon(self.db, self.shard, each) for each in unreckoned)))
        reckoned = {heartbeat for each in unreckoned for heartbeat, _, _ in each}
        for heart in self.hearts:
            if heart is not None and heart.id in reckoned:
                heart.reckon()

    def each(self, act: Callable[[Heart], bool | None]) -> list[Heart]:
        """Those that answered True."""
        found = []
        for heart in self.hearts:
            if heart is not None:
                before = len(heart.incidents)
                found += [heart] if act(heart) else []
                for incident in heart.incidents[before:]:
                    self.judge_alarm(heart, incident.cause, incident.opened)
        return found

    def judge_alarm(self, heart: Heart, cause: str, opened_at: int) -> None:
        assert cause != "silence" or self.pinged.get(heart.id, 0) <= opened_at, "silence, though it pinged in time"

    def heart(self, number: int) -> Heart | None:
        return self.hearts[number]

    # Nodes

    async def known(self, node: Node, heart: str) -> Known | None:
        """The cache: forgets what changed when it looks, and looks only when the last look is too old."""
        if not node.read_at <= self.world.now < node.read_at + CACHE_AGE:
            forget = await node.changes.read()
            node.read_at = self.world.now
            for id_ in list(node.cache) if forget is None else forget:
                node.cache.pop(id_, None)
        if heart not in node.cache:
            (found,) = await changes.lookup(self.db, [heart])
            if found is None:
                return None
            node.cache[heart] = found
        return node.cache[heart]

    async def batch(self, node: Node, heart: str, signal: str, rid: str, late: int) -> Batch | None:
        known = await self.known(node, heart)
        if known is None:
            return None
        at = self.world.now + node.off - late
        at = node.last_at + 1 if node.last_at == at else at
        node.last_at = at
        ping = Ping(heart, at, signal, rid=rid, output=b"\xff" * 40)
        plain = signal == "success" and not rid and known.up
        return Batch(node, ping, known, at + known.span_ms if plain else None)

    async def write(self, batch: Batch) -> None:
        """Sends a batch as the node does: one ZADD, and arrive.lua where that was not enough."""
        self.sent = [*self.sent[-20:], batch]
        ping, signal = batch.ping, batch.ping.signal
        heart = next((h for h in self.hearts if h is not None and h.id == ping.heartbeat), None)
        if batch.deadline is not None:
            moved = not await batch.node.lane.commit([(ping, batch.deadline)])
            assert moved == (heart is not None and heart.push(batch.deadline))
            if moved:
                if heart is not None and batch.deadline >= ping.at + heart.span and not heart.schedule:
                    self.accepted(heart, ping.at)
                return
            signal = "plain"
        now = self.world.now
        at = now if ping.at > now + 1000 else ping.at  # the node measures its clock anew
        judged = Ping(ping.heartbeat, at, signal, rid=ping.rid, output=ping.output)
        answer, known = await self.judged(batch.node, judged, batch.known)
        assert answer in {"up", "parked", "unknown"}
        if heart is None:
            assert answer == "unknown"
            return
        heart.arrive("success" if signal == "plain" else signal, at, ping.rid)
        assert (answer == "up") == (heart.status == "up" and heart.live)
        known.up = answer == "up" and known.rules is None
        if signal in {"plain", "success"}:
            self.accepted(heart, at)

    async def judged(self, node: Node, ping: Ping, known: Known) -> tuple[str, Known]:
        """What arrive.lua says at last, and what the node then knows."""
        heart = next((h for h in self.hearts if h is not None and h.id == ping.heartbeat), None)
        for _ in range(2):
            reckon(ping, known)
            rev = known.rules.rev if known.rules else 0
            (answer,) = await node.lane.judge([ping], sure=True)
            signal = "success" if ping.signal == "plain" else ping.signal
            assert (answer == "stale") == (heart is not None and heart.is_stale(signal, rev))
            if answer != "stale":
                break
            node.cache.pop(ping.heartbeat, None)
            found = await self.known(node, ping.heartbeat)
            assert found is not None
            known = found
        return answer, known

    def accepted(self, heart: Heart, at: int) -> None:
        at = min(at, self.world.now)
        if heart.status == "up":
            self.pinged[heart.id] = max(self.pinged.get(heart.id, 0), heart.after(at).deadline)

    @rule(number=who, node=nodes, after=pauses, late=lateness, times=st.sampled_from([1, 1, 2]))
    def plain_ping(self, number: int, node: int, after: int, late: int, times: int) -> None:
        self.do(self.listen(after))
        self.send(number, node, "success", late=late, times=times)

    @rule(number=who, node=nodes, after=pauses, rid=rids, late=lateness)
    def start(self, number: int, node: int, after: int, rid: str, late: int) -> None:
        self.do(self.listen(after))
        self.send(number, node, "start", rid=rid, late=late)

    @rule(
        number=who, node=nodes, after=pauses, rid=rids, late=lateness, times=st.sampled_from([1, 1, 2]),
        signal=st.sampled_from(["success", "success", "start", "fail", "log", "ignored"]),
    )  # fmt: skip
    def signal(self, number: int, node: int, signal: str, *, after: int, rid: str, late: int, times: int) -> None:
        self.do(self.listen(after))
        self.send(number, node, signal, rid=rid, late=late, times=times)

    @precondition(lambda self: any(heart is not None and heart.schedule for heart in self.hearts))
    @rule(
        node=nodes, before=st.sampled_from([-2_000, 0, 1, 500, 4_000, 40_000, 70_000]),
        times=st.sampled_from([0, 1, 1]), data=st.data(),
        signal=st.sampled_from(["success", "success", "success", "start", "fail"]),
    )  # fmt: skip
    def a_signal_comes_close_to_a_slot(
        self, node: int, signal: str, before: int, times: int, data: st.DataObject
    ) -> None:
        found = [number for number, heart in enumerate(self.hearts) if heart is not None and heart.schedule]
        number = data.draw(st.sampled_from(found))
        heart = self.hearts[number]
        assert heart is not None
        slot = heart.after(self.world.now + max(before, 0)).slot
        if slot < self.world.now + NEAR:  # days would add up to where closed incidents are trimmed
            self.do(self.listen(slot - before - self.world.now))
            self.send(number, node, signal, times=times)

    @rule(number=who, node=nodes, signal=st.sampled_from(["success", "success", "start", "fail"]), rid=rids)
    def a_signal_is_on_its_way(self, number: int, node: int, signal: str, rid: str) -> None:
        self.send(number, node, signal, rid=rid, times=0)

    def send(self, number: int, node: int, signal: str, *, rid: str = "", late: int = 0, times: int = 1) -> None:
        heart = self.heart(number)
        if heart is None:
            return
        batch = self.do(self.batch(self.nodes[node], heart.id, signal, rid, late))
        assert batch is not None
        for _ in range(times):
            self.do(self.write(batch))
        if not times:
            self.delayed.append(batch)

    @precondition(lambda self: self.delayed)
    @rule(which=st.integers(0, 5))
    def a_delayed_batch_is_written(self, which: int) -> None:
        self.do(self.write(self.delayed.pop(which % len(self.delayed))))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 20))
    def an_old_batch_is_repeated(self, which: int) -> None:
        self.do(self.write(self.sent[which % len(self.sent)]))

    # People

    @initialize(period=periods, grace=graces, misses=misses, plan=st.sampled_from(SCHEDULES))
    def they_ping_already(self, period: int, grace: int, misses: int, plan: tuple[str, str]) -> None:
        for number in range(HEARTS):
            schedule, timezone = plan if number else PERIOD
            self.create(
                number,
                {"period": period, "grace": grace, "misses": misses, "schedule": schedule, "timezone": timezone},
                resume_on_ping=number > 0,
            )
            self.send(number, 0, "success")

    @rule(
        number=who,
        chosen=st.fixed_dictionaries({
            "period": periods, "grace": graces, "misses": misses, "early": earliness, "recover_after": goods,
            "max_runtime": st.sampled_from([None, 20, 2_000]),
        }),
        plan=plans, resume_on_ping=st.booleans(),
    )  # fmt: skip
    def a_new_one(self, number: int, chosen: dict[str, Any], plan: tuple[str, str], *, resume_on_ping: bool) -> None:
        schedule, timezone = plan
        self.create(number, chosen | {"schedule": schedule, "timezone": timezone}, resume_on_ping=resume_on_ping)

    def create(self, number: int, chosen: dict[str, Any], *, resume_on_ping: bool) -> None:
        if self.hearts[number] is not None:
            return
        token = tokens.new_token()
        chosen = chosen | {"resume_on_ping": resume_on_ping}
        for _ in range(2):
            created = self.do(heartbeats.create(self.db, Settings(
                name=f"Имя {number}", tags=("x", f"y{number}"), **chosen,
            ), token=token))  # fmt: skip
        self.hearts[number] = Heart(created.id, self.world, **chosen)

    @rule(number=who, after=st.sampled_from([None, 5_000, 100_000]), times=st.sampled_from([1, 2]))
    def pause(self, number: int, after: int | None, times: int) -> None:
        if heart := self.heart(number):
            until = None if after is None else self.world.now + after
            for _ in range(times):
                self.do(heartbeats.pause(self.db, heart.id, until))
                heart.pause(until)

    @rule(number=who, times=st.sampled_from([1, 2]))
    def resume(self, number: int, times: int) -> None:
        if heart := self.heart(number):
            for _ in range(times):
                self.do(heartbeats.resume(self.db, heart.id))
                heart.resume()

    @rule(
        number=who,
        change=st.fixed_dictionaries({}, optional={
            "period": periods, "grace": graces, "misses": misses, "early": earliness, "recover_after": goods,
        }),
        plan=st.one_of(st.none(), plans), times=st.sampled_from([1, 2]),
    )  # fmt: skip
    def edit(self, number: int, change: dict[str, Any], plan: tuple[str, str] | None, times: int) -> None:
        if heart := self.heart(number):
            if plan is not None:
                change = change | {"schedule": plan[0], "timezone": plan[1]}
            alarming = heart.deadline <= self.world.now
            for _ in range(times):
                self.do(heartbeats.edit(self.db, heart.id, change))
                heart.edit(**change)
            # For one with a run under way the finish says what is next, and that may be older than the edit.
            promised = heart.after(self.world.now).deadline if heart.deadline < inf else 0
            self.pinged[heart.id] = min(self.pinged.get(heart.id, 0), promised)
            assert alarming or heart.deadline > self.world.now

    @rule(number=who, name=st.sampled_from(["Жук", "жаба", "zed"]), tags=st.sampled_from([(), ("x",), ("x", "z")]))
    def rename(self, number: int, name: str, tags: tuple[str, ...]) -> None:
        if heart := self.heart(number):
            self.do(heartbeats.edit(self.db, heart.id, {"name": name, "tags": tags}))
            heart.edit()

    @rule(number=who)
    def delete(self, number: int) -> None:
        if heart := self.heart(number):
            self.do(heartbeats.delete(self.db, heart.id))
            if heart.status == "down":
                heart.close("resolved", "deleted")
            self.gone.append(heart.id)
            self.all_incidents += [incident.id for incident in heart.incidents]
            self.hearts[number] = None

    # Time

    @rule(ms=spells)
    def time_passes_and_we_hear(self, ms: int) -> None:
        self.do(self.listen(ms))

    async def listen(self, ms: int) -> None:
        """Jumps from one due moment to the next, with a pulse just before each: as if there was one each second."""
        until = self.world.now + ms
        while True:
            await self.hear_on()
            await self.work()
            if self.world.now >= until:
                return
            due = min((heart.next_due for heart in self.hearts if heart is not None), default=inf)
            await self.move(int(min(until, max(due, self.world.now) + 2)) - self.world.now)

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

    @rule(ms=st.sampled_from([200, 5_000, 100_000, 4_000_000]), walk=st.booleans())
    def the_clock_steps_back(self, ms: int, *, walk: bool) -> None:
        async def step() -> None:
            await self.move(-ms)
            await self.hear()
            if walk:
                await self.work()

        self.do(step())
        self.pinged.clear()
        for telling in self.tellings:  # a notifier measures by a clock that never steps
            telling.until -= ms if ms > 1000 else 0

    @rule()
    def two_sweepers_at_once(self) -> None:
        async def race() -> None:
            await self.reckon(await self.sweep(2))
            await asyncio.gather(*(deadlines.timers(self.db, self.shard) for _ in range(2)))
            self.each(Heart.timers)

        if not self.world.walking:
            self.do(race())

    @rule()
    def a_sweeper_dies_before_it_has_reckoned(self) -> None:
        async def die() -> None:
            await self.hear_on()
            await self.sweep()

        if not self.world.walking:
            self.do(die())

    @rule()
    def a_sweeper_hangs_before_it_has_reckoned(self) -> None:
        if not self.world.walking:
            self.hanging += self.do(self.sweep())

    @precondition(lambda self: self.hanging)
    @rule()
    def it_goes_on(self) -> None:
        """With what it was given, if nothing has happened since; else its answer is left alone."""

        async def go_on() -> None:
            for id_, rev, since in self.hanging.pop(0).unreckoned:
                heart = next((heart for heart in self.hearts if heart is not None and heart.id == id_), None)
                await deadlines.reckon(self.db, self.shard, [(id_, rev, since)])
                if heart is not None and (heart.rev, heart.slot_from) == (rev, since):
                    heart.reckon()

        self.do(go_on())

    # Notifiers

    @rule(
        crash=st.sampled_from([None, None, None, "before noting", "after noting", "holding", "after sending"]),
        result=st.sampled_from(["told", "told", "told", "retry", "dead"]),
        take_over=st.booleans(),
    )
    def a_notifier_looks(self, crash: str | None, result: str, *, take_over: bool) -> None:
        self.do(self.notify(crash, result, take_over=take_over))

    async def notify(self, crash: str | None, result: Any, *, take_over: bool = False) -> None:
        self.notifiers += 1
        owner = f"n{self.notifiers}"
        entries = await self.reader.claim(idle_ms=0) if take_over else []
        entries += await self.unread()
        if crash == "before noting":
            return
        for entry in entries:
            pairs = [(incident, CHANNEL) for incident in entry.incidents] + list(entry.deliveries)
            seen = [(f"look:{incident}", None) for incident in entry.incidents]
            await notifications.enlist(self.db, self.shard, entry.entry, pairs, seen)
            self.noted += [incident for incident, _ in pairs if incident not in self.noted]
            if crash == "after noting":
                return
            for incident, channel in pairs:
                if any(telling.owner == owner and telling.lease.incident == incident for telling in self.tellings):
                    continue  # a desk tells one thing after the other
                (lease,) = await deliveries.lease(
                    self.db, self.shard, channel, [incident], owner=owner, lease_ms=LEASE_MS
                )
                if lease.word is None:
                    continue
                telling = Telling(owner, lease, self.world.now + LEASE_MS)
                if crash == "holding":
                    self.tellings.append(telling)
                    continue
                self.say(lease)
                if crash == "after sending":
                    self.repeatable.add(incident)
                    return
                await self.end(telling, result)

    async def unread(self) -> list[notifications.Notification]:
        """Reader.read without the wait."""
        command = ("XREADGROUP", "GROUP", GROUP, "reader", "STREAMS", self.shard.notifications, ">")
        answer = await self.db.execute(*command)
        return notifications._parse(entry for _, entries in answer or () for entry in entries)

    def say(self, lease: deliveries.Lease) -> None:
        word, incident = lease.word, lease.incident
        assert word is not None
        told = self.told.setdefault(incident, [])
        if told and told[-1] == word:
            assert incident in self.repeatable, "told twice without a crash"
        else:
            assert "resolved" not in told, "opened after resolved"
        ids = self.ids_like(incident)
        for number, newer in enumerate(ids):
            if number > ids.index(incident) and self.told.get(newer):
                in_order = self.noted.index(incident) > self.noted.index(newer)
                # Nobody took note of one between them: then the newer one waits for none (lease.lua looks one back).
                is_gap = any(between not in self.noted for between in ids[ids.index(incident) + 1 : number])
                assert in_order or is_gap, "told after a newer incident"
        told.append(word)

    def ids_like(self, incident: str) -> list[str]:
        """All incidents of its heartbeat as they were opened; after a step of the clock their times do not tell."""
        ids = [*self.all_incidents, *(each.id for heart in self.hearts if heart for each in heart.incidents)]
        return [each for each in ids if each.partition("-")[0] == incident.partition("-")[0]]

    async def end(self, telling: Telling, result: Any) -> None:
        await deliveries.outcome(
            self.db, self.shard, CHANNEL, [telling.lease], owner=telling.owner, result=result, delay_ms=3_000
        )
        if result == "told":
            self.repeatable.discard(telling.lease.incident)
        else:
            self.told[telling.lease.incident].pop()

    @precondition(lambda self: self.tellings)
    @rule(result=st.sampled_from(["told", "retry", "dead"]))
    def a_slow_telling_ends(self, result: str) -> None:
        telling = self.tellings.pop(0)
        if self.world.now < telling.until:  # else its owner has dropped it in time
            self.say(telling.lease)
            self.do(self.end(telling, result))

    # What must hold after each step

    @invariant()
    def redis_agrees_with_the_rules(self) -> None:
        if hasattr(self, "db"):
            self.do(self.compare())

    async def compare(self) -> None:
        db, shard = self.db, self.shard
        alive = [heart for heart in self.hearts if heart is not None]
        zsets = [shard.deadlines, shard.timers, shard.open, shard.deaf]
        flat = await db.pipeline([("ZRANGE", zset, 0, -1, "WITHSCORES") for zset in zsets])
        scores, timers, are_open, windows = (
            {key.decode(): float(score) for key, score in zip(rows[::2], rows[1::2], strict=True)} for rows in flat
        )
        assert {int(end): int(start) for start, end in windows.items()} == {e: s for s, e in self.world.windows}
        assert scores.keys() == {heart.id for heart in alive}
        expected_timers: dict[str, float] = {}
        for heart in alive:
            raw = await db.execute("HGETALL", shard.heartbeat(heart.id))
            hash_ = {key.decode(): value.decode(errors="replace") for key, value in raw.items()}
            record = await heartbeats.get(db, heart.id)
            held = hash_.get("held")
            found = {
                "status": record.stored_status, "since": record.since,
                "deadline": scores[heart.id] if held is None else float(held), "rev": record.rev,
                "slot, due": tuple(hash_.get(name) for name in ("slot", "due", "slot_from", "good", "excuses")),
                "last ping": min(record.last_ping_at or 0, self.world.now), "failed": record.last_fail_at or 0,
                "runs": {key[4:]: int(value) for key, value in hash_.items() if key.startswith("run:")},
                "held": held is not None, "resume_at": record.resume_at, "incident": record.incident,
            }  # fmt: skip
            wanted = {
                "status": heart.status, "since": heart.since, "deadline": heart.deadline, "rev": heart.rev,
                "slot, due": tuple(
                    None if value is None else str(value)
                    for value in (heart.slot, heart.due, heart.slot_from, heart.good or None, heart.excuses or None)
                ),
                "last ping": min(heart.ping, self.world.now), "failed": heart.failed,
                "runs": {rid: start for rid, (start, _) in heart.runs.items()},
                "held": heart.deadline < inf and not heart.live, "resume_at": heart.resume_at,
                "incident": heart.incidents[-1].id if heart.incidents else None,
            }  # fmt: skip
            differ = {name: (found[name], wanted[name]) for name in found if found[name] != wanted[name]}
            assert not differ, differ
            if heart.slot_from is not None and heart.deadline < inf:
                assert (record.slot, record.deadline) == (heart.owed().slot, heart.owed().deadline)
            expected_timers |= {f"overdue:{heart.id}:{rid}": due for rid, (_, due) in heart.runs.items()}
            if heart.settle_at is not None:
                expected_timers[f"settle:{heart.id}"] = heart.settle_at
            if heart.resume_at is not None:
                expected_timers[f"resume:{heart.id}"] = heart.resume_at
            parked = scores[heart.id] == inf
            assert parked == (heart.status != "up" or bool(heart.runs) or held is not None)
            if heart.status == "up":
                assert not parked or heart.runs or heart.settle_at is not None, "it can never alarm"
            assert (heart.id in {incident.partition("-")[0] for incident in are_open}) == (heart.status == "down")
        assert timers == expected_timers
        await self.compare_incidents(alive, set(are_open))
        await self.compare_indexes(alive)

    async def compare_incidents(self, alive: list[Heart], are_open: set[str]) -> None:
        incidents = [incident for heart in alive for incident in heart.incidents]
        assert are_open == {incident.id for incident in incidents if incident.status == "open"}
        reads = [("HMGET", self.shard.incident(i.id), "status", "cause", "resolution") for i in incidents]
        for incident, (status, cause, resolution) in zip(incidents, await self.db.pipeline(reads), strict=True):
            assert (status.decode(), cause.decode()) == (incident.status, incident.cause)
            assert (resolution or b"").decode() == incident.resolution

    async def compare_indexes(self, alive: list[Heart]) -> None:
        wanted: dict[str, set[str]] = {}
        for heart in alive:
            record = await heartbeats.get(self.db, heart.id)
            folded = record.settings.name.casefold()
            keys = [self.shard.names("default"), self.shard.status("default", heart.status)]
            keys += [self.shard.tagged("default", tag) for tag in record.settings.tags]
            for key in keys:
                wanted.setdefault(key, set()).add(f"{folded}\0{heart.id}")
        found: dict[str, set[str]] = {}
        for key in await self.db.execute("KEYS", "*"):
            text = key.decode()
            assert not any(gone in text and ":deleted:" not in text and ":incident:" not in text
                           and ":delivery:" not in text for gone in self.gone), f"{text} came back"  # fmt: skip
            if text.startswith(("{0}:names:", "{0}:status:", "{0}:tag:")):
                found[text] = {entry.decode() for entry in await self.db.execute("ZRANGE", key, 0, -1)}
        assert found == wanted

    # What must hold in the end

    async def everything_alarms_in_the_end(self) -> None:
        """Nobody pings any more, and we hear all the time: whoever is up goes down."""
        self.pinged.clear()
        await self.listen(FOR_EVER)  # excuses, and deadlines that were written by a clock that had jumped
        for heart in self.hearts:
            assert heart is None or heart.status != "up"
        await self.compare()

    async def everything_is_told_in_the_end(self) -> None:
        self.tellings.clear()
        for _ in range(20):
            await self.notify(None, "told", take_over=True)
            if not await self.db.execute("ZCARD", self.shard.chores):
                break
            await self.listen(31_000)
        assert await notifications.backlog(self.db) == 0
        assert await self.db.execute("ZCARD", self.shard.chores) == 0
        for heart in self.hearts:
            for incident in heart.incidents if heart else ():
                told = await self.db.execute("HGETALL", self.shard.delivery(incident.id, CHANNEL))
                assert told, "nobody took note of it"
                last, refused = told.get(b"told", b"").decode(), told.get(b"given_up", b"").decode()
                given_up = refused.partition(" ")[0]  # "opened 1": and how often it was to be told
                by_hand = incident.resolution in {"paused", "deleted"}
                if incident.status == "open":
                    assert "opened" in {last, given_up}
                elif incident.status == "resolved" and not by_hand:
                    assert "resolved" in {last, given_up}
                assert incident.status == "open" or last != "opened" or given_up == "resolved"
                heard = self.told.get(incident.id, [])
                assert incident.status == "open" or not heard or heard[-1] == "resolved" or given_up == "resolved"


@pytest.mark.timeout(0)
def test_the_scripts_keep_the_rules_whatever_happens(sockets: Sockets, effort: settings) -> None:
    class Bound(Machine):
        url = sockets.url("valkey-9")

    run_state_machine_as_test(Bound, settings=effort)
