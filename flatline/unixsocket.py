"""Where the embedded server's socket lies, who answers there, and how to end a server that was left behind."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
from pathlib import Path

from runtime.errors import StartError
from runtime.logs import log

NAME = "valkey.sock"
LONGEST_PATH = 107  # bytes; Linux has room for 108 with the closing zero
LONGEST_PATH_ELSEWHERE = 103
ANSWER_TIMEOUT_S = 1.0
EVICT_TIMEOUT_S = 10.0
POLL_S = 0.01

# macOS, <sys/un.h>
SOL_LOCAL = 0
LOCAL_PEERPID = 2

logger = logging.getLogger(__name__)


def place(data: Path) -> Path:
    """Choose the socket's path: in `data`, else, when that is too long for the kernel, in a new private folder.

    `data` then holds a link to it, by which the next start finds a server, or only a folder, that was left behind.
    """
    direct = data / NAME
    longest = LONGEST_PATH if sys.platform.startswith("linux") else LONGEST_PATH_ELSEWHERE
    if len(os.fsencode(direct)) <= longest:
        return direct
    distant = Path(tempfile.mkdtemp(prefix="flatline-"), NAME)  # mode 700, a name nobody can guess and prepare
    direct.symlink_to(distant)
    return distant


async def clear(data: Path) -> None:
    """Remove what an earlier run left in the socket's place; a server that still runs there is ended first.

    Call it only with the data directory locked: whatever answers is then an orphan. Raises StartError if it stays.
    """
    direct = data / NAME
    await _evict(direct.readlink() if direct.is_symlink() else direct)
    remove(data)


def remove(data: Path) -> None:
    """Remove the socket, and the private folder if there is one."""
    direct = data / NAME
    if direct.is_symlink() and (folder := direct.readlink().parent).name.startswith("flatline-"):
        shutil.rmtree(folder, ignore_errors=True)
    direct.unlink(missing_ok=True)


async def ask(path: Path) -> bytes:
    """Send PING and give the first line of the answer, b"" if there is none within ANSWER_TIMEOUT_S."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).strip()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    return b""


async def _evict(path: Path) -> None:
    """End the server behind `path`: politely, so that it finishes its writes, then by force."""
    if not (pid := _listener(path)):
        return
    log(logger, logging.WARNING, "orphaned_server_found", pid=pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVICT_TIMEOUT_S):
                while _listener(path):  # noqa: ASYNC110  another process' end rings no bell here
                    await asyncio.sleep(POLL_S)
                return
    raise StartError(f"a server left behind by an earlier run does not end: kill process {pid}")


def _listener(path: Path) -> int:
    """Ask the kernel, which answers even for a server that hangs, for the listening process' id; 0 = nobody listens."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_TIMEOUT_S)
        try:
            sock.connect(os.fspath(path))
        except OSError:
            return 0
        if sys.platform == "darwin":
            return sock.getsockopt(SOL_LOCAL, LOCAL_PEERPID)
        pid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid
