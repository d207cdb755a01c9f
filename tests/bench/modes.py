"""Other ways to ping: durably, in bulk, with a connection for each; and how soon a cold start takes the first one."""

import asyncio
import contextlib
import http.client
import itertools
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Final

import orjson

from store import fleets
from store.database import Database, opened
from store.fleets import Fleet
from tests.bench import contenders, fill
from tests.bench.contenders import Contender
from tests.bench.load import Run, press
from tests.bench.machine import BenchError
from tests.bench.result import Result
from tests.servers import binaries, running

MEMBERS: Final = 1_000_000
DURABLE_MEMBERS: Final = 20_000
GROUPS: Final = 20_000  # of Pushgateway
BULK_ITEMS: Final = 20_000
BULKS: Final = 20
PIPELINED: Final = 250  # commands in flight of the bare comparison
ROUNDS: Final = 3
TURN_S: Final = 4
DAY_MS: Final = 86_400_000
SLOW: Final = 2_000  # sockets
DRIP_S: Final = 2.0
COLD_STARTS: Final = 5
COLD_TIMEOUT_S: Final = 20.0
KEY: Final = "c" * 32


async def durable(home: Path, core: int) -> list[Result]:
    """Pings answered after fsync, against pings answered from memory."""
    runs: dict[str, list[Run]] = {"everysec": [], "always": []}
    async with contextlib.AsyncExitStack() as stack:
        nodes: dict[str, Contender] = {}
        for policy in runs:
            server = await stack.enter_async_context(
                running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", policy)
            )
            db = await stack.enter_async_context(opened(server.url))
            folder = home / f"fsync-{policy}"
            folder.mkdir()
            node = await stack.enter_async_context(
                contenders.flatline(folder, core, db.url, [], durability="disk" if policy == "always" else "memory")
            )
            fleet = await _fleet(db, DURABLE_MEMBERS)
            nodes[policy] = contenders.of_members(node, folder, fleet.ping_key, _slugs(DURABLE_MEMBERS))
        for _ in range(ROUNDS):
            for policy, node in nodes.items():
                runs[policy].append(await press(node, 256, TURN_S))
    rates = {policy: median(run.per_second for run in some) for policy, some in runs.items()}
    return [
        Result(
            what="durable pings (fsync before 200) against others", value=rates["always"] / rates["everysec"], unit="x",
            wanted=0.5, accepted=0.4, at_most=False,
            note=f"{rates['always']:,.0f}/s against {rates['everysec']:,.0f}/s, 256 connections",
        )
    ]  # fmt: skip


async def checked_pushes(home: Path, core: int) -> list[Result]:
    """Pushgateway as it comes, among 20,000 groups: too slow to take turns with the others."""
    try:
        async with contenders.pushgateway(home, core, GROUPS, checked=True) as gateway:
            run = await press(gateway, 1, TURN_S)
    except BenchError as error:
        print(f"{error}: not measured", file=sys.stderr)
        return []
    if not run.acknowledged:
        raise BenchError("pushgateway took no push")
    note = f"{run.cpu_us / 1000:.0f} ms of CPU each"
    return [Result(what="Pushgateway as it comes, 20,000 groups", value=run.per_second, unit="pushes/s", note=note)]


async def bulk(home: Path, core: int) -> list[Result]:
    """Pings in bulk, against pipelined ZADDs on the same server, among a million members."""
    ours: list[float] = []
    bare: list[float] = []
    async with running(binaries()["valkey-9"], "--appendonly", "no") as server, opened(server.url) as db:
        folder = home / "bulk"
        folder.mkdir()
        fleet = await _fleet(db, MEMBERS)
        numbers = itertools.cycle(range(0, MEMBERS, BULK_ITEMS))
        async with contenders.flatline(folder, core, db.url, []) as node:
            await asyncio.to_thread(_post, node.port, fleet, 0)
            for _ in range(BULKS):  # each on members that nobody has touched lately: a server's cache counts for much
                ours.append(await asyncio.to_thread(_post, node.port, fleet, next(numbers)))
                bare.append(await asyncio.to_thread(_pipelined, db, fleet, next(numbers)))
    ratios = [their / our for our, their in zip(ours, bare, strict=True)]
    return [
        Result(
            what="pings in bulk against pipelined ZADDs alone", value=median(ratios), unit="x", wanted=0.8,
            accepted=0.6, at_most=False,
            note=f"{BULK_ITEMS / median(ours):,.0f}/s against {BULK_ITEMS / median(bare):,.0f}/s",
        )
    ]  # fmt: skip


def _post(port: int, fleet: Fleet, first: int) -> float:
    """Seconds of one request."""
    lines = (orjson.dumps({"ping_key": fleet.ping_key, "slug": fill.slug(first + n)}) for n in range(BULK_ITEMS))
    body = b"\n".join(lines)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.connect()
        started = time.perf_counter()
        connection.request("POST", "/ping/bulk", body, {"content-type": "application/x-ndjson"})
        answer = orjson.loads(connection.getresponse().read())
        took = time.perf_counter() - started
    if answer["accepted"] != BULK_ITEMS:
        raise BenchError(f"a bulk of {BULK_ITEMS} was answered {str(answer)[:200]}")
    return took


def _pipelined(db: Database, fleet: Fleet, first: int) -> float:
    """Seconds of as many ZADDs, packed beforehand."""
    zset, score = db.shards[0].fleet_deadlines(fleet.id), int(time.time() * 1000) + DAY_MS
    commands: list[bytes] = [
        fill.pack(("ZADD", zset, "XX", "GT", "CH", score, fill.slug(first + n))) for n in range(BULK_ITEMS)
    ]
    writes = [b"".join(commands[i : i + PIPELINED]) for i in range(0, BULK_ITEMS, PIPELINED)]
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.connect(db.url.removeprefix("unix://"))
        started = time.perf_counter()
        for write in writes:
            sock.sendall(write)
            fill.drain(sock, PIPELINED)
        return time.perf_counter() - started


async def connections(members: Contender, nginx: Contender | None) -> list[Result]:
    """A connection for each ping, as cron's curl has it."""
    ratios: list[float] = []
    ours: list[Run] = []
    for _ in range(ROUNDS):
        ours.append(await press(members, 64, TURN_S, keep_alive=False))
        if nginx is not None:
            ratios.append(ours[-1].cpu_us / (await press(nginx, 64, TURN_S, keep_alive=False)).cpu_us)
    note = f"{median(run.per_second for run in ours):,.0f} pings/s, {median(run.cpu_us for run in ours):.1f} us each"
    if not ratios:
        return []
    return [
        Result(what="node CPU with a connection per ping, against nginx", value=median(ratios), unit="x", note=note)
    ]


async def slow_sockets(node: Contender) -> list[Result]:
    """Good clients beside those that only waste a node's time."""
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        alone.append((await press(node, 64, TURN_S)).p99_ms)
        async with _slow(node.port):
            beside.append((await press(node, 64, TURN_S)).p99_ms)
    note = f"{median(beside):.2f} ms against {median(alone):.2f} ms, 64 good connections"
    what = f"p99 of good clients beside {SLOW:,} slow or idle sockets, against without"
    return [Result(what=what, value=median(beside) / median(alone), unit="x", wanted=2, note=note)]


@contextlib.asynccontextmanager
async def _slow(port: int) -> AsyncIterator[None]:
    """Half never say a word, half send a byte now and then; whoever is thrown out comes back."""

    async def one(begin: bytes) -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(begin)
                while begin and not writer.is_closing():
                    await asyncio.sleep(DRIP_S)
                    writer.write(b"x")
                await writer.wait_closed()

    head = b"POST /ping/bulk HTTP/1.1\r\nHost: a\r\nX-Slow: "
    clients = [asyncio.create_task(one(head if n % 2 else b"")) for n in range(SLOW)]
    await asyncio.sleep(DRIP_S)
    try:
        yield
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def cold_start(home: Path, _core: int) -> list[Result]:
    """From `flatline up` in an empty folder to the first accepted ping."""
    found = [await asyncio.to_thread(_cold, home / f"cold-{number}") for number in range(COLD_STARTS)]
    note = f"{min(found):.2f} to {max(found):.2f} s of {COLD_STARTS}"
    return [
        Result(what="flatline up to the first accepted ping, cold", value=median(found), unit="s", wanted=2, note=note)
    ]


def _cold(folder: Path) -> float:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    folder.mkdir()
    child, url = os.fork(), f"http://127.0.0.1:{port}"
    if not child:  # exec at once: nothing of this process may be run twice
        with (folder / "log").open("wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        command = [sys.executable, "-m", "flatline.cli", "up", "--port", str(port), "--data-dir", str(folder)]
        os.execve(sys.executable, command, {**os.environ, "FLATLINE_API_KEY": KEY})
    started = time.monotonic()
    try:
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError):
                made = _ask(f"{url}/api/heartbeats", b'{"name":"cold"}')
                _ask(orjson.loads(made)["ping_url"])
                return time.monotonic() - started
            if time.monotonic() - started > COLD_TIMEOUT_S:
                raise BenchError(f"flatline up took no ping: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.005)
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


def _ask(url: str, body: bytes | None = None) -> bytes:
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as answer:
        said: bytes = answer.read()
        return said


async def _fleet(db: Database, count: int) -> Fleet:
    fleet = await fleets.create(db, fleets.FleetSettings(name="bench", cap=10_000_000))
    now = await db.now()
    await asyncio.to_thread(fill.members, db, fleet, range(count), now + fleet_span_ms(fleet) - DAY_MS // 2)
    return fleet


def fleet_span_ms(fleet: Fleet) -> int:
    return (fleet.settings.period + fleet.settings.grace) * 1000


def _slugs(count: int) -> list[str]:
    return [fill.slug(number) for number in range(count)]
