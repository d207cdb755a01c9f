"""What a client may send, how long it may take, and in which order it is answered; on both event loops."""

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from runtime.http import HEAD_MAX, PIECE, Protocol, Wire
from runtime.serve import _Server, serve
from tests.conftest import eventually

QUICK = {"receive_s": 0.3, "idle_s": 0.3}  # as short as uvicorn's tick lets them be told apart


class Recorder(asyncio.Transport):
    """Keeps every write by itself."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5)})
        self.writes: list[bytes] = []
        self.closed = False
        self.reads = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


async def test_what_one_turn_of_the_loop_writes_leaves_as_one() -> None:
    inner = Recorder()
    wire = Wire(inner, asyncio.get_running_loop())
    wire.write(b"head")
    wire.write(b"body")
    assert inner.writes == []
    await asyncio.sleep(0)
    assert inner.writes == [b"headbody"]

    wire.write(b"next")
    await asyncio.sleep(0)

    assert inner.writes == [b"headbody", b"next"]


async def test_a_whole_answer_leaves_at_once_but_never_before_what_waits() -> None:
    inner = Recorder()
    wire = Wire(inner, asyncio.get_running_loop())
    wire.write_whole(b"one")
    assert inner.writes == [b"one"]

    wire.write(b"two, ")
    wire.write_whole(b"three")
    await asyncio.sleep(0)

    assert inner.writes == [b"one", b"two, three"]


async def test_closing_sends_what_was_written_and_nothing_after() -> None:
    inner = Recorder()
    wire = Wire(inner, asyncio.get_running_loop())
    wire.write(b"last")
    wire.close()
    wire.write(b"too late")
    await asyncio.sleep(0)

    assert inner.writes == [b"last"]
    assert inner.closed


async def test_everything_else_is_the_transports_own() -> None:
    wire = Wire(Recorder(), asyncio.get_running_loop())

    assert wire.get_extra_info("peername") == ("127.0.0.1", 5)
    assert wire.is_closing() is False


async def test_reading_goes_on_when_nobody_wants_it_to_rest() -> None:
    inner = Recorder()
    wire = Wire(inner, asyncio.get_running_loop())

    wire.hold()
    wire.pause_reading()
    wire.resume_reading()
    assert not inner.reads
    wire.pause_reading()
    wire.release()
    assert not inner.reads
    wire.resume_reading()
    assert inner.reads


class Site:
    """A served application that does what the path says, and what it heard of its requests."""

    def __init__(self) -> None:
        self.port = 0
        self.heard: list[str] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.release = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.connections: list[Protocol] = []

    def protocol(self, **uvicorns: Any) -> Protocol:
        self.connections.append(Protocol(**uvicorns))
        return self.connections[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        path = scope["path"]
        self.heard.append(path)
        self.headers.append(scope["headers"])
        if path in {"/slow", "/late"}:
            await self.release.wait()
        if path == "/hang":
            time.sleep(3 * QUICK["receive_s"])  # noqa: ASYNC251 - the whole process stands still
        if path == "/early":
            await _say(send, b"early")
            return
        text = path.encode()
        if path in {"/read", "/late"}:
            text = await self._read(receive)
        if path == "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while path in self.heard:
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
                await asyncio.sleep(0)
        await _say(send, text)

    async def _read(self, receive: Receive) -> bytes:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.heard.append("gone")
                return b""
            body += message["body"]
            if not message["more_body"]:
                return b"%d" % len(body)


async def _lifespan(receive: Receive, send: Send) -> None:
    for said in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{said}.complete"})


async def _say(send: Send, text: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


NewSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def new_site() -> AsyncIterator[NewSite]:
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Site:
            site, port = Site(), asyncio.get_running_loop().create_future()
            options = {"drain_s": 5, **options}
            site.task = asyncio.create_task(
                serve(site, host="127.0.0.1", port=0, ready=port.set_result, http=site.protocol, **options)
            )
            stack.push_async_callback(_stop, site)
            async with asyncio.timeout(10):
                site.port = await port
            return site

        yield make


async def _stop(site: Site) -> None:
    assert site.task
    site.release.set()
    site.task.cancel()
    with suppress(asyncio.CancelledError):
        await site.task


async def connected(site: Site) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", site.port))
    return client


class Client:
    """One connection; everything it waits for is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> bytes:
        """The body of the next answer, or its first line if that is not 200."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await self.reader.readexactly(length)
        return body if head.startswith(b"HTTP/1.1 200 ") else head.partition(b"\r\n")[0]

    async def rest(self) -> bytes:
        """Everything until the end of the connection."""
        async with asyncio.timeout(10):
            return await self.reader.read()


Connect = Callable[[Site], Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    writers: list[asyncio.StreamWriter] = []

    async def make(site: Site) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=2**20)
        writers.append(writer)
        return Client(reader, writer)

    yield make
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def post(path: str, *headers: str) -> bytes:
    return get(path, *headers).replace(b"GET", b"POST", 1)


# How long a client may take.


@pytest.mark.parametrize("piece", [b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\nGET / HTTP/1.1\r\nX: " + b"x" * 9_000])
async def test_a_head_that_does_not_end_is_answered_408(new_site: NewSite, connect: Connect, piece: bytes) -> None:
    client = await connect(await new_site(**QUICK))
    await client.send(piece)

    said = await client.rest()

    assert said.startswith(b"HTTP/1.1 408 Request Timeout\r\ndate: ")
    assert said.endswith(b"\r\nconnection: close\r\n\r\nrequest too slow")


async def test_a_head_that_drips_gains_no_time_by_it(new_site: NewSite) -> None:
    site, loop = await new_site(**QUICK), asyncio.get_running_loop()
    with await connected(site) as client:

        async def drip() -> None:
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\n")
            while True:
                await loop.sock_sendall(client, b"X: y\r\n")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(10):
            said = await loop.sock_recv(client, 1_000)
        dripping.cancel()
        await asyncio.wait({dripping})

    assert said.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_end_is_answered_408_and_the_application_hears_it(
    new_site: NewSite, connect: Connect, framing: str
) -> None:
    site = await new_site(**QUICK)
    client = await connect(site)
    await client.send(post("/read", framing) + b"5\r\nhello")

    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    async def is_told() -> bool:
        return site.heard == ["/read", "gone"]

    await eventually(is_told)


async def test_who_has_an_answer_before_the_body_ends_gets_no_second_one(new_site: NewSite, connect: Connect) -> None:
    client = await connect(await new_site(**QUICK))
    await client.send(post("/early", "Content-Length: 100"))

    assert await client.answer() == b"early"
    assert await client.rest() == b""


async def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(
    new_site: NewSite, connect: Connect
) -> None:
    site = await new_site(receive_s=0.3, idle_s=60)

    assert await (await connect(site)).rest() == b""
    blank = await connect(site)
    await blank.send(b"\r\n\r\n")
    assert await blank.rest() == b""


async def test_an_idle_connection_is_closed_later_than_a_slow_one(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(receive_s=0.3, idle_s=1.5)
    idle, slow = await connect(site), await connect(site)
    await idle.send(get("/"))
    assert await idle.answer() == b"/"
    await slow.send(b"GET")
    await slow.rest()
    await idle.send(get("/again"))  # would fail if it were closed by now
    assert await idle.answer() == b"/again"

    assert await idle.rest() == b""


async def turns() -> None:
    """So that the server reads what was sent before more is; that it does is not what is tested."""
    for _ in range(20):
        await asyncio.sleep(0)


async def looked_at(connection: Protocol, times: int = 1) -> None:
    """So many times from now on."""
    for _ in range(times):
        before = connection._looks

        async def is_so(before: int = before) -> bool:
            return connection._looks != before

        await eventually(is_so)


async def test_time_between_requests_is_not_held_against_the_next(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(receive_s=0.3, idle_s=60)
    client = await connect(site)
    await client.send(get("/1"))
    assert await client.answer() == b"/1"
    await looked_at(site.connections[0], 5)
    await client.send(get("/2")[:-1])

    async def is_read() -> bool:
        return site.connections[0].part == "head"

    await eventually(is_read)
    await looked_at(site.connections[0])
    await client.send(b"\n")

    assert await client.answer() == b"/2"


async def test_time_for_a_request_is_not_held_against_the_pause_behind_it(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(receive_s=1, idle_s=0.3)
    client = await connect(site)
    await client.send(get("/1")[:-1])
    await looked_at(site.connections[0], 4)
    await client.send(b"\n")
    assert await client.answer() == b"/1"
    await looked_at(site.connections[0])
    await client.send(get("/2"))

    assert await client.answer() == b"/2"


async def test_an_answer_may_take_as_long_as_it_likes(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(**QUICK)
    client, other = await connect(site), await connect(site)
    await client.send(get("/slow"))
    await other.send(b"GET")
    await other.rest()  # its time was over, so that of a request would be, too
    site.release.set()

    assert await client.answer() == b"/slow"


async def test_a_body_that_we_do_not_read_takes_none_of_its_senders_time(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(**QUICK)
    client, other = await connect(site), await connect(site)
    client.writer.write(post("/late", "Content-Length: 4000000") + b"x" * 4_000_000)
    await other.send(b"GET")
    await other.rest()
    site.release.set()

    assert await client.answer() == b"4000000"


async def test_a_while_in_which_we_hang_ourselves_is_held_against_nobody(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(**QUICK)
    client, hanging = await connect(site), await connect(site)
    await client.send(get("/")[:-1])
    await hanging.send(get("/hang"))
    assert await hanging.answer() == b"/hang"
    await client.send(b"\n")

    assert await client.answer() == b"/"


async def test_who_takes_nothing_of_a_long_answer_is_cut_off(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(**QUICK)
    client = await connect(site)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    await client.send(get("/endless"))

    async def is_gone() -> bool:
        return bool(site.heard) and not site.connections[0].connections

    await eventually(is_gone)
    site.heard.clear()


# How much it may send.


def head_of(size: int) -> bytes:
    head = get("/", "X: ")
    return head.replace(b"X: ", b"X: " + b"x" * (size - len(head)))


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_head_may_be_16_kb_long_and_not_a_byte_longer(
    new_site: NewSite, connect: Connect, *, at_once: bool
) -> None:
    site = await new_site()
    client = await connect(site)
    for size in (HEAD_MAX, HEAD_MAX + 1):
        head = head_of(size)
        assert len(head) == size
        for piece in [head] if at_once else [head[:5_000], head[5_000:]]:
            await client.send(piece)
            await turns()
        if size == HEAD_MAX:
            assert await client.answer() == b"/"

    said = await client.rest()
    assert said.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nconnection: close\r\n" in said


async def test_the_end_of_a_body_does_not_count_for_the_head_behind_it(new_site: NewSite, connect: Connect) -> None:
    client = await connect(await new_site())
    await client.send(post("/read", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
    await turns()
    await client.send(b"0\r\n\r\n" + head_of(HEAD_MAX))

    assert [await client.answer() for _ in range(2)] == [b"5", b"/"]


async def test_line_breaks_before_a_request_are_no_head(new_site: NewSite, connect: Connect) -> None:
    client = await connect(await new_site())
    await client.send(b"\r\n" * HEAD_MAX + get("/"))

    assert await client.answer() == b"/"


async def test_what_follows_a_head_that_came_in_two_does_not_count(new_site: NewSite, connect: Connect) -> None:
    site = await new_site()
    client = await connect(site)
    head = post("/read", "X: " + "x" * 10_000, "Content-Length: 100000")
    await client.send(head[:-1])
    await turns()
    await client.send(head[-1:] + b"x" * 100_000)

    assert await client.answer() == b"100000"


@pytest.mark.parametrize("trailer", [b"X: " + b"x" * 100_000, b"X: y\r\n" * 20_000])
async def test_trailers_are_no_way_around_the_limit(new_site: NewSite, connect: Connect, trailer: bytes) -> None:
    client = await connect(await new_site())
    await client.send(post("/read", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n" + trailer)

    assert (await client.rest()).startswith(b"HTTP/1.1 431 ")


async def test_trailers_are_no_headers(new_site: NewSite, connect: Connect) -> None:
    site = await new_site()
    client = await connect(site)
    await client.send(post("/read", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX-Real-IP: 1.2.3.4\r\n\r\n")

    assert await client.answer() == b"5"
    assert dict(site.headers[0]) == {b"host": b"x", b"transfer-encoding": b"chunked"}


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: identity"],
        ["X : y"],
        ["X: y\r\n z"],
        ["X: y\0z"],
        ["X"],
    ],
)
async def test_what_two_could_read_differently_is_refused(
    new_site: NewSite, connect: Connect, headers: list[str]
) -> None:
    site = await new_site()
    client = await connect(site)
    await client.send(post("/read", *headers) + b"5\r\nhello\r\n0\r\n\r\n")

    said = await client.rest()

    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.count(b"HTTP/1.1") == 1
    assert b"\r\nconnection: close\r\n" in said


# In which order it is answered.


async def test_rubbish_behind_a_request_does_not_cost_it_its_answer(new_site: NewSite, connect: Connect) -> None:
    site = await new_site()
    for request in (get("/slow"), post("/slow", "Content-Length: 5") + b"hello"):
        site.release.clear()
        client = await connect(site)
        await client.send(request + b"\0rubbish\r\n\r\n")

        async def is_heard(client: Client = client) -> bool:
            return "/slow" in site.heard

        await eventually(is_heard)
        site.heard.clear()
        site.release.set()
        assert await client.answer() == b"/slow"
        assert (await client.rest()).partition(b"\r\n")[0] in {b"", b"HTTP/1.1 400 Bad Request"}


async def test_nothing_is_begun_before_what_came_before_it_is_answered(new_site: NewSite, connect: Connect) -> None:
    site = await new_site()
    client = await connect(site)
    await client.send(get("/slow") + get("/2") + post("/read", "Content-Length: 3") + b"abc" + get("/4"))

    async def has_begun() -> bool:
        return bool(site.heard)

    await eventually(has_begun)
    assert site.heard == ["/slow"]
    site.release.set()

    assert [await client.answer() for _ in range(4)] == [b"/slow", b"/2", b"3", b"/4"]
    assert site.heard == ["/slow", "/2", "/read", "/4"]


async def test_what_follows_a_request_for_an_upgrade_is_answered_too(new_site: NewSite, connect: Connect) -> None:
    client = await connect(await new_site())
    await client.send(get("/1", "Connection: Upgrade", "Upgrade: h2c") + get("/2"))

    assert [await client.answer() for _ in range(2)] == [b"/1", b"/2"]


async def test_who_sends_faster_than_he_is_answered_is_not_read(new_site: NewSite, connect: Connect) -> None:
    """Bodies, because each makes uvicorn resume reading; no host, because the smallest requests would cost most."""
    site = await new_site()
    client = await connect(site)
    request, count = b"POST /read HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 20_000
    client.writer.write(get("/slow") + request * count)

    async def has_begun() -> bool:
        return bool(site.heard)

    await eventually(has_begun)
    site.release.set()
    assert await client.answer() == b"/slow"
    most_kept = most_parsed = 0
    for number in range(count):
        assert await client.answer() == b"1"
        if number % 1_000 == 0:
            most_kept = max(most_kept, len(site.connections[0]._kept))
            most_parsed = max(most_parsed, len(site.connections[0].pipeline))

    assert most_kept < 600_000  # a read or two
    assert most_parsed <= PIECE // len(request) + 1


@pytest.mark.parametrize("request_", [get("/slow"), post("/slow", "Content-Length: 3") + b"abc"])
async def test_who_has_said_all_he_will_is_still_answered(new_site: NewSite, connect: Connect, request_: bytes) -> None:
    site = await new_site()
    client = await connect(site)
    await client.send(get("/1") + request_ + get("/3"))
    client.writer.write_eof()
    assert await client.answer() == b"/1"
    site.release.set()

    assert await client.answer() == b"/slow"
    assert await client.answer() == b"/3"
    assert await client.rest() == b""


@pytest.mark.parametrize("piece", [b"", b"GET / HT", post("/read", "Content-Length: 5") + b"abc"])
async def test_who_stops_in_the_middle_is_let_go(new_site: NewSite, connect: Connect, piece: bytes) -> None:
    client = await connect(await new_site())
    await client.send(piece)
    client.writer.write_eof()

    assert await client.rest() == b""


# When we stop.


async def test_what_was_asked_is_answered_before_we_stop(new_site: NewSite, connect: Connect) -> None:
    site = await new_site()
    client, idle, half = await connect(site), await connect(site), await connect(site)
    await idle.send(get("/"))
    assert await idle.answer() == b"/"
    await half.send(post("/read", "Content-Length: 5") + b"abc")
    await client.send(get("/slow") + get("/2") + get("/3"))

    async def have_begun() -> bool:
        return len(site.heard) == 3

    await eventually(have_begun)
    assert site.task
    site.task.cancel()
    assert await idle.rest() == b""
    await half.send(b"de")
    assert (await half.rest()).endswith(b"connection: close\r\n\r\n5")
    site.release.set()

    assert [await client.answer() for _ in range(2)] == [b"/slow", b"/2"]
    assert (await client.rest()).endswith(b"connection: close\r\n\r\n/3")


async def test_half_a_request_holds_up_nobody_who_stops(new_site: NewSite, connect: Connect) -> None:
    site = await new_site(drain_s=60)
    client, half = await connect(site), await connect(site)
    await half.send(b"GET /half")
    await client.send(get("/slow") + b"GET /half")

    async def has_begun() -> bool:
        return bool(site.heard)

    await eventually(has_begun)
    assert site.task
    site.task.cancel()
    assert await half.rest() == b""
    site.release.set()

    assert await client.answer() == b"/slow"
    assert await client.rest() == b""


@pytest.mark.parametrize("place", ["on a connection that was idle", "on one that the kernel took for us"])
async def test_what_has_arrived_unread_when_we_stop_is_answered(
    new_site: NewSite, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    site = await new_site()
    idle = place == "on a connection that was idle"
    stops: Any = uvicorn.Server if idle else _Server
    stop = stops.shutdown
    with socket.socket() as client:

        async def send_and_stop(self: _Server, sockets: list[socket.socket] | None = None) -> None:
            client.setblocking(True)
            if not idle:
                client.connect(("127.0.0.1", site.port))
            client.send(get("/last"))
            await stop(self, sockets)

        monkeypatch.setattr(stops, "shutdown", send_and_stop)
        if idle:
            loop = asyncio.get_running_loop()
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", site.port))
            await loop.sock_sendall(client, get("/first"))
            assert (await loop.sock_recv(client, 1_000)).endswith(b"/first")
        await _stop(site)
        client.settimeout(10)
        said = b"".join(iter(lambda: client.recv(1_000), b""))

    assert said.startswith(b"HTTP/1.1 200 OK")
    assert said.endswith(b"/last")
    assert (b"\r\nconnection: close\r\n" in said) is idle


async def test_a_connection_leaves_nothing_behind(new_site: NewSite) -> None:
    site = await new_site()

    def alive() -> int:
        gc.collect()
        kinds = (Protocol, Wire, FlowControl, RequestResponseCycle)
        return sum(isinstance(thing, kinds) for thing in gc.get_objects())

    before = alive()
    half = post("/read", "Content-Length: 9")
    for request in (get("/1"), get("/1") * 3, get("/1")[:9], half, half + get("/2"), b"\0", get("/slow") * 9):
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(request)
        await writer.drain()
        writer.close()
    site.release.set()

    async def is_gone() -> bool:
        site.connections.clear()
        return alive() == before

    await eventually(is_gone)


# What we rely on.


def test_uvicorn_is_as_we_know_it() -> None:
    """It is pinned below 1. One that fails here asks for a look at runtime/http.py, serve.py and ingest/fast.py."""

    def attributes(kind: Any) -> set[str]:
        return set(kind.__init__.__code__.co_names)

    assert STATUS_LINE[431] == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    assert {"on_tick", "startup", "shutdown", "serve", "capture_signals"} <= set(vars(uvicorn.Server))
    assert {"connections", "default_headers", "total_requests"} <= attributes(ServerState)
    kept = {"client", "cycle", "flow", "headers", "loop", "pipeline", "server_state", "transport"}
    assert kept <= attributes(HttpToolsProtocol)
    hooks = {
        "connection_made", "data_received", "eof_received", "pause_writing", "shutdown",
        "on_message_begin", "on_headers_complete", "on_body", "on_message_complete", "on_response_complete",
        "send_400_response", "_start_asgi_task",
    }  # fmt: skip
    assert hooks <= set(vars(HttpToolsProtocol))
    assert {"read_paused", "write_paused"} <= attributes(FlowControl)
    cycle = {"disconnected", "keep_alive", "message_event", "more_body", "response_complete", "response_started"}
    assert cycle <= attributes(RequestResponseCycle)
