"""The console as a Starlette application."""

from collections.abc import Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import ExceptionHandler

from console.api import TABLE
from console.auth import Keys
from console.dashboard.app import Dashboard
from console.dashboard.signed import Signed
from console.dashboard.signin import SignIn
from console.errors import ApiError, on_api_error, on_http_error
from console.mcp import Mcp
from console.routing import Context, routes_of
from console.settings import ConsoleSettings
from runtime import health, metrics
from runtime.errors import StartError
from store.database import Database

EXCEPTION_HANDLERS: Final[Mapping[type[Exception], ExceptionHandler]] = {
    ApiError: on_api_error,
    HTTPException: on_http_error,
}


class Console:
    """The role: routes to mount. None of them stands at /heartbeat/ping or /api/v1, which belong to ingest."""

    def __init__(self, db: Database, settings: ConsoleSettings) -> None:
        """Raises StartError when there is no API key: nobody could call."""
        if not settings.api_key:
            raise StartError("FLATLINE_API_KEY is not set: give the console a key of at least 32 characters")
        self._db = db
        keys = Keys(settings.api_key, db, settings.public_url)
        context = Context(db, keys, settings.public_url, proxies=settings.trusted_proxies)
        self.routes: list[BaseRoute] = [
            *routes_of(TABLE, context),
            *SignIn(context).routes,
            *Dashboard(context).routes,
            *Mcp(context, routes_of(TABLE, context)).routes,
            *Signed(db).routes,
        ]

    async def ready(self) -> Mapping[str, str]:
        """Ready = Redis is there and keeps what it is given."""
        return {"redis": await self._db.check()}


def create_app(db: Database, settings: ConsoleSettings) -> Starlette:
    """One console alone."""
    role = Console(db, settings)
    routes = [*role.routes, *health.routes("console", role.ready, metrics.new_registry())]
    app = Starlette(routes=routes, exception_handlers=dict(EXCEPTION_HANDLERS))
    app.router.redirect_slashes = False
    return app
