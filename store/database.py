"""One opened database: the client, the shards, the scripts. Every other file of this room takes one."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from store import connection, keys
from store.errors import Unavailable, UnfitServer
from store.keys import Shard
from store.scripts import Scripts

SCHEMA: Final = 1
GROUP: Final = "notifier"
TRIES: Final = 50  # of a checked write; others may write meanwhile, but one of them gets on each time

log = logging.getLogger(__name__)


class Database:
    """`execute` and `run` raise Unavailable for whatever Redis answers but data."""

    def __init__(self, redis: Redis, server: connection.Server, shards: int, scripts: Scripts, url: str) -> None:
        self.redis = redis
        self.server = server
        self.scripts = scripts
        self.url = url
        self.shards = [Shard(number) for number in range(shards)]

    def shard(self, heartbeat: str) -> Shard:
        """The shard of a heartbeat's id (or of an incident's: it begins with the same 12 digits)."""
        if len(self.shards) == 1:
            return self.shards[0]
        return self.shards[keys.shard_of(keys.heartbeat_of(heartbeat), len(self.shards))]

    async def execute(self, *command: Any) -> Any:
        try:
            return await self.redis.execute_command(*command)
        except (RedisError, OSError) as error:
            raise Unavailable(reason(error)) from error

    async def run(self, script: str, shard: Shard, *args: Any) -> Any:
        try:
            return await self.scripts.run(self.redis, script, shard.fixed, *args)
        except (RedisError, OSError) as error:
            raise Unavailable(reason(error)) from error

    async def pipeline(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Several reads in one round trip; raises on the first error."""
        if not commands:
            return []
        try:
            async with self.redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return list(await pipe.execute())
        except (RedisError, OSError) as error:
            raise Unavailable(reason(error)) from error

    async def write_checked(
        self, key: str, check: Callable[[dict[bytes, bytes]], None], commands: Sequence[tuple[Any, ...]]
    ) -> None:
        """Commands in one transaction, which counts only if nobody has changed the hash since `check` has seen it and
        raised nothing; else once more.
        """
        for _ in range(TRIES):
            try:
                async with self.redis.pipeline(transaction=True) as pipe:
                    await pipe.watch(key)
                    check(mapped(await pipe.execute_command("HGETALL", key)))
                    pipe.multi()
                    for command in commands:
                        pipe.execute_command(*command)
                    await pipe.execute()
            except WatchError:
                continue
            except (RedisError, OSError) as error:
                raise Unavailable(reason(error)) from error
            return
        raise Unavailable("others changed the same all the while")

    async def now(self) -> int:
        """Redis' clock, ms since the epoch."""
        seconds, micros = await self.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def check(self) -> str:
        """Readiness: "" when Redis can do its job, else why not."""
        try:
            info = await self.execute("INFO", "memory")
        except Unavailable as error:
            return str(error)
        policy = info.get("maxmemory_policy", "noeviction")
        return "" if policy == "noeviction" else f"maxmemory-policy is {policy}, must be noeviction"


def mapped(answer: Any) -> dict[bytes, bytes]:
    """Fields and values, whether redis-py has paired them already or not."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))


def scored(flat: Sequence[bytes]) -> list[tuple[str, float]]:
    """The answer to WITHSCORES: member, score, member, ..."""
    return [(member.decode(), float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]


def reason(error: Exception) -> str:
    """Redis' own error word (OOM, MISCONF, READONLY ...) or the kind of network fault; never the URL."""
    return f"Redis: {type(error).__name__}: {str(error)[:200]}" if str(error) else f"Redis: {type(error).__name__}"


@asynccontextmanager
async def opened(url: str, *, shards: int = 1, clock: str | None = None) -> AsyncIterator[Database]:
    """Opens the database at a Redis URL, and initialises it when it is new.

    `shards` counts only then: afterwards the stored number holds, for every process.

    Raises:
        UnfitServer: see store/connection.py; or the data was written by a newer flatline.
        Unavailable: Redis does not answer.

    """
    redis = connection.client(url)
    try:
        server = await connection.inspect(redis)
        if not server.persistent:
            log.warning(
                "NOTHING IS PERSISTED: this Redis keeps no AOF and no snapshots; a restart forgets every heartbeat"
            )
        scripts = Scripts(shebang=server.has_script_flags, clock=clock)
        db = Database(redis, server, shards, scripts, url)
        stored_shards, schema = await db.execute("HMGET", keys.META, "shards", "schema")
        if stored_shards is None or schema is None:  # a new one; else nothing is written, for memory may be full
            await db.execute("HSETNX", keys.META, "shards", shards)
            await db.execute("HSETNX", keys.META, "schema", SCHEMA)
            stored_shards, schema = await db.execute("HMGET", keys.META, "shards", "schema")
        if int(schema) > SCHEMA:
            raise UnfitServer(f"the data has schema {int(schema)}, this flatline knows {SCHEMA}: upgrade flatline")
        db.shards = [Shard(number) for number in range(int(stored_shards))]
        yield db
    finally:
        await redis.aclose()
