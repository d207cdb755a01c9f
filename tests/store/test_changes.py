from store import heartbeats
from store.changes import Changes, lookup
from store.database import Database
from tests.conftest import T0, Clock
from tests.store.scene import SPAN, make, send


async def test_a_first_look_forgets_everything_and_the_next_only_what_changed(db: Database, clock: Clock) -> None:
    made, other = await make(db, up_at=T0), await make(db)
    changes = Changes(db)
    assert await changes.read() is None
    assert await changes.read() == []
    await heartbeats.edit(db, made.id, {"grace": 1})
    await heartbeats.rotate(db, other.id)
    await heartbeats.delete(db, made.id)

    assert await changes.read() == [made.id, other.id, made.id]
    assert await changes.read() == []


async def test_a_new_heartbeat_is_a_change_for_who_has_noted_that_there_is_none(db: Database) -> None:
    changes = Changes(db)
    await changes.read()
    made = await make(db)

    assert await changes.read() == [made.id]


async def test_a_gap_or_another_server_forgets_everything(db: Database) -> None:
    changes, shard = Changes(db), db.shards[0]
    await make(db)
    await changes.read()
    await make(db)
    await make(db)
    first, *_ = await db.execute("XREVRANGE", shard.changes, "+", "-")
    await db.execute("XTRIM", shard.changes, "MAXLEN", 1)
    assert await changes.read() is None
    assert await changes.read() is None  # and starts over
    assert await changes.read() == []
    changes._run_id = "another"
    assert await changes.read() is None
    assert first


async def test_many_changes_are_all_read_at_once(db: Database) -> None:
    changes = Changes(db)
    made = await make(db)
    await changes.read()
    async with db.redis.pipeline(transaction=False) as pipe:
        for n in range(2500):
            pipe.execute_command("XADD", db.shards[0].changes, "*", "id", made.id, "n", n + 2)
        await pipe.execute()

    assert await changes.read() == [made.id] * 2500


async def test_a_node_learns_what_it_must_know(db: Database, clock: Clock) -> None:
    pending, up = await make(db, misses=2), await make(db, up_at=T0)
    failed = await make(db)
    await send(db, failed, "fail", at=T0)
    found = await lookup(db, [pending.id, up.id, "0123456789ab", failed.id])

    assert [None if known is None else (known.token, known.span_ms, known.up) for known in found] == [
        (pending.token, 150_000, False), (up.token, SPAN, True), None, (failed.token, SPAN, False),
    ]  # fmt: skip
    assert await lookup(db, []) == []
