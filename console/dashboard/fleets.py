"""Fleets: the list, a new one, and the page of each: its counts, its silent members, what can be done with them.

A fleet may have a million members, so no page shows more of them than one page of the API does.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response

from console import answers
from console import fleets as api
from console.dashboard import forms
from console.dashboard.page import Visit
from console.dashboard.snippets import CURL
from console.dashboard.words import UNITS, typed
from console.errors import Invalid, NotFound
from console.reading import checked
from console.routing import IDS, Call
from console.schemas import FleetCreate, FleetQuery, Forget, MemberQuery
from rules import limits
from rules.times import duration
from store import belonging, channels, fleets, incidents

PAGE: Final = 50  # fleets, and members of one
EXAMPLE: Final = "sensor-1"  # the slug of a line to paste
BAD_SLUG: Final = "A slug has 1 to 100 of the characters a-z, 0-9, _ and -."
#: What a list of members can be narrowed to, by the status of the fleet.
LISTED: Final = {"up": ("down", "late", "up"), "down": ("down", "late", "up"), "paused": ("paused",)}


async def index(visit: Visit) -> Response:
    """In the order of their names."""
    cursor = visit.query.get("cursor")
    asked = checked(FleetQuery, {"limit": str(PAGE), **({"cursor": cursor} if cursor else {})})
    found = await api.page(Call(visit.context, "", asked, principal=visit.visitor))
    more = f"/fleets?{urlencode({'cursor': found.next_cursor})}" if found.next_cursor else ""
    return visit.page("fleets.html", fleets=found.fleets, more=more, first="/fleets" if cursor else "")


async def new(visit: Visit) -> Response:
    values = {"period": 5, "period_unit": "minutes", "grace": 2, "grace_unit": "minutes", "misses": 1}
    return await _new(visit, {**values, "cap": limits.MEMBERS_DEFAULT, "told": "all", "channels": []}, {}, 200)


async def create(visit: Visit) -> Response:
    """Makes one; its page shows how a member pings."""
    given, faults = forms.judged(FleetCreate, raw_of(visit.form))
    if given is not None:
        try:
            made = await api.create(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go(f"/fleets/{made.id}")
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return await _new(visit, again(visit.form), faults, 422)


async def show(visit: Visit) -> Response:
    return await _show(visit, await ours(visit), {}, 200)


async def pause(visit: Visit) -> Response:
    fleet = await ours(visit)
    await api.pause(Call(visit.context, fleet, None, principal=visit.visitor))
    return visit.go(f"/fleets/{fleet}")


async def resume(visit: Visit) -> Response:
    fleet = await ours(visit)
    await api.resume(Call(visit.context, fleet, None, principal=visit.visitor))
    return visit.go(f"/fleets/{fleet}")


async def forget_member(visit: Visit) -> Response:
    """Asks first."""
    fleet, slug = await ours(visit), visit.request.path_params["member"]
    if not re.fullmatch(IDS["member"], slug):
        raise NotFound("There is no such member.")
    if visit.is_sure:
        await api.forget_member(Call(visit.context, fleet, None, slug, principal=visit.visitor))
        return visit.go(f"/fleets/{fleet}")
    return visit.ask(
        title="Forget this member?",
        text="It no longer counts, and nobody hears that it is silent. Should it ping again, it joins anew.",
        names=[slug],
        button="Forget",
        to=f"/fleets/{fleet}/members/{slug}/forget",
        back=f"/fleets/{fleet}",
    )


async def forget(visit: Visit) -> Response:
    """Forgets all that have been silent for long; asks first, with their number."""
    fleet = await ours(visit)
    raw = {"silent_for": forms.seconds(visit.form, "silent_for")}
    given, faults = forms.judged(Forget, raw)
    if given is None:
        return await _show(visit, fleet, faults, 422)
    if visit.is_sure:
        await api.forget(Call(visit.context, fleet, given, principal=visit.visitor))
        return visit.go(f"/fleets/{fleet}")
    count = await fleets.count_silent(visit.context.db, fleet, given.silent_for)
    if not count:
        return await _show(visit, fleet, {"silent_for": "nobody has been silent for so long"}, 422)
    who = "1 member" if count == 1 else f"{count:,} members"
    record = await fleets.get(visit.context.db, fleet)
    return visit.ask(
        title=f"Forget {who}?",
        text=f"So many have been silent for {duration(given.silent_for)} or longer. They no longer count, and nobody "
        "hears that they are silent. Who pings again joins anew.",
        names=[record.settings.name],
        button=f"Forget {who}",
        to=f"/fleets/{fleet}/forget",
        back=f"/fleets/{fleet}",
        silent_for=str(given.silent_for),
        silent_for_unit="seconds",
    )


async def ours(visit: Visit) -> str:
    """The id that the path names. Raises NotFound also for one of another project."""
    id_: str = visit.request.path_params["fleet"]
    named = {"fleet": id_}
    if not re.fullmatch(IDS["fleet"], id_) or await belonging.is_of(visit.context.db, visit.visitor.project, named):
        raise NotFound("There is no such fleet. It may have been deleted.")
    return id_


def raw_of(form: forms.Form) -> dict[str, Any]:
    """The form as the API takes it; a field that it has not is not changed."""
    return {name: value for name, value in forms.heartbeat(form).items() if name in FleetCreate.model_fields} | (
        {"cap": forms.number(form, "cap")} if "cap" in form else {}
    )


def again(form: forms.Form) -> dict[str, Any]:
    """What was typed, to stand in the fields once more."""
    return {name: found[0] for name, found in form.items()} | {"channels": form.get("channels", [])}


def values_of(fleet: answers.Fleet) -> dict[str, Any]:
    """The settings as the form's fields show them."""
    values: dict[str, Any] = {
        name: "" if value is None else value
        for name, value in fleet.model_dump(exclude={"status", "ping_key", "ping_url", "members"}).items()
    }
    for name in ("period", "grace", "remind_every"):
        seconds = getattr(fleet, name)
        values[name], values[f"{name}_unit"] = ("", "hours") if seconds is None else typed(seconds)
    return values | {
        "tags": ", ".join(fleet.tags),
        "told": "all" if fleet.channels is None else "some",
        "channels": list(fleet.channels or ()),
    }


async def known_channels(visit: Visit) -> list[Any]:
    found = await channels.of_project(visit.context.db, visit.visitor.project)
    return sorted(found, key=lambda each: each.name.casefold())


async def _new(visit: Visit, values: Mapping[str, Any], faults: Mapping[str, str], status: int) -> Response:
    listed = await known_channels(visit)
    return visit.page("fleet_new.html", status, values=values, faults=faults, units=UNITS, channels=listed)


async def _show(visit: Visit, id_: str, faults: Mapping[str, str], status: int) -> Response:
    context, query = visit.context, visit.query
    fleet = await api.get(Call(context, id_, None, principal=visit.visitor))
    choices = LISTED[fleet.status]
    chosen = query.get("status") if query.get("status") in choices else choices[0]
    asked = {"limit": str(PAGE), "status": chosen, **({"cursor": query["cursor"]} if query.get("cursor") else {})}
    listed = await api.members(Call(context, id_, checked(MemberQuery, asked), principal=visit.visitor))
    here = f"/fleets/{id_}?{urlencode({'status': chosen})}"
    slug = query.get("slug", "").strip().lower()[: limits.NAME_MAX]
    (incident,) = await incidents.get_many(context.db, [fleet.incident]) if fleet.incident else (None,)
    return visit.page(
        "fleet.html",
        status,
        fleet=fleet,
        total=fleet.members.up + fleet.members.down + fleet.members.paused,
        incident=incident,
        now=await context.db.now(),
        choices=choices,
        chosen=chosen,
        listed=listed.members,
        first=here if query.get("cursor") else "",
        more=f"{here}&{urlencode({'cursor': listed.next_cursor})}" if listed.next_cursor else "",
        slug=slug,
        found=await _found(visit, id_, slug),
        faults={**faults, **({} if not slug or re.fullmatch(limits.SLUG, slug) else {"slug": BAD_SLUG})},
        curl=f"{CURL} {fleet.ping_url}/{EXAMPLE}",
        plain_curl=f"curl {fleet.ping_url}/{EXAMPLE}",
        example=EXAMPLE,
        units=UNITS,
    )


async def _found(visit: Visit, fleet: str, slug: str) -> answers.Member | None:
    """The member that is looked for; slugs stand in the order of deadlines, so only a whole one can be found fast."""
    if not re.fullmatch(limits.SLUG, slug):
        return None
    try:
        return await api.member(Call(visit.context, fleet, None, slug, principal=visit.visitor))
    except NotFound:
        return None
