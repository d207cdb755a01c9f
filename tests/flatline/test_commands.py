"""The commands of the API as users type them: real processes against a real console."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flatline.commands import document
from flatline.commands.status import PAGES, ROWS, look, summary
from store.database import opened
from tests.console.conftest import KEY, Api, served
from tests.console.conftest import signal as ping
from tests.flatline.clients import Ran, clear, flatline, line, start
from tests.notifier.sinks import http_sink
from tests.system.processes import ROOT, free_port


@pytest.fixture
async def console(redis_url: str) -> AsyncIterator[Api]:
    async with served(redis_url) as api:
        yield api
    clear()


async def command(api: Api, *words: str, stdin: bytes = b"", **environment: str) -> Ran:
    given = {"FLATLINE_PUBLIC_URL": api.url, "FLATLINE_API_KEY": KEY, **environment}
    return await flatline(*words, stdin=stdin, environment=given)


async def test_a_heartbeat_lives_a_whole_life_by_its_name(console: Api) -> None:
    made = await command(console, "heartbeat", "create", "Nightly copy", "--period", "1d", "--grace", "90m", "--json")
    assert (made.status, made.stderr) == (0, "")
    id_ = json.loads(made.stdout)["id"]
    assert (await console.get(f"/api/heartbeats/{id_}")).body["grace"] == 5400

    listed = await command(console, "heartbeat", "list")
    assert listed.stdout.decode().split("\n")[0].split() == ["ID", "NAME", "STATUS", "LAST", "PING", "NEXT", "DEADLINE"]
    assert "Nightly copy" in listed.stdout.decode()

    pausing = await command(console, "heartbeat", "pause", "nightly COPY", "--for", "1h")
    assert pausing.status == 0
    paused = (await console.get(f"/api/heartbeats/{id_}")).body
    assert paused["status"] == "paused"
    assert paused["resume_at"] is not None
    assert pausing.stdout.decode() == f"Nightly copy is paused until {paused['resume_at'][:19]}Z\n"
    resuming = await command(console, "heartbeat", "resume", id_)
    assert (resuming.status, resuming.stdout) == (0, b"Nightly copy is pending\n")
    assert (
        await command(console, "heartbeat", "edit", id_, "--tag", "a", "--tag", "b", "--set", "misses=3")
    ).status == 0
    edited = (await console.get(f"/api/heartbeats/{id_}")).body
    assert (edited["tags"], edited["misses"], edited["period"]) == (["a", "b"], 3, 86_400)

    shown = await command(console, "heartbeat", "get", "Nightly copy")
    assert f"ping_url  {edited['ping_url']}" in " ".join(shown.stdout.decode().split(" ")).replace("   ", "  ") or (
        edited["ping_url"] in shown.stdout.decode()
    )
    assert (await command(console, "heartbeat", "delete", "Nightly copy", "--yes")).status == 0
    assert (await console.get(f"/api/heartbeats/{id_}")).status == 404


async def test_a_fleet_is_paused_and_resumed_in_a_line_each(console: Api) -> None:
    await console.fleet(name="sensors")

    said = [(await command(console, "fleet", verb, "sensors")).stdout for verb in ("pause", "resume")]

    assert said == [b"sensors is paused\n", b"sensors is up\n"]


async def test_json_is_the_answer_of_the_api(console: Api) -> None:
    made = await console.heartbeat("a")

    paused = await command(console, "heartbeat", "pause", "a", "--json")

    ran = await command(console, "heartbeat", "list", "--json")

    assert json.loads(paused.stdout) == (await console.get(f"/api/heartbeats/{made['id']}")).body
    assert json.loads(ran.stdout) == (await console.get("/api/heartbeats")).body


async def test_what_cannot_be_undone_is_not_done_without_a_yes(console: Api) -> None:
    made = await console.heartbeat("backup")

    ran = await command(console, "heartbeat", "delete", "backup")

    assert ran.status == 2
    assert "--yes" in ran.stderr
    assert (await console.get(f"/api/heartbeats/{made['id']}")).status == 200


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["heartbeat", "get", "bakup"], 3, "did you mean backup?"),
        (["heartbeat", "get", "0123456789ab"], 3, "no such heartbeat"),
        (["heartbeat", "create", "x", "--set", "period=0"], 2, "period"),
        (["heartbeat", "create", "x", "--set", "perod=9"], 2, "perod"),
        (["heartbeat", "create", "x", "--perod", "9"], 2, "did you mean --period?"),
        (["heartbeat", "lists"], 2, "did you mean list?"),
        (["hartbeat", "list"], 2, "did you mean heartbeat?"),
        (["incident", "get", "backup"], 2, "not the id"),
        (["heartbeat", "list", "--limit", "many"], 2, "whole number"),
        (["heartbeat", "list", "--limit", "501"], 2, "limit"),
        (["channel", "create", "x", "--from", "/nonexistent"], 2, "cannot be read"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(console: Api, words: list[str], status: int, said: str) -> None:
    await console.heartbeat("backup")

    ran = await command(console, *words)

    assert (ran.status, ran.stdout) == (status, b"")
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1


async def test_a_name_that_two_have_is_refused_with_their_ids(console: Api) -> None:
    made = [await console.heartbeat("twin") for _ in range(2)]

    ran = await command(console, "heartbeat", "pause", "twin")

    assert ran.status == 2
    for each in made:
        assert each["id"] in ran.stderr


async def test_a_wrong_key_is_not_allowed_and_never_said(console: Api) -> None:
    wrong = "geheim" * 8

    ran = await command(console, "heartbeat", "list", FLATLINE_API_KEY=wrong)

    assert ran.status == 4
    assert "geheim" not in ran.stderr


async def test_the_key_may_stand_in_a_file(console: Api, tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text(KEY + "\n")
    place = {"FLATLINE_PUBLIC_URL": console.url, "FLATLINE_DATA_DIR": str(tmp_path)}

    of_data = await flatline("heartbeat", "list", environment=place)
    named = await flatline("heartbeat", "list", "--url", console.url, "--key-file", str(tmp_path / "api-key"))
    missing = await flatline("heartbeat", "list", "--url", console.url, "--key-file", str(tmp_path / "none"))

    assert (of_data.status, named.status, missing.status) == (0, 0, 2)


async def test_without_a_url_it_is_the_port_of_this_machine(console: Api) -> None:
    port = console.url.rpartition(":")[2]

    found = await flatline("status", environment={"FLATLINE_PORT": port, "FLATLINE_API_KEY": KEY})
    other = {"FLATLINE_PORT": str(free_port()), "FLATLINE_API_KEY": KEY}
    named = await flatline("status", environment={**other, "FLATLINE_PUBLIC_URL": console.url})
    away = await flatline("status", environment=other)

    assert (found.status, named.status, away.status) == (0, 0, 1)
    assert f"127.0.0.1:{other['FLATLINE_PORT']} cannot be reached" in away.stderr


async def test_a_server_that_is_away_or_is_no_flatline_is_said_in_one_line(console: Api) -> None:
    away = await command(console, "status", FLATLINE_PUBLIC_URL=f"http://127.0.0.1:{free_port()}")
    async with http_sink() as sink:
        other = await command(console, "status", FLATLINE_PUBLIC_URL=f"http://127.0.0.1:{sink.port}")

    assert away.status == other.status == 1
    assert "cannot be reached" in away.stderr
    assert "(set FLATLINE_PUBLIC_URL or --url)" in away.stderr
    assert "is this flatline?" in other.stderr


async def test_a_channel_is_made_of_settings_and_tested(console: Api) -> None:
    made = await command(
        console, "channel", "create", "ops", "--kind", "webhook", "--setting", "url=https://hooks.example.org/x"
    )
    from_stdin = await command(
        console,
        "channel",
        "create",
        "--from",
        "-",
        stdin=b'{"name": "two", "kind": "webhook", "settings": {"url": "https://hooks.example.org/y"}}',
    )
    listed = await command(console, "channel", "list", "--json")

    assert (made.status, from_stdin.status) == (0, 0), made.stderr + from_stdin.stderr
    assert [each["name"] for each in json.loads(listed.stdout)["channels"]] == ["ops", "two"]


async def test_an_incident_is_acknowledged_and_snoozed(console: Api, redis_url: str) -> None:
    made = await console.heartbeat("backup")
    async with opened(redis_url) as db:
        await ping(db, made["id"], signal="fail")
    (incident,) = (await console.get("/api/incidents?status=open")).body["incidents"]

    path = f"/api/incidents/{incident['id']}"
    assert (await command(console, "incident", "snooze", incident["id"], "--for", "1h")).status == 0
    assert (await console.get(path)).body["snoozed_until"] is not None
    assert (await command(console, "incident", "acknowledge", incident["id"], "--by", "Ada")).status == 0
    assert (await console.get(path)).body["acknowledged_by"] == "Ada"

    told = await command(console, "status", "--exit-code")
    assert told.status == 5
    assert told.stdout.startswith(b"1 down, 0 late")
    assert (await command(console, "status")).status == 0


@pytest.mark.parametrize(("fleets", "said"), [(0, "0 fleets"), (1, "1 fleet"), (2, "2 fleets")])
def test_one_fleet_is_one(fleets: int, said: str) -> None:
    found = {"down": [], "late": [], "incidents": [{"fleet": {"name": "sensors"}}] * fleets}

    assert summary(found) == f"0 down, 0 late, {said} with silent members"


async def test_nothing_that_a_terminal_obeys_is_printed(console: Api, redis_url: str) -> None:
    made = await console.heartbeat("backup")
    async with opened(redis_url) as db:
        await ping(db, made["id"], signal="fail", output=b"\x1b[2Jgone\x07")
    (incident,) = (await console.get("/api/incidents?status=open")).body["incidents"]

    ran = await command(console, "incident", "get", incident["id"])

    assert "gone" in ran.stdout.decode()
    assert b"\x1b" not in ran.stdout
    assert b"\x07" not in ran.stdout


async def test_watch_shows_what_is_down_and_ends_at_once_with_ctrl_c(console: Api, redis_url: str) -> None:
    made = await console.heartbeat("backup")
    async with opened(redis_url) as db:
        await ping(db, made["id"], signal="fail")
    given = {"FLATLINE_PUBLIC_URL": console.url, "FLATLINE_API_KEY": KEY}
    process = await start("watch", "--interval", "3600", environment=given)

    assert "1 down" in await line(process)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(10):
        assert await process.wait() == 0


@pytest.mark.parametrize(("environment", "colours"), [({}, True), ({"NO_COLOR": "1"}, False)])
async def test_colours_are_for_terminals_and_not_for_all_of_them(
    console: Api, redis_url: str, environment: dict[str, str], *, colours: bool
) -> None:
    made = await console.heartbeat("backup")
    async with opened(redis_url) as db:
        await ping(db, made["id"], signal="fail")
    ours, theirs = os.openpty()
    given = {"FLATLINE_PUBLIC_URL": console.url, "FLATLINE_API_KEY": KEY, "TERM": "xterm-256color", **environment}

    ran = await flatline("heartbeat", "list", environment=given, stdout=theirs)

    os.close(theirs)
    shown = os.read(ours, 10_000)
    os.close(ours)
    assert ran.status == 0
    assert b"backup" in shown
    assert (b"\x1b[" in shown) == colours


async def test_watch_draws_anew_what_has_changed(console: Api, redis_url: str) -> None:
    made = await console.heartbeat("backup")
    given = {"FLATLINE_PUBLIC_URL": console.url, "FLATLINE_API_KEY": KEY}
    process = await start("watch", "--interval", "1", environment=given)
    assert "0 down" in await line(process)

    async with opened(redis_url) as db:
        await ping(db, made["id"], signal="fail")

    async with asyncio.timeout(30):
        while "1 down" not in await line(process):
            pass
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_every_help_shows_how_it_ends(console: Api) -> None:
    for words in (["heartbeat", "list"], ["channel", "create"], ["status"], ["watch"]):
        ran = await command(console, *words, "--help")

        assert ran.status == 0
        assert b"exit status:" in ran.stdout


def test_the_page_of_the_command_line_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == document.page()


class Paged:
    """An API whose pages come back short; `ends`: after so many of them."""

    def __init__(self, ends: int, rows: int) -> None:
        self.ends, self.rows, self.asked = ends, rows, 0

    def call(self, _: str, path: str, *, query: dict[str, object]) -> dict[str, object]:
        number = int(str(query.get("cursor", 1)))
        self.asked += 1
        rows = [{"id": f"{number}-{each}"} for each in range(self.rows)] if number == self.ends else []
        return {path.rpartition("/")[2]: rows, "next_cursor": number + 1 if number < self.ends else None}


@pytest.mark.parametrize(
    ("ends", "rows", "found"), [(1, 3, 3), (4, 2, 2), (PAGES, 1, 1), (PAGES + 1, 1, 0), (2, 600, ROWS)]
)
def test_status_looks_beyond_a_page_that_came_back_short(ends: int, rows: int, found: int) -> None:
    api = Paged(ends, rows)

    assert [len(each) for each in look(api).values()] == [found] * 3  # type: ignore[arg-type]  # it only calls
    assert api.asked == 3 * min(ends, PAGES)
