"""Debian's nginx with deploy/nginx.conf in a folder of its own: the addresses are put in, nothing else is changed."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from tests.conftest import eventually
from tests.system.processes import ROOT

CONF: Final = ROOT / "deploy" / "nginx.conf"
INGEST: Final = ("10.0.0.11:8000", "10.0.0.12:8000")  # as they stand in the file
CONSOLE: Final = "10.0.0.13:8001"
#: Places that Debian's nginx would otherwise make below /var, used or not.
UNUSED: Final = ("proxy", "fastcgi", "uwsgi", "scgi")


def binary() -> str:
    """Skips without nginx; in CI it must be there."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        assert not os.environ.get("CI"), "CI must run nginx"
        pytest.skip("no nginx on this machine")
    return found


def _placed(folder: Path, port: int, ingest: Sequence[str], console: str) -> str:
    """The file with our addresses. Each text to replace must be there, else it is not the file that we think."""
    unused = "".join(f"{name}_temp_path {folder}/{name};" for name in UNUSED)
    places = {
        "user www-data;": "user root;" if os.geteuid() == 0 else "",
        "/run/nginx.pid": f"{folder}/nginx.pid",
        "/var/log/nginx": str(folder),
        "/var/lib/nginx/body": f"{folder}/body",
        "http {": f"http {{ {unused}",
        "listen 80;": f"listen 127.0.0.1:{port};",
        "worker_processes auto;": "worker_processes 2;",
        **dict(zip(INGEST, ingest, strict=True)),
        CONSOLE: console,
    }
    text = CONF.read_text()
    for old, new in places.items():
        assert old in text, f"{old} is not in {CONF.name}"
        text = text.replace(old, new)
    return text


class Nginx:
    """A running nginx, in the foreground."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.bodies = folder / "body"
        self.access_log = folder / "access.log"

    def logs(self) -> str:
        """Everything that nginx has written about itself and its requests."""
        return "".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))


@contextlib.asynccontextmanager
async def nginx(folder: Path, port: int, *, ingest: Sequence[str], console: str) -> AsyncIterator[Nginx]:
    """nginx on a port, in front of these addresses, `host:port`."""
    front = Nginx(folder, port)
    conf = folder / "nginx.conf"
    conf.write_text(_placed(folder, front.port, ingest, console))
    with (folder / "stderr.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary(), "-p", str(folder), "-e", str(folder / "stderr.log"), "-c", str(conf), "-g", "daemon off;",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:

            async def answers() -> bool:
                assert process.returncode is None, front.logs()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{front.url}/healthz") as response:
                        return response.status == 200
                return False

            await eventually(answers)
        yield front
    finally:
        if process.returncode is None:
            process.terminate()  # fast: it does not wait for idle connections
        await process.wait()
