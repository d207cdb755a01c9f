import pytest

from store import deadlines, deliveries, heartbeats, notifications
from store.arrivals import Ping
from store.database import Database
from store.errors import NotFound
from tests.conftest import T0, Clock
from tests.store.scene import SPAN, all_incidents, hear, judge, looks, make, pass_time, push, send


async def test_a_deleted_heartbeat_leaves_only_what_is_still_to_be_told(db: Database, clock: Clock) -> None:
    made, shard = await make(db, "backup", up_at=T0, tags=("x",)), db.shards[0]
    await clock.forward(1)
    await send(db, made, "fail", at=T0 + 1, output=b"out")
    await send(db, made, at=T0 + 2, output=b"out")
    await send(db, made, "start", at=T0 + 3, rid="a")
    await heartbeats.edit(db, made.id, {"grace": 5})
    await send(db, made, "fail", at=T0 + 4, rid="b")
    (_, incident) = await all_incidents(db)
    await notifications.enlist(db, shard, "", [(incident.id, "c")])
    (lease,) = await deliveries.lease(db, shard, "c", [incident.id], owner="o", lease_ms=1000)
    assert lease.word == "opened"
    await deliveries.outcome(db, shard, "c", [lease], owner="o", result="told")
    await heartbeats.delete(db, made.id)
    assert await db.execute("ZCARD", shard.timers) == 0

    (_, incident) = await all_incidents(db)
    assert (incident.status, incident.resolution) == ("resolved", "deleted")
    assert (await looks(db))[-1] == incident.id
    for late in (Ping(made.id, T0 + 900, "start", rid="z"), Ping(made.id, T0 + 901), Ping(made.id, T0 + 902, "fail")):
        assert await judge(db, late) == ["unknown"]
    assert not await push(db, (made.id, T0 + 903, T0 + SPAN))
    await pass_time(db, clock, 1000)
    left = {key.decode().split(":")[1] for key in await db.execute("KEYS", f"*{made.id}*")}
    assert left == {"deleted", "incident", "delivery"}
    for zset in (shard.deadlines, shard.timers, shard.names("default"), shard.tagged("default", "x")):
        assert await db.execute("ZCARD", zset) == 0
    assert await heartbeats.count(db) == {"pending": 0, "up": 0, "down": 0, "paused": 0}
    (tomb,) = await heartbeats.get_many(db, [made.id], deleted=True)
    assert tomb is not None
    assert tomb.settings.name == "backup"
    assert 0 < await db.execute("PTTL", shard.deleted(made.id)) <= 4 * 86_400_000
    (lease,) = await deliveries.lease(db, shard, "c", [incident.id], owner="o", lease_ms=1000)
    assert lease.word == "resolved"


async def test_a_second_delete_finds_nothing(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await heartbeats.delete(db, made.id)
    await db.execute("SCRIPT", "FLUSH")

    with pytest.raises(NotFound):
        await heartbeats.delete(db, made.id)
    with pytest.raises(NotFound):
        await heartbeats.get(db, made.id)


async def test_an_untold_incident_of_a_deleted_heartbeat_is_told_to_nobody(db: Database, clock: Clock) -> None:
    made = await make(db)
    await send(db, made, "fail", at=T0)
    await heartbeats.delete(db, made.id)
    (incident,) = await all_incidents(db)
    await notifications.enlist(db, db.shards[0], "", [(incident.id, "c")])

    (lease,) = await deliveries.lease(db, db.shards[0], "c", [incident.id], owner="o", lease_ms=1000)
    assert lease.word is None
    assert await db.execute("ZCARD", db.shards[0].chores) == 0


async def test_memory_can_be_freed_when_none_is_left(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await hear(db, clock)
    await db.execute("CONFIG", "SET", "maxmemory", 1)
    try:
        await heartbeats.delete(db, made.id)
    finally:
        await db.execute("CONFIG", "SET", "maxmemory", 0)

    assert (await deadlines.sweep(db, db.shards[0])).due is None
