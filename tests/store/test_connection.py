import logging
from pathlib import Path
from typing import Any

import pytest

from store import connection
from store.database import Database, opened
from store.errors import Unavailable, UnfitServer
from tests.conftest import Sockets, clean
from tests.servers import binaries, running


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis+sentinel://a:1/master/0", "Sentinel"), ("redis+cluster://a:1", "Cluster"), ("http://a", "must start"),
        ("", "must start"), ("localhost:6379", "must start"), ("redis://a:x/0", "FLATLINE_REDIS_URL"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_in_one_line_that_names_the_setting(url: str, says: str) -> None:
    with pytest.raises(UnfitServer, match=says) as refused:
        connection.client(url)

    assert "FLATLINE_REDIS_URL" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "rediss://127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
async def test_a_redis_that_is_away_is_unavailable(url: str) -> None:
    with pytest.raises(Unavailable, match="FLATLINE_REDIS_URL"):
        async with opened(url):
            pass


async def test_a_server_that_may_evict_deadlines_is_refused() -> None:
    async with running(binaries()["valkey-9"], "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes") as server:
        with pytest.raises(UnfitServer, match="set maxmemory-policy noeviction"):
            async with opened(server.url):
                pass


async def test_a_policy_that_changes_later_is_seen_by_readiness(db: Database) -> None:
    assert await db.check() == ""
    await db.execute("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    try:
        assert "volatile-ttl" in await db.check()
    finally:
        await db.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")


@pytest.mark.parametrize("options", [(), ("--appendonly", "yes"), ("--save", "3600 1")])
async def test_that_nothing_is_persisted_is_said_once(
    caplog: pytest.LogCaptureFixture, options: tuple[str, ...]
) -> None:
    with caplog.at_level(logging.WARNING):
        async with running(binaries()["valkey-9"], *options) as server, opened(server.url) as db:
            assert db.server.persistent == bool(options)

    assert caplog.text.count("NOTHING IS PERSISTED") == (not options)


class Answering:
    """A server that says what it is."""

    def __init__(self, **info: Any) -> None:
        self._info = {"run_id": "r", "aof_enabled": 1} | info

    async def execute_command(self, *command: Any) -> Any:
        return self._info if command == ("INFO",) else {}


@pytest.mark.parametrize(
    ("info", "fits"),
    [
        ({"redis_version": "6.2.14"}, True), ({"redis_version": "6.0.16"}, False), ({"redis_version": "8.0.1"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "7.2.5"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "7.0.0"}, False),
        ({"redis_version": "255.255.255"}, True),
        ({"redis_version": "7.0.0", "maxmemory_policy": "volatile-lru"}, False),
    ],
)  # fmt: skip
async def test_servers_that_are_too_old_or_may_evict_are_refused(info: dict[str, str], *, fits: bool) -> None:
    answering: Any = Answering(**info)
    if fits:
        server = await connection.inspect(answering)
        assert server.has_script_flags == (server.name == "valkey" or server.version >= (7, 0))
    else:
        with pytest.raises(UnfitServer):
            await connection.inspect(answering)


async def test_the_number_of_shards_is_fixed_when_the_database_is_new(redis_url: str) -> None:
    async with opened(redis_url, shards=4) as db:
        assert [shard.number for shard in db.shards] == [0, 1, 2, 3]
    async with opened(redis_url, shards=9) as db:
        assert len(db.shards) == 4


async def test_data_of_a_newer_flatline_is_left_alone(redis_url: str) -> None:
    async with opened(redis_url) as db:
        await db.execute("HSET", "{flatline}:meta", "schema", 2)
    with pytest.raises(UnfitServer, match="upgrade flatline"):
        async with opened(redis_url):
            pass


@pytest.mark.parametrize("kind", ["valkey-9", "redis-7", "redis-6.2"])
async def test_a_sweeper_can_start_when_memory_is_full(sockets: Sockets, kind: str) -> None:
    if kind not in sockets.binaries:
        pytest.skip(f"no {kind} on this machine")
    async with opened(clean(sockets.url(kind)), shards=2) as db:
        await db.execute("CONFIG", "SET", "maxmemory", 1)
        try:
            async with opened(sockets.url(kind)) as other:
                assert len(other.shards) == 2
        finally:
            await db.execute("CONFIG", "SET", "maxmemory", 0)


async def test_a_server_that_restarts_is_met_again(tmp_path: Path) -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "yes") as server, opened(server.url) as db:
        await server.kill()
        with pytest.raises(Unavailable):
            await db.run("resume", db.shards[0], "0123456789ab")
        await server.start()

        assert await db.run("resume", db.shards[0], "0123456789ab") == 0
