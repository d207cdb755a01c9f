import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from runtime import health
from runtime.metrics import new_registry


async def _request(ready: health.Ready, path: str, method: str = "GET") -> tuple[int, bytes]:
    app = Starlette(routes=health.routes("ingest", ready, new_registry()))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], "root_path": ""}
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def _fine() -> Mapping[str, str]:
    return {"redis": "", "pulse": ""}


async def _ready(probe: health.Ready) -> tuple[int, dict[str, Any]]:
    status, body = await _request(probe, "/readyz")
    return status, orjson.loads(body)["probes"]


async def test_healthz_tells_only_that_the_process_lives() -> None:
    assert await _request(_fine, "/healthz") == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_is_answered_and_other_methods_are_not(path: str) -> None:
    assert (await _request(_fine, path, "HEAD"))[0] == 200
    assert (await _request(_fine, path, "POST"))[0] == 405


async def test_readyz_is_200_when_every_probe_is_fine() -> None:
    assert await _ready(_fine) == (200, {"redis": "ok", "pulse": "ok"})


async def test_readyz_is_503_and_lists_the_reasons() -> None:
    async def ready() -> Mapping[str, str]:
        return {"redis": "no connection", "pulse": ""}

    assert await _ready(ready) == (503, {"redis": "no connection", "pulse": "ok"})


async def test_a_probe_that_raises_shows_its_type_and_nothing_secret() -> None:
    async def ready() -> Mapping[str, str]:
        raise ConnectionError("redis://:hunter2@db")

    assert await _ready(ready) == (503, {"probes": "ConnectionError"})


async def test_a_probe_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.01)

    async def ready() -> Mapping[str, str]:
        await asyncio.Event().wait()
        return {}

    assert await _ready(ready) == (503, {"probes": "no answer within 0.01 s"})


async def test_metrics_tell_of_the_build_the_process_and_the_garbage_collector() -> None:
    status, body = await _request(_fine, "/metrics")

    assert status == 200
    for name in (b'flatline_build_info{version="', b"process_cpu_seconds_total", b"python_gc_", b"python_info"):
        assert name in body
