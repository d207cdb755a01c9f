"""`python -m tests.bench`: starts the contenders, lets them take turns, prints figures and what must hold beside them.

Exit status: 0 = measured, whether a goal is met or not; 1 = something could not be measured or did not hold; 130 =
interrupted. However it ends, it ends what it started.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from runtime.settings import PREFIX
from store import fleets
from store.database import Database, opened
from store.records import Heartbeat
from tests.bench import checks, console, contenders, fill, machine, main_job, modes, scale, telling
from tests.bench.checks import WITNESSES, Witness
from tests.bench.contenders import WEBDIS_KEY, Contender
from tests.bench.figures import Figure, figures, table
from tests.bench.load import Run, press
from tests.bench.machine import BenchError
from tests.bench.main_job import Lag
from tests.bench.picture import picture
from tests.bench.result import Result
from tests.servers import binaries, running

HEARTBEATS: Final = 20_000
CONNECTIONS: Final = (64, 256)
WARM_UP_S: Final = 1
WARM_UP_TIMEOUT_S: Final = 60.0  # for each heartbeat once
#: As deployed; but a rewrite in the middle of one contender's turn would be measured as that contender's.
SERVER_OPTIONS: Final = ("--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")


Part = Callable[[Path, int], Awaitable[list[Result]]]

#: What is measured beside single pings, in turn; each with a folder of its own, the process under test on this core.
PARTS: Final[tuple[Part, ...]] = (
    modes.checked_pushes,
    modes.durable,
    modes.bulk,
    scale.cost,
    scale.expiry,
    scale.memory,
    modes.cold_start,
    telling.telling,
    console.console,
)
BY_NAME: Final = {part.__name__: part for part in PARTS}


class Bench:
    """A server with heartbeats, the contenders in front of it, and what came of their turns."""

    def __init__(self, db: Database, pressed: Sequence[Heartbeat], watched: Sequence[Heartbeat]) -> None:
        self.db = db
        self.pressed = pressed
        self.watched = watched
        self.contenders: list[Contender] = []
        self.runs: list[Run] = []
        self.failures: list[str] = []
        self._witness = Witness(watched)
        self._acknowledged = 0  # by flatline, warm-ups and witness included

    async def start(self, stack: AsyncExitStack, home: Path, core: int, *, profile: bool) -> None:
        """Starts those that are installed."""
        tokens, ids = [h.token for h in self.pressed], [h.id for h in self.pressed]
        await self.db.execute("ZADD", WEBDIS_KEY, *(text for id_ in ids for text in (0, id_)))
        node = contenders.profiled if profile else contenders.flatline
        ours = await stack.enter_async_context(node(home, core, self.db.url, tokens))
        fleet = await fleets.create(self.db, fleets.FleetSettings(name="bench"))
        members = contenders.of_members(ours, home, fleet.ping_key, [fill.slug(n) for n in range(HEARTBEATS)])
        self.contenders += [members, ours]
        if profile:
            return
        socket = Path(self.db.url.removeprefix("unix://"))
        for peer in (
            contenders.nginx(home, core, tokens),
            contenders.webdis(home, core, socket, ids),
            contenders.pushgateway(home, core, HEARTBEATS, checked=False),
        ):
            try:
                self.contenders.append(await stack.enter_async_context(peer))
            except BenchError as error:
                self.failures.append(f"{error}; make bench needs wrk, nginx, webdis and prometheus-pushgateway")

    async def measure(self, rounds: int, seconds: int) -> None:
        """The contenders take turns."""
        deaf, rows = await self._deaf_and_logged()
        for contender in self.contenders:
            if not contender.name.startswith("pushgateway"):  # its groups are there, and at its pace it takes an hour
                await self._warm_up(contender)
        for connections in CONNECTIONS:
            for number in range(1, rounds + 1):
                for contender in self.contenders:
                    await self._turn(contender, connections, WARM_UP_S)
                    run = await self._turn(contender, connections, seconds)
                    if not run.acknowledged:
                        raise BenchError(f"{contender.name} acknowledged nothing: {run.refused} refused")
                    self.runs.append(run)
                    _tell(f"round {number} of {rounds}: {run}")
        deaf_now, rows_now = await self._deaf_and_logged()
        if deaf_now != deaf:
            self.failures.append(f"the node was deaf: {deaf_now - deaf} windows were recorded")
        if lost := await self._witness.lost(self.db):
            self.failures.append(f"acknowledged pings were lost: {lost} of {len(self.watched)} watched deadlines lag")
        if rows_now - rows < self._acknowledged:
            self.failures.append(f"{self._acknowledged} pings were acknowledged, {rows_now - rows} logged")

    def for_connections(self) -> tuple[Contender, Contender | None]:
        """Ourselves and the floor."""
        by_name = {contender.name: contender for contender in self.contenders}
        return by_name["members"], by_name.get("nginx")

    async def _warm_up(self, contender: Contender) -> None:
        """Each heartbeat once: whatever is slow only the first time."""
        acknowledged, until = 0, time.monotonic() + WARM_UP_TIMEOUT_S
        while acknowledged < HEARTBEATS:
            if time.monotonic() > until:
                raise BenchError(
                    f"{contender.name} acknowledged only {acknowledged} pings in {WARM_UP_TIMEOUT_S:.0f} s"
                )
            acknowledged += (await self._turn(contender, CONNECTIONS[0], WARM_UP_S)).acknowledged

    async def _turn(self, contender: Contender, connections: int, seconds: int) -> Run:
        if contender.name != "heartbeats":
            return await press(contender, connections, seconds)
        before = self._witness.acknowledged
        async with self._witness.pinging(contender.port):
            run = await press(contender, connections, seconds)
        self._acknowledged += run.acknowledged + self._witness.acknowledged - before
        return run

    async def _deaf_and_logged(self) -> tuple[int, int]:
        ids = [h.id for h in (*self.pressed, *self.watched)]
        return await checks.deaf_windows(self.db), await checks.logged(self.db, ids)


async def bench(options: argparse.Namespace) -> int:
    """Exit status. Raises BenchError."""
    core, load_core = machine.cores()
    machine.program("wrk")
    os.sched_setaffinity(0, {load_core})  # and whatever we start, except the contenders
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flatline-bench-")))
        if options.only:
            report_part(await _measured(BY_NAME[options.only], home, core), options)
            return 0
        server = await stack.enter_async_context(running(binaries()["valkey-9"], *SERVER_OPTIONS))
        db = await stack.enter_async_context(opened(server.url))
        _tell(f"creating {HEARTBEATS:,} heartbeats")
        made = await checks.enlist(db, HEARTBEATS + WITNESSES)
        taken = Bench(db, made[WITNESSES:], made[:WITNESSES])
        async with AsyncExitStack() as peers:
            await taken.start(peers, home, core, profile=options.profile)
            await taken.measure(options.rounds, options.seconds)
            results = []
            if not options.profile:
                results += await modes.connections(*taken.for_connections())
                results += await modes.slow_sockets(taken.for_connections()[0])
        told = [] if options.profile else await main_job.lags(home)
        for part in [] if options.profile or options.pings else PARTS:
            results += await _measured(part, home, core)
        report(taken, told, results, options)
    return 1 if taken.failures else 0


async def _measured(part: Part, home: Path, core: int) -> list[Result]:
    _tell(part.__doc__ or part.__name__)
    return await part(home, core)


def report_part(results: Sequence[Result], options: argparse.Namespace) -> None:
    print(machine.describe(), *results, sep="\n")
    if options.json:
        _write(options.json, {"machine": machine.describe(), "results": _recorded(results)})


def report(taken: Bench, told: Sequence[Lag], results: Sequence[Result], options: argparse.Namespace) -> None:
    found = figures(taken.runs)
    versions = {contender.name: contender.version for contender in taken.contenders}
    versions[taken.db.server.name] = ".".join(map(str, taken.db.server.version))
    versions["wrk"] = contenders.version_of("wrk")
    print(machine.describe())
    print(", ".join(f"{name} {number}" for name, number in versions.items()))
    print(f"{HEARTBEATS:,} heartbeats, {options.rounds} rounds of {options.seconds} s, medians\n")
    print(table(taken.runs), end="\n\n")
    print(*found, *told, *results, sep="\n")
    print(*(taken.failures or ["no deaf window, no acknowledged ping lost"]), sep="\n")
    if options.picture:
        Path(options.picture).write_text(picture(taken.runs, machine.describe()))
    if options.json:
        _write(options.json, _record(taken, found, told, versions) | {"results": _recorded(results)})


def _recorded(results: Sequence[Result]) -> list[dict[str, object]]:
    return [asdict(result) | {"met": result.met} for result in results]


def _write(file: str, record: dict[str, object]) -> None:
    Path(file).write_text(json.dumps(record, indent=2) + "\n")


def _record(taken: Bench, found: Sequence[Figure], told: Sequence[Lag], versions: dict[str, str]) -> dict[str, object]:
    return {
        "machine": machine.describe(),
        "versions": versions,
        "heartbeats": HEARTBEATS,
        "runs": [asdict(run) | {"per_second": run.per_second, "cpu_us": run.cpu_us} for run in taken.runs],
        "figures": [asdict(figure) | {"met": figure.met} for figure in found],
        "lags": [asdict(lag) | {"met": lag.met} for lag in told],
        "failures": taken.failures,
    }


def _tell(progress: str) -> None:
    print(progress, file=sys.stderr, flush=True)


async def _until_signal(options: argparse.Namespace) -> int:
    task = asyncio.create_task(bench(options))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure, with the peers in one run.")
    parser.add_argument("--seconds", type=int, default=5, help="length of one turn (5)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender (3)")
    parser.add_argument("--json", metavar="FILE", help="write everything there, too")
    parser.add_argument("--pings", action="store_true", help="only single pings, beside the peers")
    parser.add_argument("--only", choices=sorted(BY_NAME), help="only this part, without single pings")
    parser.add_argument("--picture", metavar="FILE", help="draw the CPU of a ping there, as SVG")
    parser.add_argument("--profile", action="store_true", help="only the node, under cProfile")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # what somebody's shell sets for their own flatline
    try:
        return asyncio.run(_until_signal(options))
    except BenchError as error:
        _tell(f"bench: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
