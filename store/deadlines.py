"""What is due: the sweep, the timers, the chores, the pulse and the clamp walk. One call each, bounded in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from store import records
from store.database import Database, scored
from store.keys import Shard

BATCH: Final = 100  # deadlines or timers per call: 5 ms of the server
GAP_MS: Final = 1_000  # between two pulses; more is a deaf window (pulse.lua)
TIMES_MAX: Final = 100  # deaf windows told at once, as many as a shard keeps


@dataclass(frozen=True, slots=True)
class Swept:
    """`due`: the next due moment over all zsets, None = nothing. `corrupt`: records put off because of an error.

    `unreckoned`: heartbeats whose next slot is to be reckoned, each with the rev of its settings and from when.
    """

    taken: int
    due: int | None
    now: int
    corrupt: int
    walking: bool
    unreckoned: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Pulse:
    """`now`: Redis' clock. `nodes`: how many share the pace. `deaf`: a window was recorded."""

    now: int
    nodes: int
    deaf: bool
    stepped_back: bool


async def sweep(db: Database, shard: Shard, limit: int = BATCH) -> Swept:
    """Opens incidents for passed deadlines."""
    taken, due, now, corrupt, walking, *rest = await db.run("sweep", shard, limit)
    unreckoned = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    return Swept(
        taken=taken,
        due=int(float(due)) if due else None,
        now=int(now),
        corrupt=corrupt,
        walking=bool(walking),
        unreckoned=tuple((heartbeat.decode(), int(rev), int(since)) for heartbeat, rev, since in unreckoned),
    )


async def reckon(db: Database, shard: Shard, unreckoned: Sequence[tuple[str, int, int]]) -> int:
    """Gives heartbeats with a schedule the deadlines that Lua could not reckon; returns how many are corrupt.

    Who was changed meanwhile is left alone, and handed out again by a later sweep if that is still needed.
    """
    args: list[Any] = []
    corrupt = 0
    hashes = await db.pipeline([("HGETALL", shard.heartbeat(heartbeat)) for heartbeat, _, _ in unreckoned])
    for (heartbeat, rev, since), fields in zip(unreckoned, hashes, strict=True):
        text = records.decoded(fields)
        if (text.get("rev"), text.get("slot_from")) != (str(rev), str(since)):
            continue
        try:
            due = records.owed(text, records.settings_of(text))
        except (KeyError, ValueError):  # it stops nobody else
            corrupt += 1
        else:
            args += (heartbeat, rev, since, text.get("last_ping", "0"), due.slot, due.deadline)
    if args:
        await db.run("slot", shard, *args)
    return corrupt


async def timers(db: Database, shard: Shard, limit: int = BATCH) -> tuple[int, int]:
    """Fires due timers; returns how many, and how many were corrupt."""
    fired, corrupt = await db.run("timers", shard, limit)
    return fired, corrupt


async def chores(db: Database, shard: Shard, limit: int = BATCH) -> int:
    """Hands due chores to the notifier; returns how many."""
    return int(await db.run("chores", shard, limit))


async def clamp(db: Database, shard: Shard, limit: int = BATCH) -> bool:
    """One chunk of the walk after a backward step of Redis' clock; True while there is more."""
    return bool(await db.run("clamp", shard, limit))


async def pulse(db: Database, shard: Shard, node: str) -> Pulse:
    """Says that this node hears."""
    now, nodes, deaf, stepped_back = await db.run("pulse", shard, node)
    return Pulse(int(now), nodes, bool(deaf), bool(stepped_back))


async def deaf_windows(db: Database, shard: Shard) -> list[tuple[int, int]]:
    """When we could not hear, as (from, to) in ms, oldest first."""
    flat = await db.execute("ZRANGE", shard.deaf, 0, -1, "WITHSCORES")
    return [(int(start), int(end)) for start, end in scored(flat)]


async def deaf_times(db: Database, now: int) -> list[tuple[int, int | None]]:
    """When any shard could not hear, as (from, to) in ms, newest first; to None = it cannot now."""
    pulses = await db.pipeline([("HGET", shard.pulse, "at") for shard in db.shards])
    silent = [(int(at), inf) for at in pulses if at is not None and int(at) < now - GAP_MS]
    merged: list[tuple[int, float]] = []
    for start, end in sorted([*silent, *[window for shard in db.shards for window in await deaf_windows(db, shard)]]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return [(start, None if end == inf else int(end)) for start, end in reversed(merged[-TIMES_MAX:])]
