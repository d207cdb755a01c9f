"""How flatline itself is doing: its problems, when it could not hear, and who is told of that."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from console import problems as api
from console.dashboard import forms
from console.dashboard.page import Visit
from console.errors import Invalid
from console.problems import OperatorChannels
from console.routing import Call
from store import channels
from store.keys import DEFAULT_PROJECT

#: What each kind of problem is called.
KINDS: Final = {
    "dead_letters": "Messages were given up",
    "sweep_stale": "The sweepers are behind",
    "hold": "No alarms: we cannot hear",
    "not_persisted": "Nothing is persisted",
    "redis_memory": "Redis is running out of memory",
    "channel_broken": "A channel is broken",
    "outbox_stale": "The notifiers are behind",
}


async def index(visit: Visit) -> Response:
    return await _show(visit, {}, 200)


async def choose(visit: Visit) -> Response:
    """Who hears of problems of flatline itself."""
    chosen = forms.several(visit.form, "channels") if forms.text(visit.form, "told") == "some" else []
    given, faults = forms.judged(OperatorChannels, {"channels": chosen})
    if given is not None:
        try:
            await api.choose_operators(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go("/system")
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return await _show(visit, faults, 422)


async def _show(visit: Visit, faults: Mapping[str, str], status: int) -> Response:
    call = Call(visit.context, "", None, principal=visit.visitor)
    chosen = (await api.operators(call)).channels
    known = await channels.of_project(visit.context.db, DEFAULT_PROJECT)
    return visit.page(
        "system.html",
        status,
        problems=(await api.page(call)).problems,
        kinds=KINDS,
        deaf=(await api.deaf(call)).deaf,
        channels=sorted(known, key=lambda each: each.name.casefold()),
        chosen=chosen,
        faults=faults,
        now=await visit.context.db.now(),
    )
