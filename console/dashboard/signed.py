"""The page that a message links to: one incident, with buttons to acknowledge and to snooze it.

Whoever has the message has the signature in its link, and needs no sign-in for this one incident. Opening the link
changes nothing: mail programs and chat servers open links to show a preview.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from console.dashboard.forms import Form, value
from console.dashboard.page import PLAIN, form_of, rendered
from console.dashboard.words import CAUSES, SNOOZES, snooze_of
from console.errors import ApiError, NotFound
from rules import limits
from rules.signing import is_signed
from rules.times import duration
from store import channels, errors, fleets, heartbeats, incidents, projects, threads
from store.database import Database
from store.records import Incident

AT_ONCE: Final = 50  # incidents that are acknowledged
HEADERS: Final = {**PLAIN, "referrer-policy": "no-referrer"}  # the address is the permission


@dataclass(frozen=True, slots=True)
class Visit:
    """A request whose signature is right. `by`: the name of the channel that was sent the link; `others`: the incidents
    that it was told together with this one.
    """

    incident: Incident
    by: str
    query: str
    others: tuple[str, ...]


class Signed:
    """Routes to mount."""

    def __init__(self, db: Database) -> None:
        self._db = db
        static = StaticFiles(packages=[("console", "static")])
        self.routes: list[BaseRoute] = [
            Route("/incidents/{incident}", self._answer, methods=["GET", "POST"], name="incident page"),
            Mount("/static", static, name="static"),
        ]

    async def _answer(self, request: Request) -> Response:
        try:
            visit = await self._visit(request)
            if request.method == "POST":
                await self._act(visit, await form_of(request))
                return RedirectResponse(f"{visit.incident.id}?{visit.query}", 303, HEADERS)
            return await self._shown(visit)
        except (ApiError, errors.NotFound) as error:
            missing = isinstance(error, NotFound | errors.NotFound)
            return _page(
                "sorry.html", 404 if missing else 400, text="There is no such page." if missing else str(error)
            )
        except errors.Unavailable:
            return _page("sorry.html", 503, text="The store cannot be reached. Nothing is lost: try again.")
        except ClientDisconnect:
            return Response(status_code=400)

    async def _visit(self, request: Request) -> Visit:
        """Raises NotFound for a signature that is not ours: a stranger does not learn what there is."""
        name = request.path_params["incident"]
        channel, signature = request.query_params.get("by", ""), request.query_params.get("sig", "")
        if not is_signed(signature, await projects.signing_key(self._db), "incident", name, channel):
            raise NotFound("no such page")
        incident = await incidents.get(self._db, name)
        query = urlencode({"by": channel, "sig": signature})
        others = tuple(sorted(set(await threads.members(self._db, channel, name)) - {name}))
        try:
            by = (await channels.get(self._db, channel, incident.project)).name
        except errors.NotFound:  # it was deleted since
            by = "a link"
        return Visit(incident, by, query, others)

    async def _act(self, visit: Visit, form: Form) -> None:
        typed = limits.clean(value(form, "name"))[: limits.NAME_MAX]
        who = f"{typed} (by {visit.by})" if typed else visit.by
        seconds = snooze_of(value(form, "snooze"))
        until = await self._db.now() + seconds * 1000 if seconds else None
        named = [visit.incident.id, *visit.others]
        for i in range(0, len(named), AT_ONCE):
            some = named[i : i + AT_ONCE]
            await asyncio.gather(*(self._acted(incident, who, until) for incident in some))

    async def _acted(self, incident: str, who: str, until: int | None) -> None:
        if until is None:
            await incidents.acknowledge(self._db, incident, who)
        else:
            await incidents.snooze(self._db, incident, who, until=until)

    async def _shown(self, visit: Visit) -> Response:
        incident, now = visit.incident, await self._db.now()
        read = fleets.get_many if incident.fleet else heartbeats.get_many
        (owner,) = await read(self._db, [incident.heartbeat], deleted=True)
        is_open = incident.status == "open"
        return _page(
            "incident.html",
            200,
            incident=incident,
            name=owner.settings.name if owner else incident.heartbeat or "flatline",
            runbook_url=owner.settings.runbook_url if owner else "",
            cause=incident.problem or f"{CAUSES.get(incident.cause, incident.cause)}.",
            state="open" if is_open else "resolved",
            lasted=duration(((now if is_open else incident.resolved_at or now) - incident.opened_at) / 1000),
            snoozed=is_open and incident.snoozed_until is not None and incident.snoozed_until > now,
            output=incident.output.decode(errors="replace"),
            query=visit.query,
            others=len(visit.others),
            snoozes=SNOOZES,
        )


def _page(template: str, status: int, **values: Any) -> Response:
    return rendered(template, status, HEADERS, **values)
