"""A row of the table becomes a route: method, caller, rights, id, body, handler, answer, every error in one shape."""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from console.access import NOWHERE, Need, Principal
from console.auth import Access, Keys
from console.errors import NO_STORE, ApiError, Forbidden, Internal, MethodNotAllowed, NotFound, TooMany, Unavailable
from console.passwords import Passwords
from console.reading import read
from rules import limits
from runtime.logs import log
from runtime.values import Network
from store import belonging
from store import errors as store_errors
from store.database import Database

RETRY_AFTER_S: Final = 1

#: The parameters of paths, by name; the name is also the word of a 404.
IDS: Final = {
    "heartbeat": "[0-9a-f]{12}",
    "slug": limits.SLUG,
    "event": "[1-9][0-9]{0,15}-[0-9]{1,10}",
    "fleet": "[0-9a-f]{12}",
    "member": limits.SLUG,
    "channel": "[0-9a-f]{12}",
    "incident": "[0-9a-f]{12}-[0-9]{1,16}",
    "delivery": "[0-9a-f]{12}-[0-9]{1,16}:[0-9a-f]{12}",
    "person": "[0-9a-f]{12}",
    "oncall": "[0-9a-f]{12}",
    "policy": "[0-9a-f]{12}",
    "window": "[0-9a-f]{12}",
    "user": "[0-9a-f]{12}",
    "project": "(default|[0-9a-f]{12})",
    "key": "[0-9a-f]{12}",
}

#: What strangers sent goes back as it came, so no browser may take it for a page of ours.
UNTRUSTED: Final = {
    **NO_STORE,
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}

#: Who asks where nobody is asked for a key.
ANYBODY: Final = Principal(name="anybody", project=NOWHERE, scopes=frozenset())

G = TypeVar("G")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """What handlers work with; one per application. `proxies`: whose X-Forwarded-For is believed."""

    db: Database
    keys: Keys
    public_url: str
    passwords: Passwords = field(default_factory=Passwords)
    proxies: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Call(Generic[G]):
    """One request, checked: `id` from the path, `given` the body or the query; `part`: what the path names within.

    Whatever the id names belongs to the caller's project, which is also the only one that a handler may look into.
    """

    context: Context
    id: str
    given: G
    part: str = ""
    principal: Principal = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Made:
    """An answer about something that was not there before: 201 where an operation both makes and changes."""

    answer: BaseModel


@dataclass(frozen=True, slots=True)
class Row:
    """One operation. `needs`: of the caller. `takes` None: body and query are ignored. `answers` None: the answer is
    empty; bytes: plain text that a stranger sent; Response: a page. `tries_password`: too many tries are refused.
    `may_make`: what it changes is made if it is not there.
    """

    method: str
    path: str
    needs: Need
    handler: Callable[[Call[Any]], Awaitable[BaseModel | bytes | Made | Response | None]]
    takes: type[BaseModel] | None
    answers: type[BaseModel | bytes | Response] | None
    status: int = 200
    key: Access = "bearer"
    tries_password: bool = False
    may_make: bool = False

    async def answer(self, context: Context, request: Request) -> Response:
        caller = await context.keys.caller(request, self.key) if self.needs != "open" else ANYBODY
        if not caller.meets(self.needs):
            raise Forbidden(self._refusal)
        for name, value in request.path_params.items():
            if not re.fullmatch(IDS[name], value):
                raise NotFound(f"no such {name}")
        given = await read(request, self.takes) if self.takes else None
        if strange := await belonging.is_of(context.db, caller.project, request.path_params):
            raise NotFound(f"no such {strange}")
        id_, part, *_ = (*request.path_params.values(), "", "")
        found = await self.handler(Call(context, id_, given, part, principal=caller))
        if found is None:
            return Response(b"", self.status, NO_STORE)
        if isinstance(found, Response):
            return found
        if isinstance(found, bytes):
            return Response(found, self.status, UNTRUSTED, "text/plain")
        if isinstance(found, Made):
            return Response(found.answer.model_dump_json().encode(), 201, NO_STORE, "application/json")
        return Response(found.model_dump_json().encode(), self.status, NO_STORE, "application/json")

    @property
    def _refusal(self) -> str:
        if self.needs == "operator":
            return "only an operator of this server may do this"
        return f"this needs the scope {self.needs} in this project"


class Endpoint:
    """All operations of one path, as an ASGI application."""

    def __init__(self, context: Context, rows: Sequence[Row]) -> None:
        self._context = context
        self._rows = {row.method: row for row in rows}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ApiError as error:
            response = error.response()
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - logged once, answered without details
            log(logger, logging.ERROR, "request_failed", error, method=request.method, path=self._path)
            response = Internal("something went wrong on our side; the log says what").response()
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        row = self._rows.get("GET" if request.method == "HEAD" else request.method)
        if row is None:
            raise MethodNotAllowed("this method is not allowed here", headers={"allow": self._allow})
        try:
            return await row.answer(self._context, request)
        except store_errors.NotFound as error:
            raise NotFound(str(error)) from None
        except store_errors.TooMany as error:
            raise TooMany(str(error)) from None
        except store_errors.Unavailable as error:
            log(logger, logging.WARNING, "store_unavailable", reason=str(error), method=row.method, path=row.path)
            headers = {"retry-after": str(RETRY_AFTER_S)}
            raise Unavailable("the store cannot be reached; nothing is lost, try again", headers=headers) from None

    @property
    def _path(self) -> str:
        return next(iter(self._rows.values())).path

    @property
    def _allow(self) -> str:
        return ", ".join(sorted({*self._rows, *(["HEAD"] if "GET" in self._rows else [])}))


def routes_of(table: Sequence[Row], context: Context) -> list[Route]:
    """One route per path, in the order of the table."""
    paths: dict[str, list[Row]] = {}
    for row in table:
        paths.setdefault(row.path, []).append(row)
    return [Route(path, Endpoint(context, rows), name=path) for path, rows in paths.items()]
