"""A node's clock against Redis': wrong by minutes, set back, slow to measure; and batches that are simply old."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import ingest.clock
from ingest.clock import Clock
from ingest.metrics import Metrics
from ingest.node import AHEAD_MS, Node
from ingest.settings import IngestSettings
from runtime.metrics import new_registry
from store import deadlines, heartbeats, incidents
from store.arrivals import Ping
from store.changes import Known
from store.database import Database, opened
from store.records import Heartbeat, Settings
from tests.conftest import eventually
from tests.store.scene import send

TEN_MINUTES = 600_000  # ms
SOON = 1_000  # ms that two readings of one clock may lie apart in a test


@pytest.fixture
async def db(redis_url: str) -> AsyncIterator[Database]:
    async with opened(redis_url) as database:
        yield database


@pytest.fixture
async def node(db: Database) -> AsyncIterator[Node]:
    made = Node(db, IngestSettings(port=0), Metrics(new_registry()), "n1")
    await made.clock.measure(db)
    yield made
    await made.aclose()


async def make(db: Database, *, up: bool = True, **settings: Any) -> Heartbeat:
    made = await heartbeats.create(db, Settings(name="backup", period=60, grace=30, **settings))
    if up:
        assert await send(db, made, at=await db.now()) == "up"
    return made


async def known(node: Node, heartbeat: Heartbeat) -> Known:
    found = await node.cache.load(heartbeat.id)
    assert found
    return found


def skew(node: Node, ms: int) -> None:
    node.clock._offset_ms += ms


async def ping(node: Node, heartbeat: Heartbeat, signal: str = "success", *, of: Known | None = None) -> str:
    of = of or await known(node, heartbeat)
    async with asyncio.timeout(5):
        return await node.submit(Ping(heartbeat.id, node.clock.now(), signal), of)


async def tick(db: Database) -> None:
    """Redis' clock shows another millisecond, so that what comes next is later than what was."""
    now = await db.now()

    async def moved_on() -> bool:
        return await db.now() > now + 1

    await eventually(moved_on)


async def last_ping(db: Database, heartbeat: Heartbeat) -> int:
    found = (await heartbeats.get(db, heartbeat.id)).last_ping_at
    assert found
    return found


async def test_the_clock_agrees_with_redis_to_a_few_milliseconds(db: Database) -> None:
    clock = Clock()

    async def agrees() -> bool:  # on a busy machine not every answer is a quick one
        await clock.measure(db)
        before = clock.now()
        redis = await db.now()
        return before - 5 <= redis <= clock.now() + 5

    assert await eventually(agrees)


@pytest.mark.parametrize("off", [TEN_MINUTES, -TEN_MINUTES])
async def test_a_node_that_is_ten_minutes_off_measures_and_repeats(db: Database, node: Node, off: int) -> None:
    heartbeat = await make(db)
    cached = await known(node, heartbeat)
    skew(node, off)

    assert await ping(node, heartbeat, "fail", of=cached) == "parked"

    found = await heartbeats.get(db, heartbeat.id)
    assert found.incident
    assert abs((await incidents.get(db, found.incident)).opened_at - await db.now()) < SOON
    assert abs(node.clock.now() - await db.now()) < SOON
    # What the wrong clock has left behind must not hold the heartbeat in the future, or in the past.
    assert await ping(node, heartbeat, of=cached) == "up"
    assert await ping(node, heartbeat, "start", of=cached) == "parked"
    assert abs(await last_ping(db, heartbeat) - await db.now()) < SOON


@pytest.mark.parametrize("off", [TEN_MINUTES, -TEN_MINUTES])
async def test_both_lanes_repeat_rightly_though_only_one_of_them_finds_the_clock_wrong(
    db: Database, node: Node, off: int
) -> None:
    """Whoever measures second finds nothing; so does a batch that the pulse has overtaken."""
    failing, down = await make(db), await make(db)
    cached = [await known(node, heartbeat) for heartbeat in (failing, down)]
    await tick(db)
    await send(db, down, "fail", at=await db.now())  # by another node: ours still takes the plain lane
    await tick(db)
    skew(node, off)

    answers = await asyncio.gather(
        ping(node, failing, "fail", of=cached[0]), ping(node, down, of=cached[1]), node.clock.measure(db)
    )

    assert tuple(answers) == ("parked", "up", None)
    assert abs(await last_ping(db, down) - await db.now()) < SOON
    fail = (await heartbeats.get(db, failing.id)).last_fail_at
    assert fail
    assert abs(fail - await db.now()) < SOON


async def test_an_old_batch_is_taken_as_old(db: Database, node: Node) -> None:
    heartbeat = await make(db, up=False)
    arrived = node.clock.now() - 20_000  # and then Redis hung
    cached = await known(node, heartbeat)

    assert await node.submit(Ping(heartbeat.id, arrived), cached) == "up"

    assert await last_ping(db, heartbeat) == arrived
    other = replace(cached, last_at=0)  # of another node, whose batch is older still: it only enters the log
    assert await node.submit(Ping(heartbeat.id, arrived - 50_000, "fail"), other) == "up"
    assert (await heartbeats.get(db, heartbeat.id)).stored_status == "up"


async def test_a_plain_ping_from_the_future_is_put_right_by_the_next(db: Database, node: Node) -> None:
    heartbeat = await make(db)
    cached = await known(node, heartbeat)
    skew(node, TEN_MINUTES)
    assert await ping(node, heartbeat, of=cached) == "up"  # the hot path asks for no proof
    await node.clock.measure(db)

    assert await ping(node, heartbeat, of=cached) == "up"

    found = await heartbeats.get(db, heartbeat.id)
    assert found.deadline
    assert found.deadline < await db.now() + found.span_ms + SOON


async def test_pings_of_one_heartbeat_in_one_millisecond_have_times_of_their_own(db: Database, node: Node) -> None:
    heartbeat = await make(db)
    cached = await known(node, heartbeat)
    arrived = node.clock.now()
    pings = [Ping(heartbeat.id, arrived) for _ in range(AHEAD_MS - 5)]

    await asyncio.gather(*(node.submit(each, cached) for each in pings))

    assert [each.at for each in pings] == list(range(arrived, arrived + AHEAD_MS - 5))


async def test_a_burst_does_not_run_away_from_the_clock(db: Database, node: Node) -> None:
    heartbeat = await make(db)
    cached = await known(node, heartbeat)
    pings = [Ping(heartbeat.id, node.clock.now()) for _ in range(5_000)]

    assert set(await asyncio.gather(*(node.submit(each, cached) for each in pings))) == {"up"}

    found = await heartbeats.get(db, heartbeat.id)
    assert found.deadline
    assert found.deadline <= await db.now() + found.span_ms + AHEAD_MS
    assert await ping(node, heartbeat, "log", of=cached) == "up"  # and is not refused for its time


async def test_a_time_given_away_is_remembered_though_the_heartbeat_is_looked_up_again(
    db: Database, node: Node
) -> None:
    heartbeat = await make(db)
    arrived = node.clock.now()
    first, second = Ping(heartbeat.id, arrived), Ping(heartbeat.id, arrived)
    await node.submit(first, await known(node, heartbeat))

    await node.submit(second, await known(node, heartbeat))  # nobody follows the changes, so each ping asks Redis

    assert second.at == first.at + 1

    node.cache.forget(heartbeat.id)
    third = Ping(heartbeat.id, arrived)
    await node.submit(third, await known(node, heartbeat))
    assert third.at == second.at + 1


async def test_a_corrupt_record_is_refused_and_the_others_of_its_lookup_are_served(db: Database, node: Node) -> None:
    corrupt, fine = await make(db), await make(db)
    await db.execute("HSET", db.shard(corrupt.id).heartbeat(corrupt.id), "period", "soon")

    found = await asyncio.gather(node.cache.load(corrupt.id), node.cache.load(fine.id))

    assert found[0]
    assert found[1]
    assert (await ping(node, corrupt, of=found[0])).startswith("error: ")
    assert await ping(node, fine, of=found[1]) == "up"


async def test_a_pulse_that_redis_refuses_is_no_pings_trouble(db: Database, node: Node) -> None:
    from store.errors import Unavailable  # noqa: PLC0415

    heartbeat = await make(db)
    cached = await known(node, heartbeat)
    await db.execute("SET", db.shards[0].pulse, "of another type")

    pulse = asyncio.create_task(node.pulse())
    await asyncio.sleep(0)  # the mark stands in the queue
    answer = ping(node, heartbeat, of=cached)

    assert await answer == "up"
    with pytest.raises(Unavailable):
        await pulse


async def test_a_pulse_reaches_every_shard_though_one_of_them_refuses(redis_url: str) -> None:
    from store.errors import Unavailable  # noqa: PLC0415

    async with opened(redis_url, shards=3) as db:
        node = Node(db, IngestSettings(port=0), Metrics(new_registry()), "n1")
        await db.execute("SET", db.shards[0].pulse, "of another type")

        with pytest.raises(Unavailable):
            await node.pulse()

        for shard in db.shards[1:]:
            assert await db.execute("HGET", shard.pulse, "at")
            assert not await deadlines.deaf_windows(db, shard)
        assert node.pulsed_at < 0
        await node.aclose()


async def test_a_lookup_that_is_refused_withholds_the_pulse(db: Database) -> None:
    from ingest.commit import Overloaded  # noqa: PLC0415

    node = Node(db, IngestSettings(port=0, queue_limit=1), Metrics(new_registry()), "n1")

    ends = await asyncio.gather(*(node.cache.load(f"{n:012x}") for n in range(9)), return_exceptions=True)

    assert any(isinstance(end, Overloaded) for end in ends)
    assert node.sheds
    await node.aclose()


class Answering:
    """A Redis whose clock shows `redis_ms`, asked at `sent` and heard at `received` of our clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.redis_ms = 0

    def at(self, sent: float, received: float, redis_ms: int) -> Any:
        times = itertools.chain([sent / 1000, received / 1000], itertools.repeat(received / 1000))
        self._patch.setattr(ingest.clock, "time", SimpleNamespace(monotonic=lambda: next(times)))
        self.redis_ms = redis_ms
        return self

    async def now(self) -> int:
        return self.redis_ms


async def test_a_slow_answer_moves_the_clock_no_further_than_it_proves(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = Answering(monkeypatch)
    clock = Clock()
    await clock.measure(redis.at(1_000, 1_001, 5_001_000))
    exact = clock.offset_ms
    assert exact == pytest.approx(5_000_000, abs=1)

    await clock.measure(redis.at(2_000, 6_000, 5_006_000))  # hung for 4 s, then answered
    assert clock.offset_ms == exact
    await clock.measure(redis.at(7_000, 11_000, 5_007_000))  # answered at once, and we hung
    assert clock.offset_ms == exact

    await clock.measure(redis.at(12_000, 14_000, 5_613_000))  # but ten minutes are proved by the slowest answer
    assert clock.offset_ms == 5_613_000 - 14_000
    await clock.measure(redis.at(15_000, 15_001, 5_015_001))
    assert clock.offset_ms == pytest.approx(5_000_000, abs=2)  # the round trip and the millisecond of TIME
