"""A fleet's settings, its ping key, its end."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from console import answers, views
from console import fleets as api
from console.dashboard import forms
from console.dashboard.fleets import again, known_channels, ours, raw_of, values_of
from console.dashboard.page import Visit
from console.dashboard.words import UNITS
from console.errors import Invalid
from console.routing import Call
from console.schemas import FleetPatch
from store import fleets, plans


async def settings(visit: Visit) -> Response:
    fleet = await _fleet(visit)
    return await _form(visit, fleet, values_of(fleet), {}, 200)


async def change(visit: Visit) -> Response:
    """Writes the settings, or shows beside each field what is wrong with it."""
    fleet = await _fleet(visit)
    given, faults = forms.judged(FleetPatch, raw_of(visit.form))
    if given is not None:
        try:
            await api.change(Call(visit.context, fleet.id, given, principal=visit.visitor))
            return visit.go(f"/fleets/{fleet.id}")
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return await _form(visit, fleet, values_of(fleet) | again(visit.form), faults, 422)


async def rotate(visit: Visit) -> Response:
    """A new ping key; asks first."""
    fleet = await _fleet(visit)
    if visit.is_sure:
        await api.rotate(Call(visit.context, fleet.id, None, principal=visit.visitor))
        return visit.go(f"/fleets/{fleet.id}")
    return visit.ask(
        title="A new ping URL for all members?",
        text="The old one ends within seconds: members that still use it are no longer heard, and fall silent.",
        names=[fleet.name],
        button="Make a new URL",
        to=f"/fleets/{fleet.id}/rotate",
        back=f"/fleets/{fleet.id}/settings",
    )


async def delete(visit: Visit) -> Response:
    """Asks first."""
    id_ = await ours(visit)
    if visit.is_sure:
        await api.delete(Call(visit.context, id_, None, principal=visit.visitor))
        return visit.go("/fleets")
    record = await fleets.get(visit.context.db, id_)
    return visit.ask(
        title="Delete this fleet?",
        text="Its ping URL ends within seconds, and all its members go with it. This cannot be undone.",
        names=[record.settings.name],
        button="Delete",
        to=f"/fleets/{id_}/delete",
        back=f"/fleets/{id_}/settings",
    )


async def _fleet(visit: Visit) -> answers.Fleet:
    return await api.get(Call(visit.context, await ours(visit), None, principal=visit.visitor))


async def _form(
    visit: Visit, fleet: answers.Fleet, values: Mapping[str, Any], faults: Mapping[str, str], status: int
) -> Response:
    plan = await plans.plan(visit.context.db, visit.visitor.project)
    return visit.page(
        "fleet_settings.html",
        status,
        fleet=fleet,
        values=values,
        faults=faults,
        units=UNITS,
        channels=await known_channels(visit),
        policies=views.by_name(plan.policies.values()),
    )
