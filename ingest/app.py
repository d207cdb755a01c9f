"""An ingest node as a Starlette application: its routes and its lifespan on one screen."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from ingest.bulk import Bulk
from ingest.metrics import Metrics
from ingest.node import Node
from ingest.ping import Pings
from ingest.pulse import Pulse
from ingest.settings import IngestSettings
from runtime import health, metrics
from runtime.errors import StartError
from runtime.tasks import background
from store.database import Database

PULSE_STALE_S: Final = 3.0


class Ingest:
    """The role: a front for pings, routes to mount, and loops to run while they are served."""

    def __init__(self, db: Database, settings: IngestSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._node = Node(db, settings, Metrics(registry), secrets.token_hex(6))
        self._pulse = Pulse(self._node)
        self.routes: list[BaseRoute] = [self._pulse.route(), Bulk(self._node).route()]

    def in_front_of(self, app: ASGIApp) -> Pings:
        """The application with pings answered before it."""
        return Pings(self._node, app)

    @asynccontextmanager
    async def running(self, port: asyncio.Future[int]) -> AsyncIterator[None]:
        """`port`: where we listen, once we do."""

        async def pulse() -> None:
            await self._pulse.run(self._settings.host, await asyncio.shield(port))

        if self._settings.durability == "disk" and not self._node.db.server.can_sync:
            raise StartError(
                "FLATLINE_DURABILITY disk needs a server that appends to a file and either syncs always "
                "(appendfsync always) or knows WAITAOF (Redis 7.2, Valkey)"
            )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._node.aclose)
            await self._node.clock.measure(self._node.db)
            await stack.enter_async_context(background(self._node.cache.follow_changes, name="changes"))
            await stack.enter_async_context(background(pulse, name="pulse"))
            yield

    async def ready(self) -> Mapping[str, str]:
        """Ready = a pulse went through just now."""
        age = time.monotonic() - self._node.pulsed_at
        return {"pulse": "" if age < PULSE_STALE_S else "no ping of our own gets through to Redis"}


def create_app(db: Database, settings: IngestSettings, port: asyncio.Future[int]) -> Pings:
    """One ingest node alone."""
    registry = metrics.new_registry()
    role = Ingest(db, settings, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with role.running(port):
            yield

    routes = [*role.routes, *health.routes("ingest", role.ready, registry)]
    return role.in_front_of(Starlette(routes=routes, lifespan=lifespan))
