"""One ingest node in the test's own loop, behind real HTTP, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest

from ingest.app import create_app
from ingest.settings import IngestSettings
from runtime.serve import serve
from store import heartbeats
from store.database import Database, opened
from store.records import Heartbeat, Settings

UP = Settings(name="backup", period=60, grace=30)


@dataclass
class Node:
    """A served node, and the store behind it."""

    url: str
    port: int
    db: Database
    http: aiohttp.ClientSession

    async def create(self, **settings: Any) -> Heartbeat:
        return await heartbeats.create(self.db, replace(UP, **settings))

    async def get(self, heartbeat: Heartbeat) -> Heartbeat:
        return await heartbeats.get(self.db, heartbeat.id)

    async def status(self, heartbeat: Heartbeat) -> str:
        return (await self.get(heartbeat)).status(await self.db.now())

    async def ask(self, path: str, method: str = "GET", **options: Any) -> tuple[int, str]:
        async with self.http.request(method, self.url + path, **options) as response:
            return response.status, await response.text()

    async def events(self, heartbeat: Heartbeat) -> list[dict[str, bytes]]:
        rows = await self.db.execute("XRANGE", self.db.shard(heartbeat.id).events(heartbeat.id), "-", "+")
        return [{key.decode(): value for key, value in fields.items()} for _, fields in rows]

    async def raw(self, request: bytes) -> bytes:
        """The answer to exact bytes; the request must make the server close."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def serving(db: Database, http: aiohttp.ClientSession, **settings: Any) -> AsyncIterator[Node]:
    """A node until the block ends."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    app = create_app(db, IngestSettings(port=0, **settings), port)
    task = asyncio.create_task(serve(app, host="127.0.0.1", port=0, ready=port.set_result, drain_s=1))
    try:
        async with asyncio.timeout(10):
            both: set[asyncio.Future[Any]] = {task, port}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        yield Node(f"http://127.0.0.1:{port.result()}", port.result(), db, http)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


NewNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def new_node(redis_url: str) -> AsyncIterator[NewNode]:
    """Makes nodes on one database."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def make(url: str = redis_url, **settings: Any) -> Node:
            db = await stack.enter_async_context(opened(url))
            return await stack.enter_async_context(serving(db, http, **settings))

        yield make


@pytest.fixture
async def node(new_node: NewNode) -> Node:
    return await new_node()
