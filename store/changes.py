"""What ingest nodes cache of a heartbeat, and how they learn to forget it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from store.database import Database, mapped
from store.records import span_ms

#: The longest that a node may trust its cache, seconds. An edit holds a live deadline back for as long (common.lua).
CACHE_AGE_S: Final = 5.0


@dataclass(slots=True)
class Known:
    """What a node must know to take a ping. `up` False = the next ping goes to arrive.lua."""

    token: str
    span_ms: int
    up: bool
    last_at: int = 0


async def lookup(db: Database, heartbeats: Sequence[str]) -> list[Known | None]:
    """Settings of many heartbeats in one round trip; None = there is no such heartbeat."""
    fields = ("token", "period", "grace", "misses", "status")
    answers = await db.pipeline([("HMGET", db.shard(id_).heartbeat(id_), *fields) for id_ in heartbeats])
    return [_known(*fields) if fields[0] is not None else None for fields in answers]


def _known(
    token: bytes, period: bytes | None, grace: bytes | None, misses: bytes | None, status: bytes | None
) -> Known:
    try:
        span = span_ms(int(period or ""), int(grace or ""), int(misses or 1))
    except ValueError:  # corrupt: arrive.lua answers that to its own pings, and the others of this lookup are served
        return Known(token.decode(errors="replace"), 0, up=False)
    return Known(token.decode(errors="replace"), span, up=status == b"up")


class Changes:
    """Reads the changes streams of all shards. One per node; after anything odd it says: forget everything."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: dict[int, tuple[bytes, int]] = {}  # shard -> last stream id and counter
        self._run_id = ""

    async def read(self) -> list[str] | None:
        """Heartbeats to forget since the last call; None = forget all (first call, a gap, another server)."""
        run_id = (await self._db.execute("INFO", "server"))["run_id"]
        if run_id != self._run_id:
            await self._start()
            self._run_id = run_id
            return None
        forget: list[str] = []
        reads = [("XRANGE", shard.changes, b"(" + self._seen[shard.number][0], "+") for shard in self._db.shards]
        for shard, entries in zip(self._db.shards, await self._db.pipeline(reads), strict=True):
            for entry, fields in entries:
                heartbeat, counter = _fields(fields)
                if counter != self._seen[shard.number][1] + 1:
                    self._run_id = ""  # trimmed away, or another history: start over
                    return None
                self._seen[shard.number] = (entry, counter)
                forget.append(heartbeat)
        return forget

    async def _start(self) -> None:
        reads = [("XREVRANGE", shard.changes, "+", "-", "COUNT", 1) for shard in self._db.shards]
        for shard, entries in zip(self._db.shards, await self._db.pipeline(reads), strict=True):
            self._seen[shard.number] = (entries[0][0], _fields(entries[0][1])[1]) if entries else (b"0-0", 0)


def _fields(fields: Any) -> tuple[str, int]:
    record = mapped(fields)
    return record[b"id"].decode(), int(record[b"n"])
