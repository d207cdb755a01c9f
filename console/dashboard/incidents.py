"""The list of incidents: what is wrong now, what was, who has seen it, who was told."""

import re
from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from console import incidents as api
from console.dashboard import forms
from console.dashboard.page import Visit
from console.dashboard.words import SNOOZES, snooze_of
from console.errors import BadRequest, NotFound
from console.reading import checked
from console.routing import IDS, Call
from console.schemas import Acknowledge, IncidentQuery, NoteAdd, Snooze
from rules import limits
from store import channels, incidents

PAGE: Final = 50  # incidents
BACK: Final = re.compile(r"/incidents(\?[A-Za-z0-9=&%_-]*)?")  # a page of this list


async def index(visit: Visit) -> Response:
    """The open ones first, each the newest first."""
    query = {name: visit.query[name] for name in ("status", "cursor") if visit.query.get(name)}
    asked = checked(IncidentQuery, {**query, "limit": str(PAGE)})
    found = await api.page(Call(visit.context, "", asked, principal=visit.visitor))
    kept = {"status": asked.status} if asked.status else {}
    return visit.page(
        "incidents.html",
        incidents=found.incidents,
        now=await visit.context.db.now(),
        chosen=asked.status or "",
        more=f"/incidents?{urlencode({**kept, 'cursor': found.next_cursor})}" if found.next_cursor else "",
        snoozes=SNOOZES,
        here=f"/incidents?{urlencode(query)}" if query else "/incidents",
        note_max=limits.NOTE_MAX,
        notes_max=limits.NOTES_MAX,
    )


async def told(visit: Visit) -> Response:
    """Who was told of one, as a part of the page."""
    found = await api.get(Call(visit.context, await _ours(visit), None, principal=visit.visitor))
    names = {each.id: each.name for each in await channels.of_project(visit.context.db, visit.visitor.project)}
    return visit.page("told.html", deliveries=found.deliveries, names=names, now=await visit.context.db.now())


async def acknowledge(visit: Visit) -> Response:
    seen = Acknowledge(by=visit.visitor.name)
    await api.acknowledge(Call(visit.context, await _ours(visit), seen, principal=visit.visitor))
    return visit.go("/incidents")


async def snooze(visit: Visit) -> Response:
    seconds = snooze_of(visit.field("for"))
    if seconds is None:
        raise BadRequest("A snooze takes an hour, four hours or a day.")
    given = Snooze.model_validate({"for": seconds, "by": visit.visitor.name})
    await api.snooze(Call(visit.context, await _ours(visit), given, principal=visit.visitor))
    return visit.go("/incidents")


async def add_note(visit: Visit) -> Response:
    """Under the name of who is signed in; then back to the page of the list on which it was written."""
    incident, back = await _ours(visit), visit.field("back")
    said = checked(NoteAdd, {"text": forms.prose(visit.form, "text")})
    await api.add_note(Call(visit.context, incident, said, principal=visit.visitor))
    return visit.go(f"{back if BACK.fullmatch(back) else '/incidents'}#{incident}")


async def _ours(visit: Visit) -> str:
    """The id that the path names. Raises NotFound also for one of another project."""
    id_: str = visit.request.path_params["incident"]
    (found,) = await incidents.get_many(visit.context.db, [id_]) if re.fullmatch(IDS["incident"], id_) else (None,)
    if found is None or found.project != visit.visitor.project:
        raise NotFound("There is no such incident.")
    return id_
