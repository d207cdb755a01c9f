"""certificates.md: a certificate that is good and one that ends soon, in a file and on a server."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.guides.conftest import Ran, Reader, tool
from tests.guides.pages import PING_URL, block, job

pytestmark = pytest.mark.asyncio(loop_scope="session")

FILE = "/etc/ssl/certs/mail.example.org.pem"
SERVER = "www.example.org:443"


async def certificate(reader: Reader, folder: Path, name: str, days: int) -> Path:
    path = folder / f"{name}.pem"
    made = await reader.run(
        f"{tool('openssl')} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} "
        f"-subj /CN={name} -keyout {path}.key -out {path}"
    )
    assert made.status == 0, made.output
    return path


@contextlib.asynccontextmanager
async def server(path: Path) -> AsyncIterator[str]:
    """A server that shows this certificate, `host:port`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path, f"{path}.key")

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context) as serving:
        yield f"localhost:{serving.sockets[0].getsockname()[1]}"


async def check(reader: Reader, heartbeat: Any, file: Path | str, address: str) -> None:
    instead = {PING_URL: heartbeat["ping_url"], FILE: file, SERVER: address}
    script = reader.place("check-certificates.sh", block("certificates.md", "check", instead))
    line = job(block("certificates.md", "cron", {"/usr/local/bin/check-certificates.sh": script}))
    assert await reader.run(line) == Ran(0, "")


async def test_what_ends_within_two_weeks_is_told_by_name_and_its_renewal_too(
    reader: Reader, created: list[Any], tmp_path: Path
) -> None:
    heartbeat = await reader.api.create_heartbeat("Сертификаты")
    good = await certificate(reader, tmp_path, "good.example.org", 90)
    ending = await certificate(reader, tmp_path, "ending.example.org", 10)

    async with server(good) as shows_good, server(ending) as shows_ending:
        await check(reader, heartbeat, good, shows_good)
        await reader.up_again(heartbeat)

        for file, address in ((ending, shows_good), (good, shows_ending)):
            await check(reader, heartbeat, file, address)
            incident = await reader.down(heartbeat)
            assert "ending.example.org" in incident["output"]
            assert "Certificate will expire" in incident["output"]
            push = await reader.pushed("Сертификаты is down")
            assert "ending.example.org" in push["message"]
            await check(reader, heartbeat, good, shows_good)
            await reader.up_again(heartbeat)


async def test_a_file_that_is_gone_and_a_server_that_does_not_answer_are_failures(
    reader: Reader, created: list[Any], tmp_path: Path
) -> None:
    heartbeat = await reader.api.create_heartbeat("Пропажа")
    good = await certificate(reader, tmp_path, "good.example.org", 90)

    async with server(good) as shows_good:
        await check(reader, heartbeat, tmp_path / "gone.pem", shows_good)
        incident = await reader.down(heartbeat)
        assert "gone.pem" in incident["output"]
        await check(reader, heartbeat, good, shows_good)
        await reader.up_again(heartbeat)
    await check(reader, heartbeat, good, "localhost:9")
    await reader.down(heartbeat)


async def test_looking_with_ones_own_eyes_shows_the_last_day(reader: Reader, tmp_path: Path) -> None:
    good = await certificate(reader, tmp_path, "good.example.org", 90)

    ran = await reader.run(block("certificates.md", "look", {FILE: good}))

    assert ran.status == 0
    assert "notAfter=" in ran.output
