"""One role per process: open the store, build the role's application, serve it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import ASGIApp

import console.app
import ingest.app
import notifier.app
import sweeper.app
from console.settings import ConsoleSettings
from ingest.fast import FastLane
from ingest.settings import IngestSettings
from notifier.settings import NotifierSettings
from runtime import logs
from runtime.errors import StartError
from runtime.http import Protocol
from runtime.serve import Http, serve
from runtime.settings import RoleSettings
from store.database import Database, opened
from store.errors import Unavailable, UnfitServer
from sweeper.settings import SweeperSettings

WAIT_FOR_REDIS_S: Final = 30.0
RETRY_S: Final = 0.25

logger = logging.getLogger(__name__)


@asynccontextmanager
async def store(url: str, shards: int) -> AsyncIterator[Database]:
    """The opened database. A Redis that is away is waited for, as containers start in any order.

    Raises StartError: it did not come, or must not be used.
    """
    until = time.monotonic() + WAIT_FOR_REDIS_S
    database = opened(url, shards=shards)
    while True:
        try:
            db = await database.__aenter__()
        except UnfitServer as error:
            raise StartError(str(error)) from None
        except Unavailable as error:
            if time.monotonic() > until:
                raise StartError(str(error)) from None
            await asyncio.sleep(RETRY_S)
            database = opened(url, shards=shards)
        else:
            break
    try:
        yield db
    finally:
        await database.__aexit__(None, None, None)


#: An application and what speaks HTTP for it.
Served = tuple[ASGIApp, Http]
Build = Callable[[Database, RoleSettings, "asyncio.Future[int]"], Served]


def _ingest(db: Database, settings: RoleSettings, port: "asyncio.Future[int]") -> Served:
    assert isinstance(settings, IngestSettings)
    pings = ingest.app.create_app(db, settings, port)
    return pings, FastLane(pings)


def _sweeper(db: Database, _settings: RoleSettings, _port: "asyncio.Future[int]") -> Served:
    return sweeper.app.create_app(db), Protocol


def _notifier(db: Database, settings: RoleSettings, _port: "asyncio.Future[int]") -> Served:
    assert isinstance(settings, NotifierSettings)
    return notifier.app.create_app(db, settings), Protocol


def _console(db: Database, settings: RoleSettings, _port: "asyncio.Future[int]") -> Served:
    assert isinstance(settings, ConsoleSettings)
    return console.app.create_app(db, settings), Protocol


#: Command -> settings and application.
ROLES: Final[dict[str, tuple[type[RoleSettings], Build]]] = {
    "ingest": (IngestSettings, _ingest),
    "sweeper": (SweeperSettings, _sweeper),
    "notifier": (NotifierSettings, _notifier),
    "console": (ConsoleSettings, _console),
}


async def run(role: str, settings: RoleSettings) -> None:
    """Serves one role until cancelled. Raises StartError."""
    logs.configure(settings.log_level, settings.log_format)
    async with store(settings.redis_url, settings.shards) as db:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def ready(bound: int) -> None:
            port.set_result(bound)
            logs.log(logger, logging.INFO, "serving", role=role, host=settings.host, port=bound)

        app, http = ROLES[role][1](db, settings, port)
        await serve(app, host=settings.host, port=settings.port, ready=ready, http=http)
