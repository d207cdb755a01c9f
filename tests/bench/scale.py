"""Many heartbeats: what a ping costs among a million, what each takes of memory, and how soon silence is seen."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Final

from store import deadlines, fleets
from store.database import Database, mapped, opened
from store.fleets import Fleet
from store.records import Settings
from tests.bench import checks, contenders, fill
from tests.bench.contenders import Contender
from tests.bench.load import press
from tests.bench.machine import BenchError, cpu_seconds
from tests.bench.result import Result
from tests.conftest import eventually
from tests.servers import Server, binaries, running

FEW: Final = 1_000
MANY: Final = 1_000_000
SAMPLE: Final = 20_000  # heartbeats made as the API makes them, with logs, for their memory
SILENT: Final = 100_000
CONNECTIONS: Final = 64
DAY_MS: Final = 86_400_000
ROUNDS: Final = 3
PACE: Final = 30_000  # pings/s, about
LAGS: Final = 400  # heartbeats that fall silent one by one
LAG_SPREAD_S: Final = 8
EXPIRY_IN_S: Final = 5.0
TURN_S: Final = 4
PATIENCE_S: Final = 120.0
MEMORY_OPTIONS: Final = ("--appendonly", "no")

Probe = Callable[[], Awaitable[object]]


async def cost(home: Path, core: int) -> list[Result]:
    """CPU of node and server per ping, among a million heartbeats and among a thousand."""
    per_ping: dict[int, list[float]] = {}
    found: list[Result] = []
    async with running(binaries()["valkey-9"], "--appendonly", "no") as server, opened(server.url) as db:
        now = await db.now()
        tokens = fill.heartbeats(db, MANY, now, now + DAY_MS)
        random.Random(MANY).shuffle(tokens)
        sets = {FEW: tokens[:FEW], MANY: tokens}
        for count, some in sets.items():
            folder = home / f"scale-{count}"
            folder.mkdir()
            async with contenders.flatline(folder, core, db.url, some, cache_size=MANY) as node:
                await _press_all(node, count)
                for _ in range(ROUNDS):
                    served = await _server_cpu(server)
                    run = await press(node, CONNECTIONS, TURN_S)
                    served = await _server_cpu(server) - served
                    per_ping.setdefault(count, []).append(run.cpu_us + served * 1e6 / run.acknowledged)
        found += await _lags(home, core, db)
    few, many = (sorted(per_ping[count])[ROUNDS // 2] for count in (FEW, MANY))
    return [
        Result(
            what="CPU of node and server per ping, 1,000,000 heartbeats against 1,000", value=many / few, unit="x",
            wanted=1.5, accepted=1.7, note=f"{many:.1f} us against {few:.1f} us",
        ),
        *found,
    ]  # fmt: skip


async def _press_all(node: Contender, count: int) -> None:
    """Each heartbeat at least once, so that the node knows it."""
    done = 0
    while done < count:  # each run begins somewhere, so it must go round by itself
        done = (await press(node, CONNECTIONS, max(TURN_S, 2 * count // PACE))).acknowledged


async def _server_cpu(server: Server) -> float:
    assert server.process is not None
    return cpu_seconds(server.process.pid)


async def _lags(home: Path, core: int, db: Database) -> list[Result]:
    """From a deadline to its incident in the outbox, among a million, while pings come."""
    folder = home / "lags"
    folder.mkdir()
    pinged, *made = await checks.enlist(db, LAGS + 1, Settings(name="lag", period=1, grace=1))
    shard = db.shards[0]
    async with (
        contenders.flatline(folder, core, db.url, [pinged.token]) as node,
        contenders.role("sweeper", folder, core, db.url),
    ):
        await eventually(_pulsed(db), within_s=PATIENCE_S)
        start = await db.now() + 3_000
        due = {h.id: start + i * LAG_SPREAD_S * 1000 // LAGS for i, h in enumerate(made)}
        await db.execute("ZADD", shard.deadlines, *(text for h, at in due.items() for text in (at, h)))
        load = asyncio.create_task(press(node, 4, LAG_SPREAD_S + 5))
        seen: dict[str, int] = {}
        last, until = "0", time.monotonic() + LAG_SPREAD_S + 30
        while len(seen) < LAGS and time.monotonic() < until:
            answer = await db.redis.execute_command("XREAD", "BLOCK", 1000, "STREAMS", shard.notifications, last)
            entries = [] if not answer else (answer[0][1] if isinstance(answer, list) else next(iter(answer.values())))
            for entry, fields in entries:
                last = entry.decode()
                for incident in mapped(fields).get(b"incidents", b"").decode().split():
                    seen.setdefault(incident.partition("-")[0], int(last.partition("-")[0]))
        await load
    if len(seen) < LAGS:
        raise BenchError(f"only {len(seen)} of {LAGS} silent heartbeats were seen")
    lags = sorted(seen[h] - at for h, at in due.items())
    p99 = quantiles(lags, n=100)[98]
    return [
        Result(
            what="deadline -> incident in the stream, 1,000,000 heartbeats, p99", value=p99, unit="ms",
            wanted=250, accepted=400, note=f"median {lags[len(lags) // 2]} ms, most {lags[-1]} ms",
        )
    ]  # fmt: skip


def _pulsed(db: Database) -> Probe:
    """Before a pulse has passed nobody is judged."""
    return lambda: db.execute("EXISTS", db.shards[0].pulse)


def _all_down(db: Database, fleet: Fleet) -> Probe:
    async def probe() -> bool:
        return int(await db.execute("ZCARD", db.shards[0].fleet_down(fleet.id))) == MANY

    return probe


async def expiry(home: Path, core: int) -> list[Result]:
    """A million members fall due at once: how long until all are told, and how pings fare meanwhile."""
    folder = home / "expiry"
    folder.mkdir()
    options = ("--appendonly", "yes", "--appendfsync", "everysec")
    async with running(binaries()["valkey-9"], *options) as server, opened(server.url) as db:
        shard = db.shards[0]
        bare_s = await _bare(db)
        fleet = await fleets.create(db, fleets.FleetSettings(name="expiring"))
        watched = await checks.enlist(db, checks.WITNESSES)
        witness = checks.Witness(watched, pace_s=0.01)
        async with (
            contenders.flatline(folder, core, db.url, [watched[0].token]) as node,
            contenders.role("sweeper", folder, core, db.url),
        ):
            await eventually(_pulsed(db), within_s=PATIENCE_S)
            due = await db.now() + int(EXPIRY_IN_S * 1000)
            await asyncio.to_thread(fill.members, db, fleet, range(MANY), due)
            async with witness.pinging(node.port):
                started = time.monotonic() + (due - await db.now()) / 1000
                await eventually(_all_down(db, fleet), within_s=PATIENCE_S)
                took = time.monotonic() - started
        latencies = sorted(witness.latencies)
        entries = await db.execute("XLEN", shard.notifications)
    p99_ms = quantiles(latencies, n=100)[98] * 1000
    return [
        Result(
            what="1,000,000 members expire at once: all silent and in the stream", value=took, unit="s",
            wanted=20, accepted=2 * bare_s, note=f"the bare script {bare_s:.1f} s; entries in the outbox: {entries}",
        ),
        Result(
            what="pings meanwhile, p99", value=p99_ms, unit="ms", wanted=50,
            note=f"{len(latencies)} pings, most {latencies[-1] * 1000:.0f} ms",
        ),
    ]  # fmt: skip


async def _bare(db: Database) -> float:
    """The same million by the script alone, called in a loop."""
    fleet = await fleets.create(db, fleets.FleetSettings(name="bare"))
    shard = db.shards[0]
    now = await db.now()
    await db.execute("HSET", shard.pulse, "at", now, "run", db.server.run_id)
    await asyncio.to_thread(fill.members, db, fleet, range(MANY), now - 60_000)
    await deadlines.pulse(db, shard, "bench")
    started = time.monotonic()
    while await db.execute("ZCARD", shard.fleet_down(fleet.id)) < MANY:
        await fleets.sweep(db, shard)
    took = time.monotonic() - started
    await fleets.delete(db, fleet.id)
    await fleets.sweep(db, shard)
    await db.execute("DEL", shard.notifications, shard.pulse, shard.deaf)
    return took


async def memory(_home: Path, _core: int) -> list[Result]:
    """Bytes of the server per member and per heartbeat."""
    found: list[Result] = []
    for kind in ("valkey-9", "redis-7"):
        if kind not in binaries():
            continue
        async with running(binaries()[kind], *MEMORY_OPTIONS) as server, opened(server.url) as db:
            shard, now = db.shards[0], await db.now()
            fleet = await fleets.create(db, fleets.FleetSettings(name="memory"))
            async with _grown(db, MANY) as up:
                await asyncio.to_thread(fill.members, db, fleet, range(MANY), now + DAY_MS)
            async with _grown(db, SILENT) as silent:
                late = await fleets.create(db, fleets.FleetSettings(name="silent"))
                await db.execute("HSET", shard.pulse, "at", now, "run", db.server.run_id)
                await asyncio.to_thread(fill.members, db, late, range(SILENT), now - 60_000)
                while await db.execute("ZCARD", shard.fleet_down(late.id)) < SILENT:
                    await fleets.sweep(db, shard)
            async with _grown(db, SAMPLE) as filled:
                await asyncio.to_thread(fill.heartbeats, db, SAMPLE, now, now + DAY_MS)
            found += [
                Result(
                    what=f"memory per member that is up, {kind}", value=up[0], unit="bytes", wanted=150, accepted=150
                ),
                Result(
                    what=f"memory per silent member, {kind}", value=silent[0], unit="bytes", wanted=350, accepted=350
                ),
                Result(what=f"memory per heartbeat without logs, {kind}", value=filled[0], unit="bytes", wanted=800),
            ]
    return found


@asynccontextmanager
async def _grown(db: Database, count: int) -> AsyncIterator[list[float]]:
    """Bytes that each of `count` took."""
    before = (await db.execute("INFO", "memory"))["used_memory"]
    each: list[float] = []
    yield each
    each.append(((await db.execute("INFO", "memory"))["used_memory"] - before) / count)
