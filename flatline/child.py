"""A child process that never outlives us, where the system can promise that.

It gets a session of its own, so that Ctrl-C in a terminal reaches us alone and we decide the order of stopping. On
Linux the kernel sends it SIGTERM when we die, however we die. That holds for the *thread* that started it, so `Child`
must be made in the thread that lives as long as the process: the event loop's, which is the main one.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PRIVATE_UMASK = 0o077
STOP_TIMEOUT_S = 10.0


class Child:
    """A running process; `exited` is set once it has ended and been reaped."""

    def __init__(self, command: Sequence[str], output: Path) -> None:
        """Start `command` with everything it says appended to `output`. Needs a running event loop; raises OSError."""
        self.exited = asyncio.Event()
        with open(output, "ab", opener=_private) as log:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=PRIVATE_UMASK,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509  it only calls prctl and getppid
            )
        # A thread and not the loop's child watcher, which differs between asyncio and uvloop; a daemon thread, because
        # an executor's would hold up the interpreter's exit.
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._reap, args=(loop,), daemon=True, name="reaper").start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    async def stop(self) -> None:
        """Ask it to end, wait up to STOP_TIMEOUT_S, then kill it."""
        try:
            self._process.terminate()
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.exited.wait()
        except TimeoutError:
            self._process.kill()
            await self.exited.wait()

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self.exited.set)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _die_with(parent: int) -> Callable[[], None] | None:
    """Give the child's first act. The library is loaded here: between fork and exec there is no safe time for it."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def die_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the kernel knew of our wish
            os._exit(1)

    return die_with_parent
