"""The console among a million heartbeats: what its lists, search and counts take, and what pings cost meanwhile."""

import asyncio
import contextlib
import http.client
import os
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Final, ParamSpec

from rules import tokens
from store import api_keys
from store.database import Database, opened
from store.keys import DEFAULT_PROJECT, Shard
from tests.bench import contenders, fill
from tests.bench.contenders import Contender, Role
from tests.bench.load import Run, press
from tests.bench.machine import BenchError, busy_seconds, cpu_seconds
from tests.bench.questions import DAY_MS, MANY, ROWS, Bare, Question, has_log, like, questions
from tests.bench.result import Result
from tests.servers import Server, binaries, running

ADMIN_KEY: Final = "c" * 32
TURNS: Final = 4  # of each question
TURN: Final = 30  # requests
PINGED: Final = 20_000  # heartbeats
CONNECTIONS: Final = 64
ROUNDS: Final = 5
TURN_S: Final = 3
PACE_S: Final = 0.2  # between the requests of a console that is used steadily
TIMEOUT_S: Final = 30.0
WANTED_MS: Final = 150.0
BARE_MOST: Final = 3  # times the bare calls
PINGS_MOST: Final = 1.1  # times the CPU of a ping without a console

P = ParamSpec("P")


@dataclass(slots=True)
class Taken:
    """Seconds of each request and of the bare calls; of the requests altogether, of the console's CPU for them, and of
    what its core worked meanwhile.
    """

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    took_s: float = 0.0
    cpu_s: float = 0.0
    busy_s: float = 0.0

    @property
    def others(self) -> float:
        """The share of the core that others had: where it is large, the times say little."""
        return max(0.0, self.busy_s - self.cpu_s) / self.took_s


@dataclass(frozen=True, slots=True)
class Pressed:
    """`with_server_us`: CPU of node and server per ping."""

    run: Run
    with_server_us: float


class Client:
    """Asks a console over one connection, with a key of a project that may read."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        self._headers = {"authorization": f"Bearer {key}"}

    def body(self, path: str) -> bytes:
        """Raises BenchError."""
        try:
            self._connection.request("GET", path, headers=self._headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchError(f"GET {path} was not answered: {error!r}") from None
        if answer.status != 200:
            raise BenchError(f"GET {path} was answered {answer.status}")
        return body

    def close(self) -> None:
        self._connection.close()


async def console(home: Path, core: int) -> list[Result]:
    """What a console takes among a million heartbeats, against the bare Redis calls, and what pings cost meanwhile."""
    folder = home / "console"
    folder.mkdir()
    async with running(binaries()["valkey-9"], "--appendonly", "no") as server, opened(server.url) as db:
        pinged = await asyncio.to_thread(_fill, db, await db.now())
        _, key = await api_keys.create(db, DEFAULT_PROJECT, "bench", ("read",), "r")
        return [*await _answers(db, folder, core, key), *await _pings(server, folder, core, key, pinged)]


def _fill(db: Database, now: int) -> list[str]:
    """The tokens of those to be pinged."""
    made = fill.heartbeats(db, MANY, now, now + DAY_MS, like)
    row = ("kind", "success", "at", now, "exit", "", "from", "192.0.2.7", "agent", "curl/8.14.1", "took", 1_500)
    fill.logs(db, [tokens.id_of(token) for number, token in enumerate(made) if has_log(number)], [row] * ROWS)
    up = [token for number, token in enumerate(made) if like(number).status == "up"]
    return random.Random(MANY).sample(up, PINGED)


async def _answers(db: Database, folder: Path, core: int, key: str) -> list[Result]:
    async with contenders.role("console", folder, core, db.url, api_key=ADMIN_KEY) as process:
        taken = await asyncio.to_thread(_take_turns, db, process, core, key)
    return [_result(question, found) for question, found in taken]


def _take_turns(db: Database, process: Role, core: int, key: str) -> list[tuple[Question, Taken]]:
    """Question by question, and several times round: what disturbs a while disturbs all."""
    taken = [(question, Taken()) for question in questions(db.shards[0])]
    with contextlib.closing(Client(process.port, key)) as client, socket.socket(socket.AF_UNIX) as sock:
        bare = Bare(db, sock)
        for question, _ in taken:  # once for what is slow only the first time, and whether both find the same
            body, ids = client.body(question.path(0)), bare.ids(question, 0)
            if ids and not any(id_.encode() in body for id_ in ids):
                raise BenchError(f"{question.what} was answered without what the bare calls found")
        for turn in range(TURNS):
            for question, found in taken:
                numbers = range(turn * TURN, (turn + 1) * TURN)
                before, busy = cpu_seconds(process.pid), busy_seconds(core)
                some = [_seconds(client.body, question.path(n)) for n in numbers]
                found.cpu_s += cpu_seconds(process.pid) - before
                found.busy_s += busy_seconds(core) - busy
                found.took_s += sum(some)
                found.ours += some
                found.bare += [_seconds(bare.ids, question, n) for n in numbers]
    return taken


def _result(question: Question, taken: Taken) -> Result:
    ours, bare = _p95_ms(taken.ours), _p95_ms(taken.bare)
    p50, bare_p50 = (median(seconds) * 1000 for seconds in (taken.ours, taken.bare))
    return Result(
        what=f"{question.what}, p95", value=ours, unit="ms", wanted=WANTED_MS, accepted=BARE_MOST * bare,
        note=f"p50 {p50:.1f} ms, CPU of the console {taken.cpu_s / len(taken.ours) * 1000:.1f} ms, others had "
        f"{taken.others:.0%} of its core; the bare calls p50 {bare_p50:.1f} ms, p95 {bare:.1f} ms; ratio of p50 "
        f"{p50 / bare_p50:.1f}, of p95 {ours / bare:.1f}",
    )  # fmt: skip


async def _pings(server: Server, folder: Path, core: int, key: str, pinged: Sequence[str]) -> list[Result]:
    """In turn with a console in use and without; it has the core of the server and the load."""
    (load_core,) = os.sched_getaffinity(0)
    alone: list[Pressed] = []
    beside: list[Pressed] = []
    asked: list[float] = []
    async with (
        contenders.flatline(folder, core, server.url, pinged) as node,
        contenders.role("console", folder, load_core, server.url, api_key=ADMIN_KEY) as process,
    ):
        await _warm_up(node)
        for number in range(ROUNDS):
            for with_console in (False, True) if number % 2 else (True, False):
                if with_console:
                    async with _in_use(process.port, key, asked):
                        beside.append(await _press(node, server))
                else:
                    alone.append(await _press(node, server))
    turns = list(zip(beside, alone, strict=True))
    ratios = [with_.run.cpu_us / without.run.cpu_us for with_, without in turns]
    of_both = [with_.with_server_us / without.with_server_us for with_, without in turns]
    return [
        Result(
            what=f"node CPU per ping while a console answers {1 / PACE_S:.0f} requests/s, against without",
            value=median(ratios), unit="x", wanted=PINGS_MOST,
            note=f"{min(ratios):.2f} to {max(ratios):.2f} of {ROUNDS}; {_of(beside)} against {_of(alone)}; with the "
            f"server's CPU, which is also the console's, {median(of_both):.2f}; {len(asked)} requests on the core of "
            f"the load p95 {_p95_ms(asked):.0f} ms",
        )
    ]  # fmt: skip


async def _press(node: Contender, server: Server) -> Pressed:
    assert server.process is not None
    before = cpu_seconds(server.process.pid)
    run = await press(node, CONNECTIONS, TURN_S)
    served = cpu_seconds(server.process.pid) - before
    return Pressed(run, run.cpu_us + served * 1e6 / run.acknowledged)


async def _warm_up(node: Contender) -> None:
    """So that the node knows nearly all: each run begins somewhere else."""
    done = 0
    while done < 2 * PINGED:
        done += (await press(node, CONNECTIONS, TURN_S)).acknowledged


@contextlib.asynccontextmanager
async def _in_use(port: int, key: str, asked: list[float]) -> AsyncIterator[None]:
    """All questions in turn, at a steady pace."""
    stop = threading.Event()
    using = asyncio.create_task(asyncio.to_thread(_use, port, key, asked, stop))
    try:
        yield
    finally:
        stop.set()
        await using


def _use(port: int, key: str, asked: list[float], stop: threading.Event) -> None:
    paths = [question.path for question in questions(Shard(0))]
    started = time.monotonic()
    with contextlib.closing(Client(port, key)) as client:
        for n in count():
            if stop.wait(max(0.0, started + n * PACE_S - time.monotonic())):
                return
            asked.append(_seconds(client.body, paths[len(asked) % len(paths)](n)))


def _seconds(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    started = time.perf_counter()
    call(*args, **kwargs)
    return time.perf_counter() - started


def _of(turns: Sequence[Pressed]) -> str:
    cpu_us, rate, p99_ms = (
        median(getattr(turn.run, name) for turn in turns) for name in ("cpu_us", "per_second", "p99_ms")
    )
    return f"{cpu_us:.1f} us, {rate:,.0f}/s, p99 {p99_ms:.1f} ms"


def _p95_ms(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=20)[-1] * 1000
