"""The routes of the pages, and what holds for each: known visitors, forms of our own, errors as a page."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from console.access import NOWHERE, Need, Principal
from console.auth import is_ours
from console.dashboard import (
    access,
    channels,
    deliveries,
    fleet_settings,
    fleets,
    heartbeat,
    incidents,
    lists,
    oncall,
    people,
    policies,
    server,
    settings,
    system,
    windows,
)
from console.dashboard.page import HEADERS, Visit, form_of, is_id, rendered, sign_in
from console.dashboard.projects import switchable
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
    ("GET",  "/channels",                                     "read",  channels.index),
    ("GET",  "/channels/new",                                 "write", channels.new),
    ("POST", "/channels/new",                                 "write", channels.create),
    ("GET",  "/channels/{channel}",                           "read",  channels.show),
    ("POST", "/channels/{channel}/test",                      "write", channels.test),
    ("POST", "/channels/{channel}/settings",                  "admin", channels.change),
    ("POST", "/channels/{channel}/delete",                    "admin", channels.delete),
    ("GET",  "/deliveries",                                   "read",  deliveries.index),
    ("POST", "/deliveries/resend",                            "write", deliveries.resend_all),
    ("POST", "/deliveries/purge",                             "write", deliveries.purge_all),
    ("GET",  "/deliveries/{delivery}/outcome",                "read",  deliveries.outcome),
    ("POST", "/deliveries/{delivery}/resend",                 "write", deliveries.resend),
    ("POST", "/deliveries/{delivery}/purge",                  "write", deliveries.purge),
    ("GET",  "/fleets",                                       "read",  fleets.index),
    ("GET",  "/fleets/new",                                   "write", fleets.new),
    ("POST", "/fleets/new",                                   "write", fleets.create),
    ("GET",  "/fleets/{fleet}",                               "read",  fleets.show),
    ("POST", "/fleets/{fleet}/pause",                         "write", fleets.pause),
    ("POST", "/fleets/{fleet}/resume",                        "write", fleets.resume),
    ("POST", "/fleets/{fleet}/forget",                        "write", fleets.forget),
    ("POST", "/fleets/{fleet}/members/{member}/forget",       "write", fleets.forget_member),
    ("GET",  "/fleets/{fleet}/settings",                      "write", fleet_settings.settings),
    ("POST", "/fleets/{fleet}/settings",                      "write", fleet_settings.change),
    ("POST", "/fleets/{fleet}/rotate",                        "write", fleet_settings.rotate),
    ("POST", "/fleets/{fleet}/delete",                        "write", fleet_settings.delete),
    ("POST", "/incidents/{incident}/notes",                   "write", incidents.add_note),

    ("GET",  "/settings",                                     "known", settings.index),
    ("POST", "/settings/name",                                "operator", settings.rename),
    ("POST", "/settings/rotate",                              "admin", settings.rotate),
    ("POST", "/settings/password",                            "known", settings.change_password),
    ("GET",  "/settings/members",                             "admin", access.members_page),
    ("POST", "/settings/members",                             "admin", access.add_member),
    ("POST", "/settings/members/{user}/role",                 "admin", access.change_member),
    ("POST", "/settings/members/{user}/remove",               "admin", access.remove_member),
    ("GET",  "/settings/keys",                                "admin", access.keys_page),
    ("POST", "/settings/keys",                                "admin", access.create_key),
    ("POST", "/settings/keys/{key}/delete",                   "admin", access.delete_key),
    ("GET",  "/settings/users",                               "operator", server.users_page),
    ("POST", "/settings/users",                               "operator", server.create_user),
    ("GET",  "/settings/users/{user}",                        "operator", server.user_page),
    ("POST", "/settings/users/{user}",                        "operator", server.change_user),
    ("POST", "/settings/users/{user}/delete",                 "operator", server.delete_user),
    ("GET",  "/settings/projects",                            "operator", server.projects_page),
    ("POST", "/settings/projects",                            "operator", server.create_project),
    ("POST", "/settings/projects/{project}",                  "operator", server.rename_project),
    ("GET",  "/system",                                       "operator", system.index),
    ("POST", "/system/channels",                              "operator", system.choose),
    ("GET",  "/oncall",                                       "read",  oncall.index),
    ("GET",  "/oncall/new",                                   "write", oncall.ONCALL.new),
    ("POST", "/oncall/new",                                   "write", oncall.ONCALL.create),
    ("GET",  "/oncall/{oncall}",                              "read",  oncall.ONCALL.show),
    ("POST", "/oncall/{oncall}",                              "write", oncall.ONCALL.change),
    ("POST", "/oncall/{oncall}/delete",                       "write", oncall.ONCALL.delete),
    ("POST", "/oncall/{oncall}/overrides",                    "write", oncall.stand_in),
    ("POST", "/oncall/{oncall}/overrides/remove",             "write", oncall.stand_down),
    ("GET",  "/people",                                       "read",  people.index),
    ("GET",  "/people/new",                                   "write", people.PEOPLE.new),
    ("POST", "/people/new",                                   "write", people.PEOPLE.create),
    ("GET",  "/people/{person}",                              "write", people.PEOPLE.show),
    ("POST", "/people/{person}",                              "write", people.PEOPLE.change),
    ("POST", "/people/{person}/delete",                       "write", people.PEOPLE.delete),
    ("GET",  "/policies",                                     "read",  policies.index),
    ("GET",  "/policies/new",                                 "write", policies.POLICIES.new),
    ("POST", "/policies/new",                                 "write", policies.POLICIES.create),
    ("GET",  "/policies/{policy}",                            "write", policies.POLICIES.show),
    ("POST", "/policies/{policy}",                            "write", policies.POLICIES.change),
    ("POST", "/policies/{policy}/delete",                     "write", policies.POLICIES.delete),
    ("GET",  "/windows",                                      "read",  windows.index),
    ("GET",  "/windows/new",                                  "write", windows.WINDOWS.new),
    ("POST", "/windows/new",                                  "write", windows.WINDOWS.create),
    ("GET",  "/windows/{window}",                             "write", windows.WINDOWS.show),
    ("POST", "/windows/{window}",                             "write", windows.WINDOWS.change),
    ("POST", "/windows/{window}/delete",                      "write", windows.WINDOWS.delete),
)
# fmt: on

REFUSED: Final[Mapping[Need, str]] = {
    "read": "You may not look.",
    "write": "You may look, and not change anything.",
    "admin": "This is for the owners of the project.",
    "operator": "This is for those who run this server.",
}

NO_PROJECT: Final = "You are a member of no project yet. An owner of one adds you, by your login."

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
            projects = await switchable(self._context.db, visitor)
            down = (await self._live.tallies.of(visitor.project)).down if visitor.may("read") else 0
            return await handler(Visit(request, self._context, visitor, form, projects, down))

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
                    text = NO_PROJECT if visitor.project == NOWHERE and needs != "operator" else REFUSED[needs]
                    return _sorry(403, text, visitor)
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
        tally = await self._live.tallies.of(visitor.project)
        return Response(orjson.dumps(tally.told()), 200, HEADERS, "application/json")


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


def _sorry(status: int, text: str, visitor: Principal | None = None) -> Response:
    return rendered("sorry.html", status, visitor=visitor, text=text)
