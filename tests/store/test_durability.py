"""What a written ping is worth: on real servers, that sync always, each second, never, or cannot be waited for."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import ResponseError

from store import arrivals, connection, heartbeats
from store.arrivals import Lane, Ping
from store.connection import Server
from store.database import Database, opened
from store.errors import Unavailable
from store.records import Durability, Settings
from tests.conftest import eventually
from tests.servers import binaries, running

EVERY_SECOND = ("--appendonly", "yes", "--appendfsync", "everysec")
ALWAYS = ("--appendonly", "yes", "--appendfsync", "always")
NEVER = ("--appendonly", "yes", "--appendfsync", "no")
NO_FILE = ("--appendonly", "no")


@asynccontextmanager
async def database(kind: str, *options: str) -> AsyncIterator[Database]:
    if kind not in binaries():
        pytest.skip(f"no {kind} on this machine")
    async with running(binaries()[kind], *options) as server, opened(server.url) as db:
        yield db


@asynccontextmanager
async def lane_of(db: Database) -> AsyncIterator[Lane]:
    lane = Lane(db, db.shards[0])
    try:
        yield lane
    finally:
        await lane.aclose()


async def calls(db: Database, command: str) -> int:
    """How often the server has carried it out; a refused one does not count."""
    stats = await db.execute("INFO", "commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def make(db: Database, number: int = 0) -> str:
    return (await heartbeats.create(db, Settings(name=f"h{number}", period=60, grace=30))).id


async def write(db: Database, lane: Lane, heartbeat: str, durability: Durability) -> None:
    """A first ping by arrive.lua, and a plain one by ZADD."""
    now = await db.now()
    assert await lane.judge([Ping(heartbeat, now)], sure=True, durability=durability) == ["up"]
    assert await lane.commit([(Ping(heartbeat, now + 10), now + 90_010)], durability) == set()


async def events(db: Database, heartbeat: str) -> int:
    return int(await db.execute("XLEN", db.shard(heartbeat).events(heartbeat)))


# What a server can do


@pytest.mark.parametrize(
    ("kind", "options", "can_sync", "waits_by"),
    [
        ("valkey-9", ALWAYS, True, ()),
        ("valkey-9", EVERY_SECOND, True, ("WAITAOF", 1, 0)),
        ("valkey-9", NEVER, False, ("WAITAOF", 1, 0)),
        ("valkey-9", NO_FILE, False, ("WAITAOF", 1, 0)),
        ("redis-7", ALWAYS, True, ()),
        ("redis-7", EVERY_SECOND, False, ("WAITAOF", 1, 0)),  # 7.0 does not know it
        ("redis-6.2", ALWAYS, True, ()),
        ("redis-6.2", EVERY_SECOND, False, ("WAITAOF", 1, 0)),
    ],
)
async def test_a_server_is_asked_what_it_can_promise(
    kind: str, options: tuple[str, ...], waits_by: tuple[Any, ...], *, can_sync: bool
) -> None:
    async with database(kind, *options) as db:
        server = db.server

    assert server.can_sync == can_sync
    assert server.wait_for("disk") == waits_by
    assert server.wait_for("replica") == ("WAIT", 1)
    assert server.wait_for("memory") == ()


@pytest.mark.parametrize(
    ("name", "version", "fsync", "can_sync"),
    [
        ("redis", (7, 2, 0), "everysec", True), ("redis", (7, 0, 15), "everysec", False),
        ("redis", (8, 0, 0), "no", False), ("redis", (7, 0, 15), "always", True),
        ("valkey", (7, 2, 5), "", True),  # a managed service that hides its settings
    ],
)  # fmt: skip
def test_the_versions_that_can_be_waited_for(
    name: str, version: tuple[int, ...], fsync: str, *, can_sync: bool
) -> None:
    for appends in (True, False):
        server = Server(name=name, version=version, run_id="r", persistent=True, appends=appends, fsync=fsync)
        assert server.can_sync == (can_sync and appends)


async def test_a_server_without_a_file_is_not_trusted_for_its_setting() -> None:
    async with database("valkey-9", "--appendonly", "no", "--appendfsync", "always") as db, lane_of(db) as lane:
        assert not db.server.can_sync
        assert db.server.wait_for("disk") == ("WAITAOF", 1, 0)
        with pytest.raises(Unavailable):
            await write(db, lane, await make(db), "disk")


# Disk


@pytest.mark.parametrize("kind", ["valkey-9", "redis-7", "redis-6.2"])
async def test_where_every_write_is_synced_nothing_more_is_waited_for(kind: str) -> None:
    async with database(kind, *ALWAYS) as db, lane_of(db) as lane:
        await write(db, lane, await make(db), "disk")

        assert await calls(db, "waitaof") == await calls(db, "wait") == 0


async def test_where_it_is_synced_each_second_the_write_is_waited_for() -> None:
    async with database("valkey-9", *EVERY_SECOND) as db, lane_of(db) as lane:
        await write(db, lane, await make(db), "memory")
        assert await calls(db, "waitaof") == 0
        await write(db, lane, await make(db, 1), "disk")

        assert await calls(db, "waitaof") == 2
        assert await calls(db, "wait") == 0


@pytest.mark.parametrize(("kind", "options"), [("valkey-9", NEVER), ("valkey-9", NO_FILE), ("redis-7", EVERY_SECOND)])
async def test_what_cannot_be_promised_is_refused_and_the_repeat_is_harmless(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(arrivals, "DURABLE_WITHIN_MS", 50)
    async with database(kind, *options) as db, lane_of(db) as lane:
        made, now = await make(db), await db.now()
        first, plain = Ping(made, now), Ping(made, now + 10)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await lane.judge([first], sure=True, durability="disk")
        for _ in range(3):
            with pytest.raises(Unavailable):
                await lane.commit([(plain, now + 90_010)], "disk")

        found = await heartbeats.get(db, made)
        assert (found.stored_status, found.since, found.deadline) == ("up", now, now + 90_010)
        assert await lane.judge([Ping(made, now + 20)], sure=True) == ["up"]  # the connection is in step
        assert await lane.commit([(Ping(made, now + 30), now + 90_030)]) == set()


# A connection that is out of step would give one ping's answer to another


@pytest.mark.parametrize("durability", ["memory", "disk", "replica"])
async def test_scripts_that_the_server_has_forgotten_are_sent_again(durability: Durability) -> None:
    async with AsyncExitStack() as stack:
        main, _ = await stack.enter_async_context(with_replica())
        db = await stack.enter_async_context(opened(main))
        lane = await stack.enter_async_context(lane_of(db))
        made = await make(db)
        await write(db, lane, made, durability)
        for number in range(1, 4):
            await db.execute("SCRIPT", "FLUSH")
            other, now = await make(db, number), await db.now()
            pings = [Ping(other, now, "log"), Ping("0" * 12, now), Ping(made, now + 50)]
            for _ in range(2):
                assert await lane.judge(pings, sure=True, durability=durability) == ["parked", "unknown", "up"]
            assert await lane.commit([(Ping(made, now + 60), now + 90_060 + number)], durability) == set()


# Replica


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def with_replica(*options: str) -> AsyncIterator[tuple[str, Any]]:
    """The URL of a server and its one replica, in step."""
    binary, port = binaries()["valkey-9"], str(free_port())
    listening = ("--port", port, "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0")
    async with (
        running(binary, *EVERY_SECOND, *listening, *options) as main,
        running(binary, "--appendonly", "yes", "--replicaof", "127.0.0.1", port) as replica,
        opened(main.url) as db,
    ):

        async def is_in_step() -> bool:
            return bool((await db.execute("INFO", "replication")).get("slave0", {}).get("state") == "online")

        await eventually(is_in_step)
        yield main.url, replica


async def test_a_ping_that_a_replica_has_is_taken() -> None:
    async with with_replica() as (url, _), opened(url) as db, lane_of(db) as lane:
        await write(db, lane, await make(db), "memory")
        assert await calls(db, "wait") == 0
        await write(db, lane, await make(db, 1), "replica")

        assert (await calls(db, "wait"), await calls(db, "waitaof")) == (2, 0)


async def test_without_a_replica_it_is_refused_and_with_one_again_the_repeat_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with with_replica() as (url, replica), opened(url) as db, lane_of(db) as lane:
        made, now = await make(db), await db.now()
        await lane.judge([Ping(made, now)], sure=True, durability="replica")
        await replica.kill()
        monkeypatch.setattr(arrivals, "DURABLE_WITHIN_MS", 50)
        ping = Ping(made, now + 10)
        for _ in range(2):
            with pytest.raises(Unavailable, match="durability replica was not reached"):
                await lane.commit([(ping, now + 90_010)], "replica")
        with pytest.raises(Unavailable, match="durability replica was not reached"):
            await lane.judge([Ping(made, now + 20, "fail")], sure=True, durability="replica")
        assert await lane.commit([(Ping(made, now + 5), now + 90_005)], "memory") == {""}  # nobody else is stopped
        await replica.start()

        async def is_taken() -> bool:
            try:
                answers = await lane.judge([Ping(made, now + 20, "fail")], sure=True, durability="replica")
            except Unavailable:
                return False
            return answers == ["parked"]

        await eventually(is_taken)
        found = await heartbeats.get(db, made)
        assert (found.stored_status, found.since) == ("down", now + 20)
        open_incidents = await db.execute("ZCARD", db.shards[0].open)
        assert open_incidents == 1


async def test_a_replica_that_is_taken_over_has_every_ping_that_was_answered() -> None:
    async with with_replica() as (url, replica), opened(url) as db, lane_of(db) as lane:
        found = [await make(db, number) for number in range(20)]
        for heartbeat in found:
            await write(db, lane, heartbeat, "replica")
        deadlines = await db.execute("ZRANGE", db.shards[0].deadlines, 0, -1, "WITHSCORES")

        async with opened(replica.url) as copy:
            assert await copy.execute("ZRANGE", copy.shards[0].deadlines, 0, -1, "WITHSCORES") == deadlines


async def test_a_written_ping_survives_a_kill() -> None:
    async with running(binaries()["valkey-9"], *EVERY_SECOND) as server, opened(server.url) as db:
        async with lane_of(db) as lane:
            made = await make(db)
            await write(db, lane, made, "disk")
            before = await db.execute("ZSCORE", db.shards[0].deadlines, made)
        await server.kill()
        await server.start()

        assert await db.execute("ZSCORE", db.shards[0].deadlines, made) == before


async def test_a_server_that_hides_its_settings_is_waited_for() -> None:
    class Hiding:
        async def execute_command(self, *command: Any) -> Any:
            await asyncio.sleep(0)
            if command == ("INFO",):
                return {"run_id": "r", "aof_enabled": 1, "redis_version": "7.4.0"}
            raise ResponseError("unknown command CONFIG")

    hiding: Any = Hiding()
    server = await connection.inspect(hiding)

    assert server.can_sync
    assert server.wait_for("disk") == ("WAITAOF", 1, 0)
