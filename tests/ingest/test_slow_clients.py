"""Two thousand clients that waste a node's time, next to some that do not."""

import asyncio
import gc
import resource
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from runtime.http import Protocol, Wire
from store import heartbeats
from store.database import opened
from store.records import Settings
from tests.conftest import eventually
from tests.ingest.lanes import Lane, connected, get, lane, post

EACH: Final = 400
GOOD: Final = 5
DRIP_S: Final = 0.05  # far below the deadline: whoever counts from the last byte never sees it pass
SHORT: Final = {"receive_s": 1.0, "idle_s": 2.0}
RESET: Final = struct.pack("ii", 1, 0)  # closing a socket breaks it off


class Client(asyncio.Protocol):
    """Sends `begin`, then one byte of `drip` again and again."""

    def __init__(self, begin: bytes, drip: bytes = b"") -> None:
        self.begin = begin
        self.drip = drip
        self.said = b""
        self.gone = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.begin)

    def data_received(self, data: bytes) -> None:
        self.said += data

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of each connection are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * 7 * EACH + 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _connect(at: Lane, clients: list[Client]) -> None:
    loop = asyncio.get_running_loop()
    for i in range(0, len(clients), 100):
        some = clients[i : i + 100]
        await asyncio.gather(*(loop.create_connection(lambda c=c: c, "127.0.0.1", at.port) for c in some))  # type: ignore[misc]


@asynccontextmanager
async def _dripping(clients: list[Client]) -> AsyncIterator[None]:
    async def drip() -> None:
        while True:
            for client in clients:
                if not client.gone:
                    client.transport.write(client.drip)
            await asyncio.sleep(DRIP_S)

    task = asyncio.create_task(drip())
    yield
    task.cancel()
    await asyncio.wait({task})


@asynccontextmanager
async def _good_ones(at: Lane, token: str) -> AsyncIterator[Counter[bytes]]:
    """Clients that ping without a break; what they are answered."""
    answers: Counter[bytes] = Counter()

    async def ping() -> None:
        async with connected(at) as (reader, writer):
            while True:
                writer.write(get("Host: x", path=f"/ping/{token}"))
                head = await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(2) == b"OK"
                answers[head[:15]] += 1

    tasks = [asyncio.create_task(ping()) for _ in range(GOOD)]
    yield answers
    for task in tasks:
        assert not task.done()
        task.cancel()
    await asyncio.wait(tasks)


def _alive(at: Lane) -> int:
    """What the connections of a node are made of, and its tasks."""
    at.connections.clear()
    gc.collect()
    kinds = (Protocol, Wire, FlowControl, RequestResponseCycle, asyncio.Future)
    return sum(isinstance(thing, kinds) for thing in gc.get_objects()) + len(asyncio.all_tasks(at._loop))


def _hang_up(at: Lane, begin: bytes, *, reset: bool) -> None:
    with socket.create_connection(("127.0.0.1", at.port)) as client:
        client.sendall(begin)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


@pytest.mark.usefixtures("many_files")
async def test_who_is_slow_is_let_go_and_nobody_else_notices(redis_url: str) -> None:
    async with opened(redis_url) as db:
        token = (await heartbeats.create(db, Settings(name="job", period=60, grace=30))).token
        with lane(redis_url, fast=True, options=SHORT) as at:
            ping, body = f"/ping/{token}", "Content-Length: 1000"
            async with _good_ones(at, token) as answers:
                before = _alive(at)
                kinds: dict[str, list[Client]] = {
                    "silent": [Client(b"") for _ in range(EACH)],
                    "half a head": [Client(get("Host: x", path=ping)[:-2]) for _ in range(EACH)],
                    "dripping head": [Client(b"GET " + ping.encode(), b"x") for _ in range(EACH)],
                    "dripping body": [Client(post(body, path=ping), b"x") for _ in range(EACH)],
                    "idle": [Client(get("Host: x", path=ping)) for _ in range(EACH)],
                }
                everyone = [client for clients in kinds.values() for client in clients]
                await _connect(at, everyone)
                async with _dripping(kinds["dripping head"] + kinds["dripping body"]):
                    for i in range(EACH):
                        begin = (get(path=ping), get(path=ping)[:-2], post(body, path=ping))[i % 3]
                        _hang_up(at, begin, reset=i % 2 == 0)
                    by_then = answers.total()

                    async def are_gone() -> bool:
                        return all(client.gone for client in everyone)

                    await eventually(are_gone, within_s=60)

                    async def is_clean() -> bool:
                        return _alive(at) < before + EACH // 4

                    await eventually(is_clean, within_s=60)
                assert answers.total() > by_then
                assert set(answers) == {b"HTTP/1.1 200 OK"}

    said = {kind: Counter(_first_line(client) for client in clients) for kind, clients in kinds.items()}
    late = {"HTTP/1.1 408 Request Timeout": EACH}
    assert said["silent"] == {"": EACH}
    assert said["half a head"] == said["dripping head"] == said["dripping body"] == late
    assert said["idle"] == {"HTTP/1.1 200 OK": EACH}


async def test_who_pings_now_and_then_is_not_idle(redis_url: str) -> None:
    async with opened(redis_url) as db:
        token = (await heartbeats.create(db, Settings(name="job", period=60, grace=30))).token
        ping = get("Host: x", path=f"/ping/{token}")
        with lane(redis_url, fast=True, options={"receive_s": 0.3, "idle_s": 0.5}) as at:
            async with connected(at) as (reader, writer):
                idle = Client(ping)
                await _connect(at, [idle])
                while not idle.gone:
                    writer.write(ping)
                    assert (await reader.readuntil(b"\r\n\r\nOK")).startswith(b"HTTP/1.1 200 OK")
                    await asyncio.sleep(DRIP_S)

                writer.write(ping)
                assert (await reader.readuntil(b"\r\n\r\nOK")).startswith(b"HTTP/1.1 200 OK")


def _first_line(client: Client) -> Any:
    return client.said.partition(b"\r\n")[0].decode()
