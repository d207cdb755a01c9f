"""`flatline doctor` on real servers that are well, and on such as are not."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flatline.doctor import of_server
from store import deadlines, heartbeats, problems
from store.database import opened
from store.diagnosis import Server
from store.records import Settings
from tests.conftest import Sockets, eventually
from tests.console.conftest import signal
from tests.flatline.clients import Ran, clear, flatline
from tests.notifier.sinks import Answer, http_sink
from tests.servers import running
from tests.system.processes import API_KEY, Api, free_port, house


@pytest.fixture(autouse=True)
async def ended() -> AsyncIterator[None]:
    yield
    clear()


def verdicts(ran: Ran) -> dict[str, str]:
    return {check["check"]: check["verdict"] for check in json.loads(ran.stdout)}


async def test_a_house_that_is_well_has_nothing_but_ok(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        up = await here.start("up", data_dir=str(tmp_path / "data"))
        environment = {"FLATLINE_DATA_DIR": str(tmp_path / "data"), "FLATLINE_PUBLIC_URL": up.url}

        async def fine() -> Ran | None:
            ran = await flatline("doctor", "--json", environment={**environment, "FLATLINE_API_KEY": API_KEY})
            return ran if set(verdicts(ran).values()) == {"ok"} else None

        ran = await eventually(fine, within_s=60)  # its first pulse comes within a second

        assert ran.status == 0
        assert {"Redis", "persistence", "eviction", "clock", "pulse", "sweep", "outbox", "API", "public URL"} <= set(
            verdicts(ran)
        )
        said = await flatline("doctor", environment={**environment, "FLATLINE_API_KEY": API_KEY})
        assert said.stdout.startswith(b"ok   Redis: valkey")
        assert b"\x1b" not in said.stdout


async def test_channels_are_tested_when_that_is_asked_for(tmp_path: Path) -> None:
    async with house(tmp_path) as here, http_sink() as sink:
        up = await here.start("up", data_dir=str(tmp_path / "data"), allow_private_targets="127.0.0.0/8")
        async with Api(up.url) as api:
            await api.create_channel("good", "webhook", url=f"http://127.0.0.1:{sink.port}/")
            await api.create_channel("bad", "webhook", url=f"http://127.0.0.1:{sink.port}/gone")
        sink.answers.extend([Answer(status=200), Answer(status=410)])
        environment = {"FLATLINE_PUBLIC_URL": up.url, "FLATLINE_API_KEY": API_KEY}

        ran = await flatline("doctor", "--test-channels", "--json", environment=environment)

        assert ran.status == 1, ran.stderr
        assert verdicts(ran)["channel good"] == "ok"
        assert verdicts(ran)["channel bad"] == "fail"


@pytest.mark.parametrize(
    ("options", "check", "verdict", "todo"),
    [
        (("--appendonly", "no"), "persistence", "fail", "appendonly yes"),
        (("--appendonly", "no", "--save", "60 1"), "persistence", "warn", "appendonly yes"),
        (("--appendonly", "yes"), "persistence", "ok", ""),
        (("--maxmemory-policy", "allkeys-lru"), "eviction", "fail", "noeviction"),
    ],
)
async def test_a_server_that_may_forget_is_named(
    sockets: Sockets, options: tuple[str, ...], check: str, verdict: str, todo: str
) -> None:
    async with running(sockets.binaries["valkey-9"], *options) as server:
        ran = await flatline("doctor", "--json", "--redis-url", server.url)

    (found,) = [each for each in json.loads(ran.stdout) if each["check"] == check]
    assert found["verdict"] == verdict
    assert todo in found["todo"]
    assert ran.status == (1 if verdict == "fail" else 0)


@pytest.mark.parametrize("kind", ["valkey-9", "redis-7", "redis-6.2"])
async def test_every_server_that_we_promise_is_recognised_and_left_as_it_is(sockets: Sockets, kind: str) -> None:
    if kind not in sockets.binaries:
        pytest.skip(f"no {kind} on this machine")
    async with running(sockets.binaries[kind], "--appendonly", "yes") as server:
        ran = await flatline("doctor", "--json", "--redis-url", server.url)
        from redis.asyncio import Redis  # noqa: PLC0415

        async with Redis.from_url(server.url) as redis:
            assert await redis.dbsize() == 0

    assert json.loads(ran.stdout)[0]["said"].startswith(kind.partition("-")[0])
    assert verdicts(ran)["database"] == "warn"


async def test_a_console_that_is_away_fails_with_how_to_say_where_it_is(tmp_path: Path) -> None:
    place = {"FLATLINE_DATA_DIR": str(tmp_path), "FLATLINE_PORT": str(free_port())}
    environment = {**place, "FLATLINE_API_KEY": API_KEY}

    ran = await flatline("doctor", "--json", environment=environment)

    assert (ran.status, verdicts(ran)) == (1, {"API": "fail"})
    assert f"127.0.0.1:{environment['FLATLINE_PORT']} cannot be reached" in json.loads(ran.stdout)[0]["said"]
    assert "set FLATLINE_PUBLIC_URL or --url" in json.loads(ran.stdout)[0]["said"]


async def test_a_server_that_is_away_fails(tmp_path: Path) -> None:
    ran = await flatline("doctor", "--redis-url", f"redis://:geheim@127.0.0.1:{free_port()}")

    assert ran.status == 1
    assert ran.stdout.startswith(b"fail Redis")
    assert b"geheim" not in ran.stdout
    assert "geheim" not in ran.stderr


async def test_what_has_stopped_is_named_with_what_to_do(redis_url: str) -> None:
    async with opened(redis_url) as db:
        made = await heartbeats.create(db, Settings(name="a", period=1, grace=0))
        await signal(db, made.id, signal="fail")  # nobody reads the outbox
        await deadlines.pulse(db, db.shards[0], "n1")
        await db.execute("HSET", db.shards[0].pulse, "at", await db.now() - 60_000)
        ((entry, fields),) = await db.execute("XRANGE", db.shards[0].notifications, "-", "+")
        await db.execute("DEL", db.shards[0].notifications)
        old = f"{int(entry.partition(b'-')[0]) - 60_000}-0"
        flat = [part for pair in fields.items() for part in pair] if isinstance(fields, dict) else fields
        await db.execute("XADD", db.shards[0].notifications, old, *flat)
        await problems.begin(db, "hold", "", "No pulse has come for 5 min.", project="default", channels=[])

    ran = await flatline("doctor", "--json", "--redis-url", redis_url)

    found = verdicts(ran)
    assert (found["pulse"], found["outbox"], found["problem"]) == ("fail", "fail", "fail")
    assert ran.status == 1


@pytest.mark.parametrize(
    ("changes", "check", "verdict"),
    [
        ({}, "clock", "ok"),
        ({"offset_ms": 1_500}, "clock", "warn"),
        ({"offset_ms": -90_000}, "clock", "warn"),
        ({"offset_ms": 1_500, "uncertain_ms": 700}, "clock", "ok"),
        ({"version": (6, 0, 16)}, "Redis", "fail"),
        ({"policy": None}, "eviction", "ok"),
        ({"appends": False, "save": None}, "persistence", "warn"),
        ({"fsync": None}, "persistence", "ok"),
    ],
)
def test_what_a_server_shows_is_judged(changes: dict[str, Any], check: str, verdict: str) -> None:
    well = Server(
        name="redis",
        version=(7, 4, 0),
        oldest=(6, 2),
        policy="noeviction",
        appends=True,
        fsync="everysec",
        save="",
        offset_ms=3,
        uncertain_ms=1,
        shards=1,
    )

    found = {each.name: each for each in of_server(replace(well, **changes))}

    assert found[check].verdict == verdict
    assert bool(found[check].todo) == (verdict != "ok")
    assert all(each.verdict == "ok" for name, each in found.items() if name != check)
