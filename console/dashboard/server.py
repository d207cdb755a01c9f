"""For those who run the server: its users and its projects."""

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from console import projects, users
from console.dashboard import forms
from console.dashboard.page import Visit
from console.errors import InUse, Invalid, NotFound
from console.projects import ProjectCreate, ProjectPatch
from console.routing import IDS, Call
from console.users import UserCreate, UserPatch

USERS: Final = "/settings/users"
PROJECTS: Final = "/settings/projects"


async def users_page(visit: Visit) -> Response:
    return await _users(visit, {}, {}, 200)


async def create_user(visit: Visit) -> Response:
    raw: dict[str, Any] = {
        "login": forms.text(visit.form, "login").lower(),
        "password": visit.field("password"),
        "operator": forms.ticked(visit.form, "operator"),
    }
    given, faults = forms.judged(UserCreate, raw)
    if given is not None:
        try:
            await users.create(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go(USERS)
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return await _users(visit, {**raw, "password": ""}, faults, 422)


async def user_page(visit: Visit) -> Response:
    return await _user(visit, await _known(visit), {}, 200)


async def change_user(visit: Visit) -> Response:
    """Another password, or whether they run the server: each has a form of its own."""
    user = await _known(visit)
    raw: dict[str, Any] = {name: visit.field(name) for name in ("password",) if name in visit.form}
    if "operator" in forms.several(visit.form, "switches"):
        raw["operator"] = forms.ticked(visit.form, "operator")
    given, faults = forms.judged(UserPatch, raw)
    if given is None:
        return await _user(visit, user, faults, 422)
    await users.change(Call(visit.context, user.id, given, principal=visit.visitor))
    return visit.go(USERS)


async def delete_user(visit: Visit) -> Response:
    """Asks first."""
    user = await _known(visit)
    if not visit.is_sure:
        return visit.ask(
            title="Delete this user?",
            text="All their sessions end, and they are a member of no project any more. This cannot be undone.",
            names=[user.login],
            button="Delete",
            to=f"{USERS}/{user.id}/delete",
            back=f"{USERS}/{user.id}",
        )
    try:
        await users.delete(Call(visit.context, user.id, None, principal=visit.visitor))
    except InUse as error:
        return await _user(visit, user, {"": str(error)}, error.status)
    return visit.go(USERS)


async def projects_page(visit: Visit) -> Response:
    return await _projects(visit, {}, {}, 200)


async def create_project(visit: Visit) -> Response:
    raw = {"name": forms.text(visit.form, "name"), "owner": (forms.optional(visit.form, "owner") or "").lower() or None}
    given, faults = forms.judged(ProjectCreate, raw)
    if given is not None:
        try:
            await projects.create(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go(PROJECTS)
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return await _projects(visit, {name: value or "" for name, value in raw.items()}, faults, 422)


async def rename_project(visit: Visit) -> Response:
    id_ = _id(visit, "project")
    given, faults = forms.judged(ProjectPatch, {"name": forms.text(visit.form, "name")})
    if given is None:
        return await _projects(visit, {}, {f"name-{id_}": faults["name"]}, 422)
    await projects.change(Call(visit.context, id_, given, principal=visit.visitor))
    return visit.go(PROJECTS)


async def _users(visit: Visit, values: Mapping[str, Any], faults: Mapping[str, str], status: int) -> Response:
    found = await users.page(Call(visit.context, "", None, principal=visit.visitor))
    now = await visit.context.db.now()
    return visit.page("users.html", status, users=found.users, values=values, faults=faults, now=now)


async def _user(visit: Visit, user: users.User, faults: Mapping[str, str], status: int) -> Response:
    return visit.page("user.html", status, user=user, values={"operator": user.operator}, faults=faults)


async def _projects(visit: Visit, values: Mapping[str, str], faults: Mapping[str, str], status: int) -> Response:
    found = await projects.page(Call(visit.context, "", None, principal=visit.visitor))
    return visit.page("projects.html", status, listed=found.projects, values=values, faults=faults)


async def _known(visit: Visit) -> users.User:
    return await users.get(Call(visit.context, _id(visit, "user"), None, principal=visit.visitor))


def _id(visit: Visit, kind: str) -> str:
    id_: str = visit.request.path_params[kind]
    if not re.fullmatch(IDS[kind], id_):
        raise NotFound(f"There is no such {kind}.")
    return id_
