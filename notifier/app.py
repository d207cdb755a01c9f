"""A notifier as a Starlette application: a consumer per shard, the desks, and the health endpoints."""

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from notifier.channels import Senders
from notifier.channels.smtp import parse_smtp_from, parse_smtp_url
from notifier.consumer import Consumer
from notifier.delivery import Supplies
from notifier.desks import Desks
from notifier.fleets import Fleets
from notifier.links import Links
from notifier.metrics import Metrics
from notifier.outgoing import open_session
from notifier.settings import NotifierSettings
from notifier.watch import Watch
from runtime import health, metrics
from runtime.tasks import background
from store.database import Database

STALE_S: Final = 5.0


class Notifier:
    """The role: loops to run."""

    def __init__(self, db: Database, settings: NotifierSettings, registry: CollectorRegistry) -> None:
        self._db = db
        self._settings = settings
        self._metrics = Metrics(registry)
        self._name = secrets.token_hex(6)
        self._consumers: list[Consumer] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        settings = self._settings
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(open_session(allow=settings.allow_private_targets))
            senders = Senders(
                session=session,
                smtp=parse_smtp_url(settings.smtp_url) if settings.smtp_url else None,
                smtp_from=parse_smtp_from(settings.smtp_from) if settings.smtp_from else None,
            )
            links = Links(self._db, settings.public_url)
            supplies = Supplies(owner=self._name, senders=senders, metrics=self._metrics, links=links)
            desks = Desks(self._db, supplies)
            stack.push_async_callback(desks.aclose)
            fleets = Fleets(self._db)
            self._consumers = [Consumer(self._db, shard, desks, fleets, self._name) for shard in self._db.shards]
            for number, consumer in enumerate(self._consumers):
                await stack.enter_async_context(background(consumer.run, name=f"notify-{number}"))
            watch = Watch(self._db, self._metrics, session, settings.heartbeat_url)
            await stack.enter_async_context(background(watch.run, name="watch"))
            yield

    async def ready(self) -> Mapping[str, str]:
        """Ready = the outbox of every shard was read just now."""
        oldest = min((consumer.read_at for consumer in self._consumers), default=float("-inf"))
        return {"outbox": "" if time.monotonic() - oldest < STALE_S else "the outbox was not read for too long"}


def create_app(db: Database, settings: NotifierSettings) -> Starlette:
    """One notifier alone."""
    registry = metrics.new_registry()
    role = Notifier(db, settings, registry)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with role.running():
            yield

    return Starlette(routes=health.routes("notifier", role.ready, registry), lifespan=lifespan)
