"""Notifiers against what a receiver may expect: whatever crashes, refuses, ends or is acknowledged, in any order."""

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from random import Random
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

import notifier.delivery
from notifier.channels import Senders
from notifier.outgoing import open_session
from rules import tokens
from rules.oncall import Contact, Person
from rules.policies import Policy, Step
from rules.windows import Window
from store import channels, collection, deadlines, deliveries, heartbeats, incidents, plans
from store.database import GROUP, Database, opened
from store.errors import NotFound, Unavailable
from store.notifications import Notification
from store.records import Channel, Heartbeat
from tests.conftest import T0, TEST_CLOCK, Clock, Sockets, clean
from tests.notifier.conftest import Office
from tests.notifier.sinks import Answer, http_sink
from tests.store.scene import make, pass_time, send

T = TypeVar("T")

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
EFFORT = settings(
    max_examples=2_000 if SOAK else 40, stateful_step_count=80 if SOAK else 30, deadline=None,
    suppress_health_check=tuple(HealthCheck), print_blob=SOAK,
)  # fmt: skip

LONG = 30 * 86_400  # s; who pings that seldom is down only when he says so
CHANNELS = ("a", "b", "c", "d")
WINDOW = 7_200  # s from the beginning
REMIND = 600  # s
WARN = 600  # s; the period of the one that is warned of
STEP = (0, 300, 600)  # s; waits of the steps
AFTER = 900  # s until they are gone through once more
CONTACT = 240  # s; the wait of the person's other channel, in the second step
ASKED = 1_500  # s; a receiver's Retry-After, longer than the time between two reminders
#: Whom the heartbeats are told to, by policy or by name.
KINDS = ("plain", "policy", "reminded", "warned", "window")
#: When a policy tells a channel, s after the incident opened, at the earliest.
ROUND = {"a": [0, 900], "b": [300], "c": [900], "d": [300 + CONTACT]}
POLICY = {name: first + [900 + AFTER + at for at in first] for name, first in ROUND.items()}
WHOM = {"plain": "ab", "policy": "abcd", "reminded": "b", "warned": "a", "window": "c"}

FINE = Answer()
REFUSED = Answer(status=500)
NOT_NOW = Answer(status=429, headers={"Retry-After": str(ASKED)})
GONE = Answer(status=410)

who = st.sampled_from(KINDS)
notifiers = st.sampled_from([0, 1])
spells = st.sampled_from([0, 1, 4, 7, 16, 31, 61, 125, 200, 301, 601, 700, 901, 2_000, 5_000])
moods = st.one_of(
    st.just(()), st.lists(st.sampled_from([FINE, REFUSED, NOT_NOW, NOT_NOW]), max_size=5), st.just((GONE,))
)


@dataclass
class Sent:
    """A message as it was received."""

    at: int  # ms
    channel: str
    event: str
    id: str
    answer: Answer


@dataclass(eq=False, repr=False)
class Story:
    """One incident. Once somebody has it in hand, `allowed`: how often channels may hear of it; `owed`: who must."""

    id: str
    kind: str
    opened_at: int
    before: "Story | None"
    ended_at: int | None = None
    may_be_silent: bool = False  # it ended so that only those who heard the beginning are told
    acknowledged: bool = False
    snoozed_until: int = 0
    was_snoozed: bool = False
    allowed: dict[str, int] | None = None
    owed: set[str] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)
    may_repeat: set[tuple[str, str]] = field(default_factory=set)  # channel, id
    resent: set[str] = field(default_factory=set)  # channels

    def __repr__(self) -> str:
        return f"the story of {self.kind} {self.id}"

    def heard(self, channel: str, *events: str) -> list[Sent]:
        """What the receiver took, each once."""
        taken = [sent for sent in self.sent if sent.channel == channel and sent.event in events]
        return list({sent.id: sent for sent in taken if sent.answer is FINE}.values())

    def began(self, channel: str) -> list[Sent]:
        return self.heard(channel, "opened", "escalated")


class Machine(RuleBasedStateMachine):
    url: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.patch = pytest.MonkeyPatch()
        self.stories: dict[str, Story] = {}
        self.latest: dict[str, Story] = {}
        self.lives = [1, 1]
        self.seen = 0
        self.entries: list[Notification] = []
        self.calls_left: int | None = None  # of the scripts that a notifier lives to see
        self.dies_after = False
        self.late: list[tuple[Any, ...]] = []  # outcomes that are still on their way
        self.window_end = T0 + WINDOW * 1000
        self.was_gone: set[str] = set()
        self.do(self.begin())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def begin(self) -> None:
        for wait in ("COMPANY_S", "STORM_S"):
            self.patch.setattr(notifier.delivery, wait, 0.0)
        chance = Random(0)  # ids order what is told, and so say whom a receiver's answer hits: a failure must repeat
        self.patch.setattr(notifier.delivery, "SystemRandom", lambda: chance)
        self.patch.setattr(tokens, "new_token", lambda: tokens.from_bytes(chance.randbytes(16)))
        for module in (channels, collection):
            self.patch.setattr(module, "token_hex", lambda size: chance.randbytes(size).hex())
        self.db: Database = await self.stack.enter_async_context(opened(clean(self.url), clock=TEST_CLOCK))
        self.shard = self.db.shards[0]
        self.clock = Clock(self.db)
        await self.clock.set(T0)
        self.run_script = self.db.run
        self.patch.setattr(self.db, "run", self.run)
        self.patch.setattr(self.db, "now", self.now)
        self.sink = await self.stack.enter_async_context(http_sink())
        session = await self.stack.enter_async_context(open_session(allow=(ip_network("127.0.0.0/8"),)))
        self.office = Office(self.db, self.clock, self.sink, Senders(session=session, smtp=None, smtp_from=None))
        self.channels: dict[str, Channel] = {name: await self.office.channel(name) for name in CHANNELS}
        a, b, c, d = (self.channels[name].id for name in CHANNELS)
        contacts = (Contact(channel=b, wait=0), Contact(channel=d, wait=CONTACT))
        ada = (await plans.PEOPLE.create(self.db, lambda id_: Person(id=id_, name="Ada", contacts=contacts))).id
        steps = (
            Step(wait=STEP[0], channels=(a,)), Step(wait=STEP[1], people=(ada,)), Step(wait=STEP[2], channels=(c, a)),
        )  # fmt: skip
        self.policy = await plans.POLICIES.create(
            self.db, lambda id_: Policy(id=id_, name="p", steps=steps, repeat=1, repeat_after=AFTER)
        )
        self.window = await plans.WINDOWS.create(
            self.db, lambda id_: Window(id=id_, name="w", tags=("quiet",), start_at=0, end_at=self.window_end)
        )
        self.hearts = {kind: await self.create(kind) for kind in KINDS}

    async def create(self, kind: str) -> Heartbeat:
        told = tuple(self.channels[name].id for name in WHOM[kind])
        chosen: dict[str, Any] = {"period": LONG, "grace": LONG, "channels": told}
        match kind:
            case "policy":
                chosen["policy"] = self.policy.id
            case "reminded":
                chosen["remind_every"] = REMIND
            case "warned":
                chosen |= {"warn_late": True, "period": WARN, "grace": 400}
            case "window":
                chosen["tags"] = ("quiet",)
        return await make(self.db, kind, up_at=self.clock.now, **chosen)

    async def now(self) -> int:
        return self.clock.now

    async def run(self, *args: Any) -> Any:
        """A script; the notifier that is to die does so before it, or after."""
        if self.calls_left is None:
            return await self.run_script(*args)
        self.calls_left -= 1
        if self.calls_left > 0:
            return await self.run_script(*args)
        if self.calls_left == 0 and self.dies_after:
            await self.run_script(*args)
        elif self.calls_left == 0 and args[0] == "outcome":
            self.late.append(args)
        raise Unavailable("it is dead")

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # what follows would hide it
                self.do(self.everything_is_told_in_the_end())
        finally:
            self.do(self.stack.aclose())
            self.runner.close()
            self.patch.undo()

    # What happens to heartbeats

    @rule(seconds=spells)
    def time_passes(self, seconds: int) -> None:
        self.do(self.pass_(seconds))

    async def pass_(self, seconds: float) -> None:
        await pass_time(self.db, self.clock, seconds)
        await self.look_around()

    @rule(kind=who)
    def it_fails(self, kind: str) -> None:
        self.do(self.signal(kind, "fail"))

    @rule(kind=who)
    def it_is_well_again(self, kind: str) -> None:
        self.do(self.signal(kind, "success"))

    async def signal(self, kind: str, signal: str) -> None:
        await self.clock.forward(0.05)  # two signals of one moment would be one
        await send(self.db, self.hearts[kind], signal, at=self.clock.now)
        await self.look_around()

    @precondition(lambda self: (story := self.latest.get("warned")) and not story.ended_at)
    @rule()
    def its_ping_had_come_in_time(self) -> None:
        story = self.latest["warned"]
        self.do(send(self.db, self.hearts["warned"], at=story.opened_at - 1))
        self.do(self.look_around())

    @rule(kind=who, rest=st.booleans())
    def it_is_paused(self, kind: str, *, rest: bool) -> None:
        self.do(heartbeats.pause(self.db, self.hearts[kind].id))
        self.do(self.look_around(by_hand=True))
        if not rest:
            self.do(heartbeats.resume(self.db, self.hearts[kind].id))

    @rule(kind=who)
    def it_is_deleted(self, kind: str) -> None:
        self.do(heartbeats.delete(self.db, self.hearts[kind].id))
        self.do(self.look_around(by_hand=True))
        self.latest.pop(kind, None)
        self.hearts[kind] = self.do(self.create(kind))

    @rule()
    def the_window_is_deleted(self) -> None:
        with suppress(NotFound):
            self.do(plans.WINDOWS.delete(self.db, self.window.id))
        self.window_end = min(self.window_end, self.clock.now)

    async def look_around(self, *, by_hand: bool = False) -> None:
        """Which incidents there are is the business of the scripts that are proven elsewhere."""
        hearts = await heartbeats.get_many(self.db, [heart.id for heart in self.hearts.values()], deleted=True)
        for kind, heart in zip(self.hearts, hearts, strict=True):
            latest = heart.incident if heart else None
            if latest and latest not in self.stories:
                found = await incidents.get(self.db, latest)
                story = Story(latest, kind, found.opened_at, self.latest.get(kind))
                self.stories[latest] = self.latest[kind] = story
        for story in self.open_stories():
            found = await incidents.get(self.db, story.id)
            if found.status != "open":
                story.ended_at = self.clock.now
                story.may_be_silent = by_hand or found.status == "void"

    # What people do

    def open_stories(self) -> list[Story]:
        return [story for story in self.stories.values() if story.ended_at is None]

    @precondition(lambda self: self.open_stories())
    @rule(data=st.data(), seconds=st.sampled_from([None, None, 30, 400, 3_000]))
    def somebody_takes_it_in_hand(self, data: st.DataObject, seconds: int | None) -> None:
        story = data.draw(st.sampled_from(self.open_stories()))
        if seconds is not None and story.acknowledged:
            return  # who takes his word back is not told the steps that were dropped
        if seconds is None:
            assert self.do(incidents.acknowledge(self.db, story.id, "Ada"))
            story.acknowledged = True
        else:
            story.snoozed_until, story.was_snoozed = self.clock.now + seconds * 1000, True
            assert self.do(incidents.snooze(self.db, story.id, "Ada", until=story.snoozed_until))
        fields = self.do(self.db.execute("HGETALL", self.shard.incident(story.id)))
        times = {key.decode()[3:]: int(value) for key, value in fields.items() if key.startswith(b"to:")}
        story.owed = {name for name, channel in self.channels.items() if channel.id in times}
        first = int(not times and story.kind != "policy")  # nobody has looked at it yet: then all hear the beginning
        story.allowed = {name: times.get(channel.id, first) for name, channel in self.channels.items()}

    @precondition(lambda self: any(story.sent for story in self.stories.values()))
    @rule(data=st.data())
    def it_is_sent_once_more(self, data: st.DataObject) -> None:
        story = data.draw(st.sampled_from([story for story in self.stories.values() if story.sent]))
        name = data.draw(st.sampled_from(sorted({sent.channel for sent in story.sent})))
        self.do(deliveries.resend(self.db, f"{story.id}:{self.channels[name].id}"))
        story.resent.add(name)
        story.may_repeat |= {(name, sent.id) for sent in story.sent if sent.channel == name}

    @rule(name=st.sampled_from(CHANNELS))
    def a_channel_is_edited(self, name: str) -> None:
        self.do(self.edit(name))

    async def edit(self, name: str) -> None:
        channel = await channels.get(self.db, self.channels[name].id)
        await channels.edit(self.db, channel, name, channel.settings)

    # What notifiers do

    def name(self, number: int) -> str:
        return f"n{number}.{self.lives[number]}"

    @rule(number=notifiers, mood=moods, claims=st.booleans())
    def a_notifier_works(self, number: int, mood: Sequence[Answer], *, claims: bool) -> None:
        self.do(self.work(self.name(number), mood, claims=claims))

    @rule(seconds=spells, number=notifiers, mood=moods)
    def time_passes_and_a_notifier_works(self, seconds: int, number: int, mood: Sequence[Answer]) -> None:
        self.do(self.pass_(seconds))
        self.do(self.work(self.name(number), mood, claims=True))

    @rule(number=notifiers, mood=moods, calls=st.integers(1, 12), after=st.booleans(), claims=st.booleans())
    def a_notifier_dies(self, number: int, mood: Sequence[Answer], calls: int, *, after: bool, claims: bool) -> None:
        self.calls_left, self.dies_after, first = calls, after, self.seen
        try:
            with suppress(Unavailable):
                self.do(self.work(self.name(number), mood, claims=claims))
        finally:
            self.calls_left = None
        self.lives[number] += 1
        for request in self.sink.requests[first:]:
            body = orjson.loads(request.body)
            if story := self.stories.get(body["incident"]["id"]):
                story.may_repeat.add((request.path.strip("/"), body["id"]))

    @precondition(lambda self: self.late)
    @rule()
    def the_last_word_of_a_dead_notifier_arrives_late(self) -> None:
        self.do(self.run_script(*self.late.pop(0)))

    @precondition(lambda self: self.entries)
    @rule(number=notifiers, which=st.integers(0, 30))
    def a_slow_notifier_comes_to_what_another_has_done(self, number: int, which: int) -> None:
        entry = self.entries[which % len(self.entries)]
        self.do(self.look_at(self.name(number), [entry], ()))

    async def work(self, owner: str, mood: Sequence[Answer], *, claims: bool) -> None:
        await deadlines.chores(self.db, self.shard)
        consumer, _ = self.office.consumer(owner)
        try:
            await consumer._reader.make_group()
            found = await consumer._reader.claim(idle_ms=0) if claims else []
            pending = (await self.db.execute("XPENDING", self.shard.notifications, GROUP))["pending"]
            if await self.db.execute("XLEN", self.shard.notifications) > pending:  # a server rounds a wait up to 100 ms
                found += await consumer._reader.read(wait_ms=1)
        finally:
            await consumer._reader.aclose()
        self.entries = [*self.entries[-30:], *found]
        await self.look_at(owner, found, mood)

    async def look_at(self, owner: str, found: Sequence[Notification], mood: Sequence[Answer]) -> None:
        consumer, noted = self.office.consumer(owner)
        self.sink.answers.extend(mood)
        try:
            for notification in found:
                await consumer._look(notification)
            waiting: dict[tuple[str, str], list[str]] = {}
            for project, incident, channel in noted.pairs:
                waiting.setdefault((project, channel), []).append(incident)
            for (project, channel), some in waiting.items():
                await self.office.desk(channel, *some, owner=owner, project=project).work()
        finally:
            await consumer._reader.aclose()
            unused = len(self.sink.answers)
            self.sink.answers.clear()
            self.judge([*mood[: len(mood) - unused]])

    # What a receiver may expect

    def judge(self, answers: Sequence[Answer]) -> None:
        news = self.sink.requests[self.seen :]
        self.seen += len(news)
        answers = [*answers, *[FINE] * (len(news) - len(answers))]
        for request, answer in zip(news, answers, strict=True):
            body, name = orjson.loads(request.body), request.path.strip("/")
            assert "folded" not in body
            assert body["id"] == request.headers["webhook-id"]
            if answer is GONE:
                self.was_gone.add(name)
            event = body["event"].rpartition(".")[2]
            if story := self.stories.get(body["incident"]["id"]):
                self.judge_one(story, Sent(self.clock.now, name, event, body["id"], answer))
            elif event == "late":
                assert (name, body["heartbeat"]["name"]) == ("a", "warned")
                assert self.clock.now >= T0 + WARN * 1000

    def judge_one(self, story: Story, sent: Sent) -> None:
        name, event = sent.channel, sent.event
        earlier = [each for each in story.sent if each.channel == name]
        repeats = [each for each in earlier if each.id == sent.id]
        if any(each.answer is FINE for each in repeats):
            assert (name, sent.id) in story.may_repeat, f"{sent.id} was told already"
            if sent.answer is FINE:
                story.may_repeat.discard((name, sent.id))
        story.sent.append(sent)
        assert name in WHOM[story.kind]
        if event == "resolved":
            assert story.ended_at is not None
        else:
            assert event in {"opened", "escalated", "reminder"}
            assert story.ended_at is None, "it is over"
            assert not [each for each in earlier if each.event == "resolved"]
            self.judge_news(story, sent)
        if event in {"opened", "escalated"}:
            assert name in story.resent or not story.heard(name, "reminder")
            before = story.before
            if before and before.began(name) and name not in before.resent | self.was_gone:
                assert before.heard(name, "resolved"), "the one before it is not told to its end"
        refused = [each for each in repeats if each.answer is NOT_NOW]
        if refused and len(repeats) < 5 and name not in story.resent and (name, sent.id) not in story.may_repeat:
            assert sent.at >= refused[-1].at + ASKED * 1000, "the receiver has asked for more time"

    def judge_news(self, story: Story, sent: Sent) -> None:
        """It is open, and somebody may be woken."""
        number = int(sent.id.rpartition("_")[2]) if sent.event == "reminder" else 1
        if story.allowed and (story.acknowledged or sent.at < story.snoozed_until):
            assert number <= story.allowed[sent.channel], "somebody has it in hand"
        if story.kind == "policy" and not story.was_snoozed:
            due = POLICY[sent.channel]
            assert sent.at >= story.opened_at + due[number - 1] * 1000, "a step came too early"
        elif story.kind == "reminded" and not story.was_snoozed:
            assert sent.at >= story.opened_at + (number - 1) * REMIND * 1000
        elif sent.event == "reminder":
            assert story.was_snoozed
        if story.kind == "window":
            assert sent.at >= self.window_end, "it is in a window"

    # What must hold in the end

    async def everything_is_told_in_the_end(self) -> None:
        for name in CHANNELS:
            await self.edit(name)
        await self.busy_for(3 * 3_600, every=REMIND)
        await self.busy_for(13 * 3_600, every=3_600)  # longer than any retry
        for story in self.open_stories():
            expected = story.owed if story.acknowledged else set(WHOM[story.kind])
            for name in expected - self.was_gone:
                assert story.began(name), f"{name} was never told that {story.kind} is down"
                if story.kind == "reminded" and not story.acknowledged:
                    assert len(story.heard(name, "reminder")) >= 15
                if story.kind == "policy" and not story.acknowledged and not story.was_snoozed:
                    last = max(sent.at for sent in story.heard(name, "opened", "escalated", "reminder"))
                    assert last >= story.opened_at + POLICY[name][-1] * 1000, "a step was never told"
        for kind in KINDS:
            await heartbeats.resume(self.db, self.hearts[kind].id)
            await self.signal(kind, "success")
        await heartbeats.pause(self.db, self.hearts["warned"].id)
        assert not self.open_stories()
        await self.busy_for(13 * 3_600, every=3_600)
        for story in self.stories.values():
            for name in set(WHOM[story.kind]) - self.was_gone:
                told = [sent for sent in story.sent if sent.channel == name]
                if story.began(name):
                    assert story.heard(name, "resolved"), f"{name} was never told that {story.kind} is well again"
                assert not told or told[-1].event == "resolved" or story.may_be_silent
        assert await self.db.execute("ZRANGE", self.shard.chores, 0, -1) == []
        assert await self.db.execute("XLEN", self.shard.notifications) == 0
        for key in await self.db.execute("KEYS", "{0}:delivery:*"):
            assert not await self.db.execute("HEXISTS", key, "owner"), "a lease is left"
        for letter in await deliveries.dead(self.db):
            assert letter.channel in {self.channels[name].id for name in self.was_gone}

    async def busy_for(self, seconds: int, *, every: int) -> None:
        """Everybody takes what comes, and notifiers work all the while."""
        until = self.clock.now + seconds * 1000
        while self.clock.now < until:
            for _ in range(2):
                await self.work(self.name(0), (), claims=True)
            await self.pass_(every)


@pytest.mark.timeout(0)
def test_a_receiver_hears_what_it_must_and_no_more(sockets: Sockets) -> None:
    class Bound(Machine):
        url = sockets.url("valkey-9")

    run_state_machine_as_test(Bound, settings=EFFORT)


# What is told under one key


def sent(office: Office) -> list[tuple[str, str]]:
    bodies = [orjson.loads(request.body) for request in office.sink.requests]
    return [(body["event_action"], body["dedup_key"]) for body in bodies]


@pytest.fixture
async def pager(office: Office) -> Channel:
    office.sink.answer = Answer(status=202, body=b'{"status":"success"}')
    url = f"http://127.0.0.1:{office.sink.port}"
    return await channels.create(office.db, "pd", "pagerduty", {"routing_key": "r" * 32, "url": url})


async def test_what_a_receiver_may_have_heard_though_it_refused_is_closed_under_the_same_key(
    office: Office, pager: Channel
) -> None:
    found = [await office.down(f"h{number}") for number in range(7)]
    office.sink.answers.append(REFUSED)
    await office.tell()
    await office.recover(found[0][0], after_s=10)
    await office.tell()
    for heartbeat, _ in found[1:]:
        await office.recover(heartbeat, after_s=1)
    await office.tell()

    key = found[0][1]
    assert sent(office) == [("trigger", key), ("trigger", key), ("resolve", key)]


async def test_what_is_sent_once_more_stays_under_its_key(office: Office, pager: Channel) -> None:
    old = [await office.down(f"old{number}") for number in range(6)]
    await office.tell()
    new = [await office.down(f"new{number}") for number in range(6)]
    await deliveries.resend(office.db, f"{old[3][1]}:{pager.id}")
    await office.tell()
    for heartbeat, _ in old + new:
        await office.recover(heartbeat, after_s=1)
    await office.tell()

    first, second = old[0][1], new[0][1]
    assert sent(office)[0] == ("trigger", first)
    assert sorted(sent(office)[1:3]) == sorted([("trigger", first), ("trigger", second)])
    assert sorted(sent(office)[3:]) == sorted([("resolve", first), ("resolve", second)])
