"""What owners can do with the members of their project."""

from console.access import Role
from console.answers import Answer
from console.errors import InUse, Invalid, NotFound
from console.routing import Call
from console.schemas import Body
from console.users import Login
from store import members, users


class MemberAdd(Body):
    login: Login
    role: Role


class MemberPatch(Body):
    role: Role


class Membership(Answer):
    """A user, and what they are in the project: an owner may do all, a member change things, a reader look."""

    user: str
    login: str
    role: Role


class Memberships(Answer):
    members: tuple[Membership, ...]
    next_cursor: None = None


async def add(call: Call[MemberAdd]) -> Membership:
    """Make a user a member of the project."""
    db, project, given = call.context.db, call.principal.project, call.given
    user = await users.find(db, given.login)
    if user is None:
        raise Invalid("login must be that of a user; an operator makes users", field="login")
    if await members.role_of(db, project, user.id) is not None:
        raise Invalid(f'"{user.login}" is a member already: change the role', field="login")
    return await _set(call, user, given.role)


async def page(call: Call[None]) -> Memberships:
    """List the members of the project in the order of their logins."""
    roles = await members.of_project(call.context.db, call.principal.project)
    found = [
        Membership(user=user.id, login=user.login, role=roles[user.id])
        for user in await users.page(call.context.db)
        if user.id in roles
    ]
    return Memberships(members=tuple(found))


async def change(call: Call[MemberPatch]) -> Membership:
    """Give a member another role; the last owner stays one."""
    return await _set(call, await _member(call), call.given.role)


async def remove(call: Call[None]) -> None:
    """Take a member off the project; the last owner stays."""
    await _set_role(call, (await _member(call)).id, None)


async def _member(call: Call[MemberPatch] | Call[None]) -> users.User:
    if await members.role_of(call.context.db, call.principal.project, call.id) is None:
        raise NotFound("no such user")
    return await users.get(call.context.db, call.id)


async def _set(call: Call[MemberAdd] | Call[MemberPatch], user: users.User, role: Role) -> Membership:
    await _set_role(call, user.id, role)
    return Membership(user=user.id, login=user.login, role=role)


async def _set_role(call: Call[MemberAdd] | Call[MemberPatch] | Call[None], user: str, role: Role | None) -> None:
    try:
        await members.set_role(call.context.db, call.principal.project, user, role)
    except members.LastOwner as error:
        raise InUse(str(error)) from None
