"""Heartbeats with a schedule: which slot is owed after what, and when its silence becomes an incident.

Times of day stand for 15 January 2027, UTC, where the clock starts at 08:00:00.
"""

import asyncio
from typing import Any, Final

import pytest

from ingest.meaning import reckon
from store import changes, deadlines, heartbeats
from store.arrivals import Ping
from store.changes import Known
from store.database import Database
from store.deadlines import Swept
from store.records import Heartbeat, Settings
from tests.conftest import T0, Clock
from tests.store.scene import all_incidents, everything, hear, judge, log_of

HOURLY: Final = {"schedule": "0 * * * *", "grace": 600, "early": 60}
EVERY_TEN: Final = {"schedule": "*/10 * * * *", "grace": 60, "early": 60}


def at(time: str) -> int:
    """ms of a time of day, HH:MM:SS."""
    hours, minutes, seconds = map(int, time.split(":"))
    return T0 + ((hours - 8) * 3600 + minutes * 60 + seconds) * 1000


def time(ms: float | None) -> str:
    """The other way; "" = never."""
    if ms is None:
        return ""
    seconds = int(ms - T0) // 1000 + 8 * 3600
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


async def know(db: Database, heartbeat: Heartbeat) -> Known:
    (known,) = await changes.lookup(db, [heartbeat.id])
    assert known is not None
    return known


async def ping(
    db: Database, heartbeat: Heartbeat, signal: str = "success", *, at: int, known: Known | None = None, **fields: Any
) -> str:
    """One signal by a node that knows the settings, or still knows others."""
    each = Ping(heartbeat.id, at, signal, **fields)
    reckon(each, known or await know(db, heartbeat))
    return (await judge(db, each))[0]


async def make(db: Database, *, pinged: str = "08:00:00", **settings: Any) -> Heartbeat:
    """Hourly with ten minutes of grace; up since its first ping, unless that is ""."""
    chosen = Settings(**{"name": "backup", **HOURLY, **settings})
    made = await heartbeats.create(db, chosen)
    if pinged:
        assert await ping(db, made, at=at(pinged)) == "up"
    return await heartbeats.get(db, made.id)


async def work(db: Database) -> Swept:
    """What sweepers do all the time; answers what the last of them found."""
    shard = db.shards[0]
    while True:
        while await deadlines.clamp(db, shard):
            pass
        swept = await deadlines.sweep(db, shard)
        assert await deadlines.reckon(db, shard, swept.unreckoned) == 0
        await deadlines.timers(db, shard)
        await deadlines.chores(db, shard)
        if not swept.taken:
            return swept


async def listen(db: Database, clock: Clock, until: str) -> None:
    """Time passes; we hear all the while, and what has fallen due is judged."""
    while True:
        await hear(db, clock)
        swept = await work(db)
        if clock.now >= at(until):
            return
        due = at(until) if swept.due is None else swept.due
        await clock.set(min(at(until), max(due, clock.now) + 2))


async def be_deaf(db: Database, clock: Clock, since: str, until: str) -> None:
    await listen(db, clock, since)
    await clock.set(at(until))
    assert (await deadlines.pulse(db, db.shards[0], "n1")).deaf


async def owes(db: Database, heartbeat: Heartbeat) -> tuple[str, str]:
    """The slot that is owed, and the deadline of it and those that may be missed."""
    found = await heartbeats.get(db, heartbeat.id)
    return time(found.slot), time(found.deadline)


async def alarms(db: Database) -> list[tuple[str, str]]:
    return [(incident.cause, time(incident.opened_at)) for incident in await all_incidents(db)]


async def play(db: Database, clock: Clock, made: Heartbeat, script: str) -> None:
    """Steps such as ``08:59:30 success; 09:10:00 start a``."""
    for step in filter(None, script.split("; ")):
        when, signal, *rid = step.split()
        await listen(db, clock, when)
        if signal != "-":
            assert await ping(db, made, signal, at=clock.now, rid=rid[0] if rid else "") in {"up", "parked"}


# What a ping leaves owed


@pytest.mark.parametrize(
    ("settings", "script", "owed"),
    [
        pytest.param({}, "", ("09:00:00", "09:10:00"), id="the next slot"),
        pytest.param({}, "09:00:00 success", ("10:00:00", "10:10:00"), id="on the second"),
        pytest.param({}, "09:09:59 success", ("10:00:00", "10:10:00"), id="within the grace"),
        pytest.param({}, "08:59:30 success", ("10:00:00", "10:10:00"), id="a clock that is fast"),
        pytest.param({}, "08:59:00 success", ("10:00:00", "10:10:00"), id="as fast as is allowed"),
        pytest.param({}, "08:58:59 success", ("09:00:00", "09:10:00"), id="faster than is allowed"),
        pytest.param({"early": 0}, "08:59:59 success", ("09:00:00", "09:10:00"), id="none is allowed"),
        pytest.param(
            {}, "08:59:30 success; 08:59:40 success", ("10:00:00", "10:10:00"), id="a ping that comes twice"
        ),
        pytest.param(
            {}, "08:59:30 success; 09:00:05 success", ("10:00:00", "10:10:00"), id="once before and once after"
        ),
        pytest.param(
            {}, "08:59:30 success; 09:59:30 success; 10:59:30 success", ("12:00:00", "12:10:00"), id="always fast"
        ),
        pytest.param(
            {"max_runtime": 4000}, "09:00:01 start; 09:59:50 success", ("10:00:00", "10:10:00"),
            id="a long job that ends just before the next slot",
        ),
        pytest.param(
            {"grace": 4000}, "09:59:50 success", ("10:00:00", "11:06:40"), id="a ping so late that the next is near"
        ),
        pytest.param(
            {"max_runtime": 4000}, "08:59:10 start; 09:59:05 success; 09:59:10 start; 10:59:05 success",
            ("11:00:00", "11:10:00"), id="a long job with a clock that is fast",
        ),
        pytest.param(
            {}, "08:59:10 start a; 08:59:15 start b; 08:59:40 success a; 08:59:50 success b", ("10:00:00", "10:10:00"),
            id="two runs for one slot",
        ),
        pytest.param(
            {}, "08:59:30 success; 08:59:40 start; 08:59:50 success", ("10:00:00", "10:10:00"),
            id="a run after the slot was met early",
        ),
        pytest.param(
            {}, "08:59:30 fail; 08:59:50 success", ("10:00:00", "10:10:00"), id="a failure, and early a success"
        ),
        pytest.param(
            {}, "08:59:30 success; 08:59:40 fail; 08:59:50 success", ("10:00:00", "10:10:00"),
            id="met early, then a failure, then a success",
        ),
        pytest.param(
            {}, "08:59:30 fail; 09:59:30 success", ("11:00:00", "11:10:00"), id="fast, and it failed the last time"
        ),
        pytest.param(
            {}, "10:59:30 success", ("12:00:00", "12:10:00"), id="fast, and it was silent for two slots"
        ),
        pytest.param({"misses": 3}, "", ("09:00:00", "11:10:00"), id="three misses"),
        pytest.param({"misses": 3}, "08:59:30 success", ("10:00:00", "12:10:00"), id="three misses and early"),
        pytest.param({"misses": 3}, "10:30:00 success", ("11:00:00", "13:10:00"), id="after two of three misses"),
        pytest.param(EVERY_TEN, "08:09:40 success", ("08:20:00", "08:21:00"), id="denser"),
        pytest.param(
            {"schedule": "* * * * *", "grace": 5}, "08:00:31 success", ("08:02:00", "08:02:05"),
            id="nearer to the slot that is owed than to the one before",
        ),
        pytest.param(
            {"schedule": "* * * * *", "grace": 5}, "08:00:30 success", ("08:01:00", "08:01:05"),
            id="as near to the slot before",
        ),
    ],
)  # fmt: skip
async def test_what_a_ping_leaves_owed(
    db: Database, clock: Clock, settings: dict[str, Any], script: str, owed: tuple[str, str]
) -> None:
    made = await make(db, **settings)
    await play(db, clock, made, script)

    assert await owes(db, made) == owed


async def test_a_job_whose_clock_is_fast_is_alarmed_for_once_when_it_fails_and_not_at_every_slot_after(
    db: Database, clock: Clock
) -> None:
    made = await make(db)
    await play(db, clock, made, "08:59:30 success; 09:59:30 fail; 10:59:30 success; 11:59:30 success; 12:59:30 success")

    assert await alarms(db) == [("failure", "09:59:30")]


async def test_a_slot_that_nobody_meets_is_an_incident_dated_at_its_deadline(db: Database, clock: Clock) -> None:
    made = await make(db)
    await listen(db, clock, "09:10:00")
    assert await alarms(db) == []
    assert (await heartbeats.get(db, made.id)).status(clock.now) == "late"

    await listen(db, clock, "09:10:01")
    assert await alarms(db) == [("silence", "09:10:00")]
    assert await ping(db, made, at=clock.now) == "up"
    assert await owes(db, made) == ("10:00:00", "10:10:00")


async def test_misses_count_slots(db: Database, clock: Clock) -> None:
    await make(db, misses=3)
    await listen(db, clock, "15:00:00")

    assert await alarms(db) == [("silence", "11:10:00")]


@pytest.mark.parametrize(
    ("when", "status"), [("09:00:00", "up"), ("09:00:01", "late"), ("09:10:00", "late"), ("09:10:01", "down")]
)
async def test_late_is_what_lies_between_the_slot_and_the_deadline(
    db: Database, clock: Clock, when: str, status: str
) -> None:
    made = await make(db)
    await listen(db, clock, when)

    assert (await heartbeats.get(db, made.id)).status(clock.now) == status


async def test_a_job_that_runs_is_not_late(db: Database, clock: Clock) -> None:
    made = await make(db, max_runtime=7200)
    await play(db, clock, made, "09:00:01 start; 09:30:00 -")

    assert (await heartbeats.get(db, made.id)).status(clock.now) == "up"


async def test_a_slot_on_a_day_with_another_offset_is_where_the_clock_on_the_wall_says(
    db: Database, clock: Clock
) -> None:
    """On 28 March 2027 clocks in Berlin jump from 02:00 to 03:00, and back on 31 October."""
    day = 86_400_000
    spring = T0 + 71 * day  # 27 March 2027, 08:00 UTC
    await clock.set(spring)
    made = await make(db, pinged="", schedule="30 2 * * *", timezone="Europe/Berlin")
    slots = []
    for _ in range(3):
        assert await ping(db, made, at=clock.now) == "up"
        await hear(db, clock)
        record = await heartbeats.get(db, made.id)
        assert (record.slot, record.deadline) == (record.slot, (record.slot or 0) + 600_000)
        slots.append((record.slot or 0) - spring)
        await clock.set((record.slot or 0) + 599_000)
        await hear(db, clock)
        await work(db)

    hours = [slot / 3_600_000 for slot in slots]
    assert hours == [17, 17 + 23.5, 17 + 23.5 + 24]  # 01:00 (the jump itself), 00:30, 00:30 UTC
    assert await alarms(db) == []
    await clock.forward(2)
    await hear(db, clock)
    await work(db)
    (incident,) = await all_incidents(db)
    assert incident.opened_at == slots[-1] + spring + 600_000


# A batch that is late, repeated or reckoned by other settings


async def test_a_repeated_or_late_batch_changes_nothing(db: Database, clock: Clock) -> None:
    made = await make(db)
    for step in ("08:59:30 success", "09:00:05 start a", "09:20:00 success a", "09:30:00 fail", "09:40:00 success"):
        await play(db, clock, made, step)
    before = await everything(db)
    for when, signal, rid in (
        ("08:59:30", "success", ""), ("09:20:00", "success", "a"), ("09:30:00", "fail", ""), ("09:39:00", "success", "")
    ):  # fmt: skip
        await ping(db, made, signal, at=at(when), rid=rid)

    assert await everything(db) == before


async def test_a_ping_that_was_reckoned_by_other_settings_changes_nothing(db: Database, clock: Clock) -> None:
    made = await make(db)
    old = await know(db, made)
    await heartbeats.edit(db, made.id, {"schedule": "30 * * * *"})
    before, rows = await everything(db), await log_of(db, made)
    await clock.forward(5)

    for signal in ("success", "plain", "fail"):
        assert await ping(db, made, signal, at=clock.now, known=old) == "stale"
    assert (await everything(db), await log_of(db, made)) == (before, rows)
    for signal in ("log", "ignored"):  # they say nothing about slots
        assert await ping(db, made, signal, at=clock.now, known=old) == "parked"
    assert await everything(db) == before


async def test_a_ping_by_a_node_that_knows_only_a_period_is_stale(db: Database, clock: Clock) -> None:
    made = await heartbeats.create(db, Settings(name="x", period=60, grace=30))
    assert await ping(db, made, at=T0) == "up"
    old = await know(db, made)
    await heartbeats.edit(db, made.id, {"schedule": "0 * * * *"})

    assert await ping(db, made, "plain", at=T0 + 1, known=old) == "stale"
    assert await ping(db, made, "plain", at=T0 + 1) == "parked"


async def test_the_other_way_it_counts_by_the_period(db: Database, clock: Clock) -> None:
    made = await make(db)
    old = await know(db, made)
    await heartbeats.edit(db, made.id, {"schedule": "", "period": 60, "grace": 30})
    await clock.forward(7)

    assert await ping(db, made, at=clock.now, known=old) == "parked"
    assert (await heartbeats.get(db, made.id)).deadline == clock.now + 90_000


async def test_a_ping_that_came_in_time_and_was_written_late_voids_the_silence(db: Database, clock: Clock) -> None:
    made = await make(db)
    await listen(db, clock, "09:10:10")
    assert await ping(db, made, at=at("09:09:59")) == "up"

    (incident,) = await all_incidents(db)
    assert incident.status == "void"
    assert await owes(db, made) == ("10:00:00", "10:10:00")


async def test_a_ping_so_late_that_its_next_deadline_has_passed_does_not_bring_it_up(
    db: Database, clock: Clock
) -> None:
    made = await make(db)
    await listen(db, clock, "11:00:00")
    assert await ping(db, made, at=at("09:09:59")) == "parked"
    assert (await heartbeats.get(db, made.id)).stored_status == "down"


# What is granted: a resume, an edit, an excuse, the end of a run


async def test_a_resume_counts_from_now(db: Database, clock: Clock) -> None:
    made = await make(db)
    await heartbeats.pause(db, made.id)
    await listen(db, clock, "11:20:00")
    resumed = await heartbeats.resume(db, made.id)
    assert (time(resumed.slot), time(resumed.deadline)) == ("12:00:00", "12:10:00")

    await listen(db, clock, "12:10:00")
    assert await alarms(db) == []
    await listen(db, clock, "12:10:01")
    assert await alarms(db) == [("silence", "12:10:00")]


@pytest.mark.parametrize(
    ("when", "change", "owed"),
    [
        ("08:20:00", {"schedule": "30 * * * *"}, ("08:30:00", "08:40:00")),
        ("08:20:00", {"schedule": "15 * * * *"}, ("09:15:00", "09:25:00")),
        ("08:20:00", {"timezone": "Asia/Kolkata"}, ("08:30:00", "08:40:00")),
        ("08:20:00", {"grace": 60}, ("09:00:00", "09:01:00")),
        ("08:20:00", {"misses": 2}, ("09:00:00", "10:10:00")),
        ("09:05:00", {"grace": 60}, ("10:00:00", "10:01:00")),  # else the edit alarms by itself
        ("09:09:59", {"schedule": "*/10 * * * *", "grace": 0}, ("09:10:00", "09:10:00")),
    ],
)
async def test_an_edit_counts_from_now(
    db: Database, clock: Clock, when: str, change: dict[str, Any], owed: tuple[str, str]
) -> None:
    made = await make(db)
    await listen(db, clock, when)
    edited = await heartbeats.edit(db, made.id, change)
    assert (time(edited.slot), time(edited.deadline)) == owed

    await listen(db, clock, time(clock.now + 6_000))
    found = await heartbeats.get(db, made.id)
    if found.stored_status == "up":
        assert (time(found.slot), time(found.deadline)) == owed
        assert await db.execute("HMGET", db.shards[0].heartbeat(made.id), "held", "slot_from") == [None, None]
    await listen(db, clock, "15:00:00")
    assert await alarms(db) == [("silence", owed[1])]


async def test_other_settings_leave_what_is_owed_alone(db: Database, clock: Clock) -> None:
    made = await make(db)
    await listen(db, clock, "09:05:00")
    await heartbeats.edit(db, made.id, {"name": "other", "early": 10, "period": 7, "recover_after": 3})

    assert await owes(db, made) == ("09:00:00", "09:10:00")


async def test_a_ping_that_came_before_an_edit_does_not_bring_the_new_slots_before_it_to_account(
    db: Database, clock: Clock
) -> None:
    made = await make(db)
    await play(db, clock, made, "08:10:00 fail; 08:20:00 -")
    await heartbeats.edit(db, made.id, {"schedule": "15 * * * *"})
    await listen(db, clock, "08:21:00")
    assert await ping(db, made, at=at("08:12:00")) == "up"

    await listen(db, clock, "08:30:00")
    assert await alarms(db) == [("failure", "08:10:00")]
    assert await owes(db, made) == ("09:15:00", "09:25:00")


@pytest.mark.parametrize(
    ("settings", "script", "change", "owed"),
    [
        pytest.param({}, "08:59:30 success; 08:59:40 -", {"grace": 60}, ("10:00:00", "10:01:00"), id="met early"),
        pytest.param(
            {}, "08:59:30 success; 08:59:40 -", {"schedule": "*/30 * * * *"}, ("09:30:00", "09:40:00"),
            id="met early, another schedule",
        ),
        pytest.param(
            {"schedule": "", "period": 3600}, "08:59:30 success; 08:59:40 -", {"schedule": "0 * * * *"},
            ("10:00:00", "10:10:00"), id="met early, its first schedule",
        ),
        pytest.param(
            {"grace": 4000}, "09:59:40 success; 09:59:50 -", {"grace": 3000}, ("10:00:00", "10:50:00"),
            id="met the slot before",
        ),
        pytest.param({}, "08:58:30 success; 08:59:40 -", {"grace": 60}, ("09:00:00", "09:01:00"), id="too early"),
    ],
)  # fmt: skip
async def test_an_edit_does_not_ask_again_for_a_slot_that_was_met(
    db: Database, clock: Clock, *, settings: dict[str, Any], script: str, change: dict[str, Any], owed: tuple[str, str]
) -> None:
    made = await make(db, **settings)
    await play(db, clock, made, script)
    edited = await heartbeats.edit(db, made.id, change)
    assert (time(edited.slot), time(edited.deadline)) == owed

    await listen(db, clock, time(clock.now + 6_000))
    assert await owes(db, made) == owed


async def test_a_ping_during_a_pause_may_have_met_the_slot_that_is_next(db: Database, clock: Clock) -> None:
    made = await make(db)
    await heartbeats.pause(db, made.id)
    await play(db, clock, made, "09:59:30 success; 09:59:40 -")
    await heartbeats.resume(db, made.id)

    await listen(db, clock, "09:59:41")
    assert await owes(db, made) == ("11:00:00", "11:10:00")


@pytest.mark.parametrize(
    ("script", "owed"),
    [
        ("08:30:00 success", ("09:00:00", "09:10:00")),
        ("08:59:30 success", ("10:00:00", "10:10:00")),
        ("09:00:01 success", ("10:00:00", "10:10:00")),
        ("09:59:30 success", ("10:00:00", "10:10:00")),  # late for 09:00, for all that is known
        ("08:59:30 success; 08:59:31 success; 08:59:32 log", ("10:00:00", "10:10:00")),
        ("08:30:00 start; 08:59:30 success", ("10:00:00", "10:10:00")),
        ("08:30:00 fail; 08:59:30 success", ("10:00:00", "10:10:00")),
    ],
)
async def test_a_ping_counts_before_its_grant_is_reckoned(
    db: Database, clock: Clock, script: str, owed: tuple[str, str]
) -> None:
    made = await make(db, max_runtime=7200)
    await clock.set(at("08:20:00"))
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)
    for step in script.split("; "):  # no sweeper is there
        when, signal = step.split()
        await clock.set(at(when))
        await ping(db, made, signal, at=clock.now)

    assert await owes(db, made) == owed
    await listen(db, clock, time(clock.now + 1_000))
    assert await owes(db, made) == owed
    await listen(db, clock, owed[1])
    assert ("silence", owed[1]) not in await alarms(db)
    await listen(db, clock, "15:00:00")
    assert (await alarms(db))[-1] == ("silence", owed[1])


@pytest.mark.parametrize(
    ("since", "until", "owed"),
    [
        pytest.param("08:59:30", "09:05:00", ("10:00:00", "10:10:00"), id="over the slot"),
        pytest.param("09:08:00", "09:50:00", ("10:00:00", "10:10:00"), id="over the deadline"),
        pytest.param("08:30:00", "08:59:00", ("10:00:00", "10:10:00"), id="up to where an early ping may come"),
        pytest.param("08:59:10", "08:59:40", ("10:00:00", "10:10:00"), id="over an early ping"),
        pytest.param("08:59:10", "09:59:40", ("11:00:00", "11:10:00"), id="over the early ping of the next slot"),
        pytest.param("08:30:00", "08:58:59", ("", ""), id="before any ping could come"),
    ],
)
async def test_an_excuse_gives_the_next_slot_whose_ping_cannot_have_been_lost(
    db: Database, clock: Clock, since: str, until: str, owed: tuple[str, str]
) -> None:
    made = await make(db)
    await be_deaf(db, clock, since, until)
    await listen(db, clock, max("09:10:01", time(clock.now + 1_000)))
    assert await owes(db, made) == owed or not owed[0]
    assert (await log_of(db, made)).count("excused") == bool(owed[0])

    await listen(db, clock, "15:00:00")
    assert await alarms(db) == [("silence", owed[1] or "09:10:00")]


async def test_an_excuse_gives_as_many_slots_as_may_be_missed(db: Database, clock: Clock) -> None:
    made = await make(db, misses=3)
    await be_deaf(db, clock, "09:30:00", "09:40:00")
    await listen(db, clock, "11:10:01")
    assert await owes(db, made) == ("10:00:00", "12:10:00")

    await listen(db, clock, "12:10:01")
    assert await alarms(db) == [("silence", "12:10:00")]


async def test_three_windows_in_a_row_excuse_and_a_fourth_does_not(db: Database, clock: Clock) -> None:
    await make(db)
    for hour in ("09", "10", "11", "12"):
        await be_deaf(db, clock, f"{hour}:00:00", f"{hour}:01:00")
    await listen(db, clock, "12:10:01")

    assert await alarms(db) == [("silence", "12:10:00")]


async def test_a_ping_under_an_excuse_starts_the_count_anew(db: Database, clock: Clock) -> None:
    made = await make(db)
    for hour in ("09", "10", "11", "12", "13"):
        await be_deaf(db, clock, f"{hour}:00:00", f"{hour}:01:00")
        await listen(db, clock, f"{hour}:10:01")
        await ping(db, made, at=clock.now)

    assert await alarms(db) == []


@pytest.mark.parametrize("plan", [{}, {"schedule": "", "period": 3600}], ids=["schedule", "period"])
@pytest.mark.parametrize("then", ["edit", "run"])
async def test_excuses_of_long_ago_do_not_count_after_pings(
    db: Database, clock: Clock, plan: dict[str, Any], then: str
) -> None:
    made = await make(db, max_runtime=60, **plan)
    for hour in ("09", "10", "11"):
        await be_deaf(db, clock, f"{hour}:00:00", f"{hour}:01:00")
    await play(db, clock, made, "12:00:05 success; 13:00:05 success")
    assert (await log_of(db, made)).count("excused") == 3
    if then == "edit":  # a deadline behind which no ping stands
        await listen(db, clock, "13:30:00")
        await heartbeats.edit(db, made.id, {"grace": 660})
    else:
        await play(db, clock, made, "13:59:59 start")
    await be_deaf(db, clock, "14:00:00", "14:00:30")

    await play(db, clock, made, "15:00:05 success")
    assert await alarms(db) == []


# Runs


@pytest.mark.parametrize(
    ("script", "owed"),
    [
        ("08:30:00 success", ("09:00:00", "09:10:00")),
        ("08:59:30 success", ("10:00:00", "10:10:00")),
        ("09:00:30 success", ("10:00:00", "10:10:00")),
        ("09:59:30 success", ("10:00:00", "10:10:00")),
    ],
)
async def test_a_run_that_is_under_way_across_an_edit_to_a_schedule(
    db: Database, clock: Clock, script: str, owed: tuple[str, str]
) -> None:
    made = await make(db, schedule="", period=60, max_runtime=7200)
    await play(db, clock, made, "08:00:10 start; 08:20:00 -")
    await heartbeats.edit(db, made.id, {"schedule": "0 * * * *"})
    await play(db, clock, made, script)
    await listen(db, clock, time(clock.now + 6_000))

    assert await owes(db, made) == owed
    assert await alarms(db) == []


async def test_a_run_that_is_under_way_across_an_edit_to_a_period(db: Database, clock: Clock) -> None:
    made = await make(db, max_runtime=7200)
    await play(db, clock, made, "08:00:10 start; 08:20:00 -")
    await heartbeats.edit(db, made.id, {"schedule": "", "period": 60, "grace": 30})
    await play(db, clock, made, "08:40:00 success")

    found = await heartbeats.get(db, made.id)
    assert (found.slot, time(found.deadline)) == (None, "08:41:30")


async def test_a_run_that_ends_unknown_leaves_the_next_slot_owed(db: Database, clock: Clock) -> None:
    made = await make(db, max_runtime=60)
    await play(db, clock, made, "09:00:01 start")
    await be_deaf(db, clock, "09:00:10", "09:00:20")
    await listen(db, clock, "09:01:02")
    assert "unknown" in await log_of(db, made)
    assert await owes(db, made) == ("10:00:00", "10:10:00")

    await listen(db, clock, "10:10:01")
    assert await alarms(db) == [("silence", "10:10:00")]


async def test_a_finish_that_came_early_and_was_lost_with_its_run_is_not_asked_for_again(
    db: Database, clock: Clock
) -> None:
    made = await make(db, max_runtime=60)
    await play(db, clock, made, "08:59:20 start")
    await be_deaf(db, clock, "08:59:30", "08:59:50")
    await play(db, clock, made, "09:59:30 success")

    assert await alarms(db) == []


async def test_the_end_of_one_of_two_runs_leaves_the_other_under_way(db: Database, clock: Clock) -> None:
    made = await make(db, max_runtime=7200)
    await play(db, clock, made, "09:00:01 start a; 09:00:02 start b; 09:00:30 success a")
    assert (await heartbeats.get(db, made.id)).deadline is None
    await play(db, clock, made, "09:00:40 success b")

    assert await owes(db, made) == ("10:00:00", "10:10:00")


# The clock, sweepers, and what is corrupt


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_clock_that_steps_back_leaves_the_next_slot_owed(
    db: Database, clock: Clock, *, is_running: bool
) -> None:
    made = await make(db, max_runtime=7200)
    await play(db, clock, made, "09:00:05 success; 10:00:05 success")
    if is_running:
        await play(db, clock, made, "10:00:06 start")
    await clock.set(at("08:20:00"))
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back
    await listen(db, clock, "08:20:01")
    if is_running:
        await play(db, clock, made, "08:30:00 success")
    assert await owes(db, made) == ("09:00:00", "09:10:00")

    await listen(db, clock, "15:00:00")
    assert await alarms(db) == [("silence", "09:10:00")]


async def test_a_grant_that_waits_while_the_clock_steps_back_counts_from_then(db: Database, clock: Clock) -> None:
    made = await make(db)
    await listen(db, clock, "10:30:00")
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)
    await clock.set(at("08:20:00"))
    await deadlines.pulse(db, db.shards[0], "n1")
    await listen(db, clock, "08:20:01")

    assert await owes(db, made) == ("09:00:00", "09:10:00")


async def test_two_sweepers_reckon_each_grant_once(db: Database, clock: Clock) -> None:
    made = [await make(db, name=f"{number}") for number in range(130)]
    for each in made:
        await heartbeats.pause(db, each.id)
        await heartbeats.resume(db, each.id)
    await clock.forward(1)
    await hear(db, clock)
    shard = db.shards[0]

    swept = await asyncio.gather(*(deadlines.sweep(db, shard) for _ in range(3)))
    assert sorted(len(each.unreckoned) for each in swept) == [0, 30, 100]
    assert await asyncio.gather(*(deadlines.reckon(db, shard, each.unreckoned) for each in swept)) == [0, 0, 0]
    for each in made:
        assert await owes(db, each) == ("09:00:00", "09:10:00")
    before = await everything(db)
    for answer in swept:  # that comes twice
        await deadlines.reckon(db, shard, answer.unreckoned)
    assert await everything(db) == before


async def test_a_sweeper_that_dies_costs_five_seconds_and_no_alarm(db: Database, clock: Clock) -> None:
    made = await make(db)
    await clock.set(at("08:30:00"))
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)
    shard = db.shards[0]
    for second in ("08:30:01", "08:30:07", "09:30:00"):
        await clock.set(at(second))
        await hear(db, clock)
        swept = await deadlines.sweep(db, shard)
        assert [heartbeat for heartbeat, _, _ in swept.unreckoned] == [made.id]
        await clock.forward(4.9)
        await hear(db, clock)
        assert (await deadlines.sweep(db, shard)).taken == 0
    assert await alarms(db) == []

    await listen(db, clock, "09:30:10")
    assert await alarms(db) == [("silence", "09:10:00")]


@pytest.mark.parametrize("change", ["edited", "granted anew", "pinged", "to a period", "deleted", "failed"])
async def test_an_answer_that_comes_after_a_change_is_left_alone(db: Database, clock: Clock, change: str) -> None:
    made = await make(db)
    await clock.set(at("08:30:00"))
    await heartbeats.pause(db, made.id)
    await heartbeats.resume(db, made.id)
    await listen_without_reckoning(db, clock)
    shard = db.shards[0]
    rev, since, pinged = await db.execute("HMGET", shard.heartbeat(made.id), "rev", "slot_from", "last_ping")
    acts: dict[str, Any] = {
        "edited": lambda: heartbeats.edit(db, made.id, {"schedule": "15 * * * *"}),
        "granted anew": lambda: heartbeats.pause(db, made.id),
        "pinged": lambda: ping(db, made, at=clock.now),
        "to a period": lambda: heartbeats.edit(db, made.id, {"schedule": ""}),
        "deleted": lambda: heartbeats.delete(db, made.id),
        "failed": lambda: ping(db, made, "fail", at=clock.now),
    }
    await acts[change]()
    if change == "granted anew":
        await heartbeats.resume(db, made.id)
    before = await everything(db)

    taken = await db.run("slot", shard, made.id, rev, since, pinged, at("09:00:00"), at("09:10:00"))
    if change == "failed":
        assert (await heartbeats.get(db, made.id)).deadline is None
    else:
        assert (taken, await everything(db)) == (0, before)


async def listen_without_reckoning(db: Database, clock: Clock) -> None:
    await clock.forward(1)
    await hear(db, clock)
    await deadlines.sweep(db, db.shards[0])


@pytest.mark.parametrize(
    ("field", "value"),
    [("schedule", "nonsense"), ("schedule", b"\xff"), ("timezone", "Atlantis"), ("misses", "x"), ("early", "")],
)
async def test_a_corrupt_record_is_counted_and_stops_nobody_else(
    db: Database, clock: Clock, field: str, value: str | bytes
) -> None:
    made = [await make(db, name=f"{number}") for number in range(3)]
    shard = db.shards[0]
    for each in made:
        await heartbeats.pause(db, each.id)
        await heartbeats.resume(db, each.id)
    await db.execute("HSET", shard.heartbeat(made[1].id), field, value)
    await clock.forward(1)
    await hear(db, clock)

    swept = await deadlines.sweep(db, shard)
    assert await deadlines.reckon(db, shard, swept.unreckoned) == 1
    for each in (made[0], made[2]):
        assert await owes(db, each) == ("09:00:00", "09:10:00")
    assert (await know(db, made[1])).corrupt
    assert await ping(db, made[1], at=clock.now) == "stale"  # not taken for another's
    assert await ping(db, made[1], "log", at=clock.now) == "up"
    await clock.forward(6)
    await hear(db, clock)
    assert [heartbeat for heartbeat, _, _ in (await deadlines.sweep(db, shard)).unreckoned] == [made[1].id]


async def test_a_heartbeat_with_a_corrupt_schedule_still_falls_silent_at_the_deadline_that_it_has(
    db: Database, clock: Clock
) -> None:
    made = await make(db)
    await db.execute("HSET", db.shards[0].heartbeat(made.id), "schedule", "nonsense")
    await listen(db, clock, "09:10:01")

    assert await alarms(db) == [("silence", "09:10:00")]
