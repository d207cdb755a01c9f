"""The routes of the pages, and what holds for each: known visitors, forms of our own, errors as a page."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from console.access import Need, Principal
from console.auth import is_ours
from console.dashboard import heartbeat, incidents, lists
from console.dashboard.page import HEADERS, Visit, form_of, is_id, rendered, sign_in
from console.errors import ApiError, Invalid
from console.live import IDS_MAX, RETRY_MS, Live
from console.routing import Context
from runtime.logs import log
from store import errors, heartbeats

Handler = Callable[[Visit], Awaitable[Response]]

STREAM_HEADERS: Final = {**HEADERS, "x-accel-buffering": "no"}

# fmt: off
TABLE: Final[tuple[tuple[str, str, Need, Handler], ...]] = (
    # method path                                             needs    handler
    ("GET",  "/",                                             "read",  lists.index),
    ("GET",  "/rows",                                         "read",  lists.some_rows),
    ("POST", "/bulk",                                         "write", lists.bulk),
    ("GET",  "/new",                                          "write", heartbeat.new),
    ("POST", "/new",                                          "write", heartbeat.create),
    ("GET",  "/schedules/preview",                            "read",  heartbeat.preview),
    ("GET",  "/heartbeats/{heartbeat}",                       "read",  heartbeat.show),
    ("GET",  "/heartbeats/{heartbeat}/settings",              "write", heartbeat.settings),
    ("POST", "/heartbeats/{heartbeat}/settings",              "write", heartbeat.change),
    ("GET",  "/heartbeats/{heartbeat}/events/{event}/output", "read",  heartbeat.output),
    ("POST", "/heartbeats/{heartbeat}/pause",                 "write", heartbeat.pause),
    ("POST", "/heartbeats/{heartbeat}/resume",                "write", heartbeat.resume),
    ("POST", "/heartbeats/{heartbeat}/rotate",                "write", heartbeat.rotate),
    ("POST", "/heartbeats/{heartbeat}/delete",                "write", heartbeat.delete),
    ("GET",  "/incidents",                                    "read",  incidents.index),
    ("GET",  "/incidents/{incident}/told",                    "read",  incidents.told),
    ("POST", "/incidents/{incident}/acknowledge",             "write", incidents.acknowledge),
    ("POST", "/incidents/{incident}/snooze",                  "write", incidents.snooze),
)
# fmt: on

REFUSED: Final[Mapping[Need, str]] = {
    "read": "You may not look.",
    "write": "You may look, and not change anything.",
    "admin": "This is for the owners of the project.",
    "operator": "This is for those who run this server.",
}

logger = logging.getLogger(__name__)


class Dashboard:
    """Routes to mount."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._live = Live(context.db)
        self.routes: list[BaseRoute] = [
            Route(path, self._page(needs, handler), methods=[method], name=f"{method} {path}")
            for method, path, needs, handler in TABLE
        ]
        self.routes += [
            Route("/events", self._guarded("read", self._events), methods=["GET"], name="events"),
            Route("/counts", self._guarded("read", self._counts), methods=["GET"], name="counts"),
        ]

    def _page(self, needs: Need, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request, visitor: Principal) -> Response:
            form = await form_of(request) if request.method == "POST" else {}
            return await handler(Visit(request, self._context, visitor, form))

        return self._guarded(needs, answer)

    def _guarded(
        self, needs: Need, answer: Callable[[Request, Principal], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                visitor = await self._context.keys.visitor(request)
                if visitor is None:
                    return sign_in(request)
                if request.method == "POST" and is_ours(request.headers) is False:
                    return _sorry(403, "This form was not sent from a page of flatline. Open the page and try again.")
                if not visitor.meets(needs):
                    return _sorry(403, REFUSED[needs])
                return await answer(request, visitor)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer is a page
                return _told(request, error)

        return guarded

    async def _events(self, request: Request, visitor: Principal) -> Response:
        """Server-sent events for one open page, which names the heartbeats that it shows."""
        if self._live.is_full:
            return Response(b"", 503, {**HEADERS, "retry-after": str(RETRY_MS // 1000)})
        asked = [id_ for id_ in dict.fromkeys(request.query_params.get("ids", "").split(",")) if is_id(id_)][:IDS_MAX]
        found = await heartbeats.get_many(self._context.db, asked)
        ours = [each.id for each in found if each is not None and each.project == visitor.project]
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        if not (since.isascii() and since.isdigit() and len(since) <= 15):
            raise Invalid("since must be a time in milliseconds", field="since")
        stopping = request.scope.get("state", {}).get("stopping")
        stream = self._live.stream(visitor.project, ours, int(since), stopping)
        return StreamingResponse(stream, 200, STREAM_HEADERS, "text/event-stream")

    async def _counts(self, _: Request, visitor: Principal) -> Response:
        """What a page in the background asks for now and then: a stream of its own would cost a connection."""
        counts = await heartbeats.count(self._context.db, visitor.project)
        return Response(orjson.dumps({"counts": counts}), 200, HEADERS, "application/json")


def _told(request: Request, error: Exception) -> Response:
    """An error as a page; what is not foreseen is logged and told without details."""
    match error:
        case errors.Unavailable():
            log(logger, logging.WARNING, "store_unavailable", reason=str(error), method=request.method)
            return _sorry(503, "The store cannot be reached. Nothing is lost: try again.")
        case errors.NotFound():
            return _sorry(404, "It is not there. It may have been deleted.")
        case errors.TooMany():
            return _sorry(403, str(error))
        case ApiError():
            return _sorry(error.status, str(error))
    log(logger, logging.ERROR, "page_failed", error, method=request.method)
    return _sorry(500, "Something went wrong on our side; the log says what.")


def _sorry(status: int, text: str) -> Response:
    return rendered("sorry.html", status, visitor=None, text=text)
