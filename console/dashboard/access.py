"""Who has access to a project: members and API keys. A key is shown once, in answer to the form that made it."""

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from console import keys, members
from console.dashboard import forms
from console.dashboard.page import Visit
from console.errors import InUse, Invalid, NotFound
from console.keys import ApiKeyCreate, MadeApiKey
from console.members import MemberAdd, MemberPatch
from console.routing import IDS, Call
from store import api_keys

MEMBERS: Final = "/settings/members"
KEYS: Final = "/settings/keys"
ROLES: Final = {
    "reader": "Reader: may look",
    "member": "Member: may change things",
    "owner": "Owner: may do all",
}
#: Without `ping`: such a key can say who it is and no more, and jobs need none.
SCOPES: Final = {
    "read": "May look.",
    "write": "May also make, change, pause and delete.",
    "admin": "May also manage channels, members and keys.",
}


async def members_page(visit: Visit) -> Response:
    return await _members(visit, {"role": "member"}, {}, 200)


async def add_member(visit: Visit) -> Response:
    raw = {"login": forms.text(visit.form, "login").lower(), "role": forms.text(visit.form, "role")}
    given, faults = forms.judged(MemberAdd, raw)
    if given is not None:
        try:
            await members.add(Call(visit.context, "", given, principal=visit.visitor))
            return visit.go(MEMBERS)
        except Invalid as error:
            faults = {error.field or "": str(error)}
    return await _members(visit, raw, faults, 422)


async def change_member(visit: Visit) -> Response:
    """Another role."""
    user = _named(visit, "user")
    given, faults = forms.judged(MemberPatch, {"role": forms.text(visit.form, "role")})
    if given is None:
        await _login(visit, user)  # nobody learns from a fault who is there
        return await _members(visit, {"role": "member"}, {"": next(iter(faults.values()))}, 422)
    try:
        await members.change(Call(visit.context, user, given, principal=visit.visitor))
    except InUse as error:
        return await _members(visit, {"role": "member"}, {"": str(error)}, error.status)
    return visit.go(MEMBERS)


async def remove_member(visit: Visit) -> Response:
    """Asks first."""
    user = _named(visit, "user")
    login = await _login(visit, user)
    if not visit.is_sure:
        return visit.ask(
            title="Remove this member?",
            text="They no longer see the project. Who they are, and what they did, stays.",
            names=[login],
            button="Remove",
            to=f"{MEMBERS}/{user}/remove",
            back=MEMBERS,
        )
    try:
        await members.remove(Call(visit.context, user, None, principal=visit.visitor))
    except InUse as error:
        return await _members(visit, {"role": "member"}, {"": str(error)}, error.status)
    return visit.go(MEMBERS)


async def keys_page(visit: Visit) -> Response:
    return await _keys(visit, {"scopes": ["read"]}, {}, 200)


async def create_key(visit: Visit) -> Response:
    """The answer shows the key, and no other page ever does."""
    raw = {"name": forms.text(visit.form, "name"), "scopes": forms.several(visit.form, "scopes")}
    given, faults = forms.judged(ApiKeyCreate, raw)
    if given is None:
        return await _keys(visit, raw, faults, 422)
    made = await keys.create(Call(visit.context, "", given, principal=visit.visitor))
    return await _keys(visit, {"scopes": ["read"]}, {}, 200, made)


async def delete_key(visit: Visit) -> Response:
    """Asks first."""
    id_ = _named(visit, "key")
    there = {each.id: each.name for each in await api_keys.of_project(visit.context.db, visit.visitor.project)}
    if id_ not in there:
        raise NotFound("There is no such key. It may have been deleted.")
    if visit.is_sure:
        await keys.delete(Call(visit.context, id_, None, principal=visit.visitor))
        return visit.go(KEYS)
    return visit.ask(
        title="Delete this API key?",
        text="It opens nothing from now on. Whoever still uses it is refused.",
        names=[there[id_]],
        button="Delete",
        to=f"{KEYS}/{id_}/delete",
        back=KEYS,
    )


async def _members(visit: Visit, values: Mapping[str, str], faults: Mapping[str, str], status: int) -> Response:
    found = await members.page(Call(visit.context, "", None, principal=visit.visitor))
    return visit.page(
        "members.html", status, members=found.members, values=values, faults=faults, roles=list(ROLES.items())
    )


async def _keys(
    visit: Visit, values: Mapping[str, Any], faults: Mapping[str, str], status: int, made: MadeApiKey | None = None
) -> Response:
    found = await keys.page(Call(visit.context, "", None, principal=visit.visitor))
    return visit.page(
        "keys.html",
        status,
        keys=found.keys,
        values=values,
        faults=faults,
        made=made,
        scopes=SCOPES,
        public_url=visit.context.public_url,
        now=await visit.context.db.now(),
    )


async def _login(visit: Visit, user: str) -> str:
    found = await members.page(Call(visit.context, "", None, principal=visit.visitor))
    login = next((each.login for each in found.members if each.user == user), None)
    if login is None:
        raise NotFound("There is no such member.")
    return login


def _named(visit: Visit, kind: str) -> str:
    id_: str = visit.request.path_params[kind]
    if not re.fullmatch(IDS[kind], id_):
        raise NotFound(f"There is no such {kind}.")
    return id_
