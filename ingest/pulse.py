"""The pulse: a ping through this node's own front, so that Redis knows since when nobody could have reached us.

The nodes share the pace: n of them pulse every n x 100 ms each, at most once a second.
"""

import asyncio
import logging
import secrets
import time
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ingest.commit import Overloaded
from ingest.node import Node
from runtime.logs import log
from store.errors import Unavailable

PACE_S: Final = 0.1
SLOWEST_S: Final = 1.0
DEAF_S: Final = 1.0  # without a pulse: then Redis records a window in which nobody is judged
DEADLINE_S: Final = 5.0  # for one pulse: then the connection is made anew
ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what we may listen on

logger = logging.getLogger(__name__)


class Pulse:
    """A route that only this process can guess, and the loop that asks it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._path = f"/pulse/{secrets.token_urlsafe(24)}"
        self._heard_at = time.monotonic()
        self._hears = True

    def route(self) -> Route:
        async def pulse(_: Request) -> Response:
            if self._node.sheds:
                return PlainTextResponse("shedding", 503)
            try:
                await self._node.pulse()
            except (Unavailable, Overloaded) as error:
                return PlainTextResponse(type(error).__name__, 503)
            return PlainTextResponse("OK")

        return Route(self._path, pulse)

    async def run(self, host: str, port: int) -> None:
        """Pulses for ever."""
        address = ANY_ADDRESS.get(host, host)
        while True:
            try:
                async with asyncio.timeout(DEADLINE_S):
                    reader, writer = await asyncio.open_connection(address, port)
                try:
                    await self._keep_pulsing(reader, writer)
                finally:
                    writer.close()
            except (OSError, TimeoutError, asyncio.IncompleteReadError, Unavailable) as error:
                self._tell(hears=False, reason=type(error).__name__)
                await asyncio.sleep(PACE_S)

    async def _keep_pulsing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = f"GET {self._path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        next_at = time.monotonic()
        while True:
            async with asyncio.timeout(DEADLINE_S):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                reason = (await reader.readexactly(length)).decode()
            hears = head.startswith(b"HTTP/1.1 200")
            self._tell(hears=hears, reason=reason)
            if hears:
                await self._node.clock.measure(self._node.db)
            pace = min(self._node.peers * PACE_S, SLOWEST_S)
            next_at = max(next_at + pace, time.monotonic())
            await asyncio.sleep(next_at - time.monotonic())

    def _tell(self, *, hears: bool, reason: str) -> None:
        self._node.metrics.pulses.labels("ok" if hears else "withheld").inc()
        if hears:
            self._heard_at = time.monotonic()
            if not self._hears:
                log(logger, logging.INFO, "hearing")
            self._hears = True
        elif self._hears and time.monotonic() - self._heard_at > DEAF_S:
            log(logger, logging.WARNING, "deaf", reason=reason)
            self._hears = False
