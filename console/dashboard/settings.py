"""The settings of a project, and one's own password."""

from collections.abc import Mapping
from typing import Final

from starlette.responses import Response

from console import project as api
from console import projects, users
from console.access import NOWHERE
from console.dashboard import forms
from console.dashboard.page import Visit
from console.errors import ApiError, Forbidden, NotFound
from console.projects import ProjectPatch
from console.routing import Call
from console.users import MePatch

#: What was done before this page, as its address names it.
DONE: Final = {
    "password": "Your password is changed. All your other sessions have ended.",
    "name": "The project has its new name.",
    "rotated": "The project has a new ping key. The old one ends within seconds.",
}


async def index(visit: Visit) -> Response:
    return await _show(visit, {}, {}, 200)


async def rename(visit: Visit) -> Response:
    """The project that one looks at; the names of projects are the operators' to give."""
    if visit.visitor.project == NOWHERE:
        raise NotFound("You are a member of no project.")
    given, faults = forms.judged(ProjectPatch, {"name": forms.text(visit.form, "name")})
    if given is None:
        return await _show(visit, {"name": visit.field("name")}, faults, 422)
    await projects.change(Call(visit.context, visit.visitor.project, given, principal=visit.visitor))
    return visit.go("/settings?done=name")


async def rotate(visit: Visit) -> Response:
    """A new ping key; asks first."""
    call = Call(visit.context, "", None, principal=visit.visitor)
    if visit.is_sure:
        await api.rotate(call)
        return visit.go("/settings?done=rotated")
    return visit.ask(
        title="A new ping key?",
        text="The old one ends within seconds. Jobs that are pinged by their slugs are no longer heard until they have "
        "the new one; URLs with a token are not affected.",
        names=[(await api.get(call)).name],
        button="Make a new key",
        to="/settings/rotate",
        back="/settings",
    )


async def change_password(visit: Visit) -> Response:
    sent = {name: visit.field(name) for name in ("current", "password")}
    given, faults = forms.judged(MePatch, sent)
    if given is not None:
        try:
            await users.change_me(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go("/settings?done=password")
        except Forbidden:
            raise
        except ApiError as error:
            return await _show(visit, {}, {error.field or "current": str(error)}, error.status)
    return await _show(visit, {}, faults, 422)


async def _show(visit: Visit, values: Mapping[str, str], faults: Mapping[str, str], status: int) -> Response:
    """Never with what was typed as a password."""
    is_inside = visit.visitor.may("read")
    found = await api.get(Call(visit.context, "", None, principal=visit.visitor)) if is_inside else None
    return visit.page(
        "project.html",
        status,
        project=found,
        values={"name": found.name if found else "", **values},
        faults=faults,
        done=DONE.get(visit.query.get("done", ""), ""),
    )
