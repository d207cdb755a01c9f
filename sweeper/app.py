"""A sweeper as a Starlette application: a worker per shard, and the health endpoints."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from runtime import health, metrics
from runtime.tasks import background
from store.database import Database
from sweeper.metrics import Metrics
from sweeper.worker import Worker

STALE_S: Final = 5.0


class Sweeper:
    """The role: loops to run."""

    def __init__(self, db: Database, registry: CollectorRegistry) -> None:
        counts = Metrics(registry)
        self._workers = [Worker(db, shard, counts) for shard in db.shards]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for number, worker in enumerate(self._workers):
                await stack.enter_async_context(background(worker.run, name=f"sweep-{number}"))
            yield

    async def ready(self) -> Mapping[str, str]:
        """Ready = every shard was swept just now."""
        oldest = min(worker.swept_at for worker in self._workers)
        return {"sweep": "" if time.monotonic() - oldest < STALE_S else "a shard was not swept for too long"}


def create_app(db: Database) -> Starlette:
    """One sweeper alone."""
    registry = metrics.new_registry()
    role = Sweeper(db, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with role.running():
            yield

    return Starlette(routes=health.routes("sweeper", role.ready, registry), lifespan=lifespan)
