"""What the pings of a heartbeat may mean beyond "it came": how many end an incident, how long a run took."""

from typing import Any

import pytest

from store import heartbeats
from store.arrivals import Ping
from store.database import Database
from store.records import Heartbeat
from tests.conftest import T0, Clock
from tests.store.scene import (
    SPAN,
    all_incidents,
    be_deaf,
    deadline,
    everything,
    judge,
    log_of,
    looks,
    make,
    pass_time,
    send,
    status,
)


async def fall_silent(db: Database, clock: Clock) -> None:
    await pass_time(db, clock, SPAN / 1000 + 0.001)


async def good_pings(db: Database, clock: Clock, heartbeat: Heartbeat, count: int) -> str:
    """The status after so many, a second apart."""
    for _ in range(count):
        await clock.forward(1)
        await send(db, heartbeat, at=clock.now)
    return await status(db, heartbeat)


async def took(db: Database, heartbeat: Heartbeat) -> list[str]:
    """Of each row of the event log that has the field."""
    entries = await db.execute("XRANGE", db.shard(heartbeat.id).events(heartbeat.id), "-", "+")
    fields = [dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat for _, flat in entries]
    return [each[b"took"].decode() for each in fields if b"took" in each]


# recover_after


@pytest.mark.parametrize("cause", ["silence", "failure", "overrun"])
async def test_an_incident_ends_with_the_last_of_so_many_good_pings(db: Database, clock: Clock, cause: str) -> None:
    made = await make(db, up_at=T0 - 1, recover_after=3, max_runtime=20)
    if cause == "failure":
        await send(db, made, "fail", at=T0)
    elif cause == "overrun":
        await send(db, made, "start", at=T0)
    await fall_silent(db, clock)
    assert [incident.cause for incident in await all_incidents(db)] == [cause]

    assert await good_pings(db, clock, made, 2) == "down"
    assert await deadline(db, made) is None
    assert await good_pings(db, clock, made, 1) == "up"
    (incident,) = await all_incidents(db)
    assert (incident.status, incident.resolution, incident.resolved_at) == ("resolved", "ping", clock.now)
    assert await looks(db) == [incident.id] * 2
    assert await deadline(db, made) == clock.now + SPAN
    assert await db.execute("HEXISTS", db.shards[0].heartbeat(made.id), "good") == 0


async def test_a_failure_in_between_starts_the_count_anew(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, recover_after=3)
    await fall_silent(db, clock)
    await good_pings(db, clock, made, 2)
    await clock.forward(1)
    await send(db, made, "fail", at=clock.now)

    assert await good_pings(db, clock, made, 2) == "down"
    assert await good_pings(db, clock, made, 1) == "up"


async def test_the_count_ends_with_its_incident(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, recover_after=3)
    await fall_silent(db, clock)
    await good_pings(db, clock, made, 2)
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)
    await fall_silent(db, clock)

    assert await good_pings(db, clock, made, 2) == "down"
    assert await good_pings(db, clock, made, 1) == "up"


async def test_the_same_ping_twice_or_an_older_one_is_one_good_ping(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, recover_after=3)
    await fall_silent(db, clock)
    await good_pings(db, clock, made, 1)
    before = await everything(db)
    for at in (clock.now, clock.now - 500, clock.now):
        assert await send(db, made, at=at) == "parked"

    assert await everything(db) == before


async def test_what_came_in_time_voids_at_once(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, recover_after=3)
    await fall_silent(db, clock)

    assert await send(db, made, at=T0 + SPAN - 1) == "up"
    assert [incident.status for incident in await all_incidents(db)] == ["void"]


async def test_what_came_in_time_but_before_a_failure_that_joined_resolves_like_any_good_ping(
    db: Database, clock: Clock
) -> None:
    made = await make(db, up_at=T0, recover_after=2)
    await fall_silent(db, clock)
    await clock.forward(1)
    await send(db, made, "fail", at=clock.now)

    assert await send(db, made, at=T0 + SPAN - 1) == "parked"  # older than the failure
    assert await good_pings(db, clock, made, 2) == "up"
    assert [incident.status for incident in await all_incidents(db)] == ["resolved"]


async def test_a_run_may_begin_and_end_while_it_recovers(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, recover_after=2)
    await fall_silent(db, clock)
    for _ in range(2):
        await clock.forward(1)
        await send(db, made, "start", at=clock.now, rid="a")
        await clock.forward(1)
        await send(db, made, at=clock.now, rid="a")

    assert (await status(db, made), await deadline(db, made)) == ("up", clock.now + SPAN)


async def test_with_fewer_to_come_after_an_edit_the_next_one_ends_it(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0, recover_after=5)
    await fall_silent(db, clock)
    await good_pings(db, clock, made, 3)
    await heartbeats.edit(db, made.id, {"recover_after": 1})

    assert await good_pings(db, clock, made, 1) == "up"


async def test_who_recovers_and_falls_silent_again_stays_down_with_the_same_incident(
    db: Database, clock: Clock
) -> None:
    made = await make(db, up_at=T0, recover_after=3)
    await fall_silent(db, clock)
    await good_pings(db, clock, made, 2)
    await pass_time(db, clock, 10_000)

    assert await status(db, made) == "down"
    assert len(await all_incidents(db)) == 1


async def test_a_first_ping_and_a_resume_need_no_more_than_one(db: Database, clock: Clock) -> None:
    made = await make(db, recover_after=3, resume_on_ping=True)
    assert await send(db, made, at=T0) == "up"
    await clock.forward(1)
    await heartbeats.pause(db, made.id)
    await clock.forward(1)
    assert await send(db, made, at=clock.now) == "up"


# How long a run took


@pytest.mark.parametrize(
    ("runs", "finish", "expected"),
    [
        ([("a", 0)], ("success", "a"), 7_000),
        ([("", 0)], ("success", ""), 7_000),
        ([("a", 0)], ("fail", "a"), 7_000),
        ([("a", 0), ("b", 3_000)], ("success", "b"), 4_000),
        ([("a", 0), ("", 3_000)], ("success", ""), 4_000),
        ([("a", 0)], ("success", ""), 7_000),  # the only run that it can mean
        ([("a", 0), ("b", 3_000)], ("success", ""), None),  # it ends both, and says of neither how long
        ([("a", 0)], ("success", "b"), None),
        ([], ("success", ""), None),
        ([], ("success", "a"), None),
    ],
)
async def test_a_finish_is_timed_by_the_run_that_it_names(
    db: Database, clock: Clock, runs: list[tuple[str, int]], finish: tuple[str, str], expected: int | None
) -> None:
    made = await make(db, up_at=T0 - 1)
    for rid, after in runs:
        await clock.set(T0 + after)
        await send(db, made, "start", at=clock.now, rid=rid)
    await clock.set(T0 + 7_000)
    await send(db, made, finish[0], at=clock.now, rid=finish[1])

    assert (await heartbeats.get(db, made.id)).last_duration_ms == expected
    assert (await took(db, made))[-1] == ("" if expected is None else str(expected))
    assert set((await took(db, made))[:-1]) <= {""}


async def test_a_repeated_finish_leaves_the_duration_alone(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 1)
    await send(db, made, "start", at=T0, rid="a")
    await clock.forward(7)
    await send(db, made, at=clock.now, rid="a")
    before = await everything(db)
    await clock.forward(7)
    await send(db, made, at=clock.now - 7_000, rid="a")

    assert await everything(db) == before
    assert (await took(db, made))[-2:] == ["7000", ""]


async def test_a_start_that_comes_again_does_not_begin_the_run_anew(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 1)
    for _ in range(2):
        await send(db, made, "start", at=clock.now, rid="a")
        await clock.forward(5)
    await send(db, made, at=clock.now, rid="a")

    assert (await heartbeats.get(db, made.id)).last_duration_ms == 10_000


async def test_a_finish_older_than_its_start_has_no_duration(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0 - 1)
    await send(db, made, "start", at=T0, rid="a")
    await send(db, made, at=T0 - 500, rid="a")

    record = await heartbeats.get(db, made.id)
    assert (record.last_duration_ms, record.running_since) == (None, None)


@pytest.mark.parametrize("end", ["overrun", "unknown"])
async def test_a_run_that_does_not_finish_has_no_duration(db: Database, clock: Clock, end: str) -> None:
    made = await make(db, up_at=T0 - 1, max_runtime=20)
    await send(db, made, "start", at=T0, rid="a")
    if end == "unknown":
        await be_deaf(db, clock, 10)
    await pass_time(db, clock, 21)
    await send(db, made, at=clock.now, rid="a")

    assert (await heartbeats.get(db, made.id)).last_duration_ms is None


async def test_a_run_is_timed_during_a_recovery_too(db: Database, clock: Clock) -> None:
    made = await make(db, recover_after=3)
    await send(db, made, "fail", at=T0)
    await send(db, made, "start", at=T0 + 1, rid="a")
    await clock.forward(7)
    await send(db, made, at=clock.now, rid="a")

    assert (await heartbeats.get(db, made.id)).last_duration_ms == 6_999


# ignored


@pytest.mark.parametrize("state", ["pending", "up", "down", "paused", "running", "edited"])
@pytest.mark.parametrize("signal", ["ignored", "log"])
async def test_what_is_ignored_enters_the_log_and_changes_nothing(
    db: Database, clock: Clock, state: str, signal: str
) -> None:
    made = await make(db, up_at=None if state == "pending" else T0 - 5)
    acts: dict[str, Any] = {
        "down": lambda: send(db, made, "fail", at=T0), "paused": lambda: heartbeats.pause(db, made.id),
        "running": lambda: send(db, made, "start", at=T0, rid="a"),
        "edited": lambda: heartbeats.edit(db, made.id, {"grace": 40}),
    }  # fmt: skip
    if state in acts:
        await acts[state]()
    await clock.forward(1)
    before, rows = await everything(db), await log_of(db, made)

    (answer,) = await judge(db, Ping(made.id, clock.now, signal, "3", rid="a", output=b"x"))
    assert answer == ("up" if state == "up" else "parked")
    assert await everything(db) == before
    assert await log_of(db, made) == [*rows, signal]
    outputs = await db.execute("XLEN", db.shards[0].outputs(made.id))
    assert (outputs, await db.execute("XLEN", db.shards[0].failures(made.id))) == (1, int(state == "down"))
