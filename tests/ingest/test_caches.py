"""What a node remembers, and how it forgets in time."""

import asyncio

from store import heartbeats
from tests.conftest import eventually
from tests.ingest.conftest import NewNode, Node
from tests.ingest.test_ping import path


async def test_an_edit_through_another_node_is_seen(new_node: NewNode) -> None:
    one, two = await new_node(), await new_node()
    heartbeat = await one.create()
    for node in (one, two):
        await node.ask(path(heartbeat.token))

    await heartbeats.edit(one.db, heartbeat.id, {"period": 600})

    async def pings_count_600() -> bool:
        await two.ask(path(heartbeat.token))
        found = await two.get(heartbeat)
        return found.deadline is not None and found.deadline - await two.db.now() > 600_000

    assert await eventually(pings_count_600)


async def test_a_deleted_heartbeat_is_unknown_at_once_and_stays_away(new_node: NewNode) -> None:
    one, two = await new_node(), await new_node()
    heartbeat = await one.create()
    for node in (one, two):
        await node.ask(path(heartbeat.token))

    await heartbeats.delete(one.db, heartbeat.id)

    for node in (one, two):
        for last in ("", "/fail", "/start", ""):
            assert await node.ask(path(heartbeat.token, last)) == (404, "not found")
    shard = one.db.shard(heartbeat.id)
    assert await one.db.execute("EXISTS", shard.heartbeat(heartbeat.id), shard.events(heartbeat.id)) == 0


async def test_a_token_that_was_unknown_a_moment_ago_works_once_it_is_created(new_node: NewNode) -> None:
    from rules.tokens import new_token  # noqa: PLC0415
    from store.records import Settings  # noqa: PLC0415

    one, two = await new_node(), await new_node()
    token = new_token()
    for node in (one, two):
        assert (await node.ask(path(token)))[0] == 404

    await heartbeats.create(one.db, Settings(name="late"), token=token)

    for node in (one, two):

        async def is_taken(node: Node = node) -> bool:
            return (await node.ask(path(token)))[0] == 200

        assert await eventually(is_taken, within_s=1.5)  # well before the negative entry ends by itself


async def test_a_rotated_token_dies_and_the_new_one_lives(new_node: NewNode) -> None:
    one, two = await new_node(), await new_node()
    heartbeat = await one.create()
    await two.ask(path(heartbeat.token))

    rotated = await heartbeats.rotate(one.db, heartbeat.id)

    async def is_dead() -> bool:
        return (await two.ask(path(heartbeat.token)))[0] == 404

    assert await eventually(is_dead, within_s=5)
    assert await two.ask(path(rotated.token)) == (200, "OK")


async def test_a_scan_of_tokens_is_one_lookup_each_and_remembered_shortly(node: Node) -> None:
    from rules.tokens import new_token  # noqa: PLC0415

    tokens = [new_token() for _ in range(100)]
    for _ in range(2):
        answers = await asyncio.gather(*(node.ask(path(token)) for token in tokens))
        assert {status for status, _ in answers} == {404}
    _, metrics = await node.ask("/metrics")

    assert "flatline_cached_heartbeats 0.0" in metrics


async def test_the_cache_is_bounded(new_node: NewNode) -> None:
    node = await new_node(cache_size=5)
    for number in range(12):
        heartbeat = await node.create(name=f"h{number}")
        assert await node.ask(path(heartbeat.token)) == (200, "OK")

    _, metrics = await node.ask("/metrics")

    assert "flatline_cached_heartbeats 5.0" in metrics


async def test_a_slow_body_does_not_outlast_what_may_be_believed(node: Node) -> None:
    heartbeat = await node.create()
    assert (await node.ask(path(heartbeat.token)))[0] == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"POST {path(heartbeat.token)} HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf".encode())
    await writer.drain()
    assert (await node.ask(path(heartbeat.token)))[0] == 200  # the other request has begun by now
    await heartbeats.rotate(node.db, heartbeat.id)

    async def is_dead() -> bool:
        return (await node.ask(path(heartbeat.token)))[0] == 404

    await eventually(is_dead)
    writer.write(b"rest")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()
