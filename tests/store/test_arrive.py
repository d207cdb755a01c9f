from typing import Any

import pytest

from store import deadlines, heartbeats, incidents
from store.arrivals import Ping
from store.database import Database, opened
from store.errors import Unavailable
from tests.conftest import T0, TEST_CLOCK, Clock
from tests.store.scene import (
    SPAN,
    all_incidents,
    be_deaf,
    deadline,
    everything,
    hear,
    judge,
    lane_of,
    log_of,
    looks,
    make,
    pass_time,
    push,
    send,
    status,
)


async def test_a_first_ping_brings_it_up(db: Database, clock: Clock) -> None:
    made = await make(db)

    assert await send(db, made, at=T0 - 3) == "up"
    assert (await status(db, made), await deadline(db, made)) == ("up", T0 - 3 + SPAN)


async def test_the_hot_path_counts_only_who_is_plainly_up(db: Database, clock: Clock) -> None:
    up, pending = await make(db, up_at=T0 - 10), await make(db)

    assert await push(db, (up.id, T0, T0 + SPAN))
    assert not await push(db, (up.id, T0 + 1, T0 + 1 + SPAN), (pending.id, T0, T0 + SPAN))
    assert await deadline(db, up) == T0 + 1 + SPAN
    assert not await push(db, (up.id, T0 - 5, T0 - 5 + SPAN))
    assert await deadline(db, up) == T0 + 1 + SPAN


async def test_the_hot_path_never_brings_back_the_deleted(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await heartbeats.delete(db, made.id)

    assert not await push(db, (made.id, T0 + 1, T0 + 1 + SPAN))
    assert await judge(db, Ping(made.id, T0 + 1), Ping(made.id, T0 + 2, "fail", output=b"x")) == ["unknown"] * 2
    assert [key for key in await db.execute("KEYS", f"*{made.id}*") if b":deleted:" not in key] == []


@pytest.mark.parametrize(
    ("at", "sure", "answer"),
    [
        (T0 + 1000, False, "up"), (T0 + 1001, False, "clock"), (T0 + 1001, True, "clock"),
        (T0 - 1000, False, "up"), (T0 - 1001, False, "clock"), (T0 - 1001, True, "up"),
    ],
)  # fmt: skip
async def test_a_node_whose_clock_is_off_is_told_so(
    db: Database, clock: Clock, at: int, answer: str, *, sure: bool
) -> None:
    made = await make(db)

    assert await judge(db, Ping(made.id, at), sure=sure) == [answer]
    if answer == "up":
        assert await deadline(db, made) == min(at, T0 + 20) + SPAN


SIGNALS = [("success", ""), ("start", "a"), ("start", ""), ("fail", "a"), ("success", "a"), ("log", ""), ("fail", "")]


@pytest.mark.parametrize("state", ["pending", "up", "down", "paused", "running", "edited"])
@pytest.mark.parametrize(("signal", "rid"), SIGNALS)
async def test_a_batch_written_twice_changes_nothing(redis_url: str, state: str, signal: str, rid: str) -> None:
    async with opened(redis_url, clock=TEST_CLOCK) as db:
        clock = Clock(db)
        await clock.set(T0)
        made = await make(db, up_at=None if state == "pending" else T0 - 100)
        if state == "down":
            await send(db, made, "fail", at=T0 - 50)
        elif state == "paused":
            await heartbeats.pause(db, made.id)
        elif state == "running":
            await send(db, made, "start", at=T0 - 40, rid="a")
        elif state == "edited":
            await heartbeats.edit(db, made.id, {"grace": 40})
        await clock.forward(1)
        ping = Ping(made.id, T0 + 900, signal, rid=rid)
        answer = await judge(db, ping)
        once = await everything(db)
        await db.execute("SCRIPT", "FLUSH")
        await clock.forward(3)

        assert await judge(db, ping) == answer
        assert await everything(db) == once


async def test_a_ping_after_the_deadline_but_before_the_sweep_wins(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(SPAN / 1000 + 20)
    await hear(db, clock)

    assert await push(db, (made.id, clock.now, clock.now + SPAN))
    await deadlines.sweep(db, db.shards[0])
    assert (await status(db, made), await looks(db)) == ("up", [])


async def test_an_untold_silence_is_void_when_the_ping_had_come_in_time(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 100)
    (incident,) = await all_incidents(db)
    assert (incident.opened_at, incident.last_ping_at) == (T0 + SPAN, T0)

    assert await send(db, made, at=T0 + SPAN - 1) == "up"
    (incident,) = await all_incidents(db)
    assert (incident.status, incident.resolved_at) == ("void", T0 + SPAN)
    assert await deadline(db, made) == T0 + 2 * SPAN - 1
    assert await looks(db) == [incident.id] * 2


async def test_a_silence_that_a_failure_joined_is_resolved_and_not_void(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 100)
    await send(db, made, "fail", at=T0 + 50_000, exit_status="3", output=b"\xff")
    await send(db, made, at=T0 + 60_000)

    (incident,) = await all_incidents(db)
    assert (incident.status, incident.exit_status, incident.output) == ("resolved", "3", b"\xff")


async def test_an_old_failure_does_not_turn_a_void_silence_into_a_recovery(db: Database, clock: Clock) -> None:
    made = await make(db)
    await send(db, made, "fail", at=T0)
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)
    await pass_time(db, clock, 100)
    assert await send(db, made, at=T0 + 80_000) == "up"

    failed, silence = await all_incidents(db)
    assert (failed.resolution, silence.cause, silence.status) == ("paused", "silence", "void")


async def test_failures_open_at_once_join_and_are_resolved_by_the_next_success(db: Database, clock: Clock) -> None:
    made = await make(db)
    await send(db, made, "fail", at=T0 - 20, exit_status="1", output=b"one")
    await send(db, made, "fail", at=T0 - 10, exit_status="2", output=b"two")
    await send(db, made, "fail", at=T0 - 15, exit_status="9", output=b"late")
    assert await send(db, made, at=T0 - 10) == "parked"
    assert await send(db, made, at=T0 - 9) == "up"

    (incident,) = await all_incidents(db)
    assert (incident.cause, incident.opened_at, incident.exit_status) == ("failure", T0 - 20, "2")
    assert (incident.status, incident.resolved_at, incident.output) == ("resolved", T0 - 9, b"two")


async def test_a_late_failure_older_than_a_success_alarms_nobody(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await be_deaf(db, clock, 88)
    await clock.forward(10)
    await hear(db, clock)
    await deadlines.sweep(db, db.shards[0])
    assert await deadline(db, made) == T0 + 88_000 + SPAN + 0.5  # excused

    assert await send(db, made, at=T0 + 70_000) == "up"
    await send(db, made, "fail", at=T0 + 60_000)
    assert await all_incidents(db) == []
    assert (await heartbeats.get(db, made.id)).last_ping_at == T0 + 70_000


async def test_a_start_that_came_before_a_pause_starts_nothing_after_it(db: Database, clock: Clock) -> None:
    made = await make(db)
    await clock.forward(1)
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)

    await send(db, made, "start", at=T0 + 500)
    await pass_time(db, clock, 100)
    assert await status(db, made) == "pending"


async def test_a_late_ping_never_lowers_a_deadline_that_another_earned(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(40)
    ahead = clock.now + 4  # that node's clock is a little fast
    assert await push(db, (made.id, ahead, ahead + SPAN))

    assert await send(db, made, at=T0 + 10_000) == "up"
    assert await deadline(db, made) == ahead + SPAN


async def test_a_deadline_that_no_ping_can_have_earned_comes_down(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    assert await push(db, (made.id, T0, T0 + 3_600_000 + SPAN))

    assert await send(db, made, at=T0 + 1) == "up"
    assert await deadline(db, made) == T0 + SPAN + 0.5


async def test_a_start_not_later_than_the_last_ping_only_enters_the_log(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)

    assert await send(db, made, "start", at=T0) == "up"
    assert await log_of(db, made) == ["created", "success", "up", "success", "start"]


async def test_a_run_is_extended_by_its_own_start_and_ended_by_its_own_finish_even_when_older(
    db: Database, clock: Clock
) -> None:
    made = await make(db, up_at=T0, max_runtime=100)
    await clock.forward(50)
    assert await send(db, made, "start", at=T0 + 20_000, rid="a") == "parked"
    assert await send(db, made, "start", at=T0 + 30_000, rid="b") == "parked"
    assert await send(db, made, "start", at=T0 + 40_000, rid="a") == "parked"
    timers = dict(zip(*[iter(await db.execute("ZRANGE", db.shards[0].timers, 0, -1, "WITHSCORES"))] * 2, strict=True))
    assert sorted(map(int, timers.values())) == [T0 + 130_000, T0 + 140_000]
    assert await send(db, made, at=T0 + 45_000, rid="b") == "parked"
    assert await send(db, made, at=T0 + 10_000, rid="a") == "up"

    assert await deadline(db, made) == T0 + 45_000 + SPAN


async def test_a_success_without_a_name_ends_all_that_started_before_it(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(50)
    for at, rid in ((10_000, "a"), (20_000, "b"), (40_000, "c")):
        await send(db, made, "start", at=T0 + at, rid=rid)

    assert await send(db, made, at=T0 + 30_000) == "parked"
    assert await db.execute("ZRANGE", db.shards[0].timers, 0, -1) == [f"overdue:{made.id}:c".encode()]


async def test_whoever_leaves_no_run_behind_is_watched_again_even_when_its_deadline_has_passed(
    db: Database, clock: Clock
) -> None:
    made = await make(db, up_at=T0, max_runtime=1000)
    await clock.forward(500)
    await send(db, made, "start", at=T0 + 5, rid="a")
    late = T0 + 300_000

    assert await send(db, made, at=late, rid="a") == "up"
    assert await deadline(db, made) == clock.now + SPAN + 0.5
    assert (await heartbeats.get(db, made.id)).last_ping_at == late


async def test_runs_are_bounded(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(1)
    await judge(db, *(Ping(made.id, T0 + 1 + i, "start", rid=f"{i}") for i in range(99)))
    await judge(db, *(Ping(made.id, T0 + 200 + i, "start", rid=f"x{i}") for i in range(9)))

    assert await db.execute("ZCARD", db.shards[0].timers) == 100


@pytest.mark.parametrize(
    "spoil",
    [
        ("DEL", "{0}:heartbeat:ID"), ("HDEL", "{0}:heartbeat:ID", "period"), ("SET", "{0}:heartbeat:ID", "x"),
        ("HSET", "{0}:heartbeat:ID", "period", "x"), ("HDEL", "{0}:heartbeat:ID", "project"),
    ],
)  # fmt: skip
async def test_a_corrupt_record_stops_nobody_else(db: Database, clock: Clock, spoil: tuple[str, ...]) -> None:
    good, bad, other = await make(db), await make(db, up_at=T0), await make(db)
    await db.execute(*(part.replace("ID", bad.id) for part in spoil))
    await clock.forward(1)

    answers = await judge(db, *(Ping(h.id, T0 + 1, "fail") for h in (good, bad, other)))
    assert (answers[0], answers[2]) == ("parked", "parked")
    assert answers[1] == "unknown" or answers[1].startswith("error: ")
    assert (await status(db, good), await status(db, other)) == ("down", "down")


async def test_a_corrupt_item_stops_nobody_else(db: Database, clock: Clock) -> None:
    good = await make(db)
    rest = [""] * 7
    items: list[Any] = [good.id, "soon", "success", *rest, good.id, T0, "nonsense", *rest]
    answers = await db.run("arrive", db.shards[0], "1", *items, good.id, T0, "success", *rest)

    assert [answer[:6] for answer in answers] == [b"error:", b"error:", b"up"]


async def test_pings_are_refused_when_memory_is_full(db: Database, clock: Clock) -> None:
    up, pending = await make(db, up_at=T0 - 5), await make(db)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        with pytest.raises(Unavailable, match="memory"):
            await push(db, (up.id, T0, T0 + SPAN))
        with pytest.raises(Unavailable, match="memory"):
            await send(db, pending, at=T0)
        with pytest.raises(Unavailable, match="memory"):
            await deadlines.pulse(db, db.shards[0], "n1")
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)
    assert await deadline(db, up) == T0 - 5 + SPAN
    assert await status(db, pending) == "pending"


async def test_pings_are_refused_where_writes_are(db: Database, clock: Clock) -> None:
    pending = await make(db)
    await db.execute("CONFIG", "SET", "min-replicas-to-write", 1)
    try:
        with pytest.raises(Unavailable, match="replicas"):
            await send(db, pending, at=T0)
    finally:
        await db.execute("CONFIG", "SET", "min-replicas-to-write", 0)


async def test_outputs_are_bounded_in_rows_and_bytes_and_kept_byte_for_byte(db: Database, clock: Clock) -> None:
    made, shard = await make(db), db.shards[0]
    blob = bytes(range(256))
    for i in range(30):
        await send(db, made, "log", at=T0, output=blob)
        await send(db, made, "fail", at=T0 - 100 + i, output=blob * 16)  # 4 kB
    await send(db, made, "log", at=T0, output=b"x" * 40_000)

    for key, rows in ((shard.outputs(made.id), 0), (shard.failures(made.id), 8)):
        assert await db.execute("XLEN", key) == rows
    entries = await db.execute("XRANGE", shard.failures(made.id), "-", "+")
    flat = entries[-1][1]
    assert blob * 16 in (flat if isinstance(flat, list) else flat.values())
    await send(db, made, "log", at=T0, output=blob)
    assert await db.execute("XLEN", shard.outputs(made.id)) == 1
    assert int(await db.execute("HGET", shard.heartbeat(made.id), "outputs_bytes")) == 256
    for _ in range(30):
        await send(db, made, "log", at=T0, output=b"1")
    assert await db.execute("XLEN", shard.outputs(made.id)) == 20
    (incident,) = await all_incidents(db)
    assert (await incidents.get(db, incident.id)).output == blob * 16


async def test_the_event_log_is_bounded(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    async with lane_of(db) as lane:
        for i in range(1, 5):
            await lane.commit([(Ping(made.id, T0 + n), T0 + n + SPAN) for n in range(i * 100, i * 100 + 100)])

    assert 100 <= await db.execute("XLEN", db.shards[0].events(made.id)) <= 200


async def test_paused_logs_remembers_and_stays_paused(db: Database, clock: Clock) -> None:
    made, willing = await make(db, up_at=T0 - 5), await make(db, up_at=T0 - 5, resume_on_ping=True)
    for each in (made, willing):
        await heartbeats.pause(db, each.id, T0 + 10_000)
        assert await send(db, each, at=T0 - 1) == "parked"
    await clock.forward(1)
    for each in (made, willing):
        await send(db, each, "start", at=T0 + 1)
        await send(db, each, "fail", at=T0 + 2)
        await send(db, each, at=clock.now)

    record = await heartbeats.get(db, made.id)
    assert (record.stored_status, record.last_ping_at, record.deadline) == ("paused", clock.now, None)
    record = await heartbeats.get(db, willing.id)
    assert (record.stored_status, record.deadline, record.resume_at) == ("up", clock.now + SPAN, None)
    assert await db.execute("ZRANGE", db.shards[0].timers, 0, -1) == [f"resume:{made.id}".encode()]
    assert await looks(db) == []


@pytest.mark.parametrize("at", [10, T0, T0 + 1, 4_102_444_800_000, 9_007_199_254_740])
async def test_times_keep_every_millisecond(db: Database, clock: Clock, at: int) -> None:
    await clock.set(at)
    made = await make(db, up_at=at, period=3, grace=1)
    assert await db.execute("ZSCORE", db.shards[0].deadlines, made.id) == at + 4000
    await heartbeats.edit(db, made.id, {"grace": 2})

    assert await db.execute("HGET", db.shards[0].heartbeat(made.id), "held") == f"{at + 5000}.5".encode()
    await clock.forward(5.001)
    await hear(db, clock)
    await clock.forward(0.001)
    await hear(db, clock)
    await deadlines.timers(db, db.shards[0])
    assert await db.execute("ZSCORE", db.shards[0].deadlines, made.id) == at + 5000.5


async def test_a_ping_whose_deadline_has_passed_revives_nobody(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 400)

    assert await send(db, made, at=T0 + SPAN + 10) == "parked"
    record = await heartbeats.get(db, made.id)
    assert (record.stored_status, record.last_ping_at) == ("down", T0 + SPAN + 10)
    assert await send(db, made, at=T0 + SPAN + 11 + 300_000) == "up"


async def test_a_start_keeps_the_last_ping_and_an_older_start_never_shortens_the_run(
    db: Database, clock: Clock
) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(1)
    for at in (T0 + 900, T0 + 500):
        await send(db, made, "start", at=at, rid="a")

    assert (await heartbeats.get(db, made.id)).last_ping_at == T0
    assert await db.execute("ZSCORE", db.shards[0].timers, f"overdue:{made.id}:a") == T0 + 60_900


async def test_a_failure_older_than_the_last_ping_still_ends_its_own_run(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(10)
    await send(db, made, "start", at=T0 + 1000, rid="a")
    await send(db, made, at=T0 + 3000, rid="b")

    assert await send(db, made, "fail", at=T0 + 2000, rid="a") == "up"
    assert (await deadline(db, made), await all_incidents(db)) == (T0 + 3000 + SPAN, [])


async def test_signals_of_one_millisecond_are_judged_in_their_order(db: Database, clock: Clock) -> None:
    """A node gives each its own `at`, one more than the last, so the last ones lie ahead of the clock."""
    made = await make(db)
    signals = ("success", "fail", "success", "fail", "start", "fail", "success")

    for number, signal in enumerate(signals):
        await judge(db, Ping(made.id, T0 + number, signal))

    assert (await heartbeats.get(db, made.id)).stored_status == "up"
