"""Problems of our own: what is wrong with flatline itself, since when, and whom it is told to.

A problem is known by its kind and its subject, such as the id of a channel ("" = all of flatline). It is told by the
same machinery as an incident: the same deliveries, retries and order, an end for whoever heard of the beginning.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from store import channels, incidents, keys
from store.database import Database, mapped
from store.errors import Unavailable
from store.keys import DEFAULT_PROJECT, Shard

Kind = Literal["dead_letters", "sweep_stale", "hold", "not_persisted", "redis_memory", "channel_broken", "outbox_stale"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ID_DIGITS: Final = 12  # as a heartbeat's id: they name the shard
LETTER_COUNTS_MS: Final = 3_600_000  # a dead letter is news for an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One that lasts. `incident`: what it is told as. `opened_at`: ms."""

    kind: Kind
    subject: str
    text: str
    project: str
    incident: str
    opened_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """How Redis shows us to be doing, over all shards the worst. Durations in ms, 0 = none.

    `behind_ms`: the oldest due moment that nobody has taken, though it could be. `unheard_ms`: since the newest pulse
    (none ever = 0: nobody pings here yet). `deaf_ms`: a deaf window that has no end yet. `waiting_ms`: the oldest entry
    of the outbox that nobody has taken note of. `memory`: the used share of maxmemory, 0 where there is no limit.
    """

    behind_ms: int = 0
    unheard_ms: int = 0
    deaf_ms: int = 0
    waiting_ms: int = 0
    has_dead_letters: bool = False
    persists: bool = True
    writes_fail: bool = False
    memory: float = 0.0


async def begin(db: Database, kind: Kind, subject: str, text: str, *, project: str, channels: Sequence[str]) -> bool:
    """Begins a problem and tells these channels of it; False, and nothing happens, if it lasts already."""
    problem, digits = _identity(kind, subject)
    return bool(await db.run("problem", db.shard(digits), "begin", problem, digits, text, project, *channels))


async def end(db: Database, kind: Kind, subject: str) -> bool:
    """Ends a problem, and whoever heard of it hears that; False = there is none."""
    problem, digits = _identity(kind, subject)
    return bool(await db.run("problem", db.shard(digits), "end", problem, digits))


async def open_problems(db: Database) -> list[Problem]:
    """Oldest first."""
    latest = [mapped(answer) for answer in await db.pipeline([("HGETALL", shard.problems) for shard in db.shards])]
    named = {incident.decode(): name.decode() for names in latest for name, incident in names.items()}
    found = []
    for incident in await incidents.get_many(db, list(named)):
        if incident is not None and incident.status == "open":
            kind, _, subject = named[incident.id].partition(" ")
            found.append(
                Problem(
                    kind=kind,  # type: ignore[arg-type]  # begin wrote it
                    subject=subject,
                    text=incident.problem,
                    project=incident.project,
                    incident=incident.id,
                    opened_at=incident.opened_at,
                )
            )
    return sorted(found, key=lambda problem: (problem.opened_at, problem.incident))


async def is_broken(db: Database, channel: str, project: str) -> bool:
    """An edit, or its deletion, mends a channel as well as a message that arrives."""
    return bool(await db.execute("HEXISTS", keys.BROKEN + project, channel))


async def operator_channels(db: Database) -> list[str]:
    """Whom to tell of what concerns all of flatline: the chosen channels that still exist, else all of the project."""
    everyone = await channels.ids(db, DEFAULT_PROJECT)
    chosen = await chosen_channels(db)
    return [channel for channel in everyone if channel in chosen] or everyone


async def chosen_channels(db: Database) -> list[str]:
    """As they were chosen; none = nobody has chosen."""
    chosen: bytes | None = await db.execute("GET", keys.OPERATOR_CHANNELS)
    return chosen.decode().split() if chosen else []


async def choose_channels(db: Database, chosen: Sequence[str]) -> None:
    """None = all of the project again."""
    await db.execute("SET", keys.OPERATOR_CHANNELS, " ".join(chosen))


async def facts(db: Database) -> Facts:
    """Raises Unavailable."""
    found = [await _of_shard(db, shard) for shard in db.shards]
    behind, unheard, deaf, waiting, letters = (max(figures) for figures in zip(*found, strict=True))
    snapshots = await _makes_snapshots(db)
    # Managed services hide some of these fields: what is not shown is taken to be well.
    disk = await db.execute("INFO", "persistence")
    memory = await db.execute("INFO", "memory")
    appends = bool(disk.get("aof_enabled", 0))
    return Facts(
        behind_ms=behind,
        unheard_ms=unheard,
        deaf_ms=deaf,
        waiting_ms=waiting,
        has_dead_letters=bool(letters),
        persists=appends or snapshots,
        writes_fail=(appends and disk.get("aof_last_write_status") == "err")
        or (snapshots and disk.get("rdb_last_bgsave_status") == "err"),
        memory=memory["used_memory"] / memory["maxmemory"] if memory.get("maxmemory") else 0.0,
    )


async def _of_shard(db: Database, shard: Shard) -> list[int]:
    # Not int() alone: the oldest due moment may be a granted deadline, which ends in .5.
    return [int(float(figure)) for figure in await db.run("facts", shard, LETTER_COUNTS_MS)]


async def _makes_snapshots(db: Database) -> bool:
    try:
        found = await db.execute("CONFIG GET", "save")  # one word: so redis-py pairs the answer
    except Unavailable:  # a managed service that hides its settings; if it is away, the next command says so
        return True
    return bool(found.get("save") != "")


def _identity(kind: Kind, subject: str) -> tuple[str, str]:
    """The problem's name, and the digits with which the ids of its incidents begin."""
    problem = f"{kind} {subject}"
    return problem, hashlib.sha256(problem.encode()).hexdigest()[:ID_DIGITS]
