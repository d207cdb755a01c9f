"""Two ingest nodes that differ in one thing: one has the fast lane. And what both are asked, byte by byte."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import uvloop

from ingest.app import create_app
from ingest.fast import FastLane, PingProtocol
from ingest.ping import Pings
from ingest.settings import IngestSettings
from runtime.http import HEAD_MAX, Protocol
from runtime.serve import serve
from store.arrivals import Ping
from store.changes import Known
from store.database import opened
from tests.conftest import eventually

TOKEN: Final = b"TOKEN"  # stands for that of a heartbeat
START_S: Final = 20.0


class Lane:
    """A node on uvloop in a thread of its own, as a process would run it."""

    def __init__(self, *, fast: bool) -> None:
        self.fast = fast
        self.port = 0
        self.taken = 0  # pings that took the fast lane
        self.read: Counter[Any] = Counter()  # bytes, by the client's address
        self.connections: dict[Any, Protocol] = {}  # by that, too
        self.app: Pings
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None]
        self._started = threading.Event()
        self._stopped = False

    def run(self, url: str, options: dict[str, Any], settings: dict[str, Any]) -> None:
        with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(url, options, settings))

    async def _serve(self, url: str, options: dict[str, Any], settings: dict[str, Any]) -> None:
        self._loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task
        self._task = task
        async with opened(url) as db:
            port: asyncio.Future[int] = self._loop.create_future()
            self.app = create_app(db, IngestSettings(port=0, **settings), port)

            def ready(bound: int) -> None:
                self.port = bound
                port.set_result(bound)
                self._started.set()

            http = partial(_Fast, FastLane(self.app)) if self.fast else _Slow
            await serve(self.app, host="127.0.0.1", port=0, ready=ready, http=partial(_watched, self, http), **options)

    def started(self) -> bool:
        return self._started.wait(START_S)

    def stop(self) -> None:
        """Once; a second signal would end the waiting."""
        if not self._stopped:
            self._stopped = True
            self._loop.call_soon_threadsafe(self._task.cancel)

    def is_stopping(self) -> bool:
        """Its connections have been told."""
        alive = next(iter(self.connections.values())).connections
        return all(connection._stops for connection in alive if isinstance(connection, Protocol))

    @property
    def node(self) -> Any:
        return self.app._node


class _Watch(Protocol):
    """Counts what it reads."""

    lane: Lane
    _again = False

    def data_received(self, data: bytes) -> None:
        if not self._again:
            self.lane.read[self.client] += len(data)
            self.lane.connections[self.client] = self
        super().data_received(data)

    def on_response_complete(self) -> None:
        self._again = True  # what was kept is not read once more
        super().on_response_complete()
        self._again = False


class _Slow(_Watch):
    pass


class _Fast(_Watch, PingProtocol):
    """Counts what it takes."""

    def recognise(self, request: re.Match[bytes]) -> tuple[Ping, Known] | None:
        plain = super().recognise(request)
        self.lane.taken += plain is not None
        return plain


def _watched(lane: Lane, http: Callable[..., _Watch], **uvicorns: Any) -> _Watch:
    made = http(**uvicorns)
    made.lane = lane
    return made


@contextmanager
def lane(url: str, *, fast: bool, options: dict[str, Any] | None = None, **settings: Any) -> Iterator[Lane]:
    """`options` are those of `serve`."""
    made = Lane(fast=fast)
    thread = threading.Thread(target=made.run, args=(url, {"drain_s": 1} | (options or {}), settings), daemon=True)
    thread.start()
    assert made.started()
    try:
        yield made
    finally:
        made.stop()
        thread.join(START_S)
        assert not thread.is_alive()


@dataclass(frozen=True, kw_only=True)
class Case:
    """`send`: a request, or pieces of which the server has read one before the next is sent.

    `answers`: first lines. `fast`: how many pings take the fast lane. `closes`: the server hangs up after that.
    `state`: of the heartbeat, see `Heartbeats` in test_lanes.py.
    """

    name: str
    send: bytes | tuple[bytes, ...]
    answers: tuple[str, ...] = ("200 OK",)
    fast: int = 0
    closes: bool = False
    state: str = "up"


def get(
    *headers: str, path: str = "/ping/TOKEN", method: str = "GET", version: str = "1.1", body: bytes = b""
) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", *headers, "", ""]).encode() + body


def post(*headers: str, path: str = "/ping/TOKEN", body: bytes = b"") -> bytes:
    return get(*headers, path=path, method="POST", body=body)


def long(size: int) -> bytes:
    """A ping with a head of so many bytes, the longest token included."""
    head = get("Host: x", "X: ")
    return head.replace(b"X: ", b"X: " + b"x" * (size - len(head) + len(TOKEN) - 36))


HOST: Final = "Host: x"
CLOSED: Final = ("400 Bad Request",)
PING: Final = get(HOST)
CHUNKED: Final = "Transfer-Encoding: chunked"
CHUNKS: Final = b"5\r\nhello\r\n0\r\n\r\n"

CASES: Final = (
    # What is plain.
    Case(name="GET", send=PING, fast=1),
    Case(name="HEAD", send=get(HOST, method="HEAD"), fast=1),
    Case(name="POST without a body or its length", send=post(HOST), fast=1),
    Case(name="POST of an empty body", send=post(HOST, "Content-Length: 0"), fast=1),
    Case(name="GET with an empty body", send=get(HOST, "content-length:0"), fast=1),
    Case(name="no header at all", send=get(), fast=1),
    Case(name="what curl sends", send=get(HOST, "User-Agent: curl/7.88.1", "Accept: */*"), fast=1),
    Case(name="connection: close", send=get(HOST, "Connection: close"), fast=1, closes=True),
    Case(name="HEAD and close", send=get("Connection: CLOSE", method="HEAD"), fast=1, closes=True),
    Case(name="connection: keep-alive", send=get(HOST, "connection:   Keep-Alive"), fast=1),
    Case(name="close and keep-alive", send=get("Connection: close", "Connection: keep-alive"), fast=1, closes=True),
    Case(name="keep-alive and close", send=get("Connection: keep-alive", "Connection: close"), fast=1, closes=True),
    Case(name="a long user agent", send=get("User-Agent: " + "a" * 300), fast=1),
    Case(name="blanks around a user agent", send=get("User-Agent:   a b  "), fast=1),
    Case(name="an empty user agent", send=get("User-Agent:"), fast=1),
    Case(name="two user agents", send=get("User-Agent: one", "user-agent: two"), fast=1),
    Case(name="a proxy's header", send=get("X-Forwarded-For: 6.6.6.6, 203.0.113.7:5123, 127.0.0.9"), fast=1),
    Case(name="a proxy's header that is rubbish", send=get("X-FORWARDED-FOR: rubbish"), fast=1),
    Case(name="an empty header of a proxy", send=get("X-Forwarded-For:"), fast=1),
    Case(name="names that look like others", send=get("Connections: close", "X-Content-Length: 9", "Expec: t"), fast=1),
    Case(name="all that a name may consist of", send=get("!#$%&'*+-.^_`|~09azAZ: x"), fast=1),
    Case(name="three in a row", send=PING * 3, answers=("200 OK",) * 3, fast=3),
    Case(name="nothing behind a close", send=get("Connection: close") + PING * 2, fast=1, closes=True),
    Case(name="a head of 16 kB", send=long(HEAD_MAX), fast=1),
    # What Redis knows better than the cache.
    Case(name="paused since", send=PING, fast=1, state="paused"),
    Case(name="gone since", send=PING, answers=("404 Not Found",), fast=1, state="gone"),
    Case(name="gone since, HEAD", send=get(method="HEAD"), answers=("404 Not Found",), fast=1, state="gone"),
    Case(name="gone since, twice", send=PING * 2, answers=("404 Not Found",) * 2, fast=1, state="gone"),
    Case(name="corrupt since", send=PING, answers=("503 Service Unavailable",), fast=1, state="corrupt"),
    # What the cache does not know as up.
    Case(name="pending, and up by it", send=PING * 2, answers=("200 OK",) * 2, fast=1, state="pending"),
    Case(name="down, and up by it", send=PING * 2, answers=("200 OK",) * 2, fast=1, state="down"),
    Case(name="another secret", send=PING, answers=("404 Not Found",), state="forged"),
    Case(name="no heartbeat", send=PING, answers=("404 Not Found",), state="unknown"),
    Case(name="no token", send=get(path="/ping/" + "-" * 36), answers=("404 Not Found",)),
    # Members of a fleet.
    Case(name="a member", send=get(HOST, path="/ping/MEMBER"), fast=1, state="fleet"),
    Case(name="a member, HEAD", send=get(path="/ping/MEMBER", method="HEAD"), fast=1, state="fleet"),
    Case(
        name="a member, POST", send=post("Connection: close", path="/ping/MEMBER"), fast=1, state="fleet", closes=True
    ),
    Case(name="a silent member", send=get(path="/ping/MEMBER"), fast=1, state="silent"),
    Case(name="one too many", send=get(path="/ping/PINGKEY/2"), answers=("403 Forbidden",), fast=1, state="fleet"),
    Case(
        name="a fleet that is gone", send=get(path="/ping/MEMBER"), answers=("404 Not Found",), fast=1, state="no fleet"
    ),
    Case(
        name="a fleet that is gone, twice",
        send=get(path="/ping/MEMBER") * 2,
        answers=("404 Not Found",) * 2,
        fast=1,
        state="no fleet",
    ),
    Case(name="the key of yesterday", send=get(path="/ping/MEMBER"), answers=("404 Not Found",), state="rotated"),
    Case(name="a member's failure", send=get(path="/ping/MEMBER/fail"), state="fleet"),
    Case(
        name="a member with a run id", send=get(path="/ping/MEMBER?rid=1"), answers=("400 Bad Request",), state="fleet"
    ),
    Case(name="a member in capitals", send=get(path="/ping/PINGKEY/A"), answers=("400 Bad Request",), state="fleet"),
    Case(
        name="a slug of a character too many", send=get(path="/ping/PINGKEY/" + "a" * 101), answers=("404 Not Found",)
    ),
    Case(name="no ping key", send=get(path="/ping/none/srv-1"), answers=("404 Not Found",)),
    # Other ways to say it.
    Case(name="absolute form", send=get(HOST, path="http://x/ping/TOKEN")),
    Case(name="absolute form of another", send=get(HOST, path="http://y:1/ping/TOKEN?a=b")),
    Case(name="a query", send=get(path="/ping/TOKEN?a=b")),
    Case(name="an empty query", send=get(path="/ping/TOKEN?")),
    Case(name="a run id", send=get(path="/ping/TOKEN?rid=00000000-0000-4000-8000-000000000000")),
    Case(name="a bad run id", send=get(path="/ping/TOKEN?rid=1"), answers=("400 Bad Request",)),
    Case(name="a fragment", send=get(path="/ping/TOKEN#a")),
    Case(name="a slash behind", send=get(path="/ping/TOKEN/")),
    Case(name="two slashes before", send=get(path="//ping//TOKEN")),
    Case(name="without ping", send=get(path="/TOKEN")),
    Case(name="a start", send=get(path="/ping/TOKEN/start")),
    Case(name="a failure", send=post(path="/ping/TOKEN/fail", body=b"")),
    Case(name="an exit status out of range", send=get(path="/ping/TOKEN/256"), answers=("400 Bad Request",)),
    Case(name="upper case", send=get(path="/ping/UPPER")),
    Case(name="no dashes", send=get(path="/ping/DASHLESS")),
    Case(name="%2D", send=get(path="/ping/PERCENT")),
    Case(name="a path that is not ASCII", send=get(path="/ping/\xe9"), answers=CLOSED, closes=True),
    Case(name="OPTIONS", send=get(method="OPTIONS"), answers=("204 No Content",)),
    Case(name="PUT", send=get(method="PUT"), answers=("405 Method Not Allowed",)),
    Case(name="another page", send=get(path="/healthz")),
    # Bodies.
    Case(name="a body", send=post("Content-Length: 5", body=b"hello")),
    Case(name="a body and a ping", send=post("Content-Length: 5", body=b"hello") + PING, answers=("200 OK",) * 2),
    Case(name="a body in two", send=(post("Content-Length: 5", body=b"he"), b"llo")),
    Case(name="a body that looks like a ping", send=(post(f"Content-Length: {len(PING) + 31}"), PING)),
    Case(name="a GET with a body", send=get("Content-Length: 5", body=b"hello")),
    Case(name="an empty body, written otherwise", send=post("Content-Length: 00")),
    Case(name="chunks", send=post(CHUNKED, body=CHUNKS)),
    Case(name="chunks and a ping", send=post(CHUNKED, body=CHUNKS) + PING, answers=("200 OK",) * 2),
    Case(name="no chunk", send=post(CHUNKED, body=b"0\r\n\r\n")),
    Case(name="a trailer", send=post(CHUNKED, body=b"1\r\nx\r\n0\r\nUser-Agent: x\r\n\r\n")),
    Case(
        name="expect, and the body after it",
        send=(post("Expect: 100-continue", "Content-Length: 5"), b"hello"),
        answers=("100 Continue", "200 OK"),
    ),
    Case(name="expect without a body", send=get("Expect: 100-continue")),
    Case(name="line breaks before it", send=b"\r\n\r\n" + PING, fast=1),
    Case(name="a line break before it", send=b"\r\n" + PING),
    Case(
        name="line breaks behind a body", send=post("Content-Length: 1", body=b"x\r\n") + PING, answers=("200 OK",) * 2
    ),
    # Other versions.
    Case(name="HTTP/1.0", send=get(HOST, version="1.0"), closes=True),
    Case(name="HTTP/1.0 without a host", send=get(version="1.0"), closes=True),
    Case(name="HTTP/1.0 and keep-alive", send=get("Connection: keep-alive", version="1.0"), closes=True),
    Case(name="HTTP/1.2", send=get(version="1.2"), answers=CLOSED, closes=True),
    Case(name="no version", send=b"GET /ping/TOKEN\r\n\r\n", closes=True),
    # Headers that mean something, or could.
    Case(name="two headers of proxies", send=get("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.7")),
    Case(name="a tab in a header", send=get("User-Agent: a\tb")),
    Case(name="a user agent that is not ASCII", send=b"GET /ping/TOKEN HTTP/1.1\r\nUser-Agent: \xe9\r\n\r\n"),
    Case(name="another connection option", send=get("Connection: keep-alive, x")),
    Case(name="close among others", send=get("Connection: x, close"), closes=True),
    Case(name="proxy-connection", send=get("Proxy-Connection: close"), closes=True),
    Case(name="a web socket", send=get("Connection: Upgrade", "Upgrade: websocket")),
    Case(name="h2c, as curl asks", send=get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")),
    Case(
        name="h2c and a ping", send=get("Connection: Upgrade", "Upgrade: h2c") + PING, answers=("200 OK",) * 2, fast=1
    ),
    Case(name="an upgrade without the option", send=get("Upgrade: websocket")),
    # What is refused.
    Case(name="both lengths", send=post("Content-Length: 5", CHUNKED, body=CHUNKS), answers=CLOSED, closes=True),
    Case(name="both lengths, turned", send=post(CHUNKED, "Content-Length: 0"), answers=CLOSED, closes=True),
    Case(name="two lengths", send=get("Content-Length: 0", "Content-Length: 0"), answers=CLOSED, closes=True),
    Case(name="a length that is none", send=get("Content-Length: +0"), answers=CLOSED, closes=True),
    Case(name="an empty length", send=get("Content-Length:"), answers=CLOSED, closes=True),
    Case(name="a coding that is none", send=post("Transfer-Encoding: identity"), answers=CLOSED, closes=True),
    Case(name="a bare line feed", send=b"GET /ping/TOKEN HTTP/1.1\nHost: x\n\n", answers=CLOSED, closes=True),
    Case(name="a folded header", send=get("X: y", " z"), answers=CLOSED, closes=True),
    Case(name="a blank before a colon", send=get("X : y"), answers=CLOSED, closes=True),
    Case(name="a header without a colon", send=get("X"), answers=CLOSED, closes=True),
    Case(name="a header without a name", send=get(": x"), answers=CLOSED, closes=True),
    Case(name="a control character", send=get("X: \x01"), answers=CLOSED, closes=True),
    Case(name="a bad name", send=get("X(y): z"), answers=CLOSED, closes=True),
    Case(name="two blanks", send=b"GET  /ping/TOKEN HTTP/1.1\r\n\r\n"),
    Case(name="an unknown method", send=get(method="PING"), answers=CLOSED, closes=True),
    Case(name="rubbish", send=b"\0\r\n\r\n", answers=CLOSED, closes=True),
    Case(
        name="a head too long", send=long(HEAD_MAX + 1), answers=("431 Request Header Fields Too Large",), closes=True
    ),
    # Slow and fast in turns.
    Case(
        name="the order of the answers",
        send=PING + get(path="/ping/TOKEN/log") + PING + get(path="/none") + PING + get(path="/ping/TOKEN/256") + PING,
        answers=("200 OK", "200 OK", "200 OK", "404 Not Found", "200 OK", "400 Bad Request", "200 OK"),
        fast=4,
    ),
    Case(
        name="one after the other",
        send=(PING, post("Content-Length: 1", body=b"x"), PING, PING + b"GET /pi", PING[7:], PING),
        answers=("200 OK",) * 6,
        fast=4,
    ),
)

#: Closes what stays open.
LAST: Final = get("Connection: close", path="/healthz")


@asynccontextmanager
async def connected(lane: Lane) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", lane.port)
    lane.read[writer.get_extra_info("sockname")] = 0  # an earlier one may have had the same port
    try:
        async with asyncio.timeout(60):
            yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def talk(lane: Lane, case: Case, place: Callable[[bytes], bytes]) -> bytes:
    """Everything that is answered, until the server hangs up. `place` puts the token in."""
    said, sent = b"", 0
    pieces = (case.send,) if isinstance(case.send, bytes) else case.send
    async with connected(lane) as (reader, writer):
        me = writer.get_extra_info("sockname")

        async def has_read() -> bool:
            return lane.read[me] >= sent

        for piece in map(place, pieces):
            writer.write(piece)
            sent += len(piece)
            await eventually(has_read)
        if not case.closes:
            while said.count(b"HTTP/1.1 ") < len(case.answers):
                more = await reader.read(65_536)
                assert more, said
                said += more
            writer.write(LAST)
        return said + await reader.read()
