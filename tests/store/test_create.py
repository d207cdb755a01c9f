from math import inf

import pytest

from rules import tokens
from store import heartbeats
from store.database import Database
from store.errors import Unavailable
from store.records import Settings
from tests.conftest import T0, Clock
from tests.store.scene import everything, log_of, make


async def test_a_new_heartbeat_is_pending_parked_and_indexed(db: Database, clock: Clock) -> None:
    made = await make(db, "Резерв", tags=("db", "ночь"))

    shard = db.shard(made.id)
    assert (made.stored_status, made.since, made.created_at, made.deadline) == ("pending", T0, T0, None)
    assert await db.execute("ZSCORE", shard.deadlines, made.id) == inf
    entry = f"резерв\0{made.id}".encode()
    for index in (
        shard.names("default"),
        shard.status("default", "pending"),
        shard.tagged("default", "db"),
        shard.tagged("default", "ночь"),
    ):
        assert await db.execute("ZRANGE", index, 0, -1) == [entry]
    assert await log_of(db, made) == ["created"]


async def test_what_was_set_is_read_back(db: Database) -> None:
    wanted = Settings(
        name="a\tb", period=7, grace=0, misses=3, max_runtime=9, tags=("x",), channels=(), alert_text="é\n",
        recovery_text="r", priority=2, resume_on_ping=True,
    )  # fmt: skip

    assert (await heartbeats.create(db, wanted)).settings == wanted


async def test_a_repeat_with_the_same_token_finds_the_first(db: Database, clock: Clock) -> None:
    token = tokens.new_token()
    await heartbeats.create(db, Settings(name="one"), token=token)
    before = await everything(db)
    await clock.forward(5)

    await db.execute("SCRIPT", "FLUSH")
    again = await heartbeats.create(db, Settings(name="two"), token=token)

    assert (again.settings.name, again.created_at) == ("one", T0)
    assert await everything(db) == before


async def test_a_taken_id_is_refused(db: Database) -> None:
    made = await make(db)
    other = tokens.new_token(made.id)

    with pytest.raises(Unavailable):
        await heartbeats.create(db, Settings(name="thief"), token=other)
    assert await heartbeats.get(db, made.id) == made
