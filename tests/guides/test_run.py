"""run.md: its lines run as cron, systemd and a shell would."""

import re
from typing import Any

import pytest

from tests.flatline.clients import FLATLINE
from tests.guides.conftest import Ran, Reader
from tests.guides.pages import PING_URL, block, job

pytestmark = pytest.mark.asyncio(loop_scope="session")

COMMAND = "/usr/local/bin/flatline"
SCRIPT = "/usr/local/bin/backup.sh"


async def test_a_job_in_a_crontab_tells_its_failure_with_its_output(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Копия под надзором")
    script = reader.place("watched.sh", '#!/bin/sh\necho "disk full: $1"\nexit 3\n')

    ran = await reader.run(
        job(block("run.md", "job", {COMMAND: FLATLINE, PING_URL: heartbeat["ping_url"], SCRIPT: script}))
    )
    incident = await reader.down(heartbeat)

    assert ran == Ran(3, "disk full: --all\n")
    assert (incident["cause"], incident["exit_status"]) == ("failure", "3")
    push = await reader.pushed("Копия под надзором is down")
    assert "disk full: --all" in push["message"]


async def test_with_a_key_the_heartbeat_makes_itself(reader: Reader, created: list[Any]) -> None:
    project = await reader.api.call("GET", "/api/project")
    (reader.folder / "key").write_text(project["ping_key"] + "\n")
    script = reader.place("watched.sh", "#!/bin/sh\nexit 0\n")
    where = {"http://127.0.0.1:8000": reader.up.url, "/etc/flatline.key": reader.folder / "key"}
    *settings, line = block("run.md", "key", {COMMAND: FLATLINE, SCRIPT: script, **where}).splitlines()

    ran = await reader.run(job(line), dict(pair.split("=", 1) for pair in settings))

    assert ran == Ran(0, "")
    found = (await reader.api.call("GET", "/api/heartbeats?limit=500"))["heartbeats"]
    (made,) = (heartbeat for heartbeat in found if heartbeat["slug"] == "db1-backup")
    assert (made["period"], made["grace"], made["status"]) == (86_400, 7_200, "up")


async def test_the_service_runs_the_job_and_tells_how_it_went(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Служба под надзором")
    script = reader.place("watched.sh", "#!/bin/sh\necho done\n")
    unit = block("run.md", "service", {COMMAND: FLATLINE, PING_URL: heartbeat["ping_url"], SCRIPT: script})
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)

    assert await reader.run(f"exec {line}") == Ran(0, "done\n")
    await reader.up_again(heartbeat)


async def test_a_script_may_tell_single_signals(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Сигналы")
    program = reader.place("dump-database", "#!/bin/sh\necho 'no such table' >&2\nexit 2\n")
    instead = {COMMAND: FLATLINE, PING_URL: heartbeat["ping_url"], "/usr/local/bin/dump-database": program}

    ran = await reader.run(block("run.md", "signal", instead))
    incident = await reader.down(heartbeat)

    assert ran == Ran(0, "")
    assert incident["exit_status"] == "2"
    assert "no such table" in (await reader.pushed("Сигналы is down"))["message"]


async def test_trying_it_raises_an_alarm_and_ends_it(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Проба run")
    lines = block("run.md", "try", {COMMAND: FLATLINE, PING_URL: heartbeat["ping_url"]}).splitlines()

    assert await reader.run(lines[0]) == Ran(1, "No space left on device\n")
    await reader.down(heartbeat)
    assert await reader.run(lines[1]) == Ran(0, "")
    await reader.up_again(heartbeat)
