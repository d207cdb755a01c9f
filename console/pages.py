"""The page that a message links to: one incident, with buttons to acknowledge and to snooze it.

Whoever has the message has the signature in its link, and needs no sign-in for this one incident. Opening the link
changes nothing: mail programs and chat servers open links to show a preview.
"""

import asyncio
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from console.errors import ApiError, NotFound
from console.reading import body_of
from rules import limits
from rules.signing import is_signed
from rules.times import clock_time, duration, rfc3339
from store import channels, errors, fleets, heartbeats, incidents, projects, threads
from store.database import Database
from store.records import Incident

FORM_MAX: Final = 4_096  # bytes
AT_ONCE: Final = 50  # incidents that are acknowledged
SNOOZES: Final = {3_600: "1 hour", 14_400: "4 hours", 86_400: "1 day"}  # seconds
HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "referrer-policy": "no-referrer",  # the address is the permission
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
CAUSES: Final = {
    "silence": "No ping came in time.",
    "failure": "The job reported a failure.",
    "overrun": "A run did not finish in time.",
}
templates: Final = Environment(
    loader=PackageLoader("console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
templates.filters |= {"clock": clock_time, "rfc3339": rfc3339}


@dataclass(frozen=True, slots=True)
class Visit:
    """A request whose signature is right. `by`: the name of the channel that was sent the link; `others`: the incidents
    that it was told together with this one.
    """

    incident: Incident
    by: str
    query: str
    others: tuple[str, ...]


class Pages:
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
                await self._act(visit, parse_qs((await body_of(request, FORM_MAX)).decode(errors="replace")))
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

    async def _act(self, visit: Visit, form: dict[str, list[str]]) -> None:
        typed = limits.clean(form.get("name", [""])[0])[: limits.NAME_MAX]
        who = f"{typed} (by {visit.by})" if typed else visit.by
        snooze = form.get("snooze", [""])[0]
        seconds = next((each for each in SNOOZES if str(each) == snooze), 0)
        until = await self._db.now() + seconds * 1000
        named = [visit.incident.id, *visit.others]
        for i in range(0, len(named), AT_ONCE):
            some = named[i : i + AT_ONCE]
            await asyncio.gather(*(self._acted(incident, who, until if seconds else None) for incident in some))

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
            cause=incident.problem or CAUSES.get(incident.cause, ""),
            state="open" if is_open else "resolved",
            lasted=duration(((now if is_open else incident.resolved_at or now) - incident.opened_at) / 1000),
            snoozed=is_open and incident.snoozed_until is not None and incident.snoozed_until > now,
            output=incident.output.decode(errors="replace"),
            query=visit.query,
            others=len(visit.others),
            snoozes=SNOOZES,
        )


def _page(template: str, status: int, **values: object) -> Response:
    return Response(templates.get_template(template).render(values), status, HEADERS, "text/html")
