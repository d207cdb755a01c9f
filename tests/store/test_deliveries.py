import asyncio
from typing import Any

import pytest

from store import deadlines, deliveries, heartbeats, incidents, notifications
from store.database import Database
from store.deliveries import Lease, Result
from store.errors import NotFound
from tests.conftest import T0, Clock
from tests.store.scene import everything, hear, make, pass_time, send

LEASE_MS = 30_000


async def trouble(db: Database, name: str = "backup") -> tuple[Any, str]:
    """A heartbeat that failed, and its incident, noted for the channel c."""
    made = await make(db, name)
    now = int(await db.execute("GET", "{flatline}:test:now"))
    await send(db, made, "fail", at=now)
    incident = (await heartbeats.get(db, made.id)).incident
    assert incident is not None
    await note(db, incident)
    return made, incident


async def note(db: Database, *noted: str) -> None:
    await notifications.enlist(db, db.shards[0], "", [(incident, "c") for incident in noted])


async def lease(db: Database, *leased: str, owner: str = "o") -> list[tuple[str | None, int]]:
    found = await deliveries.lease(db, db.shards[0], "c", leased, owner=owner, lease_ms=LEASE_MS)
    return [(each.word, each.attempt) for each in found]


async def end(
    db: Database, incident: str, word: Any, result: Result = "told", owner: str = "o", *, delay_ms: int = 60_000
) -> None:
    await deliveries.outcome(
        db, db.shards[0], "c", [Lease(incident, word, 1)], owner=owner, result=result, delay_ms=delay_ms,
        answer="200 OK", reason="why", latency_ms=7,
    )  # fmt: skip


async def chores(db: Database) -> dict[str, int]:
    flat = await db.execute("ZRANGE", db.shards[0].chores, 0, -1, "WITHSCORES")
    return {name.decode(): int(score) for name, score in zip(flat[::2], flat[1::2], strict=True)}


async def test_an_incident_is_opened_and_resolved_on_a_channel_once_each(db: Database, clock: Clock) -> None:
    made, incident = await trouble(db)
    assert await chores(db) == {f"retry:{incident}:c": T0 + 15_000}
    assert await lease(db, incident) == [("opened", 1)]
    assert (await deliveries.get(db, f"{incident}:c")).status == "sending"
    assert await chores(db) == {f"retry:{incident}:c": T0 + LEASE_MS}
    await end(db, incident, "opened")
    assert await lease(db, incident) == [(None, 0)]
    await clock.forward(1)
    await send(db, made, at=clock.now)
    await note(db, incident)
    assert await lease(db, incident) == [("resolved", 1)]
    await end(db, incident, "resolved")

    assert await lease(db, incident) == [(None, 0)]
    assert await chores(db) == {}
    told = await deliveries.get(db, f"{incident}:c")
    assert (told.status, told.told, told.at) == ("told", "resolved", T0 + 1000)
    assert (told.answer, told.reason, told.latency_ms) == ("200 OK", "why", 7)
    assert (await incidents.get(db, incident)).channels == ("c",)
    assert await db.execute("PTTL", db.shards[0].delivery(incident, "c")) > 29 * 86_400_000


async def test_a_recovery_overtakes_a_waiting_alert(db: Database, clock: Clock) -> None:
    made, incident = await trouble(db)
    await lease(db, incident)
    await end(db, incident, "opened", "retry")
    assert await chores(db) == {f"retry:{incident}:c": T0 + 60_000}
    await clock.forward(1)
    await send(db, made, at=clock.now)

    assert await lease(db, incident) == [("resolved", 1)]


@pytest.mark.parametrize(
    ("ending", "told_before", "word"),
    [("void", False, None), ("void", True, "resolved"), ("pause", False, None), ("pause", True, "resolved"),
     ("delete", False, None), ("delete", True, "resolved"), ("ping", False, "resolved"), ("ping", True, "resolved")],
)  # fmt: skip
async def test_what_is_told_in_the_end_depends_on_what_was_told_before(
    db: Database, clock: Clock, ending: str, word: str | None, *, told_before: bool
) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 100)
    incident = f"{made.id}-{T0 + 90_000}"
    await note(db, incident)
    if told_before:
        await lease(db, incident)
        await end(db, incident, "opened")
    if ending == "pause":
        await heartbeats.pause(db, made.id)
    elif ending == "delete":
        await heartbeats.delete(db, made.id)
    else:
        await send(db, made, at=T0 + (50_000 if ending == "void" else 99_000))
    await note(db, incident)

    assert (await lease(db, incident))[0][0] == word


async def test_one_lease_at_a_time_and_a_crash_repeats_the_word_with_the_next_attempt(
    db: Database, clock: Clock
) -> None:
    _, incident = await trouble(db)
    first = await asyncio.gather(lease(db, incident, owner="a"), lease(db, incident, owner="b"))
    assert sorted(each[0][1] for each in first) == [0, 1]
    await clock.forward(LEASE_MS / 1000 - 0.001)
    loser = "b" if first[0][0][1] else "a"
    assert await lease(db, incident, owner=loser) == [(None, 0)]
    await clock.forward(0.001)

    assert await lease(db, incident, owner=loser) == [("opened", 2)]
    await end(db, incident, "opened", "dead", owner="b" if loser == "a" else "a")
    assert (await deliveries.get(db, f"{incident}:c")).status == "sending"


@pytest.mark.parametrize("by", ["void", "pause"])
async def test_who_vanished_in_the_middle_of_a_word_may_have_said_it(db: Database, clock: Clock, by: str) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 100)
    incident = f"{made.id}-{T0 + 90_000}"
    await note(db, incident)
    assert await lease(db, incident, owner="gone") == [("opened", 1)]
    if by == "void":
        await send(db, made, at=T0 + 50_000)
    else:
        await heartbeats.pause(db, made.id)
    assert await lease(db, incident, owner="other") == [(None, 0)]  # it may still be speaking
    assert await chores(db) == {f"retry:{incident}:c": T0 + 100_000 + LEASE_MS}
    await clock.forward(LEASE_MS / 1000)

    assert await lease(db, incident, owner="other") == [("resolved", 1)]
    await end(db, incident, "resolved", owner="other")
    assert await chores(db) == {}


async def test_a_clock_that_steps_back_holds_up_no_telling(db: Database, clock: Clock) -> None:
    _, leased = await trouble(db, "leased")
    _, waiting = await trouble(db, "waiting")
    await hear(db, clock)
    assert await lease(db, leased, owner="gone") == [("opened", 1)]
    await lease(db, waiting)
    await end(db, waiting, "opened", "retry")
    back = await clock.forward(-3600)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back
    assert await chores(db) == {f"retry:{leased}:c": back + LEASE_MS, f"retry:{waiting}:c": back + 60_000}
    assert await lease(db, leased, owner="other") == [(None, 0)]
    await clock.forward(LEASE_MS / 1000)
    assert await lease(db, leased, owner="other") == [("opened", 2)]


async def test_an_incident_waits_until_the_one_before_it_is_told_to_its_end(db: Database, clock: Clock) -> None:
    made, first = await trouble(db)
    await lease(db, first)
    await end(db, first, "opened")
    await clock.forward(1)
    await send(db, made, at=T0 + 500)
    await send(db, made, "fail", at=T0 + 600)
    second = f"{made.id}-{T0 + 600}"
    await note(db, second)  # by another notifier, who was faster

    assert await lease(db, second) == [(None, 0)]
    assert (await chores(db))[f"retry:{second}:c"] == T0 + 2000
    await note(db, first)
    assert await lease(db, second, first) == [(None, 0), ("resolved", 1)]
    assert await lease(db, second) == [(None, 0)]
    await end(db, first, "resolved")
    assert await lease(db, second) == [("opened", 1)]


async def test_a_dead_letter_is_kept_for_a_human_and_the_end_is_still_told(db: Database, clock: Clock) -> None:
    made, incident = await trouble(db)
    await lease(db, incident)
    await end(db, incident, "opened", "dead")
    assert await lease(db, incident) == [(None, 0)]
    assert await chores(db) == {}
    assert [each.incident for each in await deliveries.dead(db)] == [incident]
    assert await deliveries.count_dead(db) == 1
    await clock.forward(1)
    await send(db, made, at=clock.now)

    assert await lease(db, incident) == [("resolved", 1)]


async def test_an_incident_that_moved_on_during_a_telling_is_looked_at_again_at_once(
    db: Database, clock: Clock
) -> None:
    made, incident = await trouble(db)
    await lease(db, incident)
    await clock.forward(1)
    await send(db, made, at=clock.now)
    await end(db, incident, "opened")

    assert await chores(db) == {f"retry:{incident}:c": clock.now}


async def test_each_call_may_be_repeated(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db)
    shard = db.shards[0]
    (entry,) = await db.execute("XRANGE", shard.notifications, "-", "+")
    reader = notifications.Reader(db, shard, "r")
    try:
        await reader.make_group()
        await reader.make_group()
        assert [found.incidents for found in await reader.read(wait_ms=1)] == [(incident,)]
        assert [found.incidents for found in await reader.claim(idle_ms=0)] == [(incident,)]
        for _ in range(2):
            await notifications.enlist(db, shard, entry[0].decode(), [(incident, "c")])
        assert (await notifications.backlog(db), await reader.claim(idle_ms=0)) == (0, [])
    finally:
        await reader.aclose()
    await lease(db, incident)
    await db.execute("SCRIPT", "FLUSH")
    assert await lease(db, incident) == [("opened", 2)]  # a lost answer: the same owner asks again
    await end(db, incident, "opened")
    before = await everything(db)
    await db.execute("SCRIPT", "FLUSH")
    await end(db, incident, "opened", "retry")
    assert await everything(db) == before


async def test_more_pairs_than_fit_in_one_call_are_all_noted_before_the_entry_goes(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db)
    shard = db.shards[0]
    await db.execute("XGROUP", "CREATE", shard.notifications, "notifier", "0")
    (entry,) = await db.execute("XRANGE", shard.notifications, "-", "+")
    pairs = [(incident, f"c{i}") for i in range(notifications.CHUNK + 1)] + [("0123456789ab-1", "c")]
    await notifications.enlist(db, shard, entry[0].decode(), pairs)

    assert len(await chores(db)) == notifications.CHUNK + 2
    assert await notifications.backlog(db) == 0


async def test_due_chores_are_handed_over_and_come_up_again_until_done(db: Database, clock: Clock) -> None:
    incidents_ = [(await trouble(db, f"{i}"))[1] for i in range(5)]
    shard = db.shards[0]
    await db.execute("DEL", shard.notifications)
    assert await deadlines.chores(db, shard) == 0
    await clock.forward(15)
    handed = await asyncio.gather(*(deadlines.chores(db, shard, 3) for _ in range(3)))
    assert sorted(handed) == [0, 2, 3]
    assert set((await chores(db)).values()) == {clock.now + 30_000}

    reader = notifications.Reader(db, shard, "r")
    try:
        await reader.make_group()
        found = await reader.read(wait_ms=1)
    finally:
        await reader.aclose()
    assert sorted(pair for each in found for pair in each.deliveries) == sorted((i, "c") for i in incidents_)


async def test_without_notifiers_the_outbox_does_not_grow_by_chores(db: Database, clock: Clock) -> None:
    await trouble(db)
    shard = db.shards[0]
    async with db.redis.pipeline(transaction=False) as pipe:
        for _ in range(1000):
            pipe.execute_command("XADD", shard.notifications, "*", "project", "default", "incidents", "")
        await pipe.execute()
    await clock.forward(20)

    assert await deadlines.chores(db, shard) == 0
    await db.execute("XTRIM", shard.notifications, "MAXLEN", 10)
    assert await deadlines.chores(db, shard) == 1


async def test_a_test_message_is_told_like_an_incident(db: Database, clock: Clock) -> None:
    waiting = await deliveries.send_test(db, "c")
    assert (waiting.status, waiting.channel) == ("waiting", "c")

    assert await lease(db, waiting.incident) == [("test", 1)]
    await end(db, waiting.incident, "test")
    assert await lease(db, waiting.incident) == [(None, 0)]
    assert (await deliveries.get(db, waiting.id)).status == "told"
    assert (await incidents.page(db))[0] == []
    assert await chores(db) == {}


async def test_what_is_not_there_is_not_found_and_never_leased(db: Database, clock: Clock) -> None:
    with pytest.raises(NotFound):
        await deliveries.get(db, "0123456789ab-1:c")
    await note(db, "0123456789ab-1")

    assert await lease(db, "0123456789ab-1") == [(None, 0)]
    assert await chores(db) == {}


async def test_deliveries_go_on_when_memory_is_full(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db)
    await hear(db, clock)
    await clock.forward(20)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        assert await deadlines.chores(db, db.shards[0]) == 1
        await note(db, incident)
        assert await lease(db, incident) == [("opened", 1)]
        await end(db, incident, "opened")
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)

    assert (await deliveries.get(db, f"{incident}:c")).status == "told"


async def test_closed_incidents_are_trimmed_after_thirty_days_by_the_script_that_closes(
    db: Database, clock: Clock
) -> None:
    made, old = await trouble(db)
    await send(db, made, at=T0 + 1)
    await heartbeats.pause(db, made.id)
    await clock.forward(31 * 86_400)
    fresh, new = await trouble(db, "fresh")
    await clock.forward(1)
    await send(db, fresh, at=clock.now)

    assert [found is None for found in await incidents.get_many(db, [old, new])] == [True, False]


@pytest.mark.parametrize(("delay_h", "hurries"), [(1, False), (12, True)])
async def test_news_of_a_heartbeat_hurry_a_retry_that_is_hours_away_but_only_once(
    db: Database, clock: Clock, delay_h: int, *, hurries: bool
) -> None:
    made, first = await trouble(db)
    delay_ms = delay_h * 3_600_000
    assert await lease(db, first) == [("opened", 1)]
    await end(db, first, "opened", "retry", delay_ms=delay_ms)
    await clock.forward(1)
    await send(db, made, at=clock.now)
    await clock.forward(1)
    await send(db, made, "fail", at=clock.now)
    second = (await heartbeats.get(db, made.id)).incident
    assert second
    await note(db, second)
    retry = T0 + delay_ms

    assert await lease(db, second) == [(None, 0)]
    due = clock.now if hurries else retry
    assert await chores(db) == {f"retry:{first}:c": due, f"retry:{second}:c": due + 1000}

    assert await lease(db, first) == [("resolved", 1)]
    await end(db, first, "resolved", "retry", delay_ms=delay_ms)
    assert await lease(db, second) == [(None, 0)]
    assert (await chores(db))[f"retry:{first}:c"] == clock.now + delay_ms


async def test_what_is_hurried_is_tried_though_its_retry_is_hours_away(db: Database, clock: Clock) -> None:
    made, first = await trouble(db)
    await lease(db, first)
    await end(db, first, "opened")
    await clock.forward(1)
    await send(db, made, at=clock.now)
    assert await lease(db, first) == [("resolved", 1)]
    await end(db, first, "resolved", "retry", delay_ms=12 * 3_600_000)
    assert await lease(db, first) == [(None, 0)]
    await clock.forward(1)
    await send(db, made, "fail", at=clock.now)
    second = (await heartbeats.get(db, made.id)).incident
    assert second
    await note(db, second)

    assert await lease(db, second) == [(None, 0)]
    assert await lease(db, first) == [("resolved", 2)]
