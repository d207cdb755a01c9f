"""The client commands as users run them: real processes with as little of an environment as cron gives."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.notifier.sinks import HttpSink

FLATLINE: Final = Path(sys.executable).with_name("flatline")
TOKEN: Final = "3f1c9a52-6b0e-4d27-9c41-0a7be2d5f816"
PING_KEY: Final = "k3x9q0vb7m2t5w8y1z4a6c"
PATIENCE_S: Final = 60.0

STARTED: Final[list[Process]] = []

#: Says its id, answers each signal with a line, ends at the first line of stdin with how many it got.
COUNTER: Final = """
import os, signal, sys
got = []
def take(number, _):
    got.append(number)
    os.write(1, f"got {signal.Signals(number).name}\\n".encode())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, take)
os.write(1, f"ready {os.getpid()}\\n".encode())
sys.stdin.readline()
os.write(1, f"{len(got)} in all\\n".encode())
sys.exit(len(got))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and all that it said."""

    status: int
    stdout: bytes
    stderr: str


def url_of(sink: HttpSink) -> str:
    return f"http://127.0.0.1:{sink.port}/ping/{TOKEN}"


def default_signals() -> None:
    """The tests may run under nohup, or in the background of a script, and what is ignored is inherited."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)


async def start(*words: str | bytes, environment: dict[str, str] | None = None, **options: Any) -> Process:
    """Start `flatline <words>` apart from whatever terminal the tests have."""
    given = {
        "stdin": DEVNULL, "stdout": PIPE, "stderr": PIPE, "start_new_session": True,
        "preexec_fn": default_signals,
        **options,
    }  # fmt: skip
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    process = await asyncio.create_subprocess_exec(FLATLINE, *words, env=base | (environment or {}), **given)
    STARTED.append(process)
    return process


def clear() -> None:
    """End what a test that failed has left."""
    while STARTED:
        process = STARTED.pop()
        if process.returncode is None:
            process.kill()


async def flatline(
    *words: str | bytes, stdin: bytes = b"", environment: dict[str, str] | None = None, **options: Any
) -> Ran:
    """Run it to its end."""
    process = await start(*words, environment=environment, stdin=PIPE, **options)
    async with asyncio.timeout(PATIENCE_S):
        stdout, stderr = await process.communicate(stdin)
    assert process.returncode is not None
    return Ran(process.returncode, stdout or b"", (stderr or b"").decode())


async def line(process: Process) -> str:
    """The next line of its stdout."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        return (await process.stdout.readline()).decode().strip()
