"""Whole processes, because exit statuses and signals belong to those."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

SCRIPT = """
import asyncio, sys
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from runtime.logs import configure
from runtime.serve import run, serve

release = asyncio.Event()

async def slow(request):
    print("arrived", flush=True)
    await release.wait()
    return PlainTextResponse("done")

async def stuck(request):
    print("arrived", flush=True)
    await asyncio.Event().wait()

async def fast(request):
    release.set()
    return PlainTextResponse("fast")

@asynccontextmanager
async def lifespan(app):
    if MODE == "broken":
        raise ValueError("broken lifespan")
    if MODE == "waiting":
        print("waiting", flush=True)
        await asyncio.Event().wait()
    yield
    print("closed", flush=True)

async def main():
    if MODE == "crash":
        raise ValueError("at redis://user:hunter2@db")
    app = Starlette(routes=[Route("/slow", slow), Route("/stuck", stuck), Route("/fast", fast)], lifespan=lifespan)
    try:
        await serve(app, host=HOST, port=int(PORT), ready=lambda port: print(port, flush=True))
    finally:
        print("unwound", flush=True)

MODE, HOST, PORT = sys.argv[1:]
configure("info", "text")
sys.exit(run(main()))
"""


@asynccontextmanager
async def _process(mode: str = "", host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-c", SCRIPT, mode, host, str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    return (await process.stdout.readline()).decode().strip()


async def _get(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_with_status_0_in_order_and_without_a_word(number: signal.Signals) -> None:
    async with _process() as process:
        await _line(process)
        process.send_signal(number)
        out, err = await process.communicate()

        assert (process.returncode, out.split(), err) == (0, [b"closed", b"unwound"], b"")


async def test_a_request_under_way_is_finished_before_the_end() -> None:
    async with _process() as process:
        port = int(await _line(process))
        other_reader, other = await _get(port, "/fast")  # on an open connection, for the listener closes first
        await other_reader.readuntil(b"fast")
        other.close()
        reader, writer = await _get(port, "/slow")
        assert await _line(process) == "arrived"
        process.send_signal(signal.SIGTERM)
        answer = await reader.read()
        writer.close()
        await process.communicate()

        assert answer.endswith(b"done")
        assert b"server: uvicorn" not in answer
        assert process.returncode == 0


async def test_a_second_signal_ends_the_waiting_for_requests() -> None:
    async with _process() as process:
        port = int(await _line(process))
        _, writer = await _get(port, "/stuck")
        assert await _line(process) == "arrived"
        process.send_signal(signal.SIGTERM)
        while True:  # the listener is closed once the first signal was taken
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
            except OSError:
                break
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            await process.communicate()
        writer.close()

        assert process.returncode == 0


async def test_a_signal_before_the_application_has_started_stops_it_too() -> None:
    async with _process("waiting") as process:
        assert await _line(process) == "waiting"
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()

        assert (process.returncode, out.split()) == (0, [b"unwound"])


async def test_a_taken_port_is_one_clear_line_and_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with _process(port=port) as process:
            _, err = await process.communicate()

    assert process.returncode == 1
    problem = f"cannot listen on 127.0.0.1 port {port}: Address already in use"
    assert err.decode() == f"flatline: {problem}: stop what listens there or choose another --port\n"


async def test_an_unknown_host_is_one_clear_line_and_status_1() -> None:
    async with _process(host="nowhere.invalid") as process:
        _, err = await process.communicate()

    assert process.returncode == 1
    assert err.decode().startswith("flatline: cannot listen on nowhere.invalid port 0: ")
    assert err.count(b"\n") == 1


async def test_a_failed_lifespan_ends_with_its_reason_and_status_1() -> None:
    async with _process("broken") as process:
        _, err = await process.communicate()

    assert process.returncode == 1
    assert b"ValueError: broken lifespan" in err
    assert err.decode().splitlines()[-1].startswith("flatline: the application did not start")


async def test_a_crash_is_logged_without_secrets_and_ends_with_status_1() -> None:
    async with _process("crash") as process:
        _, err = await process.communicate()

    assert process.returncode == 1
    assert b"CRITICAL crashed" in err
    assert b"ValueError: at redis://***@db" in err


async def test_a_name_with_several_addresses_listens_on_each() -> None:
    async with _process(host="localhost") as process:
        port = int(await _line(process))
        reader, writer = await _get(port, "/fast")
        answer = await reader.readuntil(b"fast")
        writer.close()

        assert answer.startswith(b"HTTP/1.1 200")
