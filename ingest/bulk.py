"""Many pings in one request, for gateways that gather them: NDJSON as it arrives, or one JSON array.

DESIGN. What is plainly a ping goes to Redis in chunks, one ZADD for each, without a future of its own; all else goes
the way of single pings. The next chunk is read while others are written. What is refused is answered item by item and
stops nobody else. Nothing of a request is kept but its refusals.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest import finding
from ingest.answers import NOT_FOUND, Refused
from ingest.commit import Overloaded
from ingest.finding import Found
from ingest.node import BULK_MAX, Node
from ingest.paths import HIGHEST_EXIT_STATUS
from ingest.sender import Sender, read_headers
from rules import limits, tokens
from store.arrivals import Ping
from store.changes import Known
from store.errors import Unavailable

ITEMS_MAX: Final = 100_000  # in one request
LINE_MAX: Final = 4_096  # bytes of one item
ARRAY_MAX: Final = 16 * 1024 * 1024  # bytes of a JSON array: it must be read whole
IN_FLIGHT: Final = 3  # chunks being written while the next is read

SIGNALS: Final = frozenset({"success", "start", "fail", "log"})
FIELDS: Final = frozenset({"token", "ping_key", "slug", "signal", "exit_status", "ts"})
MEMBER_PING: Final = {"ping_key", "slug"}  # nearly all items have these fields and no more
SLUG: Final = re.compile(limits.SLUG)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
RESULTS: Final = {404: "not_found", 403: "refused", 429: "refused", 503: "unavailable"}


class TooLarge(Exception):
    """More than a request may hold; what came before it is taken."""


class Invalid(ValueError):
    """An item that cannot be a ping; the text names the field."""


class Tally:
    """What became of the items of one request."""

    def __init__(self) -> None:
        self.accepted = 0
        self.rejected: list[tuple[int, int, str]] = []  # index, status, message
        self.too_large = ""

    def reject(self, index: int, status: int, message: str) -> None:
        self.rejected.append((index, status, message))

    def count(self, index: int, said: str) -> None:
        """What a script said of one."""
        if said in {"up", "parked"}:
            self.accepted += 1
        elif said == "unknown":
            self.reject(index, 404, "not found")
        elif said == "full":
            self.reject(index, 403, "fleet is full")
        else:
            self.reject(index, 503, "unavailable, try again")

    def response(self) -> Response:
        self.rejected.sort()
        rejected = [{"index": index, "status": status, "message": text} for index, status, text in self.rejected]
        body: dict[str, Any] = {"accepted": self.accepted, "rejected": rejected}
        status, headers = 200, {"cache-control": "no-store"}
        if self.too_large:
            status, body["error"] = 413, {"code": "too_large", "message": self.too_large, "field": None}
        elif rejected and not self.accepted and all(each == 503 for _, each, _ in self.rejected):
            status, headers["retry-after"] = 503, "5"  # for senders that look no further
        return Response(orjson.dumps(body), status, headers, "application/json")


class Bulk:
    """POST /ping/bulk."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def route(self) -> Route:
        return Route("/ping/bulk", self._answer, methods=["POST"])

    async def _answer(self, request: Request) -> Response:
        tally, writing = Tally(), set[asyncio.Task[None]]()
        sender = read_headers(request.scope, self._node.settings.trusted_proxies)
        try:
            async for first, items in _chunks(request):
                if len(writing) >= IN_FLIGHT:
                    _, writing = await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
                writing.add(asyncio.create_task(self._take(first, items, sender, tally)))
        except TooLarge as error:
            tally.too_large = str(error)
        except ClientDisconnect:
            pass  # nobody hears the answer; what came in whole chunks counts
        finally:
            if writing:
                await asyncio.wait(writing)
        results = Counter(RESULTS.get(status, "bad_request") for _, status, _ in tally.rejected)
        for result, count in {**results, "ok": tally.accepted}.items():
            self._node.metrics.pings[result].inc(count)
        return tally.response()

    async def _take(self, first: int, items: Sequence[Any], sender: Sender, tally: Tally) -> None:
        """Writes a chunk of at most BULK_MAX items, the first of which has the index `first`."""
        node, now = self._node, self._node.clock.now()
        plain: list[tuple[int, Ping, Known, bool]] = []
        waiting: list[tuple[int, asyncio.Future[str]]] = []
        fleets: dict[str, Found] = {}  # by ping key: each is asked for once a chunk
        for index, item in enumerate(items, first):
            try:
                if type(item) is dict and item.keys() == MEMBER_PING and (found := fleets.get(item["ping_key"])):
                    plain.append((index, Ping(_slug(item["slug"]), now, fleet=found.fleet), found.known, False))
                    continue
                found, ping, told = await self._read(item, now, sender)
                if found.fleet:
                    fleets[item["ping_key"]] = found
                if found.known.up and ping.signal == "success":
                    plain.append((index, ping, found.known, told))
                else:
                    waiting.append((index, node.submit(ping, found.known, told=told)))
            except (Invalid, TypeError) as error:
                tally.reject(index, 400, str(error) if isinstance(error, Invalid) else "ping_key must be a string")
            except Refused as refused:
                tally.reject(index, refused.said[0]["status"], refused.said[1]["body"].decode())
            except (Unavailable, Overloaded):
                tally.reject(index, 503, "unavailable, try again")
        for places, answers in node.submit_many(plain):
            await _count(tally, places, answers)
        for index, answer in waiting:
            await _count(tally, [index], answer)

    async def _read(self, item: object, now: int, sender: Sender) -> tuple[Found, Ping, bool]:
        """What an item means, and whether it tells a time of its own. Raises Invalid, Refused, Unavailable."""
        if isinstance(item, Invalid):
            raise item
        if not isinstance(item, dict):
            raise Invalid("an item must be a JSON object")
        if unknown := item.keys() - FIELDS:
            raise Invalid(f"unknown field {min(unknown)[:50]!r}; there are {', '.join(sorted(FIELDS))}")
        signal, exit_status = _signal(item)
        at = _moment(item["ts"], now) if item.get("ts") is not None else now
        found = await self._find(item)
        if found.fleet and signal == "start":
            signal = "success"
        ping = Ping(found.heartbeat, at, signal, exit_status, "", sender.address, sender.agent, b"", found.fleet)
        return found, ping, item.get("ts") is not None

    async def _find(self, item: dict[str, Any]) -> Found:
        if "token" in item:
            if item.keys() & MEMBER_PING:
                raise Invalid("send either token, or ping_key and slug")
            token = tokens.parse(item["token"]) if isinstance(item["token"], str) else None
            found = await finding.by_token(self._node, token) if token else None
        elif item.keys() >= MEMBER_PING:
            if not isinstance(item["ping_key"], str):
                raise Invalid("ping_key must be a string")
            found = await finding.by_slug(self._node, item["ping_key"], _slug(item["slug"]))
        else:
            raise Invalid("an item must have a token, or a ping_key and a slug")
        if found is None:
            raise Refused("not_found", NOT_FOUND)
        return found


async def _count(tally: Tally, places: Sequence[int], answers: "asyncio.Future[Any]") -> None:
    try:
        said = await answers
    except (Unavailable, Overloaded):
        said = [""] * len(places)
    for index, each in zip(places, [said] if isinstance(said, str) else said, strict=True):
        tally.count(index, each)


async def _chunks(request: Request) -> AsyncIterator[tuple[int, list[Any]]]:
    """The items in order, in chunks of at most BULK_MAX, each with the index of its first. Raises TooLarge."""
    count, rest = 0, b""
    stream = request.stream()
    async for part in stream:
        rest += part
        if rest.lstrip()[:1] == b"[" and not count:
            for first, items in _array(await _whole(rest, stream)):
                yield first, items
            return
        *lines, rest = rest.split(b"\n")
        if len(rest) > LINE_MAX:
            raise TooLarge(f"a line must have at most {LINE_MAX} bytes")
        lines = [line for line in lines if line.strip()]
        for i in range(0, len(lines), BULK_MAX):
            chunk = lines[i : i + BULK_MAX]
            _bound(count + len(chunk))
            yield count, _parsed(chunk)
            count += len(chunk)
    if rest.strip():
        _bound(count + 1)
        yield count, _parsed([rest])


async def _whole(head: bytes, stream: AsyncIterator[bytes]) -> bytes:
    body = bytearray(head)
    async for part in stream:
        body += part
        if len(body) > ARRAY_MAX:
            raise TooLarge(f"a JSON array must have at most {ARRAY_MAX} bytes; send NDJSON")
    return bytes(body)


def _array(body: bytes) -> list[tuple[int, list[Any]]]:
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return [(0, [Invalid(f"the body is not JSON: {error}")])]
    _bound(len(items))
    return [(i, items[i : i + BULK_MAX]) for i in range(0, len(items), BULK_MAX)]


def _bound(count: int) -> None:
    if count > ITEMS_MAX:
        raise TooLarge(f"a request must have at most {ITEMS_MAX} items")


def _parsed(lines: Sequence[bytes]) -> list[Any]:
    """Together, which costs a third; one by one if one of them is no JSON."""
    with suppress(orjson.JSONDecodeError):
        items: list[Any] = orjson.loads(b"[" + b",".join(lines) + b"]")
        if len(items) == len(lines):
            return items
    return [_line(line) for line in lines]


def _line(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Invalid(f"the line is not JSON: {error}")


def _slug(slug: object) -> str:
    if isinstance(slug, str) and SLUG.fullmatch(slug):
        return slug
    raise Invalid("slug must have 1 to 100 characters of a-z, 0-9, _ and -")


def _signal(item: dict[str, Any]) -> tuple[str, str]:
    signal, status = item.get("signal"), item.get("exit_status")
    if signal is not None and signal not in SIGNALS:
        raise Invalid(f"signal must be one of {', '.join(sorted(SIGNALS))}")
    if status is None:
        return signal or "success", ""
    if type(status) is not int or not 0 <= status <= HIGHEST_EXIT_STATUS:
        raise Invalid(f"exit_status must be a whole number between 0 and {HIGHEST_EXIT_STATUS}")
    return signal or ("fail" if status else "success"), str(status)


def _moment(ts: object, now: int) -> int:
    """Milliseconds; a stranger's clock may be ahead, but the future has not happened."""
    with suppress(ValueError, OverflowError):
        if isinstance(ts, str):
            time = datetime.fromisoformat(ts)
            if time.tzinfo is not None and time >= EPOCH:
                return min((time - EPOCH) // timedelta(milliseconds=1), now)
    raise Invalid("ts must be an RFC 3339 time with its zone, as in 2030-01-31T09:00:00Z")
