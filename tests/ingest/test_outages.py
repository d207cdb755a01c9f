"""A Redis that is away, refuses or forgets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from store import deadlines
from tests.conftest import eventually
from tests.ingest.conftest import NewNode, Node
from tests.ingest.test_ping import path
from tests.servers import Server, binaries, running


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always") as started:
        yield started


async def test_no_ping_is_answered_200_while_redis_is_away_and_all_is_well_when_it_is_back(
    server: Server, new_node: NewNode
) -> None:
    node = await new_node(server.url)
    heartbeat = await node.create()
    assert (await node.ask(path(heartbeat.token)))[0] == 200
    await server.kill()

    async with node.http.get(node.url + path(heartbeat.token)) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
    assert (await node.ask(path(heartbeat.token, "/fail")))[0] == 503

    await server.start()
    assert await node.ask(path(heartbeat.token)) == (200, "OK")  # the very first: the dead connection is made anew
    assert await node.ask(path(heartbeat.token, "/log")) == (200, "OK")
    assert await node.status(heartbeat) == "up"


async def test_a_restart_of_the_server_leaves_a_deaf_window(server: Server, new_node: NewNode) -> None:
    node = await new_node(server.url)
    shard = node.db.shards[0]

    async def is_ready() -> bool:
        return (await node.ask("/readyz"))[0] == 200

    await eventually(is_ready)
    assert await deadlines.deaf_windows(node.db, shard) == []
    await server.kill()
    await server.start()

    async def windows() -> list[tuple[int, int]]:
        return await deadlines.deaf_windows(node.db, shard)

    assert len(await eventually(windows)) == 1


async def test_a_full_redis_refuses_pings_and_is_no_pulse(server: Server, new_node: NewNode) -> None:
    node = await new_node(server.url)
    heartbeat = await node.create()
    assert (await node.ask(path(heartbeat.token)))[0] == 200

    await node.db.execute("CONFIG", "SET", "maxmemory", "1mb")

    assert (await node.ask(path(heartbeat.token)))[0] == 503
    assert (await node.ask(path(heartbeat.token, "/fail")))[0] == 503

    async def is_not_ready() -> bool:
        return (await node.ask("/readyz"))[0] == 503

    assert await eventually(is_not_ready)
    await node.db.execute("CONFIG", "SET", "maxmemory", "0")
    assert (await node.ask(path(heartbeat.token)))[0] == 200


async def test_scripts_that_the_server_has_forgotten_are_sent_again(node: Node) -> None:
    heartbeat = await node.create()
    await node.ask(path(heartbeat.token))
    await node.db.execute("SCRIPT", "FLUSH")

    assert await node.ask(path(heartbeat.token, "/fail")) == (200, "OK")
    assert await node.status(heartbeat) == "down"


async def test_a_full_queue_refuses_at_once_and_withholds_the_pulse(server: Server, new_node: NewNode) -> None:
    node = await new_node(server.url, queue_limit=3)
    heartbeat = await node.create()
    assert (await node.ask(path(heartbeat.token)))[0] == 200
    assert server.process
    server.process.send_signal(19)  # SIGSTOP: Redis hangs
    try:
        tasks = [asyncio.create_task(node.ask(path(heartbeat.token))) for _ in range(40)]
        refused = await next(asyncio.as_completed(tasks))
        assert refused == (503, "overloaded, try again")
    finally:
        server.process.send_signal(18)
    answers = await asyncio.gather(*tasks)

    assert {status for status, _ in answers} == {200, 503}
    _, metrics = await node.ask("/metrics")
    assert 'flatline_pings_total{result="overloaded"}' in metrics


async def test_a_client_that_hangs_up_takes_nobody_with_it(server: Server, new_node: NewNode) -> None:
    node = await new_node(server.url)
    found = [await node.create(name=f"h{number}") for number in range(40)]
    for heartbeat in found:
        await node.ask(path(heartbeat.token))
    assert server.process
    server.process.send_signal(19)
    try:
        tasks = [asyncio.create_task(node.ask(path(heartbeat.token))) for heartbeat in found]
        leaving = []
        for heartbeat in found[::2]:
            _, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(f"GET {path(heartbeat.token)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await writer.drain()
            leaving.append(writer)
        for writer in leaving:
            writer.close()
    finally:
        server.process.send_signal(18)

    assert set(await asyncio.gather(*tasks)) == {(200, "OK")}
