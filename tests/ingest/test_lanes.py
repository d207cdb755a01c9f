"""Nobody can tell the fast lane from the other: the same bytes come back, the same is counted, the same is logged."""

import asyncio
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_network
from typing import Any, Final

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest.cache
import ingest.node
import runtime.serve
from ingest.fast import PLAIN
from ingest.sender import read_headers
from rules.tokens import id_of, new_token
from runtime.http import HEAD_MAX
from runtime.listen import listen
from store import fleets, heartbeats
from store.database import Database, opened
from store.fleets import FleetSettings
from store.records import Settings
from tests.conftest import Sockets, clean, eventually
from tests.ingest.lanes import CASES, PING, Case, Lane, connected, get, lane, post, talk
from tests.servers import Server, binaries, running

DATE: Final = re.compile(rb"(?<=\r\ndate: )[^\r]+")
COUNTED: Final = re.compile(rb'flatline_pings_total\{result="(\w+)"\} (\S+)')
UP: Final = Settings(name="job", period=60, grace=30)

FAST: Final = pytest.mark.parametrize("fast", [False, True], ids=["slow", "fast"])

Lanes = tuple[Lane, Lane]


@pytest.fixture(scope="module")
def lanes(sockets: Sockets) -> Iterator[Lanes]:
    """The slow one and the fast one, on one database."""
    url, proxies = clean(sockets.url("valkey-9")), (ip_network("127.0.0.0/8"),)
    with (
        pytest.MonkeyPatch.context() as patched,
        lane(url, fast=False, trusted_proxies=proxies) as slow,
        lane(url, fast=True, trusted_proxies=proxies) as fast,
    ):
        patched.setattr(ingest.cache, "READ_EVERY_S", 0.01)
        yield slow, fast


@pytest.fixture
async def db(lanes: Lanes, sockets: Sockets) -> AsyncIterator[Database]:
    async with opened(sockets.url("valkey-9")) as database:
        yield database


async def in_state(db: Database, at: Lane, state: str) -> str:
    """The token of a new heartbeat that is in this state, and for all that the node knows, up if it ever was; or the
    ping key of a new fleet that has a member and no room for another.
    """
    if state in {"fleet", "silent", "rotated", "no fleet"}:
        return await _fleet(db, at, state)
    token = new_token()
    if state == "unknown":
        return token
    await heartbeats.create(db, UP, token=token)
    await _forgotten(at)
    heartbeat, shard = id_of(token), db.shard(id_of(token))
    if state == "pending":
        return token
    for path in [f"/ping/{token}", *([f"/ping/{token}/fail"] if state == "down" else [])]:
        await answered(at, get("Connection: close", path=path))
    if state == "paused":
        await heartbeats.pause(db, heartbeat)
    elif state == "gone":
        await db.execute("DEL", shard.heartbeat(heartbeat))
        await db.execute("ZREM", shard.deadlines, heartbeat)
    elif state == "corrupt":
        await db.execute("HSET", shard.heartbeat(heartbeat), "period", "x")
        await db.execute("ZADD", shard.deadlines, "inf", heartbeat)
    elif state == "forged":
        return token[:-1] + ("0" if token[-1] != "0" else "1")
    return token


async def _fleet(db: Database, at: Lane, state: str) -> str:
    fleet = await fleets.create(db, FleetSettings(name="fleet", cap=1))
    await _forgotten(at)
    for end in ("", "/fail") if state == "silent" else ("",):
        await answered(at, get("Connection: close", path=f"/ping/{fleet.ping_key}/srv-1{end}"))
    if state == "rotated":
        now = await fleets.rotate(db, fleet.id)
        await _forgotten(at)
        await answered(at, get("Connection: close", path=f"/ping/{now.ping_key}/srv-1"))
    elif state == "no fleet":
        shard = db.shard(fleet.id)
        await db.execute("DEL", shard.fleet(fleet.id), shard.fleet_deadlines(fleet.id))
    return fleet.ping_key


async def _forgotten(at: Lane) -> None:
    """A new heartbeat is told as a change; what the node learns before it has read of it, it forgets again."""
    created = time.monotonic()

    async def has_read() -> bool:
        return bool(at.node.cache._read_at > created)

    await eventually(has_read)


async def answered(at: Lane, request: bytes) -> bytes:
    async with connected(at) as (reader, writer):
        writer.write(request)
        return await reader.read()


async def counts(at: Lane) -> dict[bytes, float]:
    said = await answered(at, get("Connection: close", path="/metrics"))
    return {result: float(count) for result, count in COUNTED.findall(said)}


async def log_rows(db: Database, token: str) -> list[dict[bytes, bytes]]:
    """But for the times."""
    rows = await db.execute("XRANGE", db.shard(id_of(token)).events(id_of(token)), "-", "+")
    return [{key: value for key, value in fields.items() if key != b"at"} for _, fields in rows]


def placing(token: str) -> Callable[[bytes], bytes]:
    ways = {
        b"UPPER": token.upper(),
        b"DASHLESS": token.replace("-", ""),
        b"PERCENT": token.replace("-", "%2D", 1).replace("-", "%2d", 1),
        b"TOKEN": token,
        b"PINGKEY": token,
        b"MEMBER": f"{token}/srv-1",
    }

    def place(piece: bytes) -> bytes:
        for word, text in ways.items():
            piece = piece.replace(word, text.encode())
        return piece

    return place


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_both_lanes_answer_count_and_log_alike(lanes: Lanes, db: Database, case: Case) -> None:
    said, counted, logged = [], [], []
    for at in lanes:
        token = await in_state(db, at, case.state)
        before, taken = await counts(at), at.taken
        said.append(DATE.sub(b"D", await talk(at, case, placing(token))))
        after = await counts(at)
        counted.append({result: after[result] - before[result] for result in after})
        logged.append(await log_rows(db, token))
        assert at.taken - taken == (case.fast if at.fast else 0)

    assert said[0] == said[1]
    assert counted[0] == counted[1]
    assert logged[0] == logged[1]
    first_lines = [line.decode() for line in re.findall(rb"HTTP/1\.1 (\d+ [^\r]*)\r\n", said[1])]
    assert first_lines == [*case.answers, *([] if case.closes else ["200 OK"])]


async def test_a_ping_in_two_pieces_is_answered_wherever_it_is_cut(lanes: Lanes, db: Database) -> None:
    said = []
    for at in lanes:
        place = placing(await in_state(db, at, "up"))
        whole, taken = place(get("Host: x", "User-Agent: y")), at.taken
        for cut in range(1, len(whole)):
            case = Case(name="cut", send=(whole[:cut], whole[cut:]))
            said.append(DATE.sub(b"D", await talk(at, case, place)))
        assert at.taken == taken

    assert len(set(said)) == 1
    assert said[0].startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_ping_byte_by_byte_is_answered(lanes: Lanes, db: Database) -> None:
    said = []
    for at in lanes:
        place = placing(await in_state(db, at, "up"))
        whole = place(get("Host: x", "Connection: close"))
        pieces = tuple(whole[i : i + 1] for i in range(len(whole)))
        said.append(DATE.sub(b"D", await talk(at, Case(name="bytes", send=pieces, closes=True), place)))

    assert said[0] == said[1]
    assert said[0].startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("request_", [PING, post("Content-Length: 1", body=b"x"), PING * 3], ids=["plain", "body", "3"])
async def test_who_has_said_all_he_will_is_still_answered(lanes: Lanes, db: Database, request_: bytes) -> None:
    for at in lanes:
        place = placing(await in_state(db, at, "up"))
        async with connected(at) as (reader, writer):
            writer.write(place(request_))
            writer.write_eof()
            said = await reader.read()

        assert said.count(b"HTTP/1.1 200 OK\r\n") == request_.count(b"HTTP/1.1")


@FAST
async def test_who_reads_nothing_is_not_read_and_misses_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, *, fast: bool
) -> None:
    def with_small_buffers(*address: Any) -> list[socket.socket]:
        listening = listen(*address)
        for each in listening:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)  # inherited by what it accepts
        return listening

    monkeypatch.setattr(runtime.serve, "listen", with_small_buffers)
    count = 4_000
    async with opened(redis_url) as db:
        with lane(redis_url, fast=fast) as at:
            place = placing(await in_state(db, at, "up"))
            async with connected(at) as (reader, writer):
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
                writer.write(place(PING) * (count - 1) + place(get("Connection: close")))
                me = writer.get_extra_info("sockname")

                async def is_full() -> bool:
                    return me in at.connections and at.connections[me].flow.write_paused

                await eventually(is_full, within_s=60)
                full = at.connections[me]

                async def is_still() -> bool:
                    """Nothing of it moves while others are answered."""
                    before = full.transport.get_write_buffer_size(), len(full._kept), at.read[me]
                    for _ in range(20):
                        assert (await answered(at, place(get("Connection: close")))).startswith(b"HTTP/1.1 200 OK")
                    return before == (full.transport.get_write_buffer_size(), len(full._kept), at.read[me])

                await eventually(is_still, within_s=60)
                assert len(full._kept) < 600_000  # a read or two
                assert full.transport.get_write_buffer_size() < 200_000
                writer.transport.resume_reading()  # type: ignore[attr-defined]
                said = await reader.read()

    assert said.count(b"HTTP/1.1 200 OK\r\n") == count


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A Redis that a test may stop."""
    async with running(binaries()["valkey-9"], "--appendonly", "no") as started:
        yield started


async def _has_read(at: Lane, before: int, request: bytes) -> None:
    """Until the node has read so much more than before."""

    async def has() -> bool:
        return at.read.total() - before >= len(request)

    await eventually(has)


@FAST
async def test_what_was_asked_before_a_node_stops_is_answered(server: Server, *, fast: bool) -> None:
    async with opened(server.url) as db:
        with lane(server.url, fast=fast, options={"drain_s": 10}) as at:
            place = placing(await in_state(db, at, "up"))
            assert server.process
            server.process.send_signal(signal.SIGSTOP)
            before = at.read.total()
            asked = [asyncio.create_task(answered(at, place(PING))) for _ in range(5)]
            twice = asyncio.create_task(answered(at, place(PING * 2)))
            await _has_read(at, before, place(PING * 7))
            at.stop()

            async def is_stopping(at: Lane = at) -> bool:
                return at.is_stopping()

            await eventually(is_stopping)
            server.process.send_signal(signal.SIGCONT)

            for said in await asyncio.gather(*asked):
                assert said.startswith(b"HTTP/1.1 200 OK\r\n")
                assert said.endswith(b"\r\nconnection: close\r\n\r\nOK")
            both = await twice
            assert both.count(b"HTTP/1.1 200 OK\r\n") == 2
            assert both.count(b"connection: close") == 1


@FAST
async def test_no_redis_is_503_and_counted_so(server: Server, *, fast: bool) -> None:
    async with opened(server.url) as db:
        with lane(server.url, fast=fast) as at:
            place = placing(await in_state(db, at, "up"))
            await server.kill()
            taken = at.taken
            said = await answered(at, place(get("Connection: close")))

            assert DATE.sub(b"D", said) == (
                b"HTTP/1.1 503 Service Unavailable\r\ndate: D\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: 22\r\ncache-control: no-store\r\nretry-after: 2\r\nconnection: close\r\n\r\n"
                b"unavailable, try again"
            )
            assert at.taken - taken == fast
            assert (await counts(at))[b"unavailable"] == 1


@FAST
async def test_a_full_queue_is_503_at_once_and_counted_so(server: Server, *, fast: bool) -> None:
    async with opened(server.url) as db:
        with lane(server.url, fast=fast, queue_limit=3) as at:
            place = placing(await in_state(db, at, "up"))
            assert server.process
            server.process.send_signal(signal.SIGSTOP)
            try:
                asked = {asyncio.create_task(answered(at, place(get("Connection: close")))) for _ in range(20)}
                refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            finally:
                server.process.send_signal(signal.SIGCONT)
            said = [DATE.sub(b"D", one) for one in await asyncio.gather(*asked)]

            assert DATE.sub(b"D", refused.pop().result()) == (
                b"HTTP/1.1 503 Service Unavailable\r\ndate: D\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"content-length: 21\r\ncache-control: no-store\r\nretry-after: 5\r\nconnection: close\r\n\r\n"
                b"overloaded, try again"
            )
            found = await counts(at)
            assert found[b"overloaded"] == sum(one.endswith(b"overloaded, try again") for one in said)
            assert found[b"overloaded"] + found[b"ok"] == 20 + 1  # and the one that brought it up
            assert at.taken in ({20} if fast else {0})


async def test_a_node_that_stops_while_redis_hangs_says_that_it_could_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest.node, "CLOSE_S", 0.1)
    async with opened(server.url) as db:
        with lane(server.url, fast=True) as at:
            place = placing(await in_state(db, at, "up"))
            assert server.process
            server.process.send_signal(signal.SIGSTOP)
            before = at.read.total()
            asked = asyncio.create_task(answered(at, place(PING)))
            try:
                await _has_read(at, before, place(PING))
                at.stop()
                said = await asked
            finally:
                server.process.send_signal(signal.SIGCONT)

    assert said.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert said.endswith(b"connection: close\r\n\r\nunavailable, try again")


# What is plain: stricter than the parser, whatever comes.


class Parsed:
    """What httptools makes of bytes, and uvicorn and ingest/ping.py of that."""

    def __init__(self, data: bytes) -> None:
        self.url, self.headers, self.complete, self.body, self.keeps = b"", list[tuple[bytes, bytes]](), 0, b"", False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)
        self.method, self.version = self._parser.get_method(), self._parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.keeps, self.upgrades = self._parser.should_keep_alive(), self._parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


NAMES: Final = [
    "Host", "User-Agent", "user-agent", "X-Forwarded-For", "x-forwarded-for", "Connection", "Proxy-Connection",
    "Keep-Alive", "Content-Length", "Content-length", "Transfer-Encoding", "TE", "Trailer", "Expect", "Upgrade", "X",
    "Connectio", "Connection ", " Connection", "", "X(", "\xe9", "Connection\t", "Content-Length\0",
]  # fmt: skip
VALUES: Final = [
    "", " ", "0", "00", " 0 ", "1", "5", "close", "Close ", "keep-alive", "keep-alive, close", "close, x", "x", "\tx",
    "chunked", "identity", "100-continue", "websocket", "upgrade", "a ", "a\tb", "\x7f", "\xe9", "\0", "1.2.3.4",
]  # fmt: skip
ID: Final = "/ping/00000000-0000-4000-8000-000000000000"
MEMBER: Final = "/ping/k3x9q0vb7m2t5w8y1z4a6c/srv-1"


def mostly(usual: str, *others: str) -> st.SearchStrategy[str]:
    """Nearly all of these requests would else be refused for their first line."""
    return st.sampled_from([usual] * 40 + list(others))


ENDS: Final = mostly("\r\n", "\n", "\r", "\r\n ", "\r\n\r\n")
COLONS: Final = mostly(": ", ":", ":  ", " : ", "", ":\t")
HEADERS: Final = st.lists(st.tuples(st.sampled_from(NAMES), COLONS, st.sampled_from(VALUES), ENDS), max_size=3)
LINES: Final = st.tuples(
    st.sampled_from(["GET", "GET", "HEAD", "POST", "POST", "PUT", "get", "GETX", " GET"]),
    mostly(" ", "  ", "\t"),
    st.just(MEMBER)
    | mostly(
        ID,
        ID + "/start",
        MEMBER + "/fail",
        MEMBER + "S",
        "/ping/" + "a" * 36,
        "/ping/" + "A" * 36,
        "/ping/" + "%2" * 18,
        "/ping/a",
    ),
    mostly(" HTTP/1.1", " HTTP/1.1 ", " HTTP/1.0", "?a HTTP/1.1", "/ HTTP/1.1", ""),
    ENDS,
)


@settings(max_examples=1_000)
@given(LINES, HEADERS, mostly("\r\n", "\n", "", "\r\n\r\nGET", "\r\nbody"))
def test_what_is_taken_for_plain_is_just_that_to_the_parser(
    line: tuple[str, ...], headers: list[tuple[str, ...]], end: str
) -> None:
    text = ["".join(line), *("".join(header) for header in headers), end]
    data = "".join(text).encode("latin-1")
    plain = PLAIN.match(data, 0, HEAD_MAX)
    if plain is None:
        return

    parsed = Parsed(data[: plain.end()])
    sender = read_headers({"headers": parsed.headers, "client": ("127.0.0.1", 1)}, (ip_network("127.0.0.0/8"),))

    assert (parsed.complete, parsed.body, parsed.version, parsed.upgrades) == (1, b"", "1.1", False)
    assert parsed.method == plain[1]
    assert parsed.url == b"/ping/" + (plain[2] or plain[3] + b"/" + plain[4])
    assert parsed.keeps == (plain[7] is None)
    assert not sender.has_body
    assert sender.agent == (plain[5] or b"")[:200]
    assert b"expect" not in dict(parsed.headers)
    forwarded = [(b"x-forwarded-for", plain[6])] if plain[6] else []
    again = read_headers({"headers": forwarded, "client": ("127.0.0.1", 1)}, (ip_network("127.0.0.0/8"),))
    assert again.address == sender.address
