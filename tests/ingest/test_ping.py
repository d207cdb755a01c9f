"""Pings over real HTTP: answers, headers, limits and what they change."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from store import heartbeats
from tests.ingest.conftest import NewNode, Node

NOBODY = "/ping/00000000-0000-4000-8000-000000000000"


def path(token: str, last: str = "") -> str:
    return f"/ping/{token}{last}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_ping_brings_a_heartbeat_up(node: Node, method: str) -> None:
    heartbeat = await node.create()

    async with node.http.request(method, node.url + path(heartbeat.token)) as response:
        body = await response.text()

    assert (response.status, body) == (200, "" if method == "HEAD" else "OK")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Length"] == "2"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Ping-Body-Limit"] == "10000"
    assert "no-store" in response.headers["Cache-Control"]
    assert await node.status(heartbeat) == "up"


async def test_a_ping_is_on_record_with_its_sender_when_it_is_answered(node: Node) -> None:
    heartbeat = await node.create()
    for _ in range(3):
        assert await node.ask(path(heartbeat.token), headers={"User-Agent": "a" * 300}) == (200, "OK")

    rows = [row for row in await node.events(heartbeat) if row["kind"] == b"success"]

    assert len(rows) == 3
    assert {row["from"] for row in rows} == {b"127.0.0.1"}
    assert {row["agent"] for row in rows} == {b"a" * 200}
    found = await node.get(heartbeat)
    assert found.last_ping_at == int(rows[-1]["at"])


@pytest.mark.parametrize(
    ("last", "status"),
    [("", "up"), ("/0", "up"), ("/start", "pending"), ("/log", "pending"), ("/fail", "down"), ("/3", "down"),
     ("/TERM", "down")],
)  # fmt: skip
async def test_signals_change_the_status(node: Node, last: str, status: str) -> None:
    heartbeat = await node.create()

    assert await node.ask(path(heartbeat.token, last), "POST") == (200, "OK")

    assert await node.status(heartbeat) == status


async def test_a_success_after_a_failure_brings_it_up_again_though_both_come_at_once(node: Node) -> None:
    heartbeat = await node.create()
    for last in ("", "/fail", "", "/fail", "/start", "/fail", ""):
        assert (await node.ask(path(heartbeat.token, last)))[0] == 200

    assert await node.status(heartbeat) == "up"


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        (NOBODY, (404, "not found")),
        (NOBODY + "/fail", (404, "not found")),
        (NOBODY + "/256", (404, "not found")),
        ("/ping/key/slug", (404, "not found")),
        ("TOKEN/256", (400, "invalid url format")),
        ("TOKEN/FAIL", (400, "invalid url format")),
        ("TOKEN?rid=12345", (400, "invalid uuid format")),
        ("TOKEN?rid=", (400, "invalid uuid format")),
        ("TOKEN/1?rid=x", (400, "invalid uuid format")),
    ],
)
async def test_what_cannot_be_a_ping_is_refused_and_changes_nothing(
    node: Node, url: str, answer: tuple[int, str]
) -> None:
    heartbeat = await node.create()

    assert await node.ask(url.replace("TOKEN", path(heartbeat.token))) == answer

    assert await node.get(heartbeat) == heartbeat


async def test_a_wrong_secret_of_a_known_heartbeat_is_as_unknown_as_any(node: Node) -> None:
    heartbeat = await node.create()
    forged = heartbeat.token[:-1] + ("0" if heartbeat.token[-1] != "0" else "1")

    assert await node.ask(path(forged)) == (404, "not found")

    assert await node.status(heartbeat) == "pending"


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("PUT", 405), ("DELETE", 405), ("PATCH", 405)])
async def test_other_methods_do_not_count(node: Node, method: str, status: int) -> None:
    heartbeat = await node.create()

    async with node.http.request(method, node.url + path(heartbeat.token)) as response:
        assert response.status == status
        assert response.headers["Allow"] == "GET, HEAD, POST, OPTIONS"

    assert await node.status(heartbeat) == "pending"


@pytest.mark.parametrize(
    "body",
    [b"x" * 9_999, b"x" * 10_000, b"head" + b"x" * 9_996 + b"tail", b"Hello \xe9 World\0", b"a=1&b=%20+\r\n"],
)
async def test_the_tail_of_the_output_is_kept_as_raw_bytes(node: Node, body: bytes) -> None:
    heartbeat = await node.create()
    assert await node.ask(path(heartbeat.token, "/1"), "POST", data=body) == (200, "OK")

    found = await node.db.execute(
        "HGET", node.db.shard(heartbeat.id).incident(await incident(node, heartbeat.id)), "output"
    )

    assert found == body[-10_000:]


async def incident(node: Node, heartbeat: str) -> str:
    found = (await heartbeats.get(node.db, heartbeat)).incident
    assert found
    return found


async def test_ten_megabytes_are_answered_and_only_their_tail_is_kept(node: Node) -> None:
    heartbeat = await node.create()

    async def drip() -> AsyncGenerator[bytes]:
        for number in range(160):
            yield b"%03d" % number + b"." * 65_533

    assert await node.ask(path(heartbeat.token), "POST", data=drip()) == (200, "OK")

    rows = await node.db.execute("XRANGE", node.db.shard(heartbeat.id).outputs(heartbeat.id), "-", "+")
    assert rows[0][1][b"output"] == b"." * 10_000
    assert (await node.events(heartbeat))[1]["size"] == b"10000"


async def test_a_body_that_ends_too_early_is_no_ping(node: Node) -> None:
    heartbeat = await node.create()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"POST {path(heartbeat.token)} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode())
    await writer.drain()
    writer.close()
    await reader.read()

    assert await node.ask(path(heartbeat.token, "/log")) == (200, "OK")
    assert [row["kind"] for row in await node.events(heartbeat)] == [b"created", b"log"]


async def test_http_1_0_and_a_hung_up_client_are_served(node: Node) -> None:
    heartbeat = await node.create()

    answer = await node.raw(f"GET {path(heartbeat.token)} HTTP/1.0\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"OK")


@pytest.mark.parametrize(
    ("trusted", "forwarded", "sender"),
    [
        ("", "203.0.113.7", b"127.0.0.1"),
        ("127.0.0.0/8", "203.0.113.7", b"203.0.113.7"),
        ("127.0.0.0/8", "6.6.6.6, 203.0.113.7:5123, 127.0.0.9", b"203.0.113.7"),
        ("127.0.0.0/8", "[2001:db8::1]:99", b"2001:db8::1"),
        ("127.0.0.0/8", "rubbish", b"127.0.0.1"),
        ("10.0.0.0/8", "203.0.113.7", b"127.0.0.1"),
    ],
)
async def test_only_our_own_proxies_are_believed(
    new_node: NewNode, trusted: str, forwarded: str, sender: bytes
) -> None:
    from ipaddress import ip_network  # noqa: PLC0415

    proxies = (ip_network(trusted),) if trusted else ()
    node = await new_node(trusted_proxies=proxies)
    heartbeat = await node.create()
    await node.ask(path(heartbeat.token), headers={"X-Forwarded-For": forwarded})

    assert (await node.events(heartbeat))[1]["from"] == sender


async def test_pings_that_come_together_share_a_write(node: Node) -> None:
    found = [await node.create(name=f"h{number}") for number in range(50)]
    for _ in range(2):
        answers = await asyncio.gather(*(node.ask(path(heartbeat.token)) for heartbeat in found))
        assert set(answers) == {(200, "OK")}

    _, metrics = await node.ask("/metrics")
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))

    assert float(values['flatline_pings_total{result="ok"}']) == 100
    assert float(values["flatline_ping_batch_size_sum"]) == 50  # the first fifty were pending
    assert float(values["flatline_ping_batch_size_count"]) < 50
    assert found[0].token not in metrics


@pytest.mark.parametrize("header", [b"X-Long: " + b"a" * 3_000_000, b"X: y\r\n" * 500_000])
async def test_a_head_without_end_is_refused_and_the_node_goes_on(node: Node, header: bytes) -> None:
    heartbeat = await node.create()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"GET {path(heartbeat.token)} HTTP/1.1\r\nHost: x\r\n".encode() + header)

    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n")
    writer.close()

    assert answer.startswith(b"HTTP/1.1 431")
    assert await node.ask(path(heartbeat.token), headers={"X-Long": "a" * 8_000}) == (200, "OK")
    assert await node.ask(path(heartbeat.token), "POST", data=b"x" * 500_000) == (200, "OK")
    assert await node.ask(path(heartbeat.token)) == (200, "OK")
