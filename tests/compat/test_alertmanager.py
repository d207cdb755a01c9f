"""Alertmanager's watchdog: an alert that always fires, posted to `/alertmanager/<token>` again and again."""

import gzip
from typing import Any, Final

import orjson
import pytest

from store.records import Heartbeat
from tests.compat.wire import Reply, Stored, ask, replay, stored
from tests.ingest.conftest import Node

ALERT: Final[dict[str, Any]] = {
    "status": "firing",
    "labels": {"alertname": "Watchdog"},
    "annotations": {},
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "",
    "fingerprint": "ab12",
}
WEBHOOK: Final[dict[str, Any]] = {
    "receiver": "dms",
    "status": "firing",
    "alerts": [ALERT],
    "groupLabels": {},
    "commonLabels": {"alertname": "Watchdog"},
    "commonAnnotations": {},
    "externalURL": "http://am:9093",
    "version": "4",
    "groupKey": '{}:{alertname="Watchdog"}',
    "truncatedAlerts": 0,
}
WRONG: Final = (400, b"the body must be Alertmanager's webhook, with status firing or resolved")


def said(reply: Reply) -> tuple[int, bytes]:
    return reply.status, reply.body


async def post(node: Node, heartbeat: Heartbeat, body: bytes, behind: str = "") -> Reply:
    headers = "Content-Type: application/json\r\nUser-Agent: Alertmanager/0.28.1\r\n"
    return await ask(node, f"/alertmanager/{heartbeat.token}{behind}", "POST", body, headers)


async def test_a_firing_watchdog_is_a_ping_and_its_body_no_output(node: Node) -> None:
    heartbeat = await node.create()

    assert said(await post(node, heartbeat, orjson.dumps(WEBHOOK))) == (200, b"OK")

    assert await stored(node, heartbeat) == [Stored("success")]
    assert await node.status(heartbeat) == "up"


async def test_as_alertmanager_writes_it(node: Node) -> None:
    """Chunked, as Go sends what it has not measured, on a connection that it keeps."""
    heartbeat, body = await node.create(), orjson.dumps(WEBHOOK | {"notification_reason": "repeat", "routeLabels": {}})
    head = (
        f"POST /alertmanager/{heartbeat.token} HTTP/1.1\r\nHost: hb\r\nUser-Agent: Alertmanager/0.28.1\r\n"
        "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
    )

    reply = await replay(node, head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))

    assert said(reply) == (200, b"OK")
    assert await stored(node, heartbeat) == [Stored("success")]


async def test_a_resolved_watchdog_has_gone_silent_so_it_is_no_ping(node: Node) -> None:
    heartbeat = await node.create()
    await post(node, heartbeat, orjson.dumps(WEBHOOK))
    before = await node.get(heartbeat)

    reply = await post(node, heartbeat, orjson.dumps(WEBHOOK | {"status": "resolved"}))

    assert said(reply) == (200, b"OK")  # or it would be sent again
    assert await node.get(heartbeat) == before
    assert [ping.signal for ping in await stored(node, heartbeat)] == ["success", "ignored"]


async def test_only_what_is_an_alertmanagers_counts(node: Node) -> None:
    heartbeat = await node.create()
    odd: list[Any] = ["", "FIRING", "up", None, 1, [], {}]
    for body in (
        b"",
        b"{",
        b"null",
        b"[]",
        b'"firing"',
        b"{}",
        b"\xff\xfe",
        gzip.compress(orjson.dumps(WEBHOOK)),
        *(orjson.dumps({"receiver": "dms", "status": status}) for status in odd),
    ):
        assert said(await post(node, heartbeat, body)) == WRONG, body

    assert said(await ask(node, f"/alertmanager/{heartbeat.token}")) == WRONG  # a browser
    assert await stored(node, heartbeat) == []
    assert said(await post(node, heartbeat, orjson.dumps(WEBHOOK))) == (200, b"OK")  # at the next interval


@pytest.mark.parametrize(("status", "signal"), [("firing", "success"), ("resolved", "ignored")])
async def test_a_body_of_five_megabytes_is_understood_by_its_head(node: Node, status: str, signal: str) -> None:
    heartbeat = await node.create()
    many = orjson.dumps(WEBHOOK | {"status": status, "alerts": [ALERT] * 30_000})
    assert len(many) > 5_000_000

    assert said(await post(node, heartbeat, many)) == (200, b"OK")

    assert [ping.signal for ping in await stored(node, heartbeat)] == [signal]


async def test_no_alerts_and_unknown_fields_do_not_matter(node: Node) -> None:
    heartbeat = await node.create()

    for body in (WEBHOOK | {"alerts": []}, {"status": "firing"}, {"new": {"deep": [1]}} | WEBHOOK):
        assert said(await post(node, heartbeat, orjson.dumps(body))) == (200, b"OK")

    assert [ping.signal for ping in await stored(node, heartbeat)] == ["success"] * 3


async def test_an_alert_that_is_no_watchdog_can_be_a_failure(node: Node) -> None:
    heartbeat = await node.create()

    assert said(await post(node, heartbeat, orjson.dumps(WEBHOOK), "/fail")) == (200, b"OK")
    assert said(await post(node, heartbeat, orjson.dumps(WEBHOOK | {"status": "resolved"}), "/fail")) == (200, b"OK")

    assert [ping.signal for ping in await stored(node, heartbeat)] == ["fail", "ignored"]


async def test_nobody_is_not_found(node: Node) -> None:
    path = "/alertmanager/00000000-0000-4000-8000-000000000000"

    assert said(await ask(node, path, "POST", orjson.dumps(WEBHOOK))) == (404, b"not found")
