import pytest

from store import heartbeats
from store.database import Database
from store.errors import NotFound
from tests.conftest import T0, Clock
from tests.store.scene import SPAN, all_incidents, deadline, everything, log_of, looks, make, pass_time, send, status


async def test_what_is_paused_never_alarms(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await send(db, made, "start", at=T0 + 1)
    await clock.forward(1)
    await send(db, made, "start", at=T0 + 2, rid="a")
    paused = await heartbeats.pause(db, made.id)
    assert (paused.last_ping_at, paused.running_since) == (T0, None)
    await pass_time(db, clock, 10_000)

    assert (await status(db, made), await looks(db)) == ("paused", [])
    assert await db.execute("ZCARD", db.shards[0].timers) == 0


async def test_pausing_closes_an_open_incident_and_tells_it_as_paused(db: Database, clock: Clock) -> None:
    made = await make(db)
    await send(db, made, "fail", at=T0 - 5)
    await heartbeats.pause(db, made.id)

    (incident,) = await all_incidents(db)
    assert (incident.status, incident.resolution, incident.resolved_at) == ("resolved", "paused", T0)
    assert await looks(db) == [incident.id] * 2


async def test_pausing_again_only_sets_the_new_end(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 1)
    ends = []
    for until in (T0 + 50_000, T0 + 50_000, None, T0 + 70_000):
        ends.append((await heartbeats.pause(db, made.id, until)).resume_at)
        assert await db.execute("ZCARD", db.shards[0].timers) == (until is not None)

    assert ends == [T0 + 50_000, T0 + 50_000, None, T0 + 70_000]
    assert (await log_of(db, made)).count("paused") == 1


@pytest.mark.parametrize("by_timer", [True, False])
async def test_resuming_starts_the_clock_anew_and_a_dead_job_alarms(
    db: Database, clock: Clock, *, by_timer: bool
) -> None:
    made = await make(db, up_at=T0)
    await heartbeats.pause(db, made.id, T0 + 600_000)
    if by_timer:
        await pass_time(db, clock, 600)
        assert await status(db, made) == "paused"
        await pass_time(db, clock, 0.001)
    else:
        await clock.forward(600.001)
        await heartbeats.resume(db, made.id)
    resumed = await heartbeats.get(db, made.id)
    assert (resumed.stored_status, resumed.deadline) == ("up", clock.now + SPAN + 0.5)
    assert (resumed.last_ping_at, resumed.resume_at) == (T0, None)
    before = await everything(db)
    await db.execute("SCRIPT", "FLUSH")
    await clock.forward(1)
    await heartbeats.resume(db, made.id)
    assert await everything(db) == before

    await pass_time(db, clock, 90)
    assert await status(db, made) == "down"


async def test_one_that_was_never_pinged_returns_to_pending(db: Database, clock: Clock) -> None:
    made = await make(db)
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)

    assert (await status(db, made), await deadline(db, made)) == ("pending", None)


@pytest.mark.parametrize("state", ["pending", "up", "down"])
async def test_resuming_what_is_not_paused_changes_nothing(db: Database, clock: Clock, state: str) -> None:
    made = await make(db, up_at=T0 - 5 if state == "up" else None)
    if state == "down":
        await send(db, made, "fail", at=T0)
    before = await everything(db)
    await clock.forward(1)

    await heartbeats.resume(db, made.id)
    assert await everything(db) == before


async def test_what_is_not_there_can_be_neither_paused_nor_resumed(db: Database) -> None:
    for call in (heartbeats.pause, heartbeats.resume):
        with pytest.raises(NotFound):
            await call(db, "0123456789ab")
