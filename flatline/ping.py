"""`flatline ping`: one signal.

Exit status: 0 = delivered, 1 = not delivered, 2 = wrong usage, 3 = flatline does not know the heartbeat.
"""

import argparse
import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final

from flatline.client import NotDelivered, deliver
from flatline.target import Parser, add_target, address_of, checked
from rules import limits
from runtime.errors import StartError

CHUNK: Final = 65_536  # bytes read at once
HIGHEST_EXIT_STATUS: Final = 255

EPILOG: Final = """\
examples:
  flatline ping https://flatline.example.org/ping/3f1c9a52-6b0e-4d27-9c41-0a7be2d5f816
  df / | flatline ping --fail --body - --url https://flatline.example.org --slug disk --create

environment: FLATLINE_PUBLIC_URL is --url; FLATLINE_PING_KEY, or the file that FLATLINE_PING_KEY_FILE names, is
--ping-key, which everyone on the host could read among the processes. Proxies: http_proxy, https_proxy, no_proxy.

exit status: 0 delivered, 1 not delivered after three tries in at most 20 seconds, 2 wrong usage, 3 no such heartbeat.
Redirects are not followed. Nothing is printed on success.
"""


def main(words: Sequence[str]) -> int:
    """The command after `flatline ping`; its exit status."""
    options = _parser().parse(words)
    try:
        address = address_of(options, os.environ)
        deliver(address, options.signal, rid=options.rid or "", body=_body(options.body))
    except StartError as error:
        say(f"flatline ping: {error}")
        return 2
    except NotDelivered as error:
        say(f"flatline ping: {address.host} was not told of {named(options.signal)}: {error}")
        return 3 if error.status == 404 else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    if options.verbose:
        sys.stdout.write(f"{address.host} was told of {named(options.signal)}\n")
    return 0


def named(segment: str) -> str:
    """A signal as messages call it."""
    if segment.isdigit():
        return f"exit status {segment}"
    return f"signal {segment}" if segment.isupper() else segment or "success"


def say(line: str) -> None:
    """To stderr, past Python's buffer: one that is closed must not become an exit status of ours."""
    with contextlib.suppress(OSError):
        os.write(2, line.encode(errors="backslashreplace") + b"\n")


class Output:
    """The tail of what a job printed, in memory for twice as much. Threads may add to it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._total = 0
        self._lock = threading.Lock()

    def add(self, chunk: bytes) -> None:
        with self._lock:
            self._total += len(chunk)
            self._kept += chunk
            if len(self._kept) > 2 * self._limit:
                del self._kept[: len(self._kept) - self._limit]

    def tail(self, limit: int) -> bytes:
        """At most `limit` bytes, no more than were kept; what was cut is told at its head, unless that takes half."""
        limit = min(limit, self._limit)
        if self._total <= limit:
            return bytes(self._kept)
        notice = b"[cut: this is the end of %d bytes]\n" % self._total
        if 2 * len(notice) > limit:
            notice = b""
        return notice + bytes(self._kept[len(self._kept) - limit + len(notice) :])


def _parser() -> Parser:
    parser = Parser(
        prog="flatline ping",
        description="Tell flatline that a job went well, began or failed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group()
    for word, text in (("start", "a run begins"), ("fail", "it failed"), ("log", "only a line for the event log")):
        which.add_argument(f"--{word}", action="store_const", dest="signal", const=word, default="", help=text)
    which.add_argument(
        "--exit-status",
        dest="signal",
        type=checked(_exit_status),
        metavar="N",
        help="0 = success, 1 to 255 or TERM = failure",
    )
    add_target(parser)
    parser.add_argument("--rid", type=checked(_rid), metavar="UUID", help="which run this is about")
    parser.add_argument("--body", default="", metavar="TEXT", help="what the job printed, - for stdin; the end is sent")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what was delivered")
    return parser


def _body(text: str) -> bytes:
    output = Output(limits.OUTPUT_MAX_BYTES)
    if text != "-":
        output.add(os.fsencode(text))
        return output.tail(limits.OUTPUT_MAX_BYTES)
    with contextlib.suppress(OSError):  # closed: the signal matters more than what should come with it
        while chunk := os.read(0, CHUNK):
            output.add(chunk)
    return output.tail(limits.OUTPUT_MAX_BYTES)


def _rid(text: str) -> str:
    if not re.fullmatch("[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", text):
        raise ValueError("must be a UUID such as c0ffee00-1234-4abc-8def-0123456789ab")
    return text


def _exit_status(text: str) -> str:
    if re.fullmatch("[0-9]{1,3}", text) and int(text) <= HIGHEST_EXIT_STATUS:
        return str(int(text))
    if f"SIG{text}" not in signal.Signals.__members__:
        raise ValueError(f"must be 0 to {HIGHEST_EXIT_STATUS}, or a signal's name such as TERM")
    return text
