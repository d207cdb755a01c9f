"""deploy/nginx.conf as it stands there, with real nodes behind it."""

import asyncio
import shutil
import signal
from collections import Counter
from datetime import datetime
from typing import Any

import aiohttp
import orjson
import pytest
from redis import Redis

from ingest.paths import FORMS, SLUG
from store.changes import CACHE_AGE_S
from store.keys import Shard
from tests.conftest import eventually
from tests.deploy.conftest import Installation
from tests.system.processes import Process

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNTED = 'flatline_pings_total{result="ok"}'
KILLS = 3
CLIENT_S = 10  # how long the guides let a client wait
SMALL = "Готово: 3 files & 5 % = ok".encode()


def at(node: Process, heartbeat: Any) -> str:
    """The ping URL of a heartbeat on one node, past nginx."""
    return f"{node.url}/ping/{heartbeat['ping_url'].rpartition('/')[2]}"


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


async def raw(installation: Installation, request: bytes) -> bytes:
    """What nginx answers to these bytes, until it hangs up or has answered `OK`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", installation.nginx.port)
    answer = b""
    async with asyncio.timeout(10):
        writer.write(request)
        while (chunk := await reader.read(4096)) and not (answer := answer + chunk).endswith(b"\r\n\r\nOK"):
            pass
    writer.close()
    await writer.wait_closed()
    return answer


async def test_every_form_of_ping_and_the_api_find_their_role(installation: Installation) -> None:
    api, base = installation.api, installation.nginx.url
    heartbeat = await api.create_heartbeat("forms")
    token = heartbeat["ping_url"].rpartition("/")[2]
    places = (f"ping/{token}", token, token.replace("-", ""), f"heartbeat/ping/{token}", f"api/v1/heartbeat/{token}")

    for place in places:
        for ending in ("", "/start", "/fail", "/log", "/0", "/3", "/TERM", "/"):
            for method in ("GET", "HEAD", "POST"):
                status = await api.ping(f"{base}/{place}{ending}", method=method)
                assert status == 200, (method, place, ending)

    assert await api.ping(f"{base}/ping/00000000-0000-4000-8000-000000000000") == 404
    assert await api.ping(f"{base}/ping/{token}/256") == 400
    assert await api.ping(f"{base}/heartbeat/{heartbeat['id']}/pause", method="POST") == 401
    assert (await api.call("POST", f"/heartbeat/{heartbeat['id']}/pause"))["status"] == "paused"
    assert (await api.call("POST", f"/heartbeat/{heartbeat['id']}/resume"))["status"] == "up"


async def test_what_the_senders_of_others_send_finds_the_nodes(installation: Installation) -> None:
    api, base = installation.api, installation.nginx.url
    heartbeat = await api.create_heartbeat("others", slug="others")
    token = heartbeat["ping_url"].rpartition("/")[2]
    key = (await api.call("GET", "/api/project"))["ping_key"]
    watchdog = orjson.dumps({"status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "Watchdog"}}]})

    for prefix, address, _ in FORMS:
        addressed = f"{key}/others" if address == SLUG else token
        url = "/".join((base, *prefix, addressed))
        before = (await api.heartbeat(heartbeat["id"]))["last_ping_at"]
        assert await api.ping(url, method="POST", body=watchdog) == 200, url
        assert (await api.heartbeat(heartbeat["id"]))["last_ping_at"] != before, url


async def test_pings_reach_both_nodes(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("both")
    before = [await api.metric(node, COUNTED) for node in installation.nodes]

    for _ in range(20):
        assert await api.ping(heartbeat["ping_url"]) == 200

    after = [await api.metric(node, COUNTED) for node in installation.nodes]
    gained = [now - then for then, now in zip(before, after, strict=True)]
    assert sum(gained) == 20
    assert min(gained) >= 5


async def test_an_edit_is_seen_by_both_nodes_within_the_age_of_their_caches(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("edit", period=3600, grace=300)
    for node in installation.nodes:
        assert await api.ping(at(node, heartbeat)) == 200

    await api.call("PATCH", f"/api/heartbeats/{heartbeat['id']}", {"period": 60, "grace": 10})

    for node in installation.nodes:

        async def has_the_new_span(node: Process = node) -> bool:
            assert await api.ping(at(node, heartbeat)) == 200
            seen = await api.heartbeat(heartbeat["id"])
            return seconds(seen["next_deadline_at"]) - seconds(seen["last_ping_at"]) == pytest.approx(70, abs=0.01)

        await eventually(has_the_new_span, within_s=CACHE_AGE_S + 2)


async def test_a_pause_holds_on_both_nodes_and_a_resume_ends_it(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("pause")
    assert await api.ping(heartbeat["ping_url"]) == 200

    await api.call("POST", f"/api/heartbeats/{heartbeat['id']}/pause")
    for node in installation.nodes:
        assert await api.ping(at(node, heartbeat)) == 200
    assert (await api.heartbeat(heartbeat["id"]))["status"] == "paused"

    assert (await api.call("POST", f"/api/heartbeats/{heartbeat['id']}/resume"))["status"] == "up"


async def test_a_rotated_token_ends_on_both_nodes_and_the_new_one_begins(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("rotate")
    for node in installation.nodes:
        assert await api.ping(at(node, heartbeat)) == 200

    rotated = await api.call("POST", f"/api/heartbeats/{heartbeat['id']}/rotate")

    for node in installation.nodes:

        async def has_changed(node: Process = node) -> bool:
            return [await api.ping(at(node, which)) for which in (heartbeat, rotated)] == [404, 200]

        await eventually(has_changed, within_s=CACHE_AGE_S + 2)
    assert await api.ping(heartbeat["ping_url"]) == 404


async def test_a_deleted_heartbeat_ends_on_both_nodes(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("delete")
    for node in installation.nodes:
        assert await api.ping(at(node, heartbeat)) == 200

    await api.call("DELETE", f"/api/heartbeats/{heartbeat['id']}")

    for node in installation.nodes:

        async def is_gone(node: Process = node) -> bool:
            return await api.ping(at(node, heartbeat)) == 404

        await eventually(is_gone, within_s=CACHE_AGE_S + 2)


async def test_no_ping_fails_while_a_node_is_killed_and_comes_back(installation: Installation) -> None:
    """GET, HEAD and POST without a break; a client would see each failure, for none of them repeats."""
    api, (victim, survivor) = installation.api, installation.nodes
    answers: Counter[tuple[str, int]] = Counter()
    over = asyncio.Event()
    kinds: tuple[tuple[str, bytes | None], ...] = (("GET", None), ("HEAD", None), ("POST", SMALL), ("POST", b""))

    async def ping_without_a_break(url: str, method: str, body: bytes | None) -> None:
        while not over.is_set():
            answers[method, await api.ping(url, method=method, body=body)] += 1

    async def more(count: int) -> None:
        goal = answers.total() + count

        async def reached() -> bool:
            return answers.total() >= goal

        await eventually(reached, within_s=30)

    heartbeats = [await api.create_heartbeat("killed") for _ in kinds * 2]
    async with asyncio.TaskGroup() as clients:
        for heartbeat, (method, body) in zip(heartbeats, kinds * 2, strict=True):
            clients.create_task(ping_without_a_break(heartbeat["ping_url"], method, body))
        await more(200)
        for _ in range(KILLS):
            await victim.kill()
            await more(300)
            await victim.start()
            await more(300)

        async def takes_pings_again() -> bool:
            return await api.metric(victim, COUNTED) > 0

        await eventually(takes_pings_again)
        over.set()

    assert {status for _, status in answers} == {200}, answers
    assert {method for method, _ in answers} == {"GET", "HEAD", "POST"}
    assert await api.metric(survivor, COUNTED) > 0
    assert {(await api.heartbeat(heartbeat["id"]))["status"] for heartbeat in heartbeats} == {"up"}


async def test_a_node_that_is_told_to_stop_costs_no_ping(installation: Installation) -> None:
    api, (node, _) = installation.api, installation.nodes
    statuses: list[int] = []
    over = asyncio.Event()

    async def ping_without_a_break(url: str) -> None:
        while not over.is_set():
            statuses.append(await api.ping(url, method="POST", body=SMALL))

    async with asyncio.TaskGroup() as clients:
        for _ in range(4):
            heartbeat = await api.create_heartbeat("stopped")
            clients.create_task(ping_without_a_break(heartbeat["ping_url"]))
        assert await node.stop() == 0
        await node.start()
        over.set()

    assert set(statuses) == {200}


async def test_a_node_that_hangs_costs_its_pings_seconds_and_none_is_lost(installation: Installation) -> None:
    api, (node, _) = installation.api, installation.nodes
    heartbeats = [await api.create_heartbeat("hung") for _ in range(20)]
    node.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(CLIENT_S):
            pings = [api.ping(heartbeat["ping_url"], method="POST", body=SMALL) for heartbeat in heartbeats]
            statuses = await asyncio.gather(*pings)
    finally:
        node.send(signal.SIGCONT)
    await node.ready()

    assert set(statuses) == {200}


async def test_a_record_that_no_node_can_read_shuts_nobody_else_out(installation: Installation) -> None:
    api = installation.api
    broken, sound = await api.create_heartbeat("broken"), await api.create_heartbeat("sound")
    with Redis.from_url(installation.redis_url) as redis:
        redis.delete(Shard(0).events(broken["id"]))
        redis.set(Shard(0).events(broken["id"]), "no stream")

    answers = [await api.ping(heartbeat["ping_url"]) for heartbeat in (broken, sound) * 5]

    assert answers == [503, 200] * 5


async def test_a_body_of_ten_megabytes_keeps_its_tail(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("big")
    body = b"x" * 10_000_000 + SMALL

    assert await api.ping(f"{heartbeat['ping_url']}/fail", method="POST", body=body) == 200

    seen = await api.becomes(heartbeat["id"], "down")
    assert (await api.incident(seen["incident"]))["output"].endswith("x" + SMALL.decode())


async def test_a_body_over_the_limit_costs_the_body_and_not_the_ping(installation: Installation) -> None:
    api = installation.api
    heartbeat = await api.create_heartbeat("too big")
    path = f"/ping/{heartbeat['ping_url'].rpartition('/')[2]}/3"
    size = 101 * 1024 * 1024

    answer = await raw(installation, f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\nbegin".encode())

    assert answer.startswith(b"HTTP/1.1 200 ")
    seen = await api.becomes(heartbeat["id"], "down")
    incident = await api.incident(seen["incident"])
    assert (incident["exit_status"], incident["output"]) == ("3", "")


async def test_a_balancer_without_room_for_a_body_costs_the_body_and_not_the_ping(installation: Installation) -> None:
    api, bodies = installation.api, installation.nginx.bodies
    kept = {"": b"x" * 1_000_000, SMALL.decode(): SMALL}  # the second fits into memory
    heartbeats = {output: await api.create_heartbeat("disk full") for output in kept}
    shutil.rmtree(bodies)
    try:
        for output, body in kept.items():
            assert await api.ping(f"{heartbeats[output]['ping_url']}/3", method="POST", body=body) == 200
    finally:
        bodies.mkdir()

    for output, heartbeat in heartbeats.items():
        seen = await api.becomes(heartbeat["id"], "down")
        assert (await api.incident(seen["incident"]))["output"] == output


async def test_a_client_that_speaks_http_1_0_is_heard(installation: Installation) -> None:
    heartbeat = await installation.api.create_heartbeat("old device")
    path = f"/ping/{heartbeat['ping_url'].rpartition('/')[2]}"

    assert b" 200 " in await raw(installation, f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert (await installation.api.heartbeat(heartbeat["id"]))["status"] == "up"


async def test_oversized_headers_and_urls_are_refused(installation: Installation) -> None:
    token = "00000000-0000-4000-8000-000000000000"

    header = await raw(installation, f"GET /ping/{token} HTTP/1.1\r\nHost: x\r\nX: {'x' * 9_000}\r\n\r\n".encode())
    url = await raw(installation, f"GET /ping/{token}?{'x' * 9_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    assert header.startswith(b"HTTP/1.1 400 ")
    assert url.startswith(b"HTTP/1.1 414 ")


async def test_the_inside_is_not_shown(installation: Installation) -> None:
    api, base = installation.api, installation.nginx.url

    for path in ("/metrics", "/readyz", "//metrics", "/%6detrics", "/ping/../metrics", "/metrics/", "/pulse/x"):
        answer = await raw(installation, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 404 "), path
    async with api.session.get(f"{base}/healthz") as response:
        assert (response.status, await response.text()) == (200, "ok\n")


async def test_the_event_log_shows_the_client_and_neither_nginx_nor_what_the_client_claims(
    installation: Installation,
) -> None:
    heartbeat = await installation.api.create_heartbeat("address")
    claims = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "User-Agent": "curl/8"}
    connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    elsewhere = aiohttp.ClientSession(connector=connector)
    async with elsewhere, elsewhere.get(heartbeat["ping_url"], headers=claims) as response:
        assert response.status == 200

    with Redis.from_url(installation.redis_url) as redis:
        events = redis.xrange(Shard(0).events(heartbeat["id"]))
    pings: list[Any] = [fields for _, fields in events if fields[b"kind"] == b"success"]
    assert [(ping[b"from"], ping[b"agent"]) for ping in pings] == [(b"127.0.0.2", b"curl/8")]


async def test_no_log_holds_a_token_whatever_goes_wrong(installation: Installation) -> None:
    api, nodes, front = installation.api, installation.nodes, installation.nginx
    heartbeat = await api.create_heartbeat("secret")
    token = heartbeat["ping_url"].rpartition("/")[2]
    unknown = "5ec2e700-0000-4000-8000-5ec2e75ec2e7"
    forms = (f"ping/{token}", token.replace("-", ""), f"api/v1/heartbeat/{token}/3?rid={unknown}", f"ping/{unknown}")
    urls = [f"{front.url}/{form}" for form in (*forms, f"login?token={token}", f"{token}.php", f"ping/x?x={token}")]

    async def ask_all() -> set[int]:
        return {await api.ping(url, method=method) for url in urls for method in ("GET", "POST")}

    await ask_all()
    head = f"/ping/{token} HTTP/1.1\r\nHost: x\r\n"
    await raw(installation, f"GET {head}X: {'x' * 9_000}\r\n\r\n".encode())  # nginx logs these at info
    await raw(installation, f"GET /ping/{token}?{'x' * 9_000} HTTP/1.1\r\n\r\n".encode())
    await raw(installation, f"GET /ping/{token}\r\n\0nonsense\r\n\r\n".encode())
    await raw(installation, f"POST {head}Content-Length: 200000000\r\n\r\n".encode())  # at error
    shutil.rmtree(front.bodies)
    await api.ping(urls[0], method="POST", body=b"x" * 1_000_000)  # at crit
    front.bodies.mkdir()
    await nodes[0].kill()
    assert 502 not in await ask_all()
    await nodes[1].kill()
    assert 502 in await ask_all()
    await asyncio.gather(*(node.start() for node in nodes))

    async def heard_again() -> bool:
        return await api.ping(urls[0]) == 200

    await eventually(heard_again)
    lines = [orjson.loads(line) for line in front.access_log.read_bytes().splitlines()]
    written = installation.logs().lower()
    assert {"ping", "console"} <= {line["kind"] for line in lines}
    assert any(line["upstream_status"] == "502, 200" for line in lines), "no ping was tried twice"
    for secret in (token, token.replace("-", ""), token[-12:], unknown, unknown[-12:]):
        assert secret not in written
