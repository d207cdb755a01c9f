"""Deliveries: what one channel is told about one incident. A lease decides what to say, an outcome records it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, Literal, get_args

from store.database import Database, mapped, scored
from store.errors import NotFound
from store.keys import DEFAULT_PROJECT, Shard
from store.records import Delivery, decoded

Word = Literal["opened", "grown", "reminder", "acknowledged", "resolved", "late", "test"]
Result = Literal["told", "retry", "dead"]
WORDS: Final[Mapping[str, Word]] = {word: word for word in get_args(Word)}


@dataclass(frozen=True, slots=True)
class Lease:
    """`word` None = nothing to tell, or not by us, or not yet. `attempt`: 1 for the first try of this word.

    `silent`: how many members of a fleet are silent, as the message must say it; None = the incident is a heartbeat's.
    `at`: as of when, in ms; a repeat of what may have been said says the same. `times`: how often the channel was to be
    told by then. `step`: 0 = it was told at once, 1 = a later step of a policy brought it in. `thread`: under which it
    heard the beginning.
    """

    incident: str
    word: Word | None
    attempt: int = 1
    silent: int | None = None
    at: int = 0
    times: int = 1
    step: int = 0
    thread: str = ""

    @property
    def number(self) -> int:
        """What tells this message apart from earlier ones of the same word."""
        if self.silent is not None:
            return self.silent
        return self.times if self.word == "reminder" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A row of a channel's log: one message, about `incident` and others up to `count`."""

    id: str
    at: int
    incident: str
    word: str
    count: int
    outcome: str
    answer: str
    reason: str
    latency_ms: int


async def lease(
    db: Database,
    shard: Shard,
    channel: str,
    incidents: Sequence[str],
    *,
    owner: str,
    lease_ms: int,
    acknowledges: bool = False,
) -> list[Lease]:
    """Reserves the telling of at most 100 incidents of one shard. `acknowledges`: the channel hears who has seen it."""
    answers = await db.run("lease", shard, owner, lease_ms, channel, int(acknowledges), *incidents)
    return [
        Lease(
            incident,
            WORDS.get(word.decode()),
            attempt,
            int(count) if count else None,
            int(at or 0),
            times,
            step,
            thread.decode(),
        )
        for incident, (word, attempt, count, at, times, step, thread) in zip(incidents, answers, strict=True)
    ]


async def renew(
    db: Database, shard: Shard, channel: str, leases: Sequence[Lease], *, owner: str, lease_ms: int
) -> None:
    """Keeps leases while their telling lasts."""
    await db.run("renew", shard, owner, lease_ms, channel, *(lease.incident for lease in leases))


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
    thread: str = "",
) -> None:
    """Records how a telling ended; nothing happens where the lease has gone to another."""
    pairs = [text for lease in leases for text in (lease.incident, lease.word or "")]
    about = owner, channel, result, delay_ms, answer[:500], reason, latency_ms, thread
    await db.run("outcome", shard, *about, *pairs)


async def resend(db: Database, delivery: str) -> None:
    """Tells once more what the channel was told last, or could not be told. Raises NotFound."""
    if not await db.run("resend", db.shard(delivery), delivery):
        raise NotFound("no such delivery")


async def log(db: Database, channel: str, *, limit: int = 100) -> list[Telling]:
    """What a channel was sent, newest first."""
    found = await db.pipeline([("XREVRANGE", shard.told(channel), "+", "-", "COUNT", limit) for shard in db.shards])
    rows = [_telling(entry.decode(), decoded(mapped(fields))) for rows in found for entry, fields in rows]
    return sorted(rows, key=lambda row: (row.at, row.id), reverse=True)[:limit]


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


async def purge(db: Database, deliveries: Sequence[str]) -> int:
    """Takes dead letters off the list; how many were on it."""
    return sum(await db.pipeline([("ZREM", db.shard(name).dead, name) for name in deliveries]))


async def count_dead(db: Database) -> int:
    return sum(await db.pipeline([("ZCARD", shard.dead) for shard in db.shards]))


async def send_test(db: Database, channel: str, project: str = DEFAULT_PROJECT) -> Delivery:
    """Asks the notifiers for a test message."""
    incident = f"{token_hex(6)}-{await db.now()}"
    await db.run("test", db.shard(incident), incident, project, channel)
    return await get(db, f"{incident}:{channel}")


def _telling(entry: str, text: Mapping[str, str]) -> Telling:
    return Telling(
        id=entry,
        at=int(entry.partition("-")[0]),
        incident=text["incident"],
        word=text["word"],
        count=int(text["count"]),
        outcome=text["outcome"],
        answer=text["answer"],
        reason=text["reason"],
        latency_ms=int(text["latency"]),
    )
