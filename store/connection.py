"""Connections: how a Redis URL becomes a client, and which servers we refuse.

redis-py resends a timed-out command up to ten times by default, scripts and XADD too. We turn that off everywhere:
callers know what may be repeated. RESP2, because its answers have one shape on every server; maintenance
notifications off, because with them a pool skips its check for dead connections.
"""

import logging
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from store.errors import Unavailable, UnfitServer
from store.records import Durability

SOCKET_TIMEOUT_S: Final = 5.0
CONNECT_TIMEOUT_S: Final = 2.0
MAX_CONNECTIONS: Final = 64  # per process; callers wait for a free one
OLDEST_REDIS: Final = (6, 2)
OLDEST_VALKEY: Final = (7, 2)
SCHEMES: Final = ("redis", "rediss", "unix")
LATER: Final = {"redis+sentinel": "Sentinel", "redis+cluster": "Cluster"}

log = logging.getLogger(__name__)


def client(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S, connections: int = MAX_CONNECTIONS) -> Redis:
    """A client for a Redis URL: ``redis://``, ``rediss://`` or ``unix://``.

    Raises:
        UnfitServer: the URL cannot be used; one line that names FLATLINE_REDIS_URL.

    """
    scheme = urlsplit(url).scheme
    if scheme in LATER:
        raise UnfitServer(f"FLATLINE_REDIS_URL: {LATER[scheme]} ({scheme}://) is not supported yet; use redis://")
    if scheme not in SCHEMES:
        raise UnfitServer(f"FLATLINE_REDIS_URL must start with {', '.join(s + '://' for s in SCHEMES)}")
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": connections,
        "timeout": timeout_s,
    }
    if scheme != "unix":
        options["socket_connect_timeout"] = CONNECT_TIMEOUT_S
        options["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    try:
        pool = BlockingConnectionPool.from_url(url, **options)
    except ValueError as error:
        raise UnfitServer(f"FLATLINE_REDIS_URL: {error}") from None
    return Redis.from_pool(pool)


@dataclass(frozen=True, slots=True)
class Server:
    """What we found at the other end."""

    name: str
    version: tuple[int, ...]
    run_id: str
    persistent: bool
    appends: bool  # to an append-only file
    fsync: str  # of that file: always (before every answer), everysec, no; "" where the server hides it

    @property
    def has_script_flags(self) -> bool:
        return self.name == "valkey" or self.version >= (7, 0)

    @property
    def can_sync(self) -> bool:
        """It can answer once a write is on its disk: it always does, or it knows WAITAOF (and syncs at all)."""
        knows_how = self.name == "valkey" or self.version >= (7, 2)
        return self.appends and (self.fsync == "always" or (knows_how and self.fsync != "no"))

    def wait_for(self, durability: Durability) -> tuple[str | int, ...]:
        """The command, without its time-out, that waits until what was written is as durable; () = none is needed."""
        if durability == "replica":
            return ("WAIT", 1)
        if durability == "disk" and not (self.appends and self.fsync == "always"):
            return ("WAITAOF", 1, 0)
        return ()


async def inspect(redis: Redis) -> Server:
    """Looks at the server before anything is written.

    Raises:
        UnfitServer: it may evict keys (deadlines would vanish without an alarm) or is too old.
        Unavailable: it does not answer.

    """
    try:
        info: dict[str, Any] = await redis.execute_command("INFO")
    except (RedisError, OSError) as error:
        raise Unavailable(f"Redis does not answer ({type(error).__name__}); check FLATLINE_REDIS_URL") from error
    name = "valkey" if "valkey_version" in info else "redis"
    version = tuple(int(part) for part in str(info[f"{name}_version"]).split(".")[:3])
    oldest = OLDEST_VALKEY if name == "valkey" else OLDEST_REDIS
    if version < oldest:
        raise UnfitServer(
            f"{name} {'.'.join(map(str, version))} is too old: use {name} {oldest[0]}.{oldest[1]} or newer"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise UnfitServer(
            f"maxmemory-policy is {policy}: the server would silently drop deadlines when memory runs out; "
            "set maxmemory-policy noeviction"
        )
    appends = bool(info.get("aof_enabled"))
    return Server(
        name=name,
        version=version,
        run_id=str(info["run_id"]),
        persistent=appends or await _setting(redis, "save") != "",
        appends=appends,
        fsync=await _setting(redis, "appendfsync") or "",
    )


async def _setting(redis: Redis, name: str) -> str | None:
    """None: a managed service that hides its settings."""
    try:
        answer = await redis.execute_command("CONFIG GET", name)  # one word: so redis-py pairs the answer
    except RedisError:
        return None
    return str(answer.get(name, ""))
