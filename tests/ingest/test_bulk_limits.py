"""Bulk: too much, too slow, hung up, and a Redis that is away."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

import ingest.bulk
import ingest.items
from ingest.node import BULK_MAX
from store import fleets, heartbeats
from store.records import Settings
from tests.conftest import eventually
from tests.ingest.bulk import NOBODY, Answer, Scene, bulk, fleet_of, lines, make_scene, read_answer
from tests.ingest.conftest import NewNode, Node
from tests.servers import binaries, running


@pytest.fixture
async def scene(redis_url: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield await make_scene(stack, redis_url)


async def test_a_hundred_thousand_are_taken_in_little_memory_and_the_rest_is_refused(node: Node) -> None:
    fleet = await fleet_of(node)
    part = lines(*({"ping_key": fleet.ping_key, "slug": f"device-{n}"} for n in range(300))) + b"\n"

    async def body() -> AsyncIterator[bytes]:
        for _ in range(340):
            yield part

    tracemalloc.start()
    try:
        async with node.http.post(node.url + "/ping/bulk", data=body()) as response:
            said, raw = response.status, orjson.loads(await response.read())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (said, raw["accepted"], raw["rejected"]) == (413, 100_000, [])
    assert raw["error"] == {"code": "too_large", "message": "a request must have at most 100000 items", "field": None}
    assert peak < 8_000_000
    assert (await fleets.counts(node.db, fleet.id))["up"] == 300


@pytest.mark.parametrize("form", [lines, lambda *items: orjson.dumps(items)])
async def test_of_too_many_items_the_first_are_taken_and_told(
    node: Node, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    monkeypatch.setattr(ingest.bulk, "ITEMS_MAX", 600)
    first, last, beyond = [await node.create() for _ in range(3)]
    items: list[dict[str, str]] = [{"token": first.token}, *([{"token": NOBODY}] * 598), {"token": last.token}]

    exactly, too_many = await bulk(node, form(*items)), await bulk(node, form(*items, {"token": beyond.token}))

    assert (exactly.status, exactly.accepted, len(exactly.rejected)) == (200, 2, 598)
    assert (too_many.status, too_many.accepted, len(too_many.rejected)) == (413, 2, 598)
    assert [await node.status(each) for each in (first, last, beyond)] == ["up", "up", "pending"]


async def test_a_line_that_is_too_long_is_refused_alone_wherever_it_is_split(scene: Scene) -> None:
    made = await heartbeats.create(scene.db, Settings(name="backup", period=60, grace=30))
    good = orjson.dumps({"token": made.token})
    padded = b'{"token":"' + made.token.encode() + b'"%b}'
    just_fits, too_long = padded % (b" " * (4_096 - len(padded) + 2)), padded % (b" " * (4_097 - len(padded) + 2))
    assert (len(just_fits), len(too_long)) == (4_096, 4_097)
    body = lines(good, too_long, just_fits, b"x" * 200_000, good)

    for size in (1_000, 4_096, 4_097, 65_536, len(body)):
        said = await scene.post([body[i : i + size] for i in range(0, len(body), size)])

        assert said == Answer(200, 3, [(i, 400, "a line must have at most 4096 bytes") for i in (1, 3)]), size


async def test_a_line_without_an_end_is_not_kept(scene: Scene) -> None:
    part = b'{"token": "' + b"x" * 65_536
    tracemalloc.start()
    try:
        said = await scene.post([part] * 300)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert said.refusals == [(0, 400)]
    assert peak < 2_000_000


async def test_an_array_that_is_too_large_is_refused_whole(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = await node.create()
    good = orjson.dumps({"token": heartbeat.token})
    monkeypatch.setattr(ingest.items, "ARRAY_MAX", 10_000)

    said = await bulk(node, b"[" + b",".join([good] * 1_000) + b"]")

    assert (said.status, said.accepted, said.rejected) == (413, 0, [])
    assert (await bulk(node, b"[" + b",".join([good] * 100) + b"]")).accepted == 100


@pytest.mark.parametrize("bomb", [b"{}", b"[]", b"0", b'{"a":', b"["])
async def test_an_array_of_many_small_values_is_counted_before_it_is_made(scene: Scene, bomb: bytes) -> None:
    """Sixteen megabytes of them would be half a gigabyte of objects."""
    body = b"[" + (bomb if bomb.endswith((b":", b"[")) and len(bomb) != 2 else bomb + b",") * 1_000_000
    tracemalloc.start()
    try:
        said = await scene.post([body])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (said.status, said.accepted) == (413, 0)
    assert peak < 4 * len(body) + 1_000_000


async def test_what_came_before_a_client_hung_up_counts(node: Node) -> None:
    found = [await node.create() for _ in range(3)]
    _, writer = await asyncio.open_connection("127.0.0.1", node.port)
    half = lines(*({"token": each.token} for each in found))[:-5]
    writer.write(b"POST /ping/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n" + half)
    await writer.drain()
    writer.close()

    async def came() -> bool:
        return [await node.status(each) for each in found[:2]] == ["up", "up"]

    assert await eventually(came)
    assert await node.status(found[2]) == "pending"  # its line had no end
    assert (await bulk(node, lines({"token": found[2].token}))).accepted == 1


async def test_without_redis_all_is_refused_as_a_whole_and_nothing_is_lost_by_repeating(new_node: NewNode) -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always") as server:
        node = await new_node(server.url)
        heartbeat, fleet = await node.create(), await fleet_of(node)
        body = lines({"token": heartbeat.token}, {"ping_key": fleet.ping_key, "slug": "a"}, {"token": heartbeat.token})
        assert await bulk(node, body) == Answer(200, 3, [])
        await server.kill()

        async with node.http.post(node.url + "/ping/bulk", data=body) as response:
            said, headers = read_answer(response.status, await response.read()), response.headers

        assert said == Answer(503, 0, [(n, 503, "unavailable, try again") for n in range(3)])
        assert int(headers["Retry-After"]) > 0
        await server.start()
        assert await bulk(node, body) == Answer(200, 3, [])


async def test_a_redis_that_goes_midway_refuses_item_by_item(new_node: NewNode) -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "yes", "--appendfsync", "always") as server:
        node = await new_node(server.url)
        heartbeat = await node.create()
        line = lines({"token": heartbeat.token}) + b"\n"
        is_up = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield line * 2

            async def came() -> bool:
                return await node.status(heartbeat) == "up"

            await eventually(came)
            await server.kill()
            is_up.set()
            yield line * 3 + lines(
                {}, {"ping_key": "no key of ours", "slug": "a"}, {"ping_key": "k" * 101, "slug": "a"}
            )

        said = await bulk(node, body())

        assert is_up.is_set()
        assert (said.status, said.accepted) == (200, 2)
        # What cannot be a ping key is nobody's; it is neither asked for nor remembered.
        assert said.refusals == [(2, 503), (3, 503), (4, 503), (5, 400), (6, 404), (7, 404)]


async def test_a_queue_that_is_full_refuses_what_it_cannot_take(new_node: NewNode) -> None:
    node = await new_node(queue_limit=BULK_MAX)
    found = [await node.create() for _ in range(20)]
    items = [{"token": each.token, "signal": "log"} for each in found] * 50

    answers = await asyncio.gather(*(bulk(node, lines(*items)) for _ in range(4)))

    for said in answers:
        assert said.accepted + len(said.rejected) == len(items)
        assert {status for _, status in said.refusals} <= {503}
    assert (await bulk(node, lines({"token": found[0].token}))).accepted == 1
