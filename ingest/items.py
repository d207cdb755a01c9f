"""What the body of a bulk request says: its items as they arrive, and what each of them means.

NDJSON is read line by line and never held whole; a JSON array has to be, so it is bounded before it is made.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from starlette.requests import Request

from ingest.answers import NOT_FOUND, Refused
from ingest.node import BULK_MAX
from ingest.paths import HIGHEST_EXIT_STATUS, PING_KEY
from rules import limits, tokens

ITEMS_MAX: Final = 100_000  # in one request
LINE_MAX: Final = 4_096  # bytes of one item
ARRAY_MAX: Final = 16 * 1024 * 1024  # bytes of a JSON array

SIGNALS: Final = ("success", "start", "fail", "log")
FIELDS: Final = frozenset({"token", "ping_key", "slug", "signal", "exit_status", "ts"})
SLUG: Final = re.compile(limits.SLUG)
SLUG_BYTES: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_-"
MEMBER: Final = re.compile(rb'(\{ ?"ping_key": ?"(?P<key>[A-Za-z0-9_-]{1,100})", ?"slug": ?")')
MEMBER_END: Final = b'"}'
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TooLarge(Exception):
    """More than a request may hold; what came before it is taken."""


class Invalid(ValueError):
    """An item that cannot be a ping; the text names the field."""


class Members(NamedTuple):
    """Items that are nothing but pings of one fleet's members, or of one project's slugs."""

    ping_key: str
    slugs: list[str]


class Said(NamedTuple):
    """`name`: a token, or behind a `ping_key` a slug. `ts`: ms, None = it tells no time."""

    ping_key: str
    name: str
    signal: str
    exit_status: str
    ts: int | None


async def chunks(request: Request) -> AsyncIterator[list[Any] | Members]:
    """The items in order, at most BULK_MAX at once; what is no JSON as an Invalid in its place.

    Raises TooLarge or ClientDisconnect.
    """
    begun, rest = False, b""
    parts = request.stream()
    async for part in parts:
        rest += part
        if not begun and rest.lstrip()[:1] == b"[":
            items = _array(await _whole(rest, parts))
            for i in range(0, len(items), BULK_MAX):
                yield items[i : i + BULK_MAX]
            return
        whole, _, rest = rest.rpartition(b"\n")
        if members := _members(whole):
            begun = True
            for i in range(0, len(members.slugs), BULK_MAX):
                yield Members(members.ping_key, members.slugs[i : i + BULK_MAX])
            continue
        rest = rest[: LINE_MAX + 1]  # no more of a line that is too long than shows it
        lines = [line for line in whole.split(b"\n") if line.strip()]
        begun = begun or bool(lines)
        for i in range(0, len(lines), BULK_MAX):
            yield _parsed(lines[i : i + BULK_MAX])
    if rest.strip():
        yield _parsed([rest])


def _members(lines: bytes) -> Members | None:
    """Lines that all begin and end as the first does, with a slug between: what a gateway's own loop writes. Such a
    body is taken apart in one stroke; a JSON parser for each line costs five times as much as all the rest.
    """
    if not (first := MEMBER.match(lines)):
        return None
    slugs = lines[first.end(1) : -len(MEMBER_END)].split(MEMBER_END + b"\n" + first[1])
    if not lines.endswith(MEMBER_END) or b"".join(slugs).translate(None, SLUG_BYTES):
        return None
    if not 1 <= min(map(len, slugs)) <= max(map(len, slugs)) <= limits.NAME_MAX:
        return None
    return Members(first["key"].decode(), b" ".join(slugs).decode().split(" "))


async def _whole(head: bytes, parts: AsyncIterator[bytes]) -> bytearray:
    body = bytearray(head)
    async for part in parts:
        body += part
        if len(body) > ARRAY_MAX:
            raise TooLarge(f"a JSON array must have at most {ARRAY_MAX} bytes; send NDJSON")
    return body


def _array(body: bytearray) -> list[Any]:
    # Sixteen megabytes of small objects are a gigabyte of Python: counted before they are made.
    if body.count(b"{") + body.count(b"[") > ITEMS_MAX + 1 or body.count(b",") > ITEMS_MAX * len(FIELDS):
        raise TooLarge(f"a request must have at most {ITEMS_MAX} items")
    try:
        items: list[Any] = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return [Invalid(f"the body is not JSON: {error}")]
    return items


def _parsed(lines: Sequence[bytes]) -> list[Any]:
    """Together, which costs a third; one by one where a line might be mended by its neighbours.

    A line break stands in no string, no brace follows a comma of an object, and there is no other array. So if each
    line begins with a brace, and there are as many items as lines, then each line is an item.
    """
    together = b"\n" + b",\n".join(lines)
    if together.count(b"\n{") == len(lines) and b"[" not in together and max(map(len, lines)) <= LINE_MAX:
        with suppress(orjson.JSONDecodeError):
            items: list[Any] = orjson.loads(b"[" + together + b"]")
            if len(items) == len(lines):
                return items
    return [_line(line) for line in lines]


def _line(line: bytes) -> Any:
    if len(line) > LINE_MAX:
        return Invalid(f"a line must have at most {LINE_MAX} bytes")
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return Invalid("the line is not JSON")  # and not why: a request may have a hundred thousand


def read(item: object) -> Said:
    """What an item says; a field that is null is not there. Raises Invalid, or Refused for what can be nobody's."""
    if isinstance(item, Invalid):
        raise item
    if not isinstance(item, dict):
        raise Invalid("an item must be a JSON object")
    if unknown := item.keys() - FIELDS:
        raise Invalid(f"unknown field {min(unknown)[:50]!r}; there are {', '.join(sorted(FIELDS))}")
    signal, exit_status = _signal(item.get("signal"), item.get("exit_status"))
    ts = None if item.get("ts") is None else _moment(item["ts"])
    return Said(*_address(item.get("token"), item.get("ping_key"), item.get("slug")), signal, exit_status, ts)


def _address(token: object, ping_key: object, slug: object) -> tuple[str, str]:
    if token is not None:
        if ping_key is not None or slug is not None:
            raise Invalid("send either token, or ping_key and slug")
        if name := tokens.parse(_text("token", token)):
            return "", name
    elif ping_key is not None and slug is not None:
        key, name = _text("ping_key", ping_key), read_slug(slug)
        if PING_KEY.fullmatch(key):
            return key, name
    else:
        raise Invalid("an item must have a token, or a ping_key and a slug")
    raise Refused("not_found", NOT_FOUND)


def _text(field: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise Invalid(f"{field} must be a string")


def read_slug(slug: object) -> str:
    """Raises Invalid."""
    if isinstance(slug, str) and SLUG.fullmatch(slug):
        return slug
    raise Invalid("slug must have 1 to 100 characters of a-z, 0-9, _ and -")


def _signal(signal: Any, status: object) -> tuple[str, str]:
    if signal is not None and signal not in SIGNALS:
        raise Invalid(f"signal must be one of {', '.join(SIGNALS)}")
    if status is None:
        return signal or "success", ""
    if type(status) is not int or not 0 <= status <= HIGHEST_EXIT_STATUS:
        raise Invalid(f"exit_status must be a whole number between 0 and {HIGHEST_EXIT_STATUS}")
    return signal or ("fail" if status else "success"), str(status)


def _moment(ts: object) -> int:
    with suppress(ValueError, OverflowError):
        if isinstance(ts, str):
            time = datetime.fromisoformat(ts)
            if time.tzinfo is not None and time >= EPOCH:
                return (time - EPOCH) // timedelta(milliseconds=1)
    raise Invalid("ts must be an RFC 3339 time with its zone, as in 2030-01-31T09:00:00Z")
