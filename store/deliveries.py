"""Deliveries: what one channel is told about one incident. A lease decides what to say, an outcome records it."""

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Literal

from store.database import Database, scored
from store.errors import NotFound
from store.keys import DEFAULT_PROJECT, Shard
from store.records import Delivery

Word = Literal["opened", "grown", "resolved", "test"]
Result = Literal["told", "retry", "dead"]


@dataclass(frozen=True, slots=True)
class Lease:
    """`word` None = nothing to tell, or not by us, or not yet. `attempt`: 1 for the first try of this word.

    `silent`: how many members of a fleet are silent, as the message must say it, and `counted_at` as of when, in ms; a
    repeat of what may have been said says the same. None = the incident is a heartbeat's.
    """

    incident: str
    word: Word | None
    attempt: int
    silent: int | None = None
    counted_at: int | None = None


async def lease(
    db: Database, shard: Shard, channel: str, incidents: Sequence[str], *, owner: str, lease_ms: int
) -> list[Lease]:
    """Reserves the telling of at most 100 incidents of one shard."""
    answers = await db.run("lease", shard, owner, lease_ms, channel, *incidents)
    words: dict[bytes, Word] = {b"opened": "opened", b"grown": "grown", b"resolved": "resolved", b"test": "test"}
    return [
        Lease(incident, words.get(word), attempt, *(int(number) if number else None for number in counted))
        for incident, (word, attempt, *counted) in zip(incidents, answers, strict=True)
    ]


async def outcome(
    db: Database,
    shard: Shard,
    channel: str,
    leases: Sequence[Lease],
    *,
    owner: str,
    result: Result,
    delay_ms: int = 0,
    answer: str = "",
    reason: str = "",
    latency_ms: int = 0,
) -> None:
    """Records how a telling ended; nothing happens where the lease has gone to another."""
    pairs = [text for lease in leases for text in (lease.incident, lease.word or "")]
    await db.run("outcome", shard, owner, channel, result, delay_ms, answer[:500], reason, latency_ms, *pairs)


async def get(db: Database, delivery: str) -> Delivery:
    """Raises NotFound."""
    incident, _, channel = delivery.partition(":")
    fields = await db.execute("HGETALL", db.shard(incident).delivery(incident, channel))
    if not fields:
        raise NotFound("no such delivery")
    return Delivery.from_redis(delivery, fields)


async def of_incident(db: Database, incident: str, channels: Sequence[str]) -> list[Delivery]:
    """What each of an incident's channels was told."""
    shard = db.shard(incident)
    answers = await db.pipeline([("HGETALL", shard.delivery(incident, channel)) for channel in channels])
    return [
        Delivery.from_redis(f"{incident}:{channel}", fields)
        for channel, fields in zip(channels, answers, strict=True)
        if fields
    ]


async def dead(db: Database, *, limit: int = 100) -> list[Delivery]:
    """Dead letters, newest first."""
    reads = [("ZREVRANGE", shard.dead, 0, limit - 1, "WITHSCORES") for shard in db.shards]
    entries = sorted(
        ((score, name) for flat in await db.pipeline(reads) for name, score in scored(flat)), reverse=True
    )[:limit]
    names = [name.partition(":") for _, name in entries]
    answers = await db.pipeline([("HGETALL", db.shard(i).delivery(i, channel)) for i, _, channel in names])
    return [Delivery.from_redis(name, fields) for (_, name), fields in zip(entries, answers, strict=True) if fields]


async def count_dead(db: Database) -> int:
    return sum(await db.pipeline([("ZCARD", shard.dead) for shard in db.shards]))


async def send_test(db: Database, channel: str, project: str = DEFAULT_PROJECT) -> Delivery:
    """Asks the notifiers for a test message."""
    incident = f"{token_hex(6)}-{await db.now()}"
    await db.run("test", db.shard(incident), incident, project, channel)
    return await get(db, f"{incident}:{channel}")
