"""Uptime Kuma's push monitors: `/api/push/<token>`, and what borgmatic's hook makes of it."""

import pytest

from store.records import Heartbeat
from tests.compat.wire import Reply, Stored, ask, replay, stored
from tests.ingest.conftest import NewNode, Node

OK = b'{"ok":true}'
NOBODY = b'{"ok":false,"msg":"Monitor not found or not active."}'
BAD_PING = b'{"ok":false,"msg":"ping must be a number from 0 to 100000000000"}'


async def push(node: Node, heartbeat: Heartbeat, behind: str = "", method: str = "GET", body: bytes = b"") -> Reply:
    """A token of Kuma's has 32 characters and no dashes, and so may ours."""
    return await ask(node, f"/api/push/{heartbeat.token.replace('-', '')}{behind}", method, body)


async def test_a_push_is_answered_in_kumas_words(node: Node) -> None:
    heartbeat = await node.create()

    reply = await push(node, heartbeat, "?status=up&msg=OK&ping=")

    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, OK, "application/json")
    assert await stored(node, heartbeat) == [Stored("success")]


async def test_its_own_pusher_and_borgmatics_hook(node: Node) -> None:
    """borgmatic: start and finish are both up."""
    heartbeat = await node.create()
    head = (
        "Host: hb\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
        "Connection: keep-alive\r\n\r\n"
    )
    for query in ("", "status=up&msg=start", "status=up&msg=finish", "status=down&msg=fail"):
        reply = await replay(node, f"GET /api/push/{heartbeat.token}?{query} HTTP/1.1\r\n{head}".encode())
        assert (reply.status, reply.body) == (200, OK)

    assert await stored(node, heartbeat) == [
        Stored("success"),
        Stored("success", output=b"start"),
        Stored("success", output=b"finish"),
        Stored("fail", output=b"fail"),
    ]
    assert await node.status(heartbeat) == "down"


async def test_what_a_query_says_is_understood_as_kuma_would(node: Node) -> None:
    for query, meant in (
        ("status=up", Stored("success")),
        ("status=", Stored("success")),  # an empty field is none
        ("status=down", Stored("fail")),
        ("status=UP", Stored("fail")),  # anything but `up`
        ("status=pending", Stored("fail")),
        ("status=down&status=up", Stored("success")),
        ("msg=", Stored("success")),
        ("msg=OK", Stored("success")),
        ("msg=disk+full%21", Stored("success", output=b"disk full!")),
        ("msg=one&msg=two", Stored("success", output=b"two")),
        ("msg=%D0%94%D0%B0&status=down", Stored("fail", output="Да".encode())),
        ("msg=%FF", Stored("success", output="\N{REPLACEMENT CHARACTER}".encode())),
        ("msg=a%00b", Stored("success", output=b"a\0b")),
        ("msg=" + "x" * 5_000, Stored("success", output=b"x" * 2_000)),
        ("ping=", Stored("success")),
        ("ping=0", Stored("success")),
        ("ping=12.5&msg=x", Stored("success", output=b"x")),
        ("ping=100000000000", Stored("success")),
        ("unknown=1&rid=x&create=1", Stored("success")),
    ):
        heartbeat = await node.create()

        reply = await push(node, heartbeat, "?" + query)

        assert (reply.status, reply.body) == (200, OK), query
        assert await stored(node, heartbeat) == [meant], query


async def test_a_message_that_is_not_percent_encoded_is_refused_as_no_http(node: Node) -> None:
    """Not taken for another message, and told with a status that curl -f fails on."""
    heartbeat = await node.create()
    request = f"GET /api/push/{heartbeat.token}?status=down&msg=Диск HTTP/1.1\r\nHost: hb\r\n\r\n"

    assert (await replay(node, request.encode())).status == 400

    assert await stored(node, heartbeat) == []


async def test_a_latency_that_is_none_is_refused_and_nothing_is_stored(node: Node) -> None:
    heartbeat = await node.create()

    for ping in ("abc", "-1", "1e12", "nan", "inf", "0x10"):
        reply = await push(node, heartbeat, f"?status=down&ping={ping}")
        assert (reply.status, reply.body) == (404, BAD_PING), ping

    assert await stored(node, heartbeat) == []


async def test_a_push_with_too_many_fields_is_refused_and_not_taken_for_a_good_one(node: Node) -> None:
    heartbeat = await node.create()

    reply = await push(node, heartbeat, "?" + "x=1&" * 200 + "status=down")

    assert reply.status == 404
    assert await stored(node, heartbeat) == []


@pytest.mark.parametrize("token", ["3f1c9a526b0e4d279c410a7be2d5f816", "tooshort", "A" * 32, "../x"])
async def test_who_is_not_there_is_told_so_in_kumas_words_if_his_token_could_be_ours(node: Node, token: str) -> None:
    reply = await ask(node, f"/api/push/{token}?status=up")

    assert reply.status == 404
    assert reply.body == NOBODY or len(token) != 32


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
async def test_any_method_pushes_and_a_body_is_the_output(node: Node, method: str) -> None:
    heartbeat = await node.create()

    reply = await push(node, heartbeat, "?status=down", method, b"from the body")

    assert (reply.status, reply.body) == (200, b"" if method == "HEAD" else OK)
    assert await stored(node, heartbeat) == [Stored("fail", output=b"from the body")]


async def test_a_signal_behind_the_token_counts_where_the_query_has_none(node: Node) -> None:
    heartbeat = await node.create()

    for behind in ("/fail", "/3", "/start", "/fail?status=up"):
        assert (await push(node, heartbeat, behind)).status == 200

    assert [ping.signal for ping in await stored(node, heartbeat)] == ["fail", "fail", "start", "success"]


async def test_rules_of_a_heartbeat_hold_for_a_push_as_well(new_node: NewNode) -> None:
    node = await new_node()
    post_only, words = await node.create(post_only=True), await node.create(failure_words=("broken",), unmatched="fail")

    assert (await push(node, post_only, "?status=down")).status == 200
    assert (await push(node, post_only, "?status=down", "POST")).status == 200
    assert (await push(node, words, "?status=up&msg=all+is+broken")).status == 200

    assert [ping.signal for ping in await stored(node, post_only)] == ["ignored", "fail"]
    assert await stored(node, words) == [Stored("fail", output=b"all is broken")]
