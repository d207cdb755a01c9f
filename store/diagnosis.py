"""What a doctor asks a server. Only reads: not even a new database is begun."""

import time
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from store import connection, deliveries, keys, problems
from store.database import Database, mapped, reason
from store.errors import Unavailable
from store.problems import Facts, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`policy`, `fsync`, `save`: None = the server hides it. `offset_ms`: its clock against ours. `shards`: 0 = no
    database of flatline's has been begun here.
    """

    name: str
    version: tuple[int, ...]
    oldest: tuple[int, ...]
    policy: str | None
    appends: bool
    fsync: str | None
    save: str | None
    offset_ms: int
    uncertain_ms: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How flatline works on it. `pulse_ms`: since the newest pulse, where that is longest ago; None = never."""

    facts: Facts
    pulse_ms: int | None
    dead_letters: int
    problems: tuple[Problem, ...]


async def server(url: str) -> Server:
    """Raises Unavailable, or UnfitServer for a URL that cannot be used."""
    redis = connection.client(url)
    try:
        info: dict[str, Any] = await redis.execute_command("INFO")
        before = time.time()
        seconds, micros = await redis.execute_command("TIME")
        after = time.time()
        shards = await redis.execute_command("HGET", keys.META, "shards")
        name = "valkey" if "valkey_version" in info else "redis"
        return Server(
            name=name,
            version=tuple(int(part) for part in str(info[f"{name}_version"]).split(".")[:3]),
            oldest=connection.OLDEST_VALKEY if name == "valkey" else connection.OLDEST_REDIS,
            policy=info.get("maxmemory_policy"),
            appends=bool(info.get("aof_enabled")),
            fsync=await _setting(redis, "appendfsync"),
            save=await _setting(redis, "save"),
            offset_ms=round((int(seconds) + int(micros) / 1e6 - (before + after) / 2) * 1000),
            uncertain_ms=round((after - before) * 500),
            shards=int(shards or 0),
        )
    except (RedisError, OSError) as error:
        raise Unavailable(reason(error)) from error
    finally:
        await redis.aclose()


async def work(db: Database) -> Work:
    """Raises Unavailable."""
    now = await db.now()
    pulses = [mapped(found) for found in await db.pipeline([("HGETALL", shard.pulse) for shard in db.shards])]
    heard = [int(pulse[b"at"]) for pulse in pulses if b"at" in pulse]
    return Work(
        facts=await problems.facts(db),
        pulse_ms=max(0, now - min(heard)) if heard else None,
        dead_letters=await deliveries.count_dead(db),
        problems=tuple(await problems.open_problems(db)),
    )


async def _setting(redis: Redis, name: str) -> str | None:
    try:
        answer = await redis.execute_command("CONFIG GET", name)  # one word: so redis-py pairs the answer
    except RedisError:
        return None
    found = answer.get(name)
    return None if found is None else str(found)
