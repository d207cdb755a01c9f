import logging
from collections.abc import AsyncIterator

import pytest

from store import heartbeats
from store.database import Database
from tests.console.conftest import Api, served
from tests.servers import binaries, running

BODY_MAX = 64 * 1024


NO_OBJECTS = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"name"',
    b"name=x",
    b'{"name": "\xff"}',
    b'{"name": "\\ud800"}',
    b"[" * 10_000,
    b"NaN",
]


async def test_what_is_not_a_json_object_is_a_bad_request(api: Api) -> None:
    for body in NO_OBJECTS:
        answer = await api.post("/api/heartbeats", data=body)

        assert (answer.status, answer.error["code"]) == (400, "bad_request")


async def test_a_body_may_have_64_kilobytes_and_no_more(api: Api) -> None:
    fits = b'{"name": "x"}'.ljust(BODY_MAX)

    assert (await api.post("/api/heartbeats", data=fits)).status == 201
    for data in (fits + b" ", _chunks(fits + b" ")):
        answer = await api.post("/api/heartbeats", data=data)
        assert (answer.status, answer.error["code"]) == (413, "too_large")
        assert str(BODY_MAX) in answer.error["message"]


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


async def test_unknown_paths_are_not_found(api: Api) -> None:
    for path in ["/api", "/api/", "/api/heartbeats/", "/api/nothing", "/heartbeat/x", "/x" * 200]:
        answer = await api.get(path)

        assert (answer.status, answer.error["code"]) == (404, "not_found")


METHODS = [
    ("PUT", "/api/heartbeats", "GET, HEAD, POST"),
    ("POST", "/api/heartbeats/0123456789ab", "DELETE, GET, HEAD, PATCH"),
    ("GET", "/api/heartbeats/0123456789ab/pause", "POST"),
    ("OPTIONS", "/api/incidents", "GET, HEAD"),
    ("POST", "/healthz", "GET, HEAD"),
]


async def test_other_methods_are_told_which_are_allowed(api: Api) -> None:
    for method, path, allow in METHODS:
        answer = await api.call(method, path)

        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
        assert sorted(answer.headers["Allow"].split(", ")) == allow.split(", ")


async def test_head_answers_like_get_without_a_body(api: Api) -> None:
    for path in ("/healthz", "/api/heartbeats"):
        answer = await api.call("HEAD", path)
        assert (answer.status, answer.body, int(answer.headers["Content-Length"]) > 0) == (200, b"", True)


async def test_answers_are_kept_by_no_cache(api: Api) -> None:
    answers = [await api.get("/api/heartbeats"), await api.get("/api/heartbeats", key=None)]

    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}


async def test_without_redis_the_answer_is_503_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        running(binaries()["valkey-9"], "--appendonly", "yes") as server,
        served(server.url) as api,
    ):
        made = await api.heartbeat()
        await server.kill()
        answers = [
            await api.get("/api/heartbeats"),
            await api.post("/api/heartbeats", {"name": "x"}),
            await api.get("/api/heartbeats/" + made["id"]),
            await api.post(f"/heartbeat/{made['id']}/pause"),
        ]
        ready = await api.get("/readyz")
        await server.start()
        after = await api.get("/api/heartbeats/" + made["id"])

    for answer in answers:
        assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, "unavailable", "1")
        assert server.url not in str(answer.body)
    assert ready.status == 503
    assert after.status == 200
    assert [record.message for record in caplog.records].count("store_unavailable") == len(answers)


async def test_an_error_of_ours_is_logged_once_and_tells_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Database, heartbeat: str) -> None:
        raise ValueError(f"hunter2 {heartbeat}")

    with caplog.at_level(logging.ERROR):
        async with served(redis_url) as api:
            made = await api.heartbeat()
            monkeypatch.setattr(heartbeats, "get", broken)
            answer = await api.get(f"/api/heartbeats/{made['id']}")

    assert (answer.status, answer.error["code"]) == (500, "internal")
    assert "hunter2" not in str(answer.body)
    assert [record.message for record in caplog.records] == ["request_failed"]


async def test_health_needs_no_key(api: Api) -> None:
    paths = ("/healthz", "/readyz", "/metrics")

    assert [(await api.get(path, key=None)).status for path in paths] == [200, 200, 200]
