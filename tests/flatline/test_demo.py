"""`flatline demo` against a real `flatline up`: it plays over public URLs, ends at once and cleans up after itself."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

from flatline import demo
from flatline.client import Address
from tests.conftest import eventually
from tests.flatline.clients import clear, flatline, start
from tests.notifier.sinks import http_sink
from tests.system.processes import API_KEY, Api, house


async def test_it_fills_a_server_and_takes_away_only_what_it_made(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        up = await here.start("up", data_dir=str(tmp_path / "data"))
        environment = {"FLATLINE_PUBLIC_URL": up.url, "FLATLINE_API_KEY": API_KEY}
        async with Api(up.url) as api:
            mine = await api.create_heartbeat(demo.JOBS[0][0])  # not tagged
            process = await start("demo", "--rate", "50", "--seed", "7", environment=environment)

            async def pinged() -> bool:
                found = (await api.call("GET", "/api/fleets"))["fleets"]
                return bool(found) and found[0]["members"]["up"] + found[0]["members"]["down"] == demo.DEVICES

            await eventually(pinged, within_s=60)
            jobs = (await api.call("GET", "/api/heartbeats?tag=demo"))["heartbeats"]
            assert len(jobs) == len(demo.JOBS)
            assert any(job["last_ping_at"] for job in jobs)

            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(10):
                assert await process.wait() == 0
            assert (await flatline("demo", "--clear", environment=environment)).status == 0
            (left,) = (await api.call("GET", "/api/heartbeats"))["heartbeats"]
            assert left["id"] == mine["id"]
            assert (await api.call("GET", "/api/fleets"))["fleets"] == []
    clear()


async def test_a_second_start_goes_on_with_what_is_there(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        up = await here.start("up", data_dir=str(tmp_path / "data"))
        environment = {"FLATLINE_PUBLIC_URL": up.url, "FLATLINE_API_KEY": API_KEY}
        for _ in range(2):
            process = await start("demo", environment=environment)
            assert process.stderr is not None
            assert b"jobs and" in await process.stderr.readline()
            process.terminate()
            assert await process.wait() == 0
        async with Api(up.url) as api:
            assert len((await api.call("GET", "/api/heartbeats"))["heartbeats"]) == len(demo.JOBS)
            assert len((await api.call("GET", "/api/fleets"))["fleets"]) == 1
    clear()


async def test_a_play_has_everything_in_it() -> None:
    """Successes, failures with output, runs with both their ends, and silence."""
    dice = random.Random(3)
    seen: list[Any] = []
    async with http_sink() as sink:
        source = demo.Source(Address(f"http://127.0.0.1:{sink.port}/ping/x"), 60, is_job=True, due=0)

        def play() -> None:
            for _ in range(300):
                demo._signal(source, dice)
                seen.append(source.due)

        await asyncio.to_thread(play)

        paths = [request.path.removeprefix("/ping/x").partition("?")[0] for request in sink.requests]
        assert {"", "/start", "/fail"} == set(paths)
        assert all(request.body for request, path in zip(sink.requests, paths, strict=True) if path == "/fail")
        starts = [request.path.partition("rid=")[2] for request in sink.requests if "/start?" in request.path]
        ends = [request.path.partition("rid=")[2] for request in sink.requests if "/x?rid=" in request.path]
        assert starts[: len(ends)] == ends
