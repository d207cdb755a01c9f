"""The console as a Starlette application; `flatline up` mounts `routes` beside those of the other roles."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from console.api import TABLE
from console.auth import Keys
from console.errors import on_http_error
from console.routing import Context, routes_of
from console.settings import ConsoleSettings
from runtime import health, metrics
from runtime.errors import StartError
from store.database import Database, opened


def context_of(db: Database, settings: ConsoleSettings) -> Context:
    """Raises StartError when there is no API key: nobody could call."""
    if not settings.api_key:
        raise StartError("FLATLINE_API_KEY is not set: give the console a key of at least 32 characters")
    return Context(db=db, keys=Keys(settings.api_key), public_url=settings.public_url)


def routes(context: Context) -> list[Route]:
    """All routes of this role. None of them stands at /heartbeat/ping or /api/v1, which belong to ingest."""
    return routes_of(TABLE, context)


def create_app(settings: ConsoleSettings) -> Starlette:
    """One console alone. The routes need an open database, so they join in the lifespan, before the first request."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with opened(settings.redis_url) as db:

            async def ready() -> Mapping[str, str]:
                return {"redis": await db.check()}

            app.router.routes += health.routes("console", ready, metrics.new_registry())
            app.router.routes += routes(context_of(db, settings))
            yield

    app = Starlette(lifespan=lifespan, exception_handlers={HTTPException: on_http_error})
    app.router.redirect_slashes = False
    return app
