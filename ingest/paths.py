"""What a ping's path says. One table of prefixes and one of last segments; docs/ping-api.md shows both."""

import re
import signal
from typing import Final, NamedTuple

from rules import limits, tokens

TOKEN, SLUG, EITHER = "token", "slug", "either"

#: In front of what is addressed, what that is, and the dialect that is spoken there (dialects.py). The longest fits
#: first; nothing but a token may stand at the root, and no first word here is token-shaped.
FORMS: Final[tuple[tuple[tuple[str, ...], str, str], ...]] = (
    (("api", "v1", "heartbeat"), TOKEN, "flatline"),  # Better Stack
    (("api", "push"), TOKEN, "kuma"),
    (("heartbeat", "ping"), TOKEN, "flatline"),  # Notifly
    (("alertmanager",), TOKEN, "alertmanager"),
    (("p",), SLUG, "cronitor"),
    (("ping",), EITHER, "flatline"),  # ours, Healthchecks
    ((), TOKEN, "flatline"),  # Healthchecks' hosted service
)

SIGNALS: Final = {"start": "start", "fail": "fail", "log": "log", "run": "start", "complete": "success"}

#: What systemd puts into $EXIT_STATUS after a signal: the job was ended, so it failed.
SIGNAL_NAMES: Final = frozenset(name.removeprefix("SIG") for name in signal.Signals.__members__)

HIGHEST_EXIT_STATUS: Final = 255
INVALID: Final = -1

#: After a ping key; upper case is told apart, because Healthchecks answers it in another way.
_SLUG: Final = re.compile(r"[-a-zA-Z0-9_]{1,100}", re.ASCII)
PING_KEY: Final = re.compile(r"[-a-zA-Z0-9_]{1,100}", re.ASCII)

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
    dialect: str = "flatline"


def parse_path(path: str) -> Target | None:
    """What a path addresses; None = it is no ping of ours. Doubled and trailing slashes do not matter."""
    if _USUAL.fullmatch(path):  # nearly all pings: the rest of this costs four times as much
        return Target(path[len("/ping/") :])
    segments = [segment for segment in path.split("/") if segment]
    prefix, address, dialect = next(form for form in FORMS if tuple(segments[: len(form[0])]) == form[0])
    rest = segments[len(prefix) :]
    token = tokens.parse(rest[0]) if rest and address != SLUG else None
    if token is not None:
        return _with_signal(Target(token, dialect=dialect), rest[1:])
    if address != TOKEN and len(rest) >= 2 and PING_KEY.fullmatch(rest[0]) and _SLUG.fullmatch(rest[1]):
        slug = rest[1].lower() if dialect == "cronitor" else rest[1]  # its keys may have capitals
        error = "invalid url format" if _CAPITAL.search(slug) else ""
        return _with_signal(Target(rest[0], error=error, slug=slug, dialect=dialect), rest[2:])
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
    """What stands behind the question mark. `signal` and what follows it: only where a dialect says them there.

    `error`: what is wrong with it, or "".
    """

    rid: str = ""
    create: bool = False
    signal: str = ""
    exit_status: str = ""
    output: bytes = b""
    period: int | None = None
    grace: int | None = None
    error: str = ""


NO_QUERY: Final = Query()


def parse_query(query: bytes) -> Query:
    """`rid` names a run; `create=1` makes a missing slug, with `every` and `grace` in seconds. Of several the last
    counts; what is not known is ignored.
    """
    given = {name: value for name, _, value in (pair.partition(b"=") for pair in query.split(b"&"))}
    create = given.get(b"create") == b"1"
    rid = given.get(b"rid", b"").decode("latin-1").lower()
    if b"rid" in given and not _RUN_ID.fullmatch(rid):
        return Query(create=create, error="invalid uuid format")
    if not create:
        return Query(rid)
    period = _seconds(given.get(b"every"), limits.PERIOD_MIN, limits.PERIOD_MAX)
    grace = _seconds(given.get(b"grace"), limits.GRACE_MIN, limits.GRACE_MAX)
    wrong = ""
    if period == INVALID:
        wrong = f"every must be between {limits.PERIOD_MIN} and {limits.PERIOD_MAX} seconds"
    elif grace == INVALID:
        wrong = f"grace must be between {limits.GRACE_MIN} and {limits.GRACE_MAX} seconds"
    return Query(rid, create=True, error=wrong) if wrong else Query(rid, create=True, period=period, grace=grace)


def _seconds(text: bytes | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    return int(text) if _WHOLE.fullmatch(text) and least <= int(text) <= most else INVALID
