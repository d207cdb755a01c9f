"""kill -9 of any role and of the server at random moments, the roles as processes, while 200 heartbeats ping.

The checker (checker.py) then reads what was sent, answered and told: no ping answered 200 is lost, nobody who kept
pinging (or could not, because we were away) is told silent, every real silence is told, none is opened twice.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import pytest

from store import heartbeats
from store.database import Database, opened
from store.records import Heartbeat, Settings
from tests.conftest import eventually
from tests.notifier.sinks import HttpSink, http_sink
from tests.servers import Server, binaries, running
from tests.system.checker import Logs, Sent, Told, faults
from tests.system.processes import Api, House, Process, house

HEARTBEATS: Final = 200
SILENT: Final = 25  # stop for good
RETURNED: Final = 25  # stop and come back
SETTINGS: Final = Settings(name="", period=3, grace=2)
SHORT_S: Final = (0.3, 1.5)  # an outage shorter than the grace
LONG_S: Final = (6.0, 10.0)  # longer than period and grace
TOLD_WITHIN_S: Final = 90.0  # a lease of 30 s that a killed notifier left behind, twice, and some more


class Pinger:
    """One job: pings every one to two seconds, through any node, again and again until it is answered 200."""

    def __init__(self, heartbeat: Heartbeat, nodes: list[Process], http: aiohttp.ClientSession, logs: Logs) -> None:
        self.heartbeat = heartbeat
        self._nodes = nodes
        self._http = http
        self._logs = logs
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """After the ping under way: what was sent and not answered may count or not, and we could not tell."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while True:
            ping = asyncio.create_task(self._until_answered())
            try:
                await asyncio.shield(ping)
            except asyncio.CancelledError:
                await ping
                raise
            await asyncio.sleep(random.uniform(1, 2))

    async def _until_answered(self) -> None:
        while True:
            url = f"{random.choice(self._nodes).url}/ping/{self.heartbeat.token}"
            sent = time.time() * 1000
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._http.get(url) as response:
                    if response.status == 200:
                        self._logs.sent.append(Sent(self.heartbeat.id, sent, time.time() * 1000))
                        return
                    assert response.status == 503, response.status
            await asyncio.sleep(random.uniform(0.1, 0.4))


class Conductor:
    """Breaks things in an order that the seed decides, one at a time, and mends them."""

    def __init__(self, server: Server, roles: dict[str, list[Process]], logs: Logs, seed: int) -> None:
        self._server = server
        self._roles = roles
        self._logs = logs
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Every kind of fault once, in any order; the long outages among them."""
        acts: list[Callable[[], Awaitable[None]]] = [
            lambda: self._server_away(SHORT_S),
            lambda: self._server_away(LONG_S),
            lambda: self._all_nodes_away(SHORT_S),
            lambda: self._all_nodes_away(LONG_S),
            *(lambda role=role: self._one_away(role) for role in ("ingest", "sweeper", "notifier", "notifier")),
        ]
        self._random.shuffle(acts)
        for act in acts:
            await asyncio.sleep(self._random.uniform(0.2, 2))
            await act()

    async def _server_away(self, length: tuple[float, float]) -> None:
        await self._server.kill()
        await asyncio.sleep(self._random.uniform(*length))
        await self._server.start()

    async def _all_nodes_away(self, length: tuple[float, float]) -> None:
        await self._away(self._roles["ingest"], length)

    async def _one_away(self, role: str) -> None:
        await self._away([self._random.choice(self._roles[role])], SHORT_S)

    async def _away(self, processes: list[Process], length: tuple[float, float]) -> None:
        self._logs.kills += len([process for process in processes if process.command == "notifier"])
        await asyncio.gather(*(process.kill() for process in processes))
        await asyncio.sleep(self._random.uniform(*length))
        await asyncio.gather(*(process.start() for process in processes))


@contextlib.asynccontextmanager
async def product(folder: Path, server: Server) -> AsyncIterator[tuple[House, dict[str, list[Process]]]]:
    """Two of each role and a console, on one server."""
    async with house(folder, redis_url=server.url) as here:
        roles: dict[str, list[Process]] = {}
        for role in ("ingest", "sweeper", "notifier"):
            reach = "127.0.0.0/8" if role == "notifier" else ""
            two = (here.start(role, allow_private_targets=reach) for _ in range(2))
            roles[role] = list(await asyncio.gather(*two))
        roles["console"] = [await here.start("console")]
        yield here, roles


def told_by(sink: HttpSink) -> list[Told]:
    bodies = [orjson.loads(request.body) for request in sink.requests]
    return [Told(body["id"], body["event"], body["heartbeat"]["id"], body["incident"]["id"]) for body in bodies]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_lost_and_nobody_is_alarmed_falsely(seed: int, tmp_path: Path) -> None:
    logs = Logs()
    async with (
        running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always") as server,
        http_sink() as sink,
        product(tmp_path, server) as (here, roles),
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=8)) as http,
    ):
        async with opened(server.url) as db:
            made = [await heartbeats.create(db, _named(number)) for number in range(HEARTBEATS)]
        async with Api(roles["console"][0].url) as api:
            await api.create_channel("hook", "webhook", url=f"http://127.0.0.1:{sink.port}/", fold=False)
        pingers = [Pinger(heartbeat, roles["ingest"], http, logs) for heartbeat in made]
        stopping, returning = pingers[:SILENT], pingers[SILENT : SILENT + RETURNED]
        logs.silent = {pinger.heartbeat.id for pinger in stopping}
        logs.returned = {pinger.heartbeat.id for pinger in returning}
        logs.steady = {heartbeat.id for heartbeat in made} - logs.silent - logs.returned
        for pinger in pingers:
            pinger.start()

        conductor = asyncio.create_task(Conductor(server, roles, logs, seed).run())
        order = random.Random(seed)
        for pinger in order.sample(stopping + returning, len(stopping + returning)):
            await asyncio.sleep(order.uniform(0, 0.6))
            await pinger.stop()
        await conductor

        async def all_silences_are_told() -> bool:
            told = {told.heartbeat for told in told_by(sink) if told.event == "incident.opened"}
            return logs.silent | logs.returned <= told

        await _patiently(all_silences_are_told)
        for pinger in returning:
            pinger.start()

        async def all_returns_are_told() -> bool:
            told = {told.heartbeat for told in told_by(sink) if told.event == "incident.resolved"}
            return logs.returned <= told

        await _patiently(all_returns_are_told)
        await asyncio.gather(*(pinger.stop() for pinger in pingers))
        logs.told = told_by(sink)
        async with opened(server.url) as db:
            last = {found.id: found.last_ping_at for found in await _all(db, made)}
        said = here.logs()

    assert faults(logs, last) == []
    assert len(logs.sent) > HEARTBEATS * 5
    assert "Traceback" not in said


async def _patiently(probe: Callable[[], Awaitable[bool]]) -> None:
    """What does not come in time is the checker's business: it says what is missing."""
    with contextlib.suppress(TimeoutError):
        await eventually(probe, within_s=TOLD_WITHIN_S)


async def _all(db: Database, made: list[Heartbeat]) -> list[Heartbeat]:
    found: list[Any] = await heartbeats.get_many(db, [heartbeat.id for heartbeat in made])
    assert None not in found
    return found


def _named(number: int) -> Settings:
    return Settings(name=f"job {number:03}", period=SETTINGS.period, grace=SETTINGS.grace)
