"""The ping: identify, one ZADD, answer. Nothing else is on this path.

A plain ping of a heartbeat that was last seen up joins the batch that ingest/commit.py writes (one ZADD for all that
came meanwhile); everything else goes to store/lua/arrive.lua. 200 is sent only after Redis has answered.
"""

from math import ceil
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from ingest import finding
from ingest.answers import (
    ANY_ORIGIN,
    FULL,
    HALF,
    METHOD,
    NO_STORE,
    OPTIONS,
    OVERLOADED,
    UNAVAILABLE,
    Answer,
    Refused,
    answer,
)
from ingest.commit import Overloaded
from ingest.dialects import FLATLINE, Dialect, spoken
from ingest.finding import Found
from ingest.meaning import meaning
from ingest.node import Node
from ingest.paths import NO_QUERY, Query, Target, parse_path
from ingest.sender import read_headers
from store.arrivals import Ping
from store.changes import FLEET
from store.errors import Unavailable

READ_MAX: Final = 65_536  # bytes of a body that a dialect reads; its head


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
        self._count[result].inc()
        return said

    async def _write(self, target: Target, scope: Scope, receive: Receive) -> tuple[str, Answer]:
        node = self._node
        arrived = node.clock.now()
        dialect, said = FLATLINE, NO_QUERY
        if scope["query_string"] or target.dialect != "flatline":
            dialect, target, said = spoken(target, scope["query_string"])
        found, created = await self._find(target, said, dialect)
        sender = read_headers(scope, self._proxies)
        if sender.has_body:
            body = await self._read(receive, tail=dialect.read_body is None)
            said = said if said.output else said._replace(output=body)
            found, _ = await self._find(target, said, dialect)  # a body may take longer than what is known is believed
        if dialect.read_body is not None:
            said = dialect.read_body(said.output)
            if said.error:
                raise Refused("bad_request", dialect.refused(said.error))
        said = said._replace(output=said.output[-self._limit :] if self._limit else b"")  # a dialect's text, too
        ping = self._ping(found, target, said, scope["method"])
        ping.at, ping.sender, ping.agent = arrived, sender.address, sender.agent
        became = await node.submit(ping, found.known)
        if became in {"up", "parked"}:
            return "ok", self._created if created else dialect.ok or self._ok
        if became == "unknown":
            node.cache.forget(FLEET + found.fleet if found.fleet else found.heartbeat)
            raise Refused("not_found", dialect.not_found)
        if became == "full":
            raise Refused("refused", FULL)
        raise Unavailable(became)  # a corrupt record; the node has logged it

    def _ping(self, found: Found, target: Target, said: Query, method: str) -> Ping:
        """What is said, as its heartbeat understands it. Raises Refused."""
        heartbeat, known, fleet = found
        signal, exit_status = said.signal or target.signal, said.exit_status or target.exit_status
        if fleet:  # members keep neither runs nor output; their start is a sign of life like any other
            return Ping(heartbeat, 0, "success" if signal == "start" else signal, exit_status, fleet=fleet)
        if known.rules is not None:
            settings = known.rules.settings
            signal, exit_status = meaning(settings, method, signal, exit_status, said.output)
            wait_s = self._node.rates.wait_s(heartbeat, settings.rate_limit) if settings.rate_limit else 0
            if wait_s:
                raise Refused("refused", answer(429, "rate limited", NO_STORE, (b"retry-after", b"%d" % ceil(wait_s))))
        return Ping(heartbeat, 0, signal, exit_status, said.rid, output=said.output)

    async def _find(self, target: Target, said: Query, dialect: Dialect) -> tuple[Found, bool]:
        """What a target means now, and whether it was made for this. Raises Refused, Unavailable, Overloaded.

        What is wrong with a request is said only to those who know the heartbeat, or may make it.
        """
        wrong, made, found = target.error or said.error, False, None
        if not target.slug:
            found = await finding.by_token(self._node, target.token)
        else:
            found = await finding.by_slug(self._node, target.token, target.slug)
            if found is None and said.create and not wrong:
                made = await finding.provision(
                    self._node, target.token, target.slug, period=said.period, grace=said.grace
                )
                found = await finding.by_slug(self._node, target.token, target.slug)
        if wrong and (found or said.create or target.slug != target.slug.lower()):
            raise Refused("bad_request", dialect.refused(wrong))
        if found is None:
            raise Refused("not_found", dialect.not_found)
        return found, made

    async def _read(self, receive: Receive, *, tail: bool) -> bytes:
        """The last `output_limit` bytes of a body of any size, or the first READ_MAX, in memory for twice as many.

        Raises Refused: half a body is no ping.
        """
        limit = self._limit if tail else READ_MAX
        kept = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused("bad_request", HALF)  # the client hung up, or took too long (runtime/http.py)
            if tail or len(kept) < limit:
                kept += message.get("body", b"")
            if tail and len(kept) > 2 * limit:
                del kept[: len(kept) - limit]
            if not message.get("more_body", False):
                return bytes(kept[-limit:] if tail and limit else kept[:limit])
