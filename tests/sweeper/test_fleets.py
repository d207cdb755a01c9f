"""The sweeper's worker and fleets: when it looks at them, and that they and the heartbeats take turns."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from runtime.metrics import new_registry
from store import deadlines, fleets
from store.arrivals import Ping
from store.database import Database
from sweeper.metrics import Metrics
from sweeper.worker import GATED_SLEEP_S, LONGEST_SLEEP_S, Worker
from tests.conftest import T0, Clock
from tests.store.fleet_scene import SPAN, make_fleet, placed, say, say_all, silent
from tests.store.scene import hear, make, status


@pytest.fixture
def registry() -> CollectorRegistry:
    return new_registry()


@pytest.fixture
def worker(db: Database, registry: CollectorRegistry) -> Worker:
    return Worker(db, db.shards[0], Metrics(registry))


async def rest(worker: Worker) -> int:
    """Steps until nothing is left to do at once."""
    for number in range(1, 200):
        if await worker.step() > 0:
            return number
    raise AssertionError("no end")


async def test_it_sleeps_until_the_next_member_is_due(db: Database, worker: Worker, clock: Clock) -> None:
    fleet = await make_fleet(db)
    assert await worker.step() == LONGEST_SLEEP_S
    await say(db, fleet, "a", at=T0)
    await clock.set(T0 + SPAN - 150)

    assert await worker.step() == pytest.approx(0.15)


async def test_a_passed_deadline_is_taken_once_a_pulse_has_passed_it(
    db: Database, worker: Worker, clock: Clock
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await hear(db, clock)
    await clock.set(T0 + SPAN + 500)
    for _ in range(3):
        assert await worker.step() == GATED_SLEEP_S
    assert await silent(db, fleet) == {}

    await hear(db, clock)
    assert await worker.step() == 0
    assert await silent(db, fleet) == {"a": T0 + SPAN}
    assert await worker.step() == LONGEST_SLEEP_S


async def test_more_than_one_call_may_take_is_taken_without_a_pause(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry
) -> None:
    fleet = await make_fleet(db)
    for start in (0, fleets.CHUNK, 2 * fleets.CHUNK):
        await say_all(db, fleet, *(Ping(f"m{start + i}", T0) for i in range(fleets.CHUNK)))
    await clock.set(T0 + SPAN + 500)
    await hear(db, clock)

    assert await rest(worker) == 4
    assert len(await silent(db, fleet)) == 3 * fleets.CHUNK
    assert registry.get_sample_value("flatline_silent_members_total") == 3 * fleets.CHUNK
    assert registry.get_sample_value("flatline_sweep_lag_seconds", {"shard": "0"}) == 0


async def test_a_fleet_with_much_to_do_and_the_heartbeats_take_turns(
    db: Database, worker: Worker, clock: Clock
) -> None:
    fleet, heartbeat = await make_fleet(db), await make(db, up_at=T0 + 9)
    for start in range(0, 5 * fleets.CHUNK, fleets.CHUNK):
        await say_all(db, fleet, *(Ping(f"m{start + i}", T0) for i in range(fleets.CHUNK)))
    for number in range(2 * deadlines.BATCH):
        await make(db, f"h{number}", up_at=T0)
    await clock.set(T0 + SPAN + 500)
    await hear(db, clock)

    for turn in (1, 2, 3):
        assert await worker.step() == 0
        assert len(await silent(db, fleet)) == turn * fleets.CHUNK
    assert await status(db, heartbeat) == "down"


async def test_a_walk_goes_on_until_it_is_done(db: Database, worker: Worker, clock: Clock) -> None:
    fleet = await make_fleet(db)
    for start in (0, fleets.CHUNK):
        await say_all(db, fleet, *(Ping(f"m{start + i}", T0, "fail") for i in range(fleets.CHUNK)))
    await clock.forward(1)
    await fleets.pause(db, fleet.id)
    await clock.forward(0.001)
    await hear(db, clock)

    await rest(worker)
    assert len((await placed(db, fleet))["deadlines"]) == 2 * fleets.CHUNK
    assert await worker.step() == LONGEST_SLEEP_S


async def test_after_a_step_back_of_the_clock_it_goes_over_every_fleet(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry
) -> None:
    made = [await make_fleet(db, f"{number}") for number in range(5)]
    for fleet in made:
        await say(db, fleet, "a", at=T0)
    await hear(db, clock)
    await clock.forward(-3600)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back

    await rest(worker)  # the heartbeats
    await rest(worker)
    assert [await placed(db, fleet) for fleet in made] == [
        {"deadlines": {"a": clock.now + SPAN + 0.5}, "down": {}, "returning": {}}
    ] * 5
    assert registry.get_sample_value("flatline_sweep_lag_seconds", {"shard": "0"}) == 0


async def test_the_lag_does_not_count_a_walk_that_no_moment_has_asked_for(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry
) -> None:
    fleet = await make_fleet(db)
    await db.execute("ZADD", db.shards[0].fleets, 0, fleet.id)

    await worker.step()
    assert registry.get_sample_value("flatline_sweep_lag_seconds", {"shard": "0"}) == 0


async def test_a_corrupt_template_is_logged_and_counted(
    db: Database, worker: Worker, clock: Clock, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await make_fleet(db)
    await say(db, fleet, "a", at=T0)
    await db.execute("HDEL", db.shards[0].fleet(fleet.id), "period")
    await clock.set(T0 + SPAN + 500)
    await hear(db, clock)

    await rest(worker)
    assert registry.get_sample_value("flatline_corrupt_records_total") == 1
    assert [(record.message, record.levelno) for record in caplog.records] == [("corrupt_records", logging.ERROR)]
