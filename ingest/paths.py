"""What a ping's path says. One table of prefixes and one of last segments; docs/ping-api.md shows both."""

import re
import signal
from typing import Final, NamedTuple

from rules import limits, tokens

#: In front of the token. None of them is UUID-shaped, so a bare /<token> cannot be mistaken for one.
PREFIXES: Final[tuple[tuple[str, ...], ...]] = (("ping",), ("heartbeat", "ping"), ("api", "v1", "heartbeat"))

SIGNALS: Final = {"start": "start", "fail": "fail", "log": "log"}

#: What systemd puts into $EXIT_STATUS after a signal: the job was ended, so it failed.
SIGNAL_NAMES: Final = frozenset(name.removeprefix("SIG") for name in signal.Signals.__members__)

HIGHEST_EXIT_STATUS: Final = 255
INVALID: Final = -1

#: After a ping key; upper case is told apart, because Healthchecks answers it in another way.
_SLUG: Final = re.compile(r"[-a-zA-Z0-9_]{1,100}", re.ASCII)
_PING_KEY: Final = re.compile(r"[-a-zA-Z0-9_]{1,100}", re.ASCII)

_USUAL: Final = re.compile(r"/ping/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_EXIT_STATUS: Final = re.compile(r"[0-9]+", re.ASCII)
_UPPER_CASE: Final = re.compile(r"[A-Z]+", re.ASCII)
_CAPITAL: Final = re.compile(r"[A-Z]", re.ASCII)
_WHOLE: Final = re.compile(rb"[0-9]{1,9}")
_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


class Target(NamedTuple):
    """What is pinged: a token, or a ping key and a slug. `error`: why a known heartbeat's ping is refused, or ""."""

    token: str
    signal: str = "success"
    exit_status: str = ""
    error: str = ""
    slug: str = ""


def parse_path(path: str) -> Target | None:
    """What a path addresses; None = it is no ping of ours. Doubled and trailing slashes do not matter."""
    if _USUAL.fullmatch(path):  # nearly all pings: the rest of this costs four times as much
        return Target(path[len("/ping/") :])
    segments = [segment for segment in path.split("/") if segment]
    prefix = next((prefix for prefix in PREFIXES if tuple(segments[: len(prefix)]) == prefix), ())
    rest = segments[len(prefix) :]
    token = tokens.parse(rest[0]) if rest else None
    if token is not None:
        return _with_signal(Target(token), rest[1:])
    if prefix == ("ping",) and len(rest) >= 2 and _PING_KEY.fullmatch(rest[0]) and _SLUG.fullmatch(rest[1]):
        error = "invalid url format" if _CAPITAL.search(rest[1]) else ""
        return _with_signal(Target(rest[0], slug=rest[1], error=error), rest[2:])
    return None


def _with_signal(target: Target, rest: list[str]) -> Target | None:
    if not rest or target.error:
        return target if len(rest) <= 1 else None
    last = rest[0]
    if len(rest) > 1:
        return None
    if last in SIGNALS:
        return target._replace(signal=SIGNALS[last])
    if _EXIT_STATUS.fullmatch(last):
        digits = last.lstrip("0") or "0"
        if len(digits) > 3 or int(digits) > HIGHEST_EXIT_STATUS:
            return target._replace(error="invalid url format")
        return target._replace(signal="success" if digits == "0" else "fail", exit_status=digits)
    if last in SIGNAL_NAMES:
        return target._replace(signal="fail", exit_status=last)
    return target._replace(error="invalid url format") if _UPPER_CASE.fullmatch(last) else None


class Query(NamedTuple):
    """What stands behind the question mark. `error`: what is wrong with it, or ""."""

    rid: str = ""
    create: bool = False
    period: int | None = None
    grace: int | None = None
    error: str = ""


NO_QUERY: Final = Query()


def parse_query(query: bytes) -> Query:
    """`rid` names a run; `create=1` makes a missing slug, with `every` and `grace` in seconds. Of several the last
    counts; what is not known is ignored.
    """
    given = {name: value for name, _, value in (pair.partition(b"=") for pair in query.split(b"&"))}
    rid = given.get(b"rid", b"").decode("latin-1").lower()
    if b"rid" in given and not _RUN_ID.fullmatch(rid):
        return Query(error="invalid uuid format")
    if given.get(b"create") != b"1":
        return Query(rid)
    period = _seconds(given.get(b"every"), limits.PERIOD_MIN, limits.PERIOD_MAX)
    grace = _seconds(given.get(b"grace"), limits.GRACE_MIN, limits.GRACE_MAX)
    if period == INVALID:
        return Query(error=f"every must be between {limits.PERIOD_MIN} and {limits.PERIOD_MAX} seconds")
    if grace == INVALID:
        return Query(error=f"grace must be between {limits.GRACE_MIN} and {limits.GRACE_MAX} seconds")
    return Query(rid, create=True, period=period, grace=grace)


def _seconds(text: bytes | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    return int(text) if _WHOLE.fullmatch(text) and least <= int(text) <= most else INVALID
