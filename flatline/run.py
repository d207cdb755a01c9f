"""`flatline run`: a command, watched. flatline hears of its start, its end and the tail of what it printed.

The command must not notice: it begins at once, and whatever flatline answers, or that it is away, changes nothing but
a line on stderr after it has ended. Exit status: the command's; 128 + n if signal n ended it; 127 and 126 if it was
not found or cannot be executed; 2 = wrong usage, and the command was not run.
"""

import argparse
import contextlib
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from flatline import job
from flatline.client import TOTAL_S, Address, NotDelivered, deliver
from flatline.ping import Output, named, say
from flatline.target import Parser, add_target, address_of, checked
from rules import limits
from runtime.errors import StartError

NOT_FOUND: Final = 127  # as shells have it
NOT_EXECUTABLE: Final = 126
OUTPUT_LIMIT_MAX: Final = 1_000_000  # bytes
DURATION: Final = re.compile(r"(?=\d)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?", re.ASCII)

EPILOG: Final = """\
examples:
  0 3 * * *  flatline run https://flatline.example.org/ping/3f1c9a52-6b0e-4d27-9c41-0a7be2d5f816 -- backup.sh --all
  FLATLINE_PING_KEY_FILE=/etc/flatline.key flatline run --url https://flatline.example.org \\
    --slug db1-backup --create --every 1d --grace 2h -- pg_dump -f /backup/db1.sql

environment: FLATLINE_PUBLIC_URL is --url; FLATLINE_PING_KEY, or the file that FLATLINE_PING_KEY_FILE names, is
--ping-key. If what is needed of them is missing, the command runs all the same, unwatched, and a line says so.
Proxies: http_proxy, https_proxy, no_proxy. Redirects are not followed.

exit status: the command's; 128 + n if signal n ended it, 127 if it was not found, 126 if it cannot be executed;
2 for wrong usage of flatline run, and then the command was not run.
"""


def main(words: Sequence[str]) -> int:
    """The command after `flatline run`; its exit status."""
    options, command = _parse(words)
    output = Output(options.output_limit)
    watch = None
    try:
        watch = Watch(_address(options))
    except StartError as error:
        say(f"flatline run: {error}; the command runs unwatched")

    def begun() -> None:
        if watch and not options.no_start:
            watch.start()

    try:
        status = job.run(command, None if options.quiet_output else output, begun=begun)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        status = NOT_FOUND if missing else NOT_EXECUTABLE
        text = f"flatline run: {command[0]}: {'command not found' if missing else error.strerror}"
        say(text)
        output.add(os.fsencode(text))
    if watch:
        watch.finish(status, output)
    return status if status >= 0 else 128 - status


class Watch:
    """Tells flatline of one run: its start beside the command, and its end, never in the other order."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._rid = str(uuid.uuid4())
        self._ended = threading.Event()
        self._starting = threading.Thread(target=self._send_start, daemon=True)
        self._body_limit = OUTPUT_LIMIT_MAX

    def start(self) -> None:
        self._starting.start()

    def finish(self, status: int, output: Output) -> None:
        """Takes TOTAL_S at most. `status`: negative for a signal."""
        until = time.monotonic() + TOTAL_S
        told = _told(status)
        self._ended.set()
        # A start that arrived after the finish would be a run that never ends: what is under way is waited for.
        if self._starting.ident is not None:
            self._starting.join()
        try:
            deliver(self._address, told, rid=self._rid, body=output.tail(self._body_limit), until=until)
        except NotDelivered as error:
            say(f"flatline run: {self._address.host} was not told of {named(told)}: {error}")

    def _send_start(self) -> None:
        # That it did not arrive is no news: the finish tells all that matters, or why it cannot.
        with contextlib.suppress(NotDelivered):
            limit = deliver(self._address, "start", rid=self._rid, abandoned=self._ended).body_limit
            self._body_limit = OUTPUT_LIMIT_MAX if limit is None else limit


def _told(status: int) -> str:
    """The last segment of the finish's URL: an exit status, or a signal's name; some signals have none."""
    if status >= 0:
        return str(status)
    try:
        return signal.Signals(-status).name.removeprefix("SIG")
    except ValueError:
        return str(128 - status)


def _address(options: argparse.Namespace) -> Address:
    """With what a heartbeat is to be like that is made now. Raises StartError."""
    address = address_of(options, os.environ)
    settings = {"every": options.every, "grace": options.grace}
    query = [f"{name}={seconds}" for name, seconds in settings.items() if seconds is not None]
    return address._replace(query="&".join(filter(None, (address.query, *query))))


def _parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our options and the command, which begins after the first "--" and is not looked into."""
    parser = _parser()
    end = words.index("--") if "--" in words else len(words)
    options, command = parser.parse(words[:end]), list(words[end + 1 :])
    if not command:
        parser.error("say what to run, after a --: flatline run [options] <URL> -- command")
    if not options.create and (options.every, options.grace) != (None, None):
        parser.error("--every and --grace are for a heartbeat that is made: add --create")
    return options, command


def _parser() -> Parser:
    parser = Parser(
        prog="flatline run",
        usage="flatline run [options] [URL|TOKEN] -- command [argument ...]",
        description="Run a command and tell flatline when it began, how it ended and what it printed last.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_target(parser)
    every = _duration(limits.PERIOD_MIN, limits.PERIOD_MAX)
    grace = _duration(limits.GRACE_MIN, limits.GRACE_MAX)
    parser.add_argument("--every", type=every, metavar="DURATION", help="with --create: 90, 5m, 1h30m, 1d between runs")
    parser.add_argument("--grace", type=grace, metavar="DURATION", help="with --create: how late it may be")
    parser.add_argument("--no-start", action="store_true", help="tell only how it ended")
    parser.add_argument("--quiet-output", action="store_true", help="do not send what it prints, nor stand in its way")
    parser.add_argument(
        "--output-limit",
        type=checked(_output_limit),
        default=limits.OUTPUT_MAX_BYTES,
        metavar="BYTES",
        help=f"how much of the end of its output to send ({limits.OUTPUT_MAX_BYTES}); no more than flatline keeps",
    )
    return parser


def _duration(least: int, most: int) -> Callable[[str], int]:
    """A parser of durations that gives seconds."""

    def parse(text: str) -> int:
        found = DURATION.fullmatch(text)
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (-1, 0, 0, 0)
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if not least <= total <= most:
            raise ValueError("must be a duration such as 90, 5m, 1h30m or 1d, at most 366d")
        return total

    return checked(parse)


def _output_limit(text: str) -> int:
    if not re.fullmatch("[0-9]{1,7}", text) or int(text) > OUTPUT_LIMIT_MAX:
        raise ValueError(f"must be 0 to {OUTPUT_LIMIT_MAX}")
    return int(text)
