"""The main job, as a user sees it: a job pings, dies, people are told; it lives again, people are told."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from rules.times import rfc3339
from tests.conftest import eventually
from tests.notifier.sinks import Answer, HttpSink, SmtpSink, http_sink, smtp_sink
from tests.system.processes import Api, House, Process, house

SPAN_S = 3.0
PRIVATE = "127.0.0.0/8"


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as started:
        yield started


@pytest.fixture
async def mail() -> AsyncIterator[SmtpSink]:
    async with smtp_sink() as started:
        yield started


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as started:
        yield started


async def start(here: House, *, smtp_url: str = "", smtp_from: str = "") -> Api:
    settings = {"data_dir": str(here.folder / "data"), "allow_private_targets": PRIVATE}
    mail = {"smtp_url": smtp_url, "smtp_from": smtp_from}
    return Api((await here.start("up", port=None, **settings, **mail)).url)


def told(sink: HttpSink, path: str) -> list[dict[str, Any]]:
    return [orjson.loads(request.body) for request in sink.requests if request.path == path]


async def run_job(folder: Path, ping_url: str, work: str) -> int:
    """A shell script as people write it."""
    script = folder / "job.sh"
    script.write_text(f"#!/bin/sh\nset -e\n{work}\ncurl -fsS -m 10 --retry 5 -o /dev/null {ping_url}\n")
    process = await asyncio.create_subprocess_exec("/bin/sh", str(script))
    return await process.wait()


async def test_a_script_dies_and_lives_again_and_every_channel_hears_of_both_once(
    here: House, sink: HttpSink, mail: SmtpSink
) -> None:
    smtp = {"smtp_url": f"smtp://127.0.0.1:{mail.port}", "smtp_from": "flatline <alerts@example.org>"}
    async with await start(here, **smtp) as api:
        base = f"http://127.0.0.1:{sink.port}"
        hook = await api.create_channel("hook", "webhook", url=f"{base}/hook")
        await api.create_channel("phone", "gotify", url=base, token="app-token")
        await api.create_channel("admin", "email", to=["admin@example.org"])
        heartbeat = await api.create_heartbeat(
            "Ночная копия базы",
            period=2,
            grace=1,
            priority=9,
            alert_text="Копия не сделана, проверьте сервер db1",
            recovery_text="Копия снова делается",
        )
        assert await run_job(here.folder, heartbeat["ping_url"], "true") == 0
        last_ping = (await api.heartbeat(heartbeat["id"]))["last_ping_at"]
        assert await run_job(here.folder, heartbeat["ping_url"], "false") == 1  # it dies before its ping
        await sink.received(2)

        (opened,) = told(sink, "/hook")
        assert opened["event"] == "incident.opened"
        assert opened["heartbeat"]["name"] == "Ночная копия базы"
        assert opened["incident"]["cause"] == "silence"
        dated = (await api.heartbeat(heartbeat["id"]))["since"]
        assert opened["incident"]["opened_at"] == dated  # at the deadline, not when we noticed
        assert dated > last_ping

        assert await run_job(here.folder, heartbeat["ping_url"], "true") == 0
        await sink.received(4)

        opened, resolved = told(sink, "/hook")
        assert resolved["event"] == "incident.resolved"
        assert resolved["incident"]["id"] == opened["incident"]["id"]
        assert len({request.headers["webhook-id"] for request in sink.requests if request.path == "/hook"}) == 2
        for request in sink.requests:
            if request.path == "/hook":
                Webhook(hook["settings"]["secret"]).verify(request.body, dict(request.headers))
        alert, recovery = told(sink, "/message")
        assert alert["priority"] == 9
        assert alert["message"].startswith("Копия не сделана, проверьте сервер db1")
        assert recovery["priority"] == 3
        assert recovery["message"].startswith("Копия снова делается")

        async def both_mails() -> bool:
            return len(mail.mails) == 2

        await eventually(both_mails)
        subjects = []
        for envelope in mail.mails:
            assert isinstance(envelope.content, bytes)
            subjects.append(str(make_header(decode_header(message_from_bytes(envelope.content)["Subject"]))))
        assert subjects == ["Ночная копия базы is down", "Ночная копия базы is up again"]
        assert len(sink.requests) == 4

    log = here.logs()
    for secret in (heartbeat["ping_url"].rsplit("/")[-1], "app-token", hook["settings"]["secret"]):
        assert secret not in log


async def test_an_alert_is_never_early(here: House, sink: HttpSink) -> None:
    """The upper bound is a figure of the benchmark; this is the promise."""
    async with await start(here) as api:
        await api.create_channel("hook", "webhook", url=f"http://127.0.0.1:{sink.port}/hook")
        heartbeat = await api.create_heartbeat("clock", period=2, grace=1)
        assert await api.ping(heartbeat["ping_url"]) == 200
        answered_at = asyncio.get_running_loop().time()
        await sink.received(1)

        assert asyncio.get_running_loop().time() - answered_at > SPAN_S - 0.05  # the ping's way back


async def test_three_hundred_that_fall_silent_together_are_one_message_and_one_at_recovery(
    here: House, sink: HttpSink
) -> None:
    async with await start(here) as api:
        await api.create_channel("hook", "webhook", url=f"http://127.0.0.1:{sink.port}/hook")
        made = [await api.create_heartbeat(f"device {n:03}", period=3, grace=1, tags=["lab"]) for n in range(300)]

        async def ping_all() -> None:
            assert set(await asyncio.gather(*(api.ping(heartbeat["ping_url"]) for heartbeat in made))) == {200}

        async def spread_ms() -> float:
            pinged = (await api.call("GET", "/api/heartbeats?limit=500"))["heartbeats"]
            times = [datetime.fromisoformat(heartbeat["last_ping_at"]).timestamp() for heartbeat in pinged]
            return (max(times) - min(times)) * 1000

        await ping_all()
        while await spread_ms() > 150:  # together = within the time that a message waits for company
            await ping_all()
        await sink.received(1)
        (opened,) = told(sink, "/hook")
        assert opened["title"] == "300 heartbeats are down"
        assert opened["folded"]["count"] == 300
        assert opened["folded"]["tags"] == ["lab"]
        assert len(opened["folded"]["heartbeats"]) == 20

        await ping_all()
        pinging = asyncio.create_task(_keep(ping_all))

        async def all_recoveries() -> list[dict[str, Any]]:
            found = told(sink, "/hook")[1:]
            return found if sum(body.get("folded", {"count": 1})["count"] for body in found) >= 300 else []

        resolved = await eventually(all_recoveries, within_s=20)
        pinging.cancel()
        assert {body["event"] for body in resolved} == {"incident.resolved"}
        counts = sorted(body.get("folded", {"count": 1})["count"] for body in resolved)
        assert sum(counts) == 300
        # One message; a slow machine may spread the pings so far that the first few were told by themselves.
        assert counts[-1] >= 295
        assert counts[:-1] == [1] * (300 - counts[-1])


async def _keep(ping_all: Any) -> None:
    while True:
        await asyncio.sleep(0.5)
        await ping_all()


async def test_a_channel_that_hangs_delays_no_other(here: House, sink: HttpSink) -> None:
    async with http_sink() as hanging, await start(here) as api:
        hanging.answer = Answer(how="hang")
        await api.create_channel("hangs", "webhook", url=f"http://127.0.0.1:{hanging.port}/")
        await api.create_channel("works", "webhook", url=f"http://127.0.0.1:{sink.port}/hook")
        for number in range(1, 4):
            heartbeat = await api.create_heartbeat(f"h{number}", period=60, grace=60)
            assert await api.ping(heartbeat["ping_url"] + "/fail") == 200
            await sink.received(number)

        # All three were told while the first request to the other one still hangs.
        assert len(hanging.requests) == 1


async def test_a_second_start_finds_its_data_and_ctrl_c_stops_all_of_it(here: House, tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = await here.start("up", data_dir=str(data), api_key="")
    log = up.log.read_text()
    key = (data / "api-key").read_text().strip()
    assert log.count(key) == 2  # shown once, and in the line to paste
    assert (data / "api-key").stat().st_mode & 0o777 == 0o600
    async with Api(up.url, key) as api:
        heartbeat = await api.create_heartbeat("backup", period=60, grace=60)
        assert await api.ping(heartbeat["ping_url"]) == 200
        before = await api.heartbeat(heartbeat["id"])
    assert await up.end(signal.SIGINT) == 0
    assert "Traceback" not in up.log.read_text()

    await up.start()
    async with Api(up.url, key) as api:
        assert (await api.heartbeat(heartbeat["id"]))["last_ping_at"] == before["last_ping_at"]
        assert await api.ping(heartbeat["ping_url"]) == 200
    assert await up.end(signal.SIGTERM) == 0
    assert up.log.read_text().count(key) == 2


async def paste(up: Process, folder: Path | None = None) -> Any:
    """What the newest line to create a heartbeat brings, in a shell of its own."""
    line = [line for line in up.log.read_text().splitlines() if line.strip().startswith("curl -H")][-1]
    process = await asyncio.create_subprocess_shell(line + " -sS", stdout=asyncio.subprocess.PIPE, cwd=folder)
    answer, _ = await process.communicate()
    return orjson.loads(answer)


async def test_the_line_of_a_later_start_works_in_any_folder_without_showing_the_key(
    here: House, tmp_path: Path
) -> None:
    data = tmp_path / "my data"
    up = await here.start("up", data_dir=str(data), api_key="")
    assert await up.stop() == 0
    up.log.write_text("")
    await up.start()

    heartbeat = await paste(up, Path("/"))

    assert heartbeat["name"] == "backup"
    assert (data / "api-key").read_text().strip() not in up.log.read_text()


async def test_the_line_that_up_prints_works_when_pasted(here: House, tmp_path: Path) -> None:
    up = await here.start("up", data_dir=str(tmp_path / "data"), api_key="")

    heartbeat = await paste(up)

    assert heartbeat["name"] == "backup"
    async with Api(up.url, "") as api:
        assert await api.ping(heartbeat["ping_url"]) == 200


async def test_what_is_told_is_dated_in_utc(here: House, sink: HttpSink) -> None:
    async with await start(here) as api:
        await api.create_channel("hook", "webhook", url=f"http://127.0.0.1:{sink.port}/hook")
        heartbeat = await api.create_heartbeat("h", period=60, grace=60)
        assert await api.ping(heartbeat["ping_url"] + "/9", method="POST", body=b"disk \xff full") == 200
        await sink.received(1)
        (opened,) = told(sink, "/hook")
        assert opened["incident"]["exit_status"] == 9
        assert opened["incident"]["output"] == "disk \ufffd full"
        assert len(opened["at"]) == len(rfc3339(0))
