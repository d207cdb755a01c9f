"""log-rotation.md: logrotate itself pings, and keeps silent when nothing was rotated."""

from pathlib import Path
from typing import Any

import pytest

from tests.guides.conftest import Ran, Reader, tool
from tests.guides.pages import PING_URL, block

pytestmark = pytest.mark.asyncio(loop_scope="session")

RELOAD = "systemctl kill -s HUP myapp.service"


async def rotate(reader: Reader, folder: Path, heartbeat: Any, reload: str) -> Ran:
    tool("logrotate")
    conf = folder / "myapp.conf"
    instead = {PING_URL: heartbeat["ping_url"], "/var/log/myapp": folder, RELOAD: reload}
    conf.write_text(block("log-rotation.md", "conf", instead))
    conf.chmod(0o644)
    state = {"/tmp/logrotate.state": folder / "state", "/etc/logrotate.d/myapp": conf}
    return await reader.run(block("log-rotation.md", "try", state))


async def test_a_rotation_pings_once_for_all_logs_of_the_block(
    reader: Reader, created: list[Any], tmp_path: Path
) -> None:
    heartbeat = await reader.api.create_heartbeat("Журналы")
    (tmp_path / "a.log").write_text("одна строка\n")
    (tmp_path / "b.log").touch()  # a quiet day

    assert await rotate(reader, tmp_path, heartbeat, f"touch {tmp_path}/reloaded") == Ran(0, "")

    await reader.up_again(heartbeat)
    assert (tmp_path / "a.log.1").read_text() == "одна строка\n"
    assert (tmp_path / "reloaded").exists()


async def test_logs_that_are_gone_send_no_ping(reader: Reader, tmp_path: Path) -> None:
    heartbeat = await reader.api.create_heartbeat("Нет журналов", channels=[])

    assert await rotate(reader, tmp_path, heartbeat, "true") == Ran(0, "")

    assert (await reader.api.heartbeat(heartbeat["id"]))["status"] == "pending"


async def test_a_reload_that_fails_sends_no_ping(reader: Reader, tmp_path: Path) -> None:
    heartbeat = await reader.api.create_heartbeat("Нет перезапуска", channels=[])
    (tmp_path / "a.log").write_text("одна строка\n")

    assert (await rotate(reader, tmp_path, heartbeat, "false")).status == 1

    assert (await reader.api.heartbeat(heartbeat["id"]))["status"] == "pending"
