"""The ping: identify, one ZADD, answer. Nothing else is on this path.

A plain ping of a heartbeat that was last seen up joins the batch that ingest/commit.py writes (one ZADD for all that
came meanwhile); everything else goes to store/lua/arrive.lua. 200 is sent only after Redis has answered.
"""

import asyncio
from functools import lru_cache
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.commit import Overloaded
from ingest.node import Node
from ingest.paths import Target, parse_path, parse_run_id
from rules.tokens import id_of
from runtime.values import Network
from store.arrivals import Ping
from store.errors import Unavailable

AGENT_MAX: Final = 200  # bytes kept of a user agent
FORWARDED_MAX: Final = 1_000  # bytes looked at, from the right
ADDRESS_MAX: Final = 45  # characters of the longest IPv6 address
BODY_DEADLINE_S: Final = 30.0  # for the whole body: a dripping sender must not hold a task for ever

Answer = tuple[Message, Message]


def answer(status: int, text: str, *headers: tuple[bytes, bytes]) -> Answer:
    """A finished answer: the same bytes for everybody, so made once."""
    body = text.encode()
    base = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": status, "headers": [*base, *headers]},
        {"type": "http.response.body", "body": body},
    )


NO_STORE: Final = (b"cache-control", b"no-store")
ANY_ORIGIN: Final = (b"access-control-allow-origin", b"*")
METHODS: Final = (b"allow", b"GET, HEAD, POST, OPTIONS")

NOT_FOUND: Final = answer(404, "not found", NO_STORE)
INVALID_URL: Final = answer(400, "invalid url format", NO_STORE)
INVALID_RUN_ID: Final = answer(400, "invalid uuid format", NO_STORE)
TOO_SLOW: Final = answer(408, "body too slow", NO_STORE, (b"connection", b"close"))
METHOD: Final = answer(405, "method not allowed", NO_STORE, METHODS)
UNAVAILABLE: Final = answer(503, "unavailable, try again", NO_STORE, (b"retry-after", b"2"))
OVERLOADED: Final = answer(503, "overloaded, try again", NO_STORE, (b"retry-after", b"5"))
OPTIONS: Final = (
    {
        "type": "http.response.start",
        "status": 204,
        "headers": [ANY_ORIGIN, (b"access-control-allow-methods", b"GET, HEAD, POST"), METHODS],
    },
    {"type": "http.response.body", "body": b""},
)


class Pings:
    """Answers pings, and hands everything else to the application behind it.

    Pings are nearly all that comes to a node, and a router with its middleware costs more than a ping does.
    """

    def __init__(self, node: Node, app: ASGIApp) -> None:
        self._node = node
        self._app = app
        self._count = node.metrics.pings
        self._limit = node.settings.output_limit
        self._proxies = node.settings.trusted_proxies
        self._ok = answer(
            200,
            "OK",
            ANY_ORIGIN,
            (b"ping-body-limit", str(self._limit).encode()),
            (b"cache-control", b"max-age=0, no-cache, no-store, must-revalidate, private"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The path as the server split it off: `request.url` would believe the Host header.
        target = parse_path(scope["path"]) if scope["type"] == "http" else None
        if target is None:
            await self._app(scope, receive, send)
            return
        start, body = await self._take(target, scope, receive)
        await send(start)
        await send(body)

    async def _take(self, target: Target, scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        if method not in {"GET", "HEAD", "POST"}:
            return OPTIONS if method == "OPTIONS" else METHOD
        try:
            result, said = await self._write(target, scope, receive)
        except Unavailable:
            result, said = "unavailable", UNAVAILABLE
        except Overloaded:
            result, said = "overloaded", OVERLOADED
        except TimeoutError:
            result, said = "bad_request", TOO_SLOW
        self._count[result].inc()
        return said

    async def _write(self, target: Target, scope: Scope, receive: Receive) -> tuple[str, Answer]:
        node = self._node
        heartbeat = id_of(target.token)
        arrived = node.clock.now()
        known = node.cache.peek(heartbeat) or await node.cache.load(heartbeat)
        if known is None or not compare_digest(known.token, target.token):
            return "not_found", NOT_FOUND
        if target.error:
            return "bad_request", INVALID_URL
        rid = parse_run_id(scope["query_string"]) if scope["query_string"] else ""
        if rid is None:
            return "bad_request", INVALID_RUN_ID
        sender, agent, has_body = self._read_headers(scope)
        output = b""
        if has_body:
            output = await self._tail(receive)
            # A body may take longer than what is known may be believed.
            known = node.cache.peek(heartbeat) or await node.cache.load(heartbeat)
            if known is None or not compare_digest(known.token, target.token):
                return "not_found", NOT_FOUND
        ping = Ping(heartbeat, arrived, target.signal, target.exit_status, rid, sender, agent, output)
        said = await node.submit(ping, known)
        if said in {"up", "parked"}:
            return "ok", self._ok
        if said == "unknown":
            node.cache.forget(heartbeat)
            return "not_found", NOT_FOUND
        return "unavailable", UNAVAILABLE  # a corrupt record; the node has logged it

    def _read_headers(self, scope: Scope) -> tuple[bytes, bytes, bool]:
        agent, forwarded, has_body = b"", b"", False
        for name, value in scope["headers"]:
            if name == b"user-agent":
                agent = value[:AGENT_MAX]
            elif name == b"x-forwarded-for":
                forwarded = forwarded + b"," + value if forwarded else value
            elif name == b"content-length":
                has_body = has_body or value != b"0"
            elif name == b"transfer-encoding":
                has_body = True
        sender = scope["client"][0] if scope["client"] else ""
        if forwarded and self._proxies and _is_trusted(sender, self._proxies):
            sender = _first_stranger(forwarded, self._proxies) or sender
        return sender.encode(), agent, has_body

    async def _tail(self, receive: Receive) -> bytes:
        """The last `output_limit` bytes of a body of any size, in memory for twice as many. Raises TimeoutError."""
        tail = bytearray()
        async with asyncio.timeout(BODY_DEADLINE_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise TimeoutError  # half a body is no ping; nobody is left to hear the answer
                tail += message.get("body", b"")
                if len(tail) > 2 * self._limit:
                    del tail[: len(tail) - self._limit]
                if not message.get("more_body", False):
                    return bytes(tail[-self._limit :]) if self._limit else b""


@lru_cache(maxsize=4096)
def _is_trusted(address: str, proxies: tuple[Network, ...]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in proxies)


def _first_stranger(forwarded: bytes, proxies: tuple[Network, ...]) -> str:
    """From the right, the first address that is no proxy of ours: whatever stands left of it is hearsay."""
    for item in reversed(forwarded[-FORWARDED_MAX:].decode("latin-1").split(",")):
        text = item.strip()
        address = text[1:].partition("]")[0] if text.startswith("[") else text
        if address.count(":") == 1:
            address = address.partition(":")[0]
        try:
            ip_address(address)
        except ValueError:
            return ""
        if not _is_trusted(address, proxies):
            return address[:ADDRESS_MAX]
    return ""
