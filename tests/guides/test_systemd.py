"""systemd.md: the units are valid, and their lines do what the page says, run as systemd would run them."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.guides.conftest import Ran, Reader, tool
from tests.guides.pages import PING_URL, block

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "/usr/local/bin/backup.sh"


def service(reader: Reader, ping_url: str) -> str:
    script = reader.place("backup.sh", "#!/bin/sh\nexit 0\n")
    return block("systemd.md", "service", {PING_URL: ping_url, SCRIPT: script})


async def exec_line(reader: Reader, unit: str, key: str, environment: dict[str, str]) -> Ran:
    """One line of a unit: split into words first, then $$ and ${NAME}, as systemd.service(5) has it."""
    (line,) = re.findall(rf"^{key}=-?(.*)$", unit, re.MULTILINE)
    environment |= dict(pair.split("=", 1) for pair in re.findall(r"^Environment=(.*)$", unit, re.MULTILINE))
    words = [
        re.sub(r"\$\$|\$\{(\w+)\}", lambda found: environment.get(found[1], "") if found[1] else "$", word)
        for word in shlex.split(line)
    ]
    return await reader.run(f"exec {shlex.join(words)}", environment)


async def test_systemd_finds_nothing_wrong_with_the_units(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "backup.service").write_text(service(reader, PING_URL))
    (tmp_path / "backup.timer").write_text(block("systemd.md", "timer"))
    (tmp_path / "other.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    (tmp_path / "other.service.d").mkdir()
    (tmp_path / "other.service.d" / "flatline.conf").write_text(block("systemd.md", "drop-in"))
    units = ("backup.service", "backup.timer", "other.service")

    ran = await reader.run(f"{tool('systemd-analyze')} verify --man=no {shlex.join(f'{tmp_path}/{u}' for u in units)}")

    assert ran == Ran(0, "")


@pytest.mark.parametrize(
    ("exit_status", "told"), [("3", "3"), ("TERM", "TERM"), ("KILL", "KILL"), (None, None)], ids=str
)
async def test_the_end_of_the_service_is_told_whatever_it_was(
    reader: Reader, created: list[Any], exit_status: str | None, told: str | None
) -> None:
    heartbeat = await reader.api.create_heartbeat(f"Служба {exit_status}")
    unit = service(reader, heartbeat["ping_url"])

    assert await exec_line(reader, unit, "ExecStartPre", {}) == Ran(0, "")
    assert (await reader.api.heartbeat(heartbeat["id"]))["running_since"] is not None
    assert await exec_line(reader, unit, "ExecStopPost", {"EXIT_STATUS": "0"}) == Ran(0, "")
    seen = await reader.up_again(heartbeat)
    assert seen["running_since"] is None

    ended = {} if exit_status is None else {"EXIT_STATUS": exit_status}
    assert await exec_line(reader, unit, "ExecStopPost", ended) == Ran(0, "")
    incident = await reader.down(heartbeat)

    assert (incident["cause"], incident["exit_status"]) == ("failure", told)
    await reader.pushed(f"Служба {exit_status} is down")


async def test_the_drop_in_pings(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Чужая служба")
    unit = block("systemd.md", "drop-in", {PING_URL: heartbeat["ping_url"]})

    assert await exec_line(reader, unit, "ExecStartPost", {}) == Ran(0, "")
    await reader.up_again(heartbeat)
