"""The fast lane: a plain ping is recognised in the bytes as they come, and answered past parser, messages and task.

DESIGN. Nearly all that comes to a node is `GET /ping/<token>` of a heartbeat that is up, or `/ping/<ping key>/<slug>`
of a fleet's member, whole and in one read. It joins the batch at once, and what Redis says of it becomes finished
bytes. Whatever is not certainly that (a head in two reads, a body, a heartbeat that is down, a header that means
something) goes on to uvicorn and ingest/ping.py as it came. From outside nobody can tell the two lanes apart:
tests/ingest/test_lanes.py asks both the same.
"""

import asyncio
import logging
import re
from hmac import compare_digest
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ingest.answers import FULL, NOT_FOUND, OVERLOADED, UNAVAILABLE, Answer, answer
from ingest.commit import Overloaded
from ingest.ping import Pings
from ingest.sender import AGENT_MAX, read_headers
from rules.tokens import id_of
from runtime.http import HEAD_MAX, Protocol, StandIn
from runtime.logs import log
from store.arrivals import Ping
from store.changes import FLEET, Known
from store.errors import Unavailable

#: A whole request that can only be a plain ping, stricter than any parser. Each header that means something to uvicorn
#: or to a ping has its line, with the values that change nothing or are taken over; what could contradict itself does
#: not match. Groups by number, because (?(6)...), "if there was one", knows no names that are still to come.
PLAIN: Final = re.compile(
    rb"""
    (GET|HEAD|POST)[ ]/ping/(?:([0-9a-f-]{36})|([\w-]{1,100}+)/([a-z0-9_-]{1,100}+))[ ]HTTP/1\.1\r\n
    (?: (?i:user-agent):[ ]*+([ -~]*+)\r\n
      | (?i:x-forwarded-for):[ ]*+(?(6)(?!))([ -~]*+)\r\n
      | (?i:connection):[ ]*+(?i:keep-alive|(close))\r\n
      | (?i:content-length):[ ]*+(?(8)(?!))(0)\r\n
      | (?!(?i:user-agent|x-forwarded-for|(?:proxy-)?connection|content-length|transfer-encoding|expect|upgrade):)
        [!#$%&'*+\-.^_`|~0-9A-Za-z]++:[ -~]*+\r\n
    )*
    \r\n""",
    re.VERBOSE,
)

FAILED: Final = answer(500, "Internal Server Error")  # what uvicorn says of an application that raises

#: An answer in bytes: by "is it for HEAD", then by "does the connection stay".
Ready = tuple[tuple[bytes, bytes], tuple[bytes, bytes]]
Headers = list[tuple[bytes, bytes]]

logger = logging.getLogger(__name__)


class FastLane:
    """What the connections of a node share. uvicorn calls it for each of them."""

    def __init__(self, pings: Pings) -> None:
        node, ok = pings._node, pings._ok  # noqa: SLF001
        self.peek = node.cache.peek
        self.owner = node.addresses.owners.peek
        self.forget = node.cache.forget
        self.now = node.clock.now
        self.submit = node.submit_plain
        self.proxies = node.settings.trusted_proxies
        self.count = {result: counter.inc for result, counter in node.metrics.pings.items()}
        self._accepted = 0  # and not counted yet
        self.headers: Headers = []
        self.ready: dict[str, Ready] = {}
        self._answers = {
            "ok": ok, "not_found": NOT_FOUND, "refused": FULL, "unavailable": UNAVAILABLE, "overloaded": OVERLOADED,
            "": FAILED,
        }  # fmt: skip
        self.prepare([])

    def __call__(self, **uvicorns: Any) -> "PingProtocol":
        return PingProtocol(self, **uvicorns)

    def accepted(self, loop: asyncio.AbstractEventLoop) -> None:
        """Counted together for all that are answered in this turn of the loop: a counter has a lock."""
        if not self._accepted:
            loop.call_soon(self._count_accepted)
        self._accepted += 1

    def _count_accepted(self) -> None:
        self.count["ok"](self._accepted)
        self._accepted = 0

    def prepare(self, headers: Headers) -> None:
        """`headers`: what uvicorn puts into every answer, the date; a new list each second."""
        self.headers = headers
        self.ready = {result: _ready(said, headers) for result, said in self._answers.items()}


def _ready(said: Answer, headers: Headers) -> Ready:
    start, body = said
    head = STATUS_LINE[start["status"]] + b"".join(b"%b: %b\r\n" % header for header in (*headers, *start["headers"]))
    stays, closes, text = head + b"\r\n", head + b"connection: close\r\n\r\n", body["body"]
    return (closes + text, stays + text), (closes, stays)


class PingCycle(StandIn):
    """The ping under way. One per connection, for all its pings."""

    __slots__ = ("cached", "is_head")

    def __init__(self) -> None:
        super().__init__()
        self.cached = ""  # what is to be forgotten if there is no such thing any more
        self.is_head = False


class PingProtocol(Protocol):
    """A connection of an ingest node. It waits itself for what becomes of its ping, in place of a future."""

    __slots__ = ("_address", "_lane", "_ping")

    def __init__(self, lane: FastLane, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._lane = lane
        self._ping = PingCycle()
        self._address = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as Protocol does
        super().connection_made(transport)
        self._address = self.client[0].encode() if self.client else b""

    def take(self, data: bytes) -> bytes:
        request = None if self.part or self.flow.write_paused else PLAIN.match(data, 0, HEAD_MAX)
        plain = None if request is None else self.recognise(request)
        if request is None or plain is None:
            return super().take(data)
        self._ping.response_complete = False
        self.cycle = self._ping  # type: ignore[assignment]  # all that uvicorn asks of one
        try:
            self._lane.submit(*plain, self)
        except Overloaded as error:
            self.loop.call_soon(self.set_exception, error)  # not now: what follows in `data` comes after it
        return data[request.end() :]

    def recognise(self, request: re.Match[bytes]) -> tuple[Ping, Known] | None:
        """The ping; or None, then the request goes the long way."""
        lane, cycle = self._lane, self._ping
        method, token, ping_key, slug, agent, forwarded, close, _ = request.groups()
        if token is None:
            kind, fleet = lane.owner(ping_key.decode()) or ("", "")
            if kind != "fleet":
                return None
            secret, heartbeat, cached = ping_key, slug.decode(), FLEET + fleet
        else:
            secret, fleet = token, ""
            heartbeat = cached = id_of(token.decode())
        known = lane.peek(cached)
        if known is None or not known.up or not compare_digest(known.token.encode(), secret):
            return None
        cycle.cached, cycle.is_head, cycle.keep_alive = cached, method == b"HEAD", close is None
        address = self._address
        if forwarded and lane.proxies:
            scope = {"headers": [(b"x-forwarded-for", forwarded)], "client": self.client}
            address = read_headers(scope, lane.proxies).address
        agent = agent[:AGENT_MAX] if agent else b""
        return Ping(heartbeat, lane.now(), "success", "", "", address, agent, b"", fleet), known

    # As a waiter of ingest/commit.py.

    def done(self) -> bool:
        return self._ping.response_complete

    def set_result(self, said: str) -> None:
        if said in {"up", "parked"}:
            self._answer("ok")
        elif said == "unknown":
            self._lane.forget(self._ping.cached)
            self._answer("not_found")
        elif said == "full":
            self._answer("refused")
        else:
            self._answer("unavailable")  # a corrupt record; the node has logged it

    def set_exception(self, error: BaseException) -> None:
        if isinstance(error, Overloaded):
            self._answer("overloaded")
        elif isinstance(error, Unavailable):
            self._answer("unavailable")
        else:
            log(logger, logging.ERROR, "ping_failed", error)
            self._answer("")

    def cancel(self) -> None:
        """The node stops and could not write it in time."""
        if not self.done():
            self._answer("unavailable")

    def _answer(self, result: str) -> None:
        lane, cycle = self._lane, self._ping
        if result == "ok":
            lane.accepted(self.loop)
        elif result:
            lane.count[result]()
        if self.server_state.default_headers is not lane.headers:
            lane.prepare(self.server_state.default_headers)
        cycle.response_complete = True
        if not self.wire.is_closing():
            stays = cycle.keep_alive and bool(result)
            self.wire.write_whole(lane.ready[result][cycle.is_head][stays])
            if not stays:
                self.wire.close()
        if self._kept:
            self.loop.call_soon(self.on_response_complete)
        else:
            self._looks = 0
