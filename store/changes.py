"""What ingest nodes cache of heartbeats and fleets, and how they learn to forget it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rules import schedules
from store.database import Database, mapped
from store.records import Durability, Settings, decoded, settings_of, span_ms

#: The longest that a node may trust its cache, seconds. An edit holds a live deadline back for as long (common.lua).
CACHE_AGE_S: Final = 5.0
#: In front of a fleet's id in the cache: heartbeats and fleets are drawn from the same ids.
FLEET: Final = "fleet:"

_PLAIN: Final = ("token", "period", "grace", "misses", "status", "durability")
#: What makes the pings of a heartbeat more than plain; with them it is read whole.
_RULES: Final = (
    "schedule", "post_only", "failure_words", "success_words", "start_words", "rate_limit", "warn_late"
)  # fmt: skip
LEVELS: Final[dict[bytes | None, Durability | None]] = {
    None: None, b"memory": "memory", b"disk": "disk", b"replica": "replica"
}  # fmt: skip
_FLEET: Final = ("ping_key", "period", "grace", "misses", "status", "durability")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the pings of one heartbeat are judged beyond "it came". `rev`: of the settings."""

    settings: Settings
    rev: int


@dataclass(slots=True)
class Known:
    """What a node must know to take a ping. `up` False = the next ping goes to a script.

    `token`: a fleet's ping key. A fleet is always `up`: each of its members tells by its own deadline.
    """

    token: str
    span_ms: int
    up: bool
    last_at: int = 0
    durability: Durability | None = None
    rules: Rules | None = None
    corrupt: bool = False


async def lookup(db: Database, ids: Sequence[str]) -> list[Known | None]:
    """Settings of many heartbeats, and of fleets where `FLEET` stands before the id; None = there is none such."""
    reads: list[tuple[Any, ...]] = []
    for id_ in ids:
        if id_.startswith(FLEET):
            fleet = id_.removeprefix(FLEET)
            reads.append(("HMGET", db.shard(fleet).fleet(fleet), *_FLEET))
        else:
            reads.append(("HMGET", db.shard(id_).heartbeat(id_), *_PLAIN, *_RULES))
    answers = await db.pipeline(reads)
    found = [_known(fields) if fields[0] is not None else None for fields in answers]
    ruled = [i for i, fields in enumerate(answers) if any(fields[len(_PLAIN) :])]
    hashes = await db.pipeline([("HGETALL", db.shard(ids[i]).heartbeat(ids[i])) for i in ruled])
    for i, fields in zip(ruled, hashes, strict=True):
        found[i] = _ruled(found[i], fields)
    for id_, known in zip(ids, found, strict=True):
        if known is not None and id_.startswith(FLEET):
            known.up = not known.corrupt
    return found


def _known(fields: Sequence[bytes | None]) -> Known:
    token, period, grace, misses, status, durability = fields[: len(_PLAIN)]
    name = (token or b"").decode(errors="replace")
    try:
        span = span_ms(int(period or ""), int(grace or ""), int(misses or 1))
        level = LEVELS[durability]
    except (ValueError, KeyError):  # the script answers that to its own pings, and the others of this lookup are served
        return Known(name, 0, up=False, corrupt=True)
    return Known(name, span, up=status == b"up", durability=level)


def _ruled(known: Known | None, fields: dict[bytes, bytes]) -> Known | None:
    """The heartbeat as read whole, a moment later: it may be gone, or have other settings now."""
    if known is None or not fields:
        return None
    text = decoded(fields)
    known.up = False
    try:
        settings = settings_of(text)
        if settings.schedule:
            schedules.slots(settings.schedule, settings.timezone, 0, 1)  # a zone may have left the database of zones
        known.rules = Rules(settings, int(text["rev"]))
    except (KeyError, ValueError):
        known.corrupt = True
    return known


class Changes:
    """Reads the changes streams of all shards. One per node; after anything odd it says: forget everything."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: dict[int, tuple[bytes, int]] = {}  # shard -> last stream id and counter
        self._run_id = ""

    async def read(self) -> list[str] | None:
        """Ids to forget since the last call; None = forget all (first call, a gap, another server)."""
        run_id = (await self._db.execute("INFO", "server"))["run_id"]
        if run_id != self._run_id:
            await self._start()
            self._run_id = run_id
            return None
        forget: list[str] = []
        reads = [("XRANGE", shard.changes, b"(" + self._seen[shard.number][0], "+") for shard in self._db.shards]
        for shard, entries in zip(self._db.shards, await self._db.pipeline(reads), strict=True):
            for entry, fields in entries:
                changed, counter = _fields(fields)
                if counter != self._seen[shard.number][1] + 1:
                    self._run_id = ""  # trimmed away, or another history: start over
                    return None
                self._seen[shard.number] = (entry, counter)
                forget.append(changed)
        return forget

    async def _start(self) -> None:
        reads = [("XREVRANGE", shard.changes, "+", "-", "COUNT", 1) for shard in self._db.shards]
        for shard, entries in zip(self._db.shards, await self._db.pipeline(reads), strict=True):
            self._seen[shard.number] = (entries[0][0], _fields(entries[0][1])[1]) if entries else (b"0-0", 0)


def _fields(fields: Any) -> tuple[str, int]:
    record = mapped(fields)
    return record[b"id"].decode(), int(record[b"n"])
