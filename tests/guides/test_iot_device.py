"""iot-device.md: the shell lines run, MicroPython on stand-ins for the board's modules; C++ is compiled on them."""

import asyncio
import builtins
import os
import signal
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from tests.conftest import eventually
from tests.guides.conftest import Reader, tool
from tests.guides.pages import PING_URL, block, job

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: As much of the ESP32's libraries as the sketch uses, to check its syntax and types.
BOARD = {
    "Arduino.h": "void delay(unsigned long ms);\nvoid setup();\nvoid loop();\n",
    "WiFi.h": "#pragma once\nenum wl_status_t { WL_CONNECTED = 3 };\n"
    "struct Radio { int begin(const char*, const char*); wl_status_t status(); };\nextern Radio WiFi;\n",
    "HTTPClient.h": "#pragma once\nstruct HTTPClient { void setTimeout(unsigned short); bool begin(const char*);"
    " int GET(); void end(); };\n",
}


async def test_a_device_pings_falls_silent_and_returns(reader: Reader, created: list[Any]) -> None:
    tool("wget")
    name, alert, recovery = (
        "Датчик теплицы",
        "Датчик теплицы молчит, проверьте питание",
        "Датчик теплицы снова на связи",
    )
    ran = await reader.run(reader.with_key("iot-device.md", "create"))
    heartbeat = orjson.loads(ran.output)
    assert (heartbeat["name"], heartbeat["period"], heartbeat["grace"]) == (name, 300, 120)
    line = job(block("iot-device.md", "cron", {PING_URL: heartbeat["ping_url"]}))

    assert (await reader.run(line)).status == 0
    await reader.up_again(heartbeat)
    await reader.api.call("PATCH", f"/api/heartbeats/{heartbeat['id']}", {"period": 1, "grace": 1})  # time flies
    incident = await reader.down(heartbeat)

    assert incident["cause"] == "silence"
    push, mail = await reader.pushed(f"{name} is down"), await reader.mailed(f"{name} is down")
    assert push["message"].startswith(alert)
    assert mail.get_content().startswith(alert)

    assert (await reader.run(line)).status == 0
    push, mail = await reader.pushed(f"{name} is up again"), await reader.mailed(f"{name} is up again")
    assert push["message"].startswith(recovery)
    assert mail.get_content().startswith(recovery)


@pytest.mark.parametrize("sensor", ["true", "false"])
async def test_the_loop_pings_as_long_as_the_sensor_answers(reader: Reader, created: list[Any], sensor: str) -> None:
    tool("wget")
    heartbeat = await reader.api.create_heartbeat("Цикл", channels=[])
    slept = reader.folder / f"slept-{sensor}"
    reader.place("read-sensor", f"#!/bin/sh\nexec {sensor}\n")
    reader.place("sleep", f'#!/bin/sh\necho "$1" >{slept}\nexec /bin/sleep 60\n')
    loop = block("iot-device.md", "loop", {PING_URL: heartbeat["ping_url"]})
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", loop + "wait\n", env={"PATH": f"{reader.folder}/bin:/usr/bin:/bin"}, start_new_session=True
    )

    async def sleeps() -> bool:
        return slept.exists() and slept.read_text() == "300\n"

    try:
        await eventually(sleeps)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        (reader.folder / "bin" / "sleep").unlink()

    assert (await reader.api.heartbeat(heartbeat["id"]))["status"] == ("up" if sensor == "true" else "pending")


class Station:
    """A radio that connects when asked."""

    connected = False

    def active(self, _: bool) -> None:  # noqa: FBT001 - as the board has it
        pass

    def isconnected(self) -> bool:
        return self.connected

    def connect(self, *_: str) -> None:
        self.connected = True


class Slept(Exception):
    """The device went to sleep: one turn of its loop is over."""


def sleep(seconds: int) -> None:
    raise Slept(seconds)


def get(url: str, *, timeout: float) -> Any:
    """MicroPython's `requests.get`, which raises nothing but OSError."""
    return urllib.request.urlopen(url, timeout=timeout)


def turn_on(text: str) -> None:
    """Run the program with the board's modules in place of ours."""
    board: dict[str, Any] = {
        "time": SimpleNamespace(sleep=sleep),
        "network": SimpleNamespace(STA_IF=0, WLAN=lambda _: Station()),
        "requests": SimpleNamespace(get=get),
    }
    ours = {**vars(builtins), "__import__": lambda name, *_: board[name], "print": lambda *_: None}
    exec(compile(text, "main.py", "exec"), {"__builtins__": ours, "__name__": "__main__"})


async def test_micropython_pings_and_sleeps(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("MicroPython", channels=[])

    with pytest.raises(Slept, match="300"):
        await asyncio.to_thread(turn_on, block("iot-device.md", "micropython", {PING_URL: heartbeat["ping_url"]}))

    await reader.up_again(heartbeat)


async def test_micropython_outlives_a_monitor_that_is_away(reader: Reader) -> None:
    with pytest.raises(Slept, match="300"):
        await asyncio.to_thread(turn_on, block("iot-device.md", "micropython", {PING_URL: "http://127.0.0.1:9/x"}))


async def test_the_sketch_compiles(reader: Reader, tmp_path: Path) -> None:
    compiler = tool("g++")
    for name, text in BOARD.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "device.cpp").write_text(block("iot-device.md", "arduino"))

    options = f"-std=gnu++2a -Wall -Werror -fsyntax-only -I {tmp_path} -include {tmp_path}/Arduino.h"
    ran = await reader.run(f"{compiler} {options} {tmp_path}/device.cpp")

    assert ran.status == 0, ran.output
