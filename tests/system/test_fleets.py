"""Thousands of devices without registration: they fall silent together, and people get one message, not thousands."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import eventually, stop
from tests.notifier.sinks import HttpSink, http_sink
from tests.system.processes import Api, House, house

MEMBERS = 5_000


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as started:
        yield started


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as started:
        yield started


def told(sink: HttpSink) -> list[dict[str, Any]]:
    return [orjson.loads(request.body) for request in sink.requests]


async def ping_all(api: Api, fleet: dict[str, Any]) -> None:
    items = [{"ping_key": fleet["ping_key"], "slug": f"device-{number:04}"} for number in range(MEMBERS)]
    assert await api.call("POST", "/ping/bulk", items) == {"accepted": MEMBERS, "rejected": []}


async def test_a_fleet_that_falls_silent_is_one_incident_and_its_recovery_one_message(
    here: House, sink: HttpSink
) -> None:
    settings = {"data_dir": str(here.folder / "data"), "allow_private_targets": "127.0.0.0/8"}
    async with Api((await here.start("up", port=None, **settings)).url) as api:
        await api.create_channel("hook", "webhook", url=f"http://127.0.0.1:{sink.port}/hook")
        fleet = await api.call("POST", "/api/fleets", {"name": "sensors", "period": 3, "grace": 1, "tags": ["lab"]})
        await ping_all(api, fleet)
        await sink.received(1)

        async def incident() -> Any:
            (found,) = (await api.call("GET", "/api/incidents"))["incidents"]
            return found

        async def all_are_silent() -> bool:
            return bool((await incident())["count"] == MEMBERS)

        await eventually(all_are_silent, within_s=30)

        async def all_is_told() -> bool:  # whoever was told of fewer than half of them hears again
            return bool(told(sink)[-1]["fleet"]["down"] * 2 > MEMBERS)

        await eventually(all_is_told)
        opened, *grown = told(sink)
        assert all(2 * a <= b for a, b in pairwise(body["fleet"]["down"] for body in told(sink)))
        assert [body["event"] for body in (opened, *grown)] == ["incident.opened"] + ["incident.escalated"] * len(grown)
        assert (opened["fleet"]["id"], opened["fleet"]["name"], opened["fleet"]["members"]) == (
            fleet["id"], "sensors", MEMBERS,
        )  # fmt: skip
        assert len(opened["fleet"]["examples"]) == 20
        assert opened["heartbeat"]["tags"] == ["lab"]
        before = len(sink.requests)

        await ping_all(api, fleet)
        pinging = asyncio.create_task(_keep_pinging(api, fleet))
        try:
            await sink.received(before + 1)
            resolved = told(sink)[before]
            assert resolved["event"] == "incident.resolved"
            assert resolved["incident"]["id"] == opened["incident"]["id"] == (await incident())["id"]
            assert (resolved["fleet"]["down"], resolved["fleet"]["most"]) == (0, MEMBERS)
            assert resolved["title"] == "sensors: no member is down any more"
            assert len(sink.requests) == before + 1
        finally:
            await stop(pinging)


async def _keep_pinging(api: Api, fleet: dict[str, Any]) -> None:
    while True:
        await asyncio.sleep(0.5)
        await ping_all(api, fleet)
