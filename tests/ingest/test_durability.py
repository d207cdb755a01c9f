"""What a 200 promises: memory, disk or a replica, as the node or the heartbeat asks; and who waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ingest.app import Ingest
from ingest.metrics import Metrics
from ingest.node import Node as Inner
from ingest.settings import IngestSettings
from runtime.errors import StartError
from store import arrivals, changes, heartbeats
from store.arrivals import Ping
from store.database import Database, opened
from store.records import Durability, Heartbeat, Settings
from tests.conftest import eventually
from tests.ingest.conftest import NewNode, Node
from tests.ingest.test_ping import path
from tests.servers import binaries, running
from tests.store.test_durability import ALWAYS, EVERY_SECOND, NEVER, calls, with_replica

OK = (200, "OK")
UNAVAILABLE = (503, "unavailable, try again")


async def up(node: Node, **settings: Any) -> Heartbeat:
    """A heartbeat that the node knows to be plainly up."""
    made = await node.create(**settings)
    for last in ("", "/log", ""):
        assert await node.ask(path(made.token, last)) == OK
    return made


async def waits(db: Database) -> tuple[bool, bool]:
    """Whether a disk and a replica were waited for since the last look."""
    found = await calls(db, "waitaof") > 0, await calls(db, "wait") > 0
    await db.execute("CONFIG", "RESETSTAT")
    return found


@asynccontextmanager
async def inner(db: Database) -> AsyncIterator[Inner]:
    """A node without its front."""
    node = Inner(db, IngestSettings(), Metrics(CollectorRegistry()), "n")
    await node.clock.measure(db)
    yield node
    await node.aclose()


async def test_a_heartbeat_may_ask_for_more_than_its_node(new_node: NewNode) -> None:
    async with with_replica() as (url, _):
        node = await new_node(url)
        for durability, expected in (
            (None, (False, False)), ("memory", (False, False)), ("disk", (True, False)), ("replica", (False, True))
        ):  # fmt: skip
            await up(node, name=f"{durability}", durability=durability)
            assert await waits(node.db) == expected


@pytest.mark.parametrize(("durability", "expected"), [("disk", (True, False)), ("replica", (False, True))])
async def test_a_node_asks_for_all_who_say_nothing(
    new_node: NewNode, durability: str, expected: tuple[bool, bool]
) -> None:
    async with with_replica() as (url, _):
        node = await new_node(url, durability=durability)
        await up(node, name="memory", durability="memory")
        assert await waits(node.db) == (False, False)

        await up(node)
        assert await waits(node.db) == expected


async def test_where_the_server_always_syncs_nothing_is_waited_for(new_node: NewNode) -> None:
    async with running(binaries()["valkey-9"], *ALWAYS) as server:
        node = await new_node(server.url, durability="disk")
        made = await up(node)
        assert await node.ask(path(made.token, "/fail"), "POST", data=b"output") == OK

        assert await waits(node.db) == (False, False)


@pytest.mark.parametrize(("kind", "options"), [("valkey-9", NEVER), ("redis-7", EVERY_SECOND)])
async def test_a_node_that_could_not_keep_its_promise_does_not_start(kind: str, options: tuple[str, ...]) -> None:
    async with running(binaries()[kind], *options) as server, opened(server.url) as db:
        role = Ingest(db, IngestSettings(durability="disk"), CollectorRegistry())
        with pytest.raises(StartError, match="FLATLINE_DURABILITY"):
            async with role.running(asyncio.get_running_loop().create_future()):
                pass


async def test_without_a_replica_a_ping_is_refused_and_its_repeat_is_harmless(
    new_node: NewNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_replica() as (url, replica):
        node = await new_node(url)
        made = await up(node, durability="replica")
        await replica.kill()
        monkeypatch.setattr(arrivals, "DURABLE_WITHIN_MS", 50)
        for last in ("", "/start", "/fail"):
            for _ in range(2):
                async with node.http.get(node.url + path(made.token, last)) as response:
                    assert (response.status, await response.text()) == UNAVAILABLE
                    assert int(response.headers["Retry-After"]) > 0
        await replica.start()

        async def is_taken() -> bool:
            return await node.ask(path(made.token, "/fail")) == OK

        await eventually(is_taken)
        assert await node.status(made) == "down"
        assert await node.db.execute("ZCARD", node.db.shards[0].open) == 1
        assert await node.ask(path(made.token)) == OK
        assert await node.status(made) == "up"


@pytest.mark.parametrize("last", ["", "/log"])
async def test_who_asks_for_less_does_not_wait_for_a_replica_that_is_gone(new_node: NewNode, last: str) -> None:
    async with with_replica() as (url, replica):
        node = await new_node(url)
        strong, weak = await up(node, name="strong", durability="replica"), await up(node, name="weak")
        await replica.kill()
        waiting = [asyncio.create_task(node.ask(path(strong.token, last))) for _ in range(3)]

        async def is_stuck() -> bool:
            return bool((await node.db.execute("INFO", "clients"))["blocked_clients"])

        await eventually(is_stuck)
        for each in (last, "", "/start", "/fail"):
            assert await node.ask(path(weak.token, each)) == OK
        assert not any(task.done() for task in waiting)
        assert set(await asyncio.gather(*waiting)) == {UNAVAILABLE}


async def test_a_node_hears_while_some_wait_for_a_replica_that_is_gone(new_node: NewNode) -> None:
    async with with_replica() as (url, replica):
        node = await new_node(url)
        strong = await up(node, durability="replica")
        await replica.kill()
        waiting = asyncio.create_task(node.ask(path(strong.token)))

        async def pulsed_since(at: int) -> bool:
            return int(await node.db.execute("HGET", node.db.shards[0].pulse, "at")) > at

        now = await node.db.now()
        await eventually(lambda: pulsed_since(now + 300))
        assert not waiting.done()
        assert await waiting == UNAVAILABLE


async def test_the_strongest_that_is_asked_for_holds_for_a_whole_batch() -> None:
    """What a heartbeat asks for may be changed while its ping waits: then its batch has more than one."""
    async with with_replica() as (url, _), opened(url) as db, inner(db) as node:
        made = [await heartbeats.create(db, Settings(name=f"h{number}")) for number in range(3)]
        batches: list[tuple[list[Durability | None], tuple[bool, bool]]] = [
            ([None, None, None], (False, False)),
            ([None, "disk", "memory"], (True, False)),
            (["disk", "replica", None], (False, True)),
        ]
        for levels, expected in batches:
            known = [known for known in await changes.lookup(db, [each.id for each in made]) if known]
            now = await db.now()
            futures = [node.submit(Ping(each.id, now, "log"), known[i]) for i, each in enumerate(made)]
            for one, level in zip(known, levels, strict=True):
                one.durability = level
            await asyncio.gather(*futures)
            assert await waits(db) == expected


async def test_a_corrupt_durability_stops_nobody(new_node: NewNode) -> None:
    node = await new_node()
    made = [await node.create(name=f"h{number}") for number in range(3)]
    await node.db.execute("HSET", node.db.shards[0].heartbeat(made[1].id), "durability", "x")
    for _ in range(2):
        answers = await asyncio.gather(*(node.ask(path(heartbeat.token)) for heartbeat in made))
        assert set(answers) == {OK}


async def test_scripts_that_the_server_forgets_confuse_nobodys_answer(new_node: NewNode) -> None:
    """An answer that is left over on a connection would be taken for the next one's."""
    async with with_replica() as (url, _):
        node = await new_node(url)
        found = [await up(node, name=f"{level}", durability=level) for level in ("memory", "disk", "replica")]
        for _ in range(4):
            await node.db.execute("SCRIPT", "FLUSH")
            pings = [node.ask(path(heartbeat.token, last)) for heartbeat in found for last in ("/start", "/fail", "")]
            assert set(await asyncio.gather(*pings)) == {OK}
            unknown = await asyncio.gather(*(node.ask(path(heartbeat.token, "/256")) for heartbeat in found))
            assert {status for status, _ in unknown} == {400}
