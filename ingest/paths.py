"""What a ping's path says. One table of prefixes and one of last segments; docs/ping-api.md shows both."""

import re
import signal
from typing import Final, NamedTuple

from rules import tokens

#: In front of the token. None of them is UUID-shaped, so a bare /<token> cannot be mistaken for one.
PREFIXES: Final = (("ping",), ("heartbeat", "ping"), ("api", "v1", "heartbeat"))

SIGNALS: Final = {"start": "start", "fail": "fail", "log": "log"}

#: What systemd puts into $EXIT_STATUS after a signal: the job was ended, so it failed.
SIGNAL_NAMES: Final = frozenset(name.removeprefix("SIG") for name in signal.Signals.__members__)

HIGHEST_EXIT_STATUS: Final = 255

_USUAL: Final = re.compile(r"/ping/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_EXIT_STATUS: Final = re.compile(r"[0-9]+", re.ASCII)
_UPPER_CASE: Final = re.compile(r"[A-Z]+", re.ASCII)
_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Target(NamedTuple):
    """`error`: why a known heartbeat's ping is refused, "" if it is not."""

    token: str
    signal: str = "success"
    exit_status: str = ""
    error: str = ""


def parse_path(path: str) -> Target | None:
    """What a path addresses; None = it is no ping of ours. Doubled and trailing slashes do not matter."""
    if _USUAL.fullmatch(path):  # nearly all pings: the rest of this costs four times as much
        return Target(path[len("/ping/") :])
    segments = [segment for segment in path.split("/") if segment]
    for prefix in PREFIXES:
        if tuple(segments[: len(prefix)]) == prefix:
            segments = segments[len(prefix) :]
            break
    if not 1 <= len(segments) <= 2:
        return None
    token = tokens.parse(segments[0])
    if token is None:
        return None
    return Target(token) if len(segments) == 1 else _signal(token, segments[1])


def _signal(token: str, last: str) -> Target | None:
    if last in SIGNALS:
        return Target(token, SIGNALS[last])
    if _EXIT_STATUS.fullmatch(last):
        digits = last.lstrip("0") or "0"
        if len(digits) > 3 or int(digits) > HIGHEST_EXIT_STATUS:
            return Target(token, error="invalid url format")
        return Target(token, "success" if digits == "0" else "fail", digits)
    if last in SIGNAL_NAMES:
        return Target(token, "fail", last)
    return Target(token, error="invalid url format") if _UPPER_CASE.fullmatch(last) else None


def parse_run_id(query: bytes) -> str | None:
    """The canonical run id in a query string, "" without one; None = malformed. Of several the last counts."""
    rid = ""
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"rid":
            rid = value.decode("latin-1").lower()
            if not _RUN_ID.fullmatch(rid):
                return None
    return rid
