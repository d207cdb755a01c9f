"""Many pings in one request, for gateways that gather them.

DESIGN. What is plainly a ping goes to Redis in chunks, one ZADD for each, without a future of its own; all else goes
the way of single pings. Items are queued in their order, and what one heartbeat says twice has two times, so that a
failure behind a success is a failure. The next chunk is read while others are written. What is refused is answered item
by item and stops nobody else. Nothing of a request is kept but its refusals.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest import finding, items
from ingest.answers import NO_STORE, NOT_FOUND, Refused, answer
from ingest.commit import Overloaded
from ingest.finding import Found
from ingest.items import ITEMS_MAX, Invalid, Members, Said, TooLarge
from ingest.meaning import meaning
from ingest.node import AHEAD_MS, Node
from ingest.sender import Sender, read_headers
from rules import tokens
from store.arrivals import Ping
from store.changes import Known
from store.errors import Unavailable

IN_FLIGHT: Final = 3  # chunks being written while the next is read
TOLD_MAX: Final = 1_000  # whose last `ts` is remembered: what says the same second twice says it soon

MEMBER_PING: Final = {"ping_key", "slug"}  # nearly all items have these fields and no more
RATE_LIMITED: Final = answer(429, "rate limited", NO_STORE)
RESULTS: Final = {404: "not_found", 403: "refused", 429: "refused", 503: "unavailable"}


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
        intake = Intake(self._node, read_headers(request.scope, self._node.settings.trusted_proxies))
        tally = intake.tally
        try:
            async for chunk in items.chunks(request):
                await intake.take(chunk)
        except TooLarge as error:
            tally.too_large = str(error)
        except ClientDisconnect:
            pass  # the client hung up or was too slow; what came of it counts
        finally:
            await intake.drained()
        results = Counter(RESULTS.get(status, "bad_request") for _, status, _ in tally.rejected)
        for result, count in {**results, "ok": tally.accepted}.items():
            self._node.metrics.pings[result].inc(count)
        return tally.response()


class Intake:
    """One request on its way to Redis."""

    def __init__(self, node: Node, sender: Sender) -> None:
        self.tally = Tally()
        self._node = node
        self._sender = sender
        self._index = 0  # of the next item
        self._now = 0  # the `at` of what tells no time of its own
        self._told: dict[tuple[str, str], tuple[int, int]] = {}  # by fleet and name: the last `ts`, and its `at`
        self._plain: list[tuple[int, Ping, Known, bool]] = []
        self._answers: list[tuple[Sequence[int], asyncio.Future[Any]]] = []
        self._writing: set[asyncio.Task[None]] = set()
        # Of the chunk that is being queued:
        self._signalled = set[str]()  # who sent more than plain pings: ids, and slugs of members
        self._fleets: dict[str, Found] = {}  # by ping key: each is asked for once
        self._looked_up = False

    async def take(self, chunk: list[Any] | Members) -> None:
        """Queues at most BULK_MAX items; waits while too many chunks are being written. Raises TooLarge."""
        if len(self._writing) >= IN_FLIGHT:
            _, self._writing = await asyncio.wait(self._writing, return_when=asyncio.FIRST_COMPLETED)
        room = ITEMS_MAX - self._index
        if isinstance(chunk, Members):
            count = len(chunk.slugs)
            await self._queue_members(Members(chunk.ping_key, chunk.slugs[:room]))
        else:
            count = len(chunk)
            await self._queue(chunk[:room])
        self._writing.add(asyncio.create_task(self._count(self._answers)))
        self._answers = []
        if count > room:
            raise TooLarge(f"a request must have at most {ITEMS_MAX} items")

    async def drained(self) -> None:
        """Every item has its answer."""
        if self._writing:
            await asyncio.wait(self._writing)

    async def _queue_members(self, chunk: Members) -> None:
        """What is nothing but pings of one fleet goes on as it is; of a project, or of nobody, item by item."""
        if not chunk.slugs:
            return
        with suppress(Refused, Unavailable, Overloaded):
            found = await finding.by_slug(self._node, chunk.ping_key, chunk.slugs[0])
            if found and found.fleet:
                self._tick()
                places = range(self._index, self._index + len(chunk.slugs))
                self._answers += self._node.submit_members(places, chunk.slugs, self._now, found.fleet, found.known)
                self._index = places.stop
                return
        await self._queue([{"ping_key": chunk.ping_key, "slug": slug} for slug in chunk.slugs])

    async def _queue(self, chunk: Sequence[Any]) -> None:
        self._tick()
        self._signalled, self._fleets, self._looked_up = set(), {}, False
        first, self._index = self._index, self._index + len(chunk)
        for index, item in enumerate(chunk, first):
            try:
                if type(item) is dict and item.keys() == MEMBER_PING and (found := self._fleets.get(item["ping_key"])):
                    slug = items.read_slug(item["slug"])
                    if slug not in self._signalled:
                        self._plain.append((index, Ping(slug, self._now, fleet=found.fleet), found.known, False))
                        continue
                await self._take_one(index, items.read(item), chunk[index - first :])
            except Invalid as invalid:
                self.tally.reject(index, 400, str(invalid))
            except TypeError:  # what no dict can be asked for
                self.tally.reject(index, 400, "ping_key must be a string")
            except Refused as refused:
                self.tally.reject(index, refused.said[0]["status"], refused.said[1]["body"].decode())
            except (Unavailable, Overloaded):
                self.tally.reject(index, 503, "unavailable, try again")
        self._answers += self._node.submit_many(self._plain)
        self._plain = []

    async def _take_one(self, index: int, said: Said, rest: Sequence[Any]) -> None:
        """Queues an item; `rest`: it and those behind it. Raises Refused, Unavailable or Overloaded."""
        if not self._looked_up and not self._is_known(said):
            self._looked_up = True
            await self._look_up(rest)
        found = await self._find(said)
        if found.fleet:
            self._fleets[said.ping_key] = found
        signal, exit_status = self._meaning(found, said)
        if found.heartbeat in self._signalled:
            self._tick()
        elif not (found.known.up and signal == "success"):
            self._signalled.add(found.heartbeat)
            self._take_apart(found.heartbeat)
        ping = self._ping(found, signal, exit_status, said.ts)
        queued = index, ping, found.known, ping.at < self._now
        if found.heartbeat in self._signalled:
            self._submit(*queued)
        else:
            self._plain.append(queued)

    def _take_apart(self, heartbeat: str) -> None:
        """What was gathered of a heartbeat goes before its signal, and by itself."""
        earlier = [queued for queued in self._plain if queued[1].heartbeat == heartbeat]
        if earlier:
            self._plain = [queued for queued in self._plain if queued[1].heartbeat != heartbeat]
            self._tick()
        for queued in earlier:
            self._submit(*queued)

    def _submit(self, index: int, ping: Ping, known: Known, told: bool) -> None:  # noqa: FBT001  it is what is gathered
        if not ping.fleet:
            known.up = False  # all that it says waits in one queue, in its order, until a script has judged it
        try:
            self._answers.append(([index], self._node.submit(ping, known, told=told)))
        except Overloaded:
            self.tally.reject(index, 503, "unavailable, try again")

    def _is_known(self, said: Said) -> bool:
        """Redis need not be asked whom this means."""
        cache, addresses = self._node.cache, self._node.addresses
        if not said.ping_key:
            return cache.peek(tokens.id_of(said.name)) is not None
        kind, name = addresses.owners.peek(said.ping_key) or ("", "")
        return kind == "fleet" or bool(kind and addresses.slugs.peek((name, said.name)))

    async def _look_up(self, chunk: Sequence[Any]) -> None:
        """Asks for all that is unknown together. What fails here is met again, item by item."""
        unknown = []
        for item in chunk:
            with suppress(Invalid, Refused):
                said = items.read(item)
                if not self._is_known(said):
                    unknown.append(self._find(said))
        await asyncio.gather(*unknown, return_exceptions=True)

    async def _find(self, said: Said) -> Found:
        """Raises Refused, Unavailable or Overloaded."""
        if said.ping_key:
            found = await finding.by_slug(self._node, said.ping_key, said.name)
        else:
            found = await finding.by_token(self._node, said.name)
        if found is None:
            raise Refused("not_found", NOT_FOUND)
        return found

    def _meaning(self, found: Found, said: Said) -> tuple[str, str]:
        """The signal and the exit status as a single ping without a body would have them. Raises Refused."""
        if found.fleet:  # a member's start is a sign of life like any other
            return "success" if said.signal == "start" else said.signal, said.exit_status
        if found.known.rules is None:
            return said.signal, said.exit_status
        settings = found.known.rules.settings
        if settings.rate_limit and self._node.rates.wait_s(found.heartbeat, settings.rate_limit):
            raise Refused("refused", RATE_LIMITED)
        return meaning(settings, "POST", said.signal, said.exit_status, b"")

    def _tick(self) -> None:
        """A later moment for what comes next. But a burst must not run away from the clock."""
        now = self._node.clock.now()
        self._now = min(max(now, self._now + 1), now + AHEAD_MS)

    def _ping(self, found: Found, signal: str, exit_status: str, ts: int | None) -> Ping:
        at = self._now
        if ts is not None and ts < at:  # the future has not happened
            whose = found.fleet, found.heartbeat
            latest, its_at = self._told.pop(whose, (-1, 0))
            at = its_at + 1 if ts == latest else ts  # clocks that count seconds: the order of the items says more
            self._told[whose] = ts, at
            if len(self._told) > TOLD_MAX:
                del self._told[next(iter(self._told))]
        sender = self._sender
        return Ping(found.heartbeat, at, signal, exit_status, "", sender.address, sender.agent, b"", found.fleet)

    async def _count(self, answers: Sequence[tuple[Sequence[int], "asyncio.Future[Any]"]]) -> None:
        for places, coming in answers:
            try:
                said = await coming
            except (Unavailable, Overloaded):
                said = [""] * len(places)
            if isinstance(said, list) and said.count("up") == len(places):
                self.tally.accepted += len(places)
                continue
            for index, each in zip(places, [said] if isinstance(said, str) else said, strict=True):
                self.tally.count(index, each)
