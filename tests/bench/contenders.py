"""Who is measured: an ingest node, and peers that show what the same machine can do.

nginx `return 200` is the floor: HTTP and nothing else. webdis is HTTP in front of Redis in C: one ZADD per request, no
token, no log, no batch. Pushgateway is where people push the last success of their jobs to Prometheus; it is started
with its groups already there, once as it comes and once without the check of all groups that it makes for each push.
"""

import asyncio
import http.client
import json
import pstats
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from flatline.child import Child
from runtime.settings import PREFIX
from tests.bench.machine import BenchError, program

START_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.02
WEBDIS_KEY: Final = "bench:deadlines"
WEBDIS_POOL: Final = 16  # connections to the server; more gain nothing with one thread
PROFILE_LINES: Final = 40
SAMPLE: Final = "up 1\n"  # what is pushed to Pushgateway

NGINX: Final = """
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
    uwsgi_temp_path {home}; scgi_temp_path {home};
    server {{ listen 127.0.0.1:{port} backlog=2048; location / {{ return 200 "OK"; }} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """A started process on a core. `paths`: a file of what is asked of it, a line each, with this method and body."""

    name: str
    version: str
    pid: int
    core: int
    port: int
    paths: Path
    method: str = "GET"
    body: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """Another process of flatline that was started."""

    pid: int
    port: int


@asynccontextmanager
async def flatline(
    home: Path, core: int, redis_url: str, tokens: Sequence[str], **settings: object
) -> AsyncIterator[Contender]:
    """An ingest node alone, as `flatline ingest` runs it."""
    async with _flatline(home, core, redis_url, tokens, [sys.executable], **settings) as contender:
        yield contender


def of_members(node: Contender, home: Path, ping_key: str, slugs: Sequence[str]) -> Contender:
    """The same node, pinged by members of a fleet."""
    return replace(
        node, name="members", paths=_listed(home / "members.paths", [f"/ping/{ping_key}/{s}" for s in slugs])
    )


@asynccontextmanager
async def role(name: str, home: Path, core: int, redis_url: str, **settings: object) -> AsyncIterator[Role]:
    """Another role of flatline."""
    port = _free_port()
    command = _command(name, port, redis_url, [sys.executable], settings)
    log = home / f"{name}.log"
    async with _running(command, core, f"http://127.0.0.1:{port}/readyz", log) as pid:
        try:
            yield Role(pid, port)
        except BenchError as error:
            raise BenchError(f"{error}; the {name} said: {_tail(log)}") from None


@asynccontextmanager
async def pushgateway(home: Path, core: int, groups: int, *, checked: bool) -> AsyncIterator[Contender]:
    """PUT of one sample per group. `checked`: as it comes, each push is checked against all that is there."""
    name = "pushgateway" if checked else "pushgateway, unchecked"
    port, file = _free_port(), home / "pushgateway.groups"
    paths = _listed(home / "pushgateway.paths", [f"/metrics/job/bench/instance/{n}" for n in range(groups)])
    command = [
        program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}", f"--persistence.file={file}",
        "--persistence.interval=24h",
    ]  # fmt: skip
    probe, log, unchecked = (
        f"http://127.0.0.1:{port}/-/ready",
        home / "pushgateway.log",
        "--push.disable-consistency-check",
    )
    if not file.exists():
        async with _running([*command, unchecked], core, probe, log):
            await asyncio.to_thread(_push_all, port, groups)
    async with _running(command if checked else [*command, unchecked], core, probe, log) as pid:
        yield Contender(name, version_of("prometheus-pushgateway", "--version"), pid, core, port, paths, "PUT", SAMPLE)


def _push_all(port: int, groups: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(groups):
        connection.request("PUT", f"/metrics/job/bench/instance/{number}", body=SAMPLE)
        connection.getresponse().read()
    connection.close()


@asynccontextmanager
async def profiled(home: Path, core: int, redis_url: str, tokens: Sequence[str]) -> AsyncIterator[Contender]:
    """The same under cProfile, whose findings are printed at its end. It slows Python down and C hardly at all."""
    profile = home / "profile"
    python = [sys.executable, "-m", "cProfile", "-o", str(profile)]
    async with _flatline(home, core, redis_url, tokens, python) as contender:
        yield contender
    pstats.Stats(str(profile)).sort_stats("tottime").print_stats(PROFILE_LINES)


@asynccontextmanager
async def _flatline(
    home: Path, core: int, redis_url: str, tokens: Sequence[str], python: Sequence[str], **settings: object
) -> AsyncIterator[Contender]:
    port, paths = _free_port(), _listed(home / "flatline.paths", [f"/ping/{token}" for token in tokens])
    command = _command("ingest", port, redis_url, python, settings)
    async with _running(command, core, f"http://127.0.0.1:{port}/readyz", home / "flatline.log") as pid:
        yield Contender("heartbeats", version("flatline"), pid, core, port, paths)


def _command(name: str, port: int, redis_url: str, python: Sequence[str], settings: Mapping[str, object]) -> list[str]:
    given = [f"{PREFIX}{field.upper()}={value}" for field, value in settings.items()]
    return ["env", *given, *python, "-m", "flatline.cli", name, "--port", str(port), "--redis-url", redis_url]


@asynccontextmanager
async def nginx(home: Path, core: int, tokens: Sequence[str]) -> AsyncIterator[Contender]:
    """`return 200`, one worker, no access log."""
    port, paths = _free_port(), _listed(home / "nginx.paths", [f"/ping/{token}" for token in tokens])
    config = home / "nginx.conf"
    config.write_text(NGINX.format(home=home, port=port))
    command = [program("nginx"), "-p", str(home), "-e", "stderr", "-c", str(config)]
    async with _running(command, core, f"http://127.0.0.1:{port}/", home / "nginx.log") as pid:
        yield Contender("nginx", version_of("nginx"), pid, core, port, paths)


@asynccontextmanager
async def webdis(home: Path, core: int, server_socket: Path, heartbeats: Sequence[str]) -> AsyncIterator[Contender]:
    """One ZADD per request, one thread, on the same server's unix socket."""
    asked = [f"/ZADD/{WEBDIS_KEY}/XX/GT/CH/@/{heartbeat}" for heartbeat in heartbeats]
    port, paths = _free_port(), _listed(home / "webdis.paths", asked)
    config, log = home / "webdis.json", home / "webdis.log"
    settings = {
        "redis_host": str(server_socket), "http_host": "127.0.0.1", "http_port": port, "threads": 1,
        "pool_size": WEBDIS_POOL, "daemonize": False, "verbosity": 3, "logfile": str(log),
    }  # fmt: skip
    config.write_text(json.dumps(settings))
    command = [program("webdis"), str(config)]
    async with _running(command, core, f"http://127.0.0.1:{port}/PING", log) as pid:
        yield Contender("webdis", _number(log.read_text().rpartition("Webdis")[2]), pid, core, port, paths)


@asynccontextmanager
async def _running(command: Sequence[str], core: int, probe: str, log: Path) -> AsyncIterator[int]:
    """The pid of a process that answers; it ends with the block."""
    child = Child([program("taskset"), "-c", str(core), *command], log)
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while not await asyncio.to_thread(_answers, probe):
            if child.exited.is_set() or time.monotonic() > until:
                raise BenchError(f"{command[0]} does not answer: {_tail(log)}")
            await asyncio.sleep(POLL_S)
        yield child.pid
    finally:
        await child.stop()


def _tail(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-3:])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:  # refused, or an answer other than 2xx
        return False


def _listed(file: Path, paths: Sequence[str]) -> Path:
    file.write_text("".join(f"{path}\n" for path in paths))
    return file


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def version_of(name: str, option: str = "-v") -> str:
    """What a program says of itself."""
    said = subprocess.run([program(name), option], capture_output=True, text=True, check=False)
    return _number(said.stdout + said.stderr)


def _number(said: str) -> str:
    found = re.search(r"\d+\.\d[\w.]*", said)
    return found[0] if found else "of unknown version"
