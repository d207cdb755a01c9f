from store import deadlines, heartbeats
from store.database import Database
from tests.conftest import T0, Clock
from tests.store.scene import SPAN, deadline, everything, hear, make, pass_time, push, send, status

HOUR = 3_600_000


async def walk(db: Database, limit: int = 100) -> int:
    calls = 1
    while await deadlines.clamp(db, db.shards[0], limit):
        calls += 1
    return calls


async def test_without_a_step_back_there_is_nothing_to_walk(db: Database, clock: Clock) -> None:
    await make(db, up_at=T0)
    await hear(db, clock)
    before = await everything(db)

    assert await walk(db) == 1
    assert await everything(db) == before


async def test_after_a_step_back_nothing_lies_further_ahead_than_if_it_had_just_happened(
    db: Database, clock: Clock
) -> None:
    shard = db.shards[0]
    up, failed, running = await make(db, "up", up_at=T0), await make(db, "failed"), await make(db, "running", up_at=T0)
    edited, pending = await make(db, "edited", up_at=T0), await make(db, "pending")
    await clock.forward(1)
    await send(db, failed, "fail", at=clock.now)
    await send(db, running, "start", at=clock.now, rid="a")
    await heartbeats.edit(db, edited.id, {"grace": 60})
    await hear(db, clock)
    back = await clock.forward(-3600)
    assert (await deadlines.pulse(db, shard, "n1")).stepped_back
    await walk(db)

    assert not (await deadlines.sweep(db, shard)).walking
    assert await deadline(db, up) == back + SPAN + 0.5
    assert await deadline(db, edited) == back + SPAN + 30_000 + 0.5
    records = [await heartbeats.get(db, each.id) for each in (up, failed, running, edited, pending)]
    assert [record.since for record in records] == [back] * 5
    assert [record.last_ping_at for record in records] == [back, None, back, back, None]
    assert (records[1].last_fail_at, records[2].running_since) == (back, back)
    flat = await db.execute("ZRANGE", shard.timers, 0, -1, "WITHSCORES")
    assert dict(zip(flat[::2], map(int, flat[1::2]), strict=True)) == {
        f"settle:{edited.id}".encode(): back + 5000, f"overdue:{running.id}:a".encode(): back + 60_000,
    }  # fmt: skip
    before = await everything(db)
    assert await walk(db) == 1
    assert await everything(db) == before
    await clock.forward(1)
    for each in (up, failed, pending):
        assert await send(db, each, at=clock.now) == "up"


async def test_the_dead_are_found_a_span_after_the_step(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await hear(db, clock)
    await clock.forward(-HOUR / 1000)
    await deadlines.pulse(db, db.shards[0], "n1")
    await walk(db)
    await pass_time(db, clock, SPAN / 1000)
    assert await status(db, made) == "up"

    await pass_time(db, clock, 0.002)
    assert await status(db, made) == "down"


async def test_a_long_walk_goes_on_where_another_stopped_and_a_corrupt_record_stops_nobody(
    db: Database, clock: Clock
) -> None:
    made = [await make(db, f"{i}", up_at=T0) for i in range(140)]
    await db.execute("HDEL", db.shards[0].heartbeat(made[7].id), "period")
    await hear(db, clock)
    back = await clock.forward(-600)
    await deadlines.pulse(db, db.shards[0], "n1")

    assert await walk(db, limit=20) > 3
    found = await heartbeats.get_many(db, [each.id for each in made[:7] + made[8:]])
    assert {record.deadline for record in found if record} == {back + SPAN + 0.5}


async def test_the_last_ping_is_kept_where_the_deadline_no_longer_tells_of_it(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(60)
    assert await push(db, (made.id, clock.now, clock.now + SPAN))
    await hear(db, clock)
    back = await clock.forward(-2)
    await deadlines.pulse(db, db.shards[0], "n1")
    await walk(db)

    assert (await heartbeats.get(db, made.id)).last_ping_at == back
