"""The sweeper's worker: what it does in a step, how long it sleeps after it, and how it stops."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

import sweeper.worker
from runtime.metrics import new_registry
from store import deadlines, deliveries, heartbeats, incidents
from store.database import Database, opened
from store.records import Settings
from sweeper.app import Sweeper
from sweeper.metrics import Metrics
from sweeper.worker import GATED_SLEEP_S, LONGEST_SLEEP_S, Worker
from tests.conftest import T0, TEST_CLOCK, Clock, clean, eventually, stop
from tests.servers import binaries, running
from tests.store.scene import SPAN, deadline, hear, make, send, status


@pytest.fixture
def registry() -> CollectorRegistry:
    return new_registry()


@pytest.fixture
def worker(db: Database, registry: CollectorRegistry) -> Worker:
    return Worker(db, db.shards[0], Metrics(registry))


async def steps(worker: Worker) -> int:
    """Steps until nothing is left to do at once."""
    for number in range(1, 100):
        if await worker.step() > 0:
            return number
    raise AssertionError("no end")


async def test_with_nothing_due_it_sleeps_but_never_for_long(worker: Worker, clock: Clock) -> None:
    assert await worker.step() == LONGEST_SLEEP_S
    assert worker.swept_at > 0


@pytest.mark.parametrize(("before_ms", "sleep_s"), [(50_000, LONGEST_SLEEP_S), (150, 0.15), (1, 0.001)])
async def test_it_sleeps_until_the_next_deadline(
    db: Database, worker: Worker, clock: Clock, before_ms: int, sleep_s: float
) -> None:
    await make(db, up_at=T0)
    await clock.set(T0 + SPAN - before_ms)

    assert await worker.step() == pytest.approx(sleep_s)


async def test_it_sleeps_until_the_next_chore_or_timer_too(db: Database, worker: Worker, clock: Clock) -> None:
    await deliveries.send_test(db, "somewhere")  # comes due 30 s later
    await clock.forward(29.9)

    assert await worker.step() == pytest.approx(0.1)

    await db.execute("ZADD", db.shards[0].timers, clock.now + 20, "settle:nobody")
    assert await worker.step() == pytest.approx(0.02)


async def test_a_passed_deadline_is_taken_once_a_pulse_has_passed_it(
    db: Database, worker: Worker, clock: Clock
) -> None:
    heartbeat = await make(db, up_at=T0)
    await hear(db, clock)
    await clock.set(T0 + SPAN + 500)

    for _ in range(3):
        assert await worker.step() == GATED_SLEEP_S
    assert await status(db, heartbeat) == "up"

    await hear(db, clock)
    assert await worker.step() == 0
    assert await status(db, heartbeat) == "down"
    found, _ = await incidents.page(db)
    assert [incident.opened_at for incident in found] == [T0 + SPAN]
    assert await worker.step() == LONGEST_SLEEP_S


async def test_more_than_one_call_may_take_is_taken_without_a_pause(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry
) -> None:
    for number in range(deadlines.BATCH + 5):
        await make(db, f"h{number}", up_at=T0)
    await clock.set(T0 + SPAN + 500)
    await hear(db, clock)

    assert await steps(worker) == 3

    assert await db.execute("ZCARD", db.shards[0].open) == deadlines.BATCH + 5
    assert registry.get_sample_value("flatline_deadlines_taken_total") == deadlines.BATCH + 5
    assert registry.get_sample_value("flatline_sweep_lag_seconds", {"shard": "0"}) == 0


async def test_a_corrupt_record_is_logged_and_stops_nobody_else(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    corrupt, fine = await make(db, "corrupt", up_at=T0), await make(db, "fine", up_at=T0)
    await db.execute("HDEL", db.shards[0].heartbeat(corrupt.id), "period")
    await clock.set(T0 + SPAN + 500)
    await hear(db, clock)

    await steps(worker)

    assert await status(db, fine) == "down"
    assert registry.get_sample_value("flatline_corrupt_records_total") == 1
    assert [record.message for record in caplog.records] == ["corrupt_records"]


async def test_due_timers_and_chores_are_handed_on(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry
) -> None:
    heartbeat = await make(db, max_runtime=10, up_at=T0)
    await clock.forward(1)
    assert await send(db, heartbeat, "start", at=clock.now) == "parked"
    asked = await deliveries.send_test(db, "somewhere")
    await db.execute("DEL", db.shards[0].notifications)  # nobody took note of it
    await clock.forward(31)
    await hear(db, clock)

    await steps(worker)

    assert await status(db, heartbeat) == "down"
    assert registry.get_sample_value("flatline_timers_fired_total") == 1
    assert registry.get_sample_value("flatline_chores_handed_total") == 1
    entries = await db.execute("XRANGE", db.shards[0].notifications, "-", "+")
    assert any(asked.id.encode() in repr(entry).encode() for entry in entries)


async def test_after_a_backward_step_of_the_clock_it_walks_to_the_end(
    db: Database, worker: Worker, clock: Clock
) -> None:
    found = [await make(db, f"h{number}", up_at=T0) for number in range(5)]
    await hear(db, clock)
    await clock.set(T0 - 3_600_000)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back

    await steps(worker)

    assert not await db.execute("HEXISTS", db.shards[0].pulse, "walk")
    for heartbeat in found:
        due = await deadline(db, heartbeat)
        assert due
        assert due <= clock.now + SPAN + 1


async def test_two_workers_on_one_shard_open_each_incident_once(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry
) -> None:
    for number in range(120):
        await make(db, f"h{number}", up_at=T0)
    await clock.set(T0 + SPAN + 500)
    await hear(db, clock)

    await asyncio.gather(steps(worker), steps(Worker(db, db.shards[0], Metrics(new_registry()))))

    entries = await db.execute("XRANGE", db.shards[0].notifications, "-", "+")
    named = [word for _, fields in entries for word in dict(fields)[b"incidents"].split()]
    assert len(named) == len(set(named)) == 120


@pytest.fixture
async def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper.worker, "AWAY_SLEEP_S", 0.01)


async def test_a_redis_that_is_away_is_waited_for_and_told_once(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with (
        running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always") as server,
        opened(server.url) as db,
    ):
        heartbeat = await heartbeats.create(db, Settings(name="backup", period=1, grace=0))
        worker = Worker(db, db.shards[0], Metrics(new_registry()))
        task = asyncio.create_task(worker.run())

        async def swept() -> bool:
            return worker.swept_at > before

        before = 0.0
        await eventually(swept)
        await server.kill()

        async def told() -> bool:
            return any(record.message == "redis_away" for record in caplog.records)

        await eventually(told)
        assert not task.done()
        await server.start()
        before = asyncio.get_running_loop().time()
        await eventually(swept)

        # It does its work again, scripts forgotten by the server and all.
        await send(db, heartbeat, at=await db.now())

        async def is_down() -> bool:
            await deadlines.pulse(db, db.shards[0], "n1")
            return await status(db, heartbeat) == "down"

        await eventually(is_down)
        await stop(task)
    messages = [record.message for record in caplog.records]
    assert messages.count("redis_away") == messages.count("redis_back") == 1


@pytest.fixture
async def role(redis_url: str) -> AsyncIterator[Sweeper]:
    async with opened(clean(redis_url), shards=3, clock=TEST_CLOCK) as db:
        yield Sweeper(db, new_registry())


async def test_the_role_is_ready_while_every_shard_is_swept_and_stops_clean(role: Sweeper) -> None:
    assert (await role.ready())["sweep"]
    before = asyncio.all_tasks()

    async with role.running():

        async def is_ready() -> bool:
            return not (await role.ready())["sweep"]

        await eventually(is_ready)
        started = asyncio.get_running_loop().time()

    assert asyncio.get_running_loop().time() - started < 1
    assert asyncio.all_tasks() == before
