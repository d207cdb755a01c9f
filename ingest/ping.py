"""The ping: identify, one ZADD, answer. Nothing else is on this path.

A plain ping of a heartbeat that was last seen up joins the batch that ingest/commit.py writes (one ZADD for all that
came meanwhile); everything else goes to store/lua/arrive.lua. 200 is sent only after Redis has answered.
"""

import asyncio
from functools import lru_cache
from hmac import compare_digest
from ipaddress import ip_address
from math import ceil
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingest.commit import Overloaded
from ingest.meaning import meaning
from ingest.node import Node
from ingest.paths import NO_QUERY, Query, Target, parse_path, parse_query
from rules.tokens import id_of
from runtime.values import Network
from store import projects
from store.arrivals import Ping
from store.changes import FLEET, Known
from store.errors import TooMany, Unavailable

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
AMBIGUOUS: Final = answer(409, "ambiguous slug", NO_STORE)
FULL: Final = answer(403, "fleet is full", NO_STORE)
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


class Found(NamedTuple):
    """`heartbeat`: its id, or a member's slug, and then `fleet` is its fleet."""

    heartbeat: str
    known: Known
    fleet: str = ""


class Refused(Exception):
    """The ping is not taken: what is counted, and what is answered."""

    def __init__(self, result: str, said: Answer) -> None:
        self.result = result
        self.said = said


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
        headers = (
            ANY_ORIGIN,
            (b"ping-body-limit", str(self._limit).encode()),
            (b"cache-control", b"max-age=0, no-cache, no-store, must-revalidate, private"),
        )
        self._ok = answer(200, "OK", *headers)
        self._created = answer(201, "Created", *headers)

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
        except Refused as refused:
            result, said = refused.result, refused.said
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
        arrived = node.clock.now()
        query = parse_query(scope["query_string"]) if scope["query_string"] else NO_QUERY
        found, created = await self._find(target, query)
        sender, agent, has_body = self._read_headers(scope)
        output = b""
        if has_body:
            output = await self._tail(receive)
            found, _ = await self._find(target, query)  # a body may take longer than what is known may be believed
        heartbeat, known, fleet = found
        signal, exit_status, rid = target.signal, target.exit_status, query.rid
        if known.rules is not None:
            settings = known.rules.settings
            signal, exit_status = meaning(settings, scope["method"], signal, exit_status, output)
            wait_s = node.rates.wait_s(heartbeat, settings.rate_limit) if settings.rate_limit else 0
            if wait_s:
                raise Refused("refused", answer(429, "rate limited", NO_STORE, (b"retry-after", b"%d" % ceil(wait_s))))
        if fleet:  # members keep neither runs nor output; their start is a sign of life like any other
            signal, rid, output = "success" if signal == "start" else signal, "", b""
        said = await node.submit(
            Ping(heartbeat, arrived, signal, exit_status, rid, sender, agent, output, fleet), known
        )
        if said in {"up", "parked"}:
            return "ok", self._created if created else self._ok
        if said == "unknown":
            node.cache.forget(FLEET + fleet if fleet else heartbeat)
            raise Refused("not_found", NOT_FOUND)
        if said == "full":
            raise Refused("refused", FULL)
        raise Unavailable(said)  # a corrupt record; the node has logged it

    async def _find(self, target: Target, query: Query) -> tuple[Found, bool]:
        """What a target means now, and whether it was made for this. Raises Refused, Unavailable, Overloaded."""
        found = await (self._by_slug(target) if target.slug else self._by_token(target))
        wrong, made = target.error or query.error, False
        if found is None and query.create and not wrong:
            made = await self._provision(target, query)
            found = await self._by_slug(target)
        if wrong and (found or (target.slug and query.create)):
            raise Refused("bad_request", answer(400, wrong, NO_STORE))
        if found is None:
            raise Refused("not_found", NOT_FOUND)
        return found, made

    async def _by_token(self, target: Target) -> Found | None:
        heartbeat = id_of(target.token)
        known = self._node.cache.peek(heartbeat) or await self._node.cache.load(heartbeat)
        if known is None or not compare_digest(known.token, target.token):
            return None
        return Found(heartbeat, known)

    async def _by_slug(self, target: Target) -> Found | None:
        cache, addresses = self._node.cache, self._node.addresses
        kind, name = addresses.owners.peek(target.token) or await addresses.owners.load(target.token) or ("", "")
        if kind == "fleet":
            known = cache.peek(FLEET + name) or await cache.load(FLEET + name)
            if known is None or not compare_digest(known.token, target.token):
                return None
            return Found(target.slug, known, name)
        same = await addresses.slugs.load((name, target.slug)) if kind else []
        if len(same) > 1:
            raise Refused("bad_request", AMBIGUOUS)
        known = (cache.peek(same[0]) or await cache.load(same[0])) if same else None
        return None if known is None else Found(same[0], known)

    async def _provision(self, target: Target, query: Query) -> bool:
        """Makes the heartbeat that a ping by slug asks for; whether it was made now. Raises Refused, Unavailable."""
        kind, project = await self._node.addresses.owners.load(target.token) or ("", "")
        if kind != "project":
            return False
        try:
            made = await projects.provision(self._node.db, project, target.slug, period=query.period, grace=query.grace)
        except TooMany as error:
            raise Refused("refused", answer(403, str(error), NO_STORE)) from None
        self._node.addresses.slugs.forget((project, target.slug))
        self._node.cache.forget(made.heartbeat)
        return made.now

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
