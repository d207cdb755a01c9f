"""What open pages are told: what changed, once, however many look; nothing is lost before they were connected."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from console import live
from console.live import Live
from store import heartbeats
from store.database import Database
from store.keys import DEFAULT_PROJECT
from store.records import Settings
from tests.conftest import eventually
from tests.store.scene import make, send


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.02)


@contextlib.asynccontextmanager
async def watching(
    page: Live, *ids: str, since: int, stopping: asyncio.Event | None = None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The messages of one open page."""
    stream = page.stream(DEFAULT_PROJECT, ids, since, stopping)
    assert (await anext(stream)).startswith(b"retry: ")
    try:
        yield stream
    finally:
        await stream.aclose()  # type: ignore[attr-defined]  # it is a generator


async def told(stream: AsyncIterator[bytes]) -> dict[str, Any]:
    """The next message that is no comment."""
    async with asyncio.timeout(10):
        async for message in stream:
            if not message.startswith(b":"):
                found: dict[str, Any] = json.loads(message.partition(b"data: ")[2])
                return found
    raise AssertionError("the stream has ended")


async def _all(stream: AsyncIterator[bytes]) -> list[bytes]:
    return [message async for message in stream]


async def changed(stream: AsyncIterator[bytes]) -> list[str]:
    """Ids of the next message that names some."""
    while True:
        if ids := (await told(stream))["changed"]:
            return list(ids)


async def test_a_page_is_told_of_what_it_shows_and_of_nothing_else(store: Database) -> None:
    shown, other = await make(store, "shown"), await make(store, "other")
    now = await store.now() + 1
    async with watching(Live(store), shown.id, since=now) as stream:
        first = await told(stream)
        assert first == {"counts": {"pending": 2, "up": 0, "down": 0, "paused": 0}, "down": 0, "changed": []}

        await send(store, other, at=await store.now())
        counts = {"pending": 1, "up": 1, "down": 0, "paused": 0}
        assert await told(stream) == {"counts": counts, "down": 0, "changed": []}
        await send(store, shown, at=await store.now())
        assert await changed(stream) == [shown.id]


async def test_what_happened_after_the_page_was_made_is_told_at_once(store: Database) -> None:
    heartbeat = await make(store)
    rendered = await store.now()
    await send(store, heartbeat, at=rendered)

    async with watching(Live(store), heartbeat.id, since=rendered) as stream:
        assert await changed(stream) == [heartbeat.id]


async def test_what_was_deleted_has_changed(store: Database) -> None:
    heartbeat = await make(store)
    async with watching(Live(store), heartbeat.id, since=await store.now() + 1) as stream:
        await told(stream)
        await heartbeats.delete(store, heartbeat.id)

        assert await changed(stream) == [heartbeat.id]


async def test_many_pages_are_served_by_one_reader_that_ends_with_the_last(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = await make(store)
    asked: list[int] = []
    glances = heartbeats.glances

    async def counted(db: Database, ids: list[str]) -> list[heartbeats.Glance | None]:
        asked.append(len(ids))
        return await glances(db, ids)

    monkeypatch.setattr(heartbeats, "glances", counted)
    page = Live(store)
    now = await store.now() + 1
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(watching(page, heartbeat.id, since=now)) for _ in range(50)]
        await asyncio.gather(*map(told, streams))
        assert set(asked) == {1}
        await send(store, heartbeat, at=await store.now())
        assert [await changed(stream) for stream in streams] == [[heartbeat.id]] * 50

    async def over() -> bool:
        return page._reader is not None and page._reader.done()

    await eventually(over)
    assert not page._seen


async def test_a_server_that_stops_ends_the_streams_that_wait(store: Database) -> None:
    heartbeat = await make(store)
    stopping = asyncio.Event()
    page = Live(store)
    async with watching(page, heartbeat.id, since=await store.now() + 1, stopping=stopping) as stream:
        await told(stream)
        rest = asyncio.create_task(_all(stream))

        async def waits() -> bool:
            return all(watcher.wake._waiters for watcher in page._watchers)

        await eventually(waits)
        stopping.set()

        async with asyncio.timeout(10):
            assert await rest == []


async def test_a_silent_stream_says_that_it_lives(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ALIVE_S", 0.05)
    heartbeat = await heartbeats.create(store, Settings(name="still"))
    async with watching(Live(store), heartbeat.id, since=await store.now() + 1) as stream:
        await told(stream)

        assert await anext(stream) == b": alive\n\n"


async def test_an_outage_of_redis_does_not_end_the_reader(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = await make(store)
    async with watching(Live(store), heartbeat.id, since=await store.now() + 1) as stream:
        await told(stream)
        await store.redis.aclose()
        await store.redis.connection_pool.disconnect()
        await send(store, heartbeat, at=await store.now())

        assert await changed(stream) == [heartbeat.id]
