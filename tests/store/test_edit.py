from typing import Any

import pytest

from store import heartbeats
from store.database import Database
from store.errors import NotFound
from tests.conftest import T0, Clock
from tests.store.scene import SPAN, be_deaf, deadline, everything, make, pass_time, push, send, status


@pytest.mark.parametrize(
    ("after_s", "change", "expected_s"),
    [
        (10, {"period": 600}, 630),  # longer: as if it had been so when it pinged
        (10, {"grace": 50}, 110),
        (10, {"period": 20}, 60),  # shorter, and still to come: now + new span
        (80, {"period": 1, "grace": 1}, 82),
        (80, {"period": 50}, 90),  # never later than it would have been
        (10, {"period": 20, "grace": 75}, 95),
        (10, {"misses": 3}, 210),
        (95, {"period": 10}, 90),  # it had passed: no edit hides that
    ],
)
async def test_the_new_deadline_never_alarms_by_itself(
    db: Database, clock: Clock, after_s: int, change: dict[str, int], expected_s: int
) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(after_s)

    edited = await heartbeats.edit(db, made.id, change)
    assert edited.deadline == T0 + expected_s * 1000 + 0.5
    assert (edited.last_ping_at, edited.rev) == (T0, made.rev + 1)


async def test_shortening_takes_effect_when_no_node_can_know_the_old_span(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, period=86_400)
    await clock.forward(100)
    await heartbeats.edit(db, made.id, {"period": 10, "grace": 10})
    old_span = 86_430_000

    assert not await push(db, (made.id, T0 + 101_000, T0 + 101_000 + old_span))
    await clock.forward(1)
    assert await send(db, made, "plain", at=T0 + 101_000) == "parked"
    assert await deadline(db, made) == T0 + 121_000
    await pass_time(db, clock, 5)
    assert await db.execute("ZSCORE", db.shards[0].deadlines, made.id) == T0 + 121_000
    await pass_time(db, clock, 20)
    assert await status(db, made) == "down"


async def test_the_held_deadline_goes_live_behind_the_gate_and_once(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await heartbeats.edit(db, made.id, {"period": 70})
    await clock.forward(4)
    await heartbeats.edit(db, made.id, {"period": 80})
    await pass_time(db, clock, 4.5)
    assert await db.execute("HGET", db.shards[0].heartbeat(made.id), "held") is not None

    await pass_time(db, clock, 0.501)
    shard = db.shards[0]
    assert await db.execute("ZSCORE", shard.deadlines, made.id) == T0 + 110_000.5
    assert await db.execute("HMGET", shard.heartbeat(made.id), "held", "settle_at") == [None, None]
    assert await db.execute("ZCARD", shard.timers) == 0


async def test_the_same_edit_again_moves_nothing(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    change = {"name": "Новое", "period": 20, "grace": 5, "tags": ("x",), "max_runtime": 9, "channels": ()}
    await heartbeats.edit(db, made.id, change)
    before = await everything(db)
    await clock.forward(1)
    await db.execute("SCRIPT", "FLUSH")
    await heartbeats.edit(db, made.id, change)

    assert await everything(db) == before


async def test_other_settings_leave_the_deadline_alone(db: Database, clock: Clock) -> None:
    made = await make(db, "zed", up_at=T0, tags=("a", "b"), max_runtime=5, channels=("c",))
    edited = await heartbeats.edit(
        db, made.id, {"name": "alpha", "tags": ("b", "c"), "max_runtime": None, "channels": None}
    )

    shard, entry = db.shards[0], f"alpha\0{made.id}".encode()
    assert await db.execute("ZSCORE", shard.deadlines, made.id) == T0 + SPAN
    assert (edited.settings.name, edited.settings.max_runtime, edited.settings.channels) == ("alpha", None, None)
    for index in (shard.names("default"), shard.status("default", "up"), shard.tagged("default", "c")):
        assert await db.execute("ZRANGE", index, 0, -1) == [entry]
    assert await db.execute("EXISTS", shard.tagged("default", "a")) == 0


@pytest.mark.parametrize("state", ["pending", "down", "paused", "running"])
async def test_the_parked_stay_parked_and_are_watched_by_the_new_settings_later(
    db: Database, clock: Clock, state: str
) -> None:
    made = await make(db, up_at=None if state == "pending" else T0 - 100)
    acts: dict[str, Any] = {
        "down": lambda: send(db, made, "fail", at=T0), "paused": lambda: heartbeats.pause(db, made.id),
        "running": lambda: send(db, made, "start", at=T0),
    }  # fmt: skip
    if state in acts:
        await acts[state]()
    await heartbeats.edit(db, made.id, {"grace": 40})
    assert await deadline(db, made) is None

    await clock.forward(1)
    if state == "paused":
        await heartbeats.resume(db, made.id)
    await send(db, made, at=clock.now)
    expected = clock.now + SPAN + 10_000 + (0.5 if state == "paused" else 0)
    assert (await status(db, made), await deadline(db, made)) == ("up", expected)
    await pass_time(db, clock, 4.001)
    assert await db.execute("ZSCORE", db.shards[0].deadlines, made.id) == expected


async def test_an_excuse_counts_from_an_edit_that_came_after_the_window(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await clock.forward(60)
    await be_deaf(db, clock, 4)
    await clock.forward(2)
    await heartbeats.edit(db, made.id, {"period": 20})
    assert await deadline(db, made) == T0 + 90_000.5
    await pass_time(db, clock, 6)
    await pass_time(db, clock, 19)

    assert await deadline(db, made) == T0 + 66_000 + 50_000 + 0.5


async def test_an_edit_of_what_is_not_there_is_refused(db: Database) -> None:
    with pytest.raises(NotFound):
        await heartbeats.edit(db, "0123456789ab", {"grace": 1})


async def test_rotation_changes_the_token_and_nothing_else(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    rotated = await heartbeats.rotate(db, made.id)

    assert rotated.token != made.token
    assert (rotated.id, rotated.deadline) == (made.id, made.deadline)
