from itertools import pairwise

from store import deadlines
from store.database import Database
from tests.conftest import T0, Clock
from tests.store.scene import be_deaf


async def test_the_first_pulse_finds_no_window(db: Database, clock: Clock) -> None:
    pulse = await deadlines.pulse(db, db.shards[0], "n1")

    assert (pulse.now, pulse.nodes, pulse.deaf, pulse.stepped_back) == (T0, 1, False, False)


async def test_a_gap_of_a_second_is_none_and_a_millisecond_more_is(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    await deadlines.pulse(db, shard, "n1")
    await clock.forward(1)
    assert not (await deadlines.pulse(db, shard, "n1")).deaf
    await clock.forward(1.001)

    assert (await deadlines.pulse(db, shard, "n2")).deaf
    assert await deadlines.deaf_windows(db, shard) == [(T0 + 1000, T0 + 2001)]
    assert not (await deadlines.pulse(db, shard, "n2")).deaf


async def test_another_server_run_is_a_window_whatever_the_gap(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    await deadlines.pulse(db, shard, "n1")
    await db.execute("HSET", shard.pulse, "run", "another")
    await clock.forward(0.01)

    assert (await deadlines.pulse(db, shard, "n1")).deaf
    assert await deadlines.deaf_windows(db, shard) == [(T0, T0 + 10)]
    await db.execute("HSET", shard.pulse, "run", "another")
    await clock.set(T0 - 500)
    assert (await deadlines.pulse(db, shard, "n1")).deaf
    assert await deadlines.deaf_windows(db, shard) == [(T0 - 500, T0 + 10)]


async def test_nodes_that_pulse_are_counted_for_three_seconds(db: Database, clock: Clock) -> None:
    shard, counts = db.shards[0], []
    for node in ("n1", "n2", "n3", "n1"):
        await clock.forward(1)
        counts.append((await deadlines.pulse(db, shard, node)).nodes)
    assert counts == [1, 2, 3, 3]
    await clock.forward(1.9)

    assert (await deadlines.pulse(db, shard, "n1")).nodes == 2
    fields = await db.execute("HKEYS", shard.pulse)
    assert sorted(field for field in fields if field.startswith(b"node:")) == [b"node:n1", b"node:n3"]


async def test_windows_are_merged_and_never_more_than_a_hundred(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    for _ in range(103):
        await be_deaf(db, clock, 2)
        await clock.forward(0.5)

    windows = await deadlines.deaf_windows(db, shard)
    assert len(windows) == 100
    assert windows[0] == (T0, T0 + 3 * 2500 + 2000)  # four have become one: rather excuse too much
    assert windows[-1] == (T0 + 102 * 2500, T0 + 102 * 2500 + 2000)
    assert all(end < start for (_, end), (start, _) in pairwise(windows))


async def test_a_window_that_touches_another_is_one_with_it(db: Database, clock: Clock) -> None:
    await be_deaf(db, clock, 2)
    await be_deaf(db, clock, 2)

    assert await deadlines.deaf_windows(db, db.shards[0]) == [(T0, T0 + 4000)]


async def test_the_pulse_never_goes_back_by_a_small_step_and_always_by_a_large_one(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    await be_deaf(db, clock, 20)
    await clock.forward(-0.9)
    assert not (await deadlines.pulse(db, shard, "n1")).stepped_back
    assert await db.execute("HGET", shard.pulse, "at") == str(T0 + 20_000).encode()
    await clock.set(T0 + 10_000)

    pulse = await deadlines.pulse(db, shard, "n1")
    assert (pulse.stepped_back, pulse.deaf) == (True, False)
    assert await db.execute("HGET", shard.pulse, "at") == str(T0 + 10_000).encode()
    assert await deadlines.deaf_windows(db, shard) == [(T0, T0 + 10_000)]
    assert (await deadlines.sweep(db, shard)).walking
    await clock.set(T0 - 10_000)
    await deadlines.pulse(db, shard, "n1")
    assert await deadlines.deaf_windows(db, shard) == []
