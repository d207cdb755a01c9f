"""A command run as if we were not there: its output passes through, its stdin is ours, and signals reach it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from math import inf
from select import select
from selectors import EVENT_READ, DefaultSelector
from types import FrameType
from typing import IO, Final

from flatline.ping import CHUNK, Output

FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
OF_TERMINALS: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})  # sent to all that is in front
FOR_ONE: Final = frozenset({signal.SIGUSR1, signal.SIGUSR2})  # they end whoever does not expect them

LINGER_S: Final = 2.0  # after the command's end, for what it left behind with its output still open
PIPE_MAX: Final = 1_048_576  # bytes that a pipe may still hold then, on any system

#: What Python sets LC_CTYPE to where no locale is set, as under cron (PEP 538).
COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})

Process = subprocess.Popen[bytes]


def run(command: Sequence[str], output: Output | None, *, begun: Callable[[], None]) -> int:
    """The exit status, negative for a signal. Raises OSError if the command cannot be executed.

    `output`: what keeps the output's tail; None = it does not pass through us at all. `begun` is called once it runs.
    """
    _open_standard_streams()
    # Under a parent that ignores SIGCHLD, the system would keep no exit status for us.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    relay = _Relay()
    piped = None if output is None else subprocess.PIPE
    # One pipe for both, where both lead to the same place, keeps the lines in order.
    together = piped and os.path.sameopenfile(1, 2)
    ended, end = os.pipe()
    child = subprocess.Popen(  # noqa: S603 - running it is what we are for
        command,
        bufsize=0,
        stdout=piped,
        stderr=subprocess.STDOUT if together else piped,
        close_fds=False,  # what was opened for the command reaches it; what we opened does not
        process_group=relay.process_group,
        env=_environment(),
    )
    relay.follow(child)
    pumps = [
        threading.Thread(target=_pump, args=(stream, sink, output, ended), daemon=True)
        for sink, stream in ((1, child.stdout), (2, child.stderr))
        if stream
    ]
    with _deaf():
        for pump in pumps:
            pump.start()
        begun()
    status = child.wait()
    os.close(end)
    for pump in pumps:
        pump.join()
    return status


class _Relay:
    """Signals that reach us go on to the command.

    Without a terminal it has a process group of its own: what a supervisor sends to our group reaches it once, through
    us, and goes to all that it started, as Ctrl-C would. At a terminal it stays in our group, so that it may read the
    keyboard and Ctrl-Z works; what the keyboard sends goes to the whole group, so we keep that to ourselves.
    """

    def __init__(self) -> None:
        self._child: Process | None = None
        self._early: list[int] = []
        self._terminal: int | None = None
        with contextlib.suppress(OSError):
            self._terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        for number in FORWARDED:
            # Under nohup, or in the background of a shell, some are ignored; the command must inherit that.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._take)

    @property
    def process_group(self) -> int | None:
        """As Popen takes it: 0 = a new one."""
        return 0 if self._terminal is None else None

    def follow(self, child: Process) -> None:
        self._child = child
        for number in self._early:
            self._pass_on(child, number)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        elif self._child.returncode is None:  # else we are busy telling its end, which takes its bounded time
            self._pass_on(self._child, number)

    def _pass_on(self, child: Process, number: int) -> None:
        with contextlib.suppress(OSError):  # it has just ended, or has become another user's
            if self._terminal is None and number not in FOR_ONE:
                os.killpg(child.pid, number)
            elif number not in OF_TERMINALS or not self._is_in_front():
                os.kill(child.pid, number)

    def _is_in_front(self) -> bool:
        try:
            return self._terminal is not None and os.tcgetpgrp(self._terminal) == os.getpgrp()
        except OSError:  # the terminal is gone, which everybody was told
            return True


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Threads begun in here take no signals: one that another thread took would not wake the one that waits."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _pump(source: IO[bytes], sink: int, output: Output, ended: int) -> None:
    """Passes bytes on until the stream ends, or LINGER_S after the command has: others may hold its output open.

    `ended` becomes readable with the command's end. All that it has written by then is passed on, however slowly.
    """
    until, rest = inf, PIPE_MAX
    # An error is one of the sink, such as a reader that left: closing the source tells the command, as usual.
    with source, contextlib.suppress(OSError), DefaultSelector() as selector:
        selector.register(source, EVENT_READ)
        selector.register(ended, EVENT_READ)
        while rest > 0:
            wait = None if until == inf else max(0, until - time.monotonic())
            ready = {key.fd for key, _ in selector.select(wait)}
            if ended in ready:
                selector.unregister(ended)
                until = time.monotonic() + LINGER_S
            late = time.monotonic() >= until
            if source.fileno() in ready:
                chunk = os.read(source.fileno(), CHUNK)
                if not chunk:
                    return
                output.add(chunk)
                _write(sink, chunk)
                rest -= len(chunk) if late else 0
            elif late:
                return


def _write(sink: int, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        try:
            rest = rest[os.write(sink, rest) :]
        except BlockingIOError:  # whoever shares it with us wants it so
            select([], [sink], [])


def _open_standard_streams() -> None:
    """If somebody closed one, the next file that we open would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _environment() -> dict[str, str]:
    """Ours, without what Python added for itself."""
    environ = dict(os.environ)
    if sys.flags.utf8_mode and "PYTHONUTF8" not in environ and environ.get("LC_CTYPE") in COERCED:
        del environ["LC_CTYPE"]
    return environ
