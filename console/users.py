"""What operators can do with users, and everybody with themselves."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator

from console import checks
from console.access import NOWHERE, Principal, Role, Scope
from console.answers import Answer, Named, Time
from console.attempts import checked_attempt
from console.errors import Forbidden, Invalid
from console.fields import pattern, unchecked
from console.routing import Call
from console.schemas import Body
from rules import limits
from store import members, sessions, users

PASSWORD_MIN: Final = 10  # characters
PASSWORD_MAX: Final = 200  # what a stranger may let us hash
LOGIN: Final = f"[a-z0-9][a-z0-9._@+-]{{0,{limits.NAME_MAX - 1}}}"


def _long_enough(password: str) -> str:
    if len(password) < PASSWORD_MIN:
        raise ValueError(f"must have at least {PASSWORD_MIN} characters")
    return password


Login = Annotated[str, pattern(LOGIN, f"must be 1 to {limits.NAME_MAX} of the characters a-z, 0-9, ., _, @, + and -")]
Password = Annotated[str, unchecked(PASSWORD_MAX), AfterValidator(_long_enough)]


class UserCreate(Body):
    login: Login
    password: Password
    operator: bool = False


class UserPatch(Body):
    """Null = stays as it is. Another password ends all sessions of the user."""

    password: Password | None = None
    operator: bool | None = None


class MePatch(Body):
    """Another password ends all other sessions."""

    current: Annotated[str, unchecked(PASSWORD_MAX)]
    password: Password


class User(Answer):
    """Somebody who may sign in. `operator`: may manage users and projects of this server."""

    id: str
    login: str
    operator: bool
    created_at: Time


class Users(Answer):
    users: tuple[User, ...]
    next_cursor: None = None


class Me(Answer):
    """Who calls. `kind` admin: by the server's own key. `user` null: no user. `project` null: a member of none."""

    kind: Literal["user", "key", "admin"]
    name: str
    user: str | None
    operator: bool
    project: Named | None
    role: Role | None
    scopes: tuple[Scope, ...]


async def create(call: Call[UserCreate]) -> User:
    """Make a user; what they may do, the projects say that they become members of."""
    given = call.given
    hashed = await call.context.passwords.hash(given.password)
    try:
        return _shown(await users.create(call.context.db, given.login, hashed, operator=given.operator))
    except users.LoginTaken as error:
        raise Invalid(str(error), field="login") from None


async def page(call: Call[None]) -> Users:
    """List all users in the order of their logins."""
    return Users(users=tuple(_shown(user) for user in await users.page(call.context.db)))


async def get(call: Call[None]) -> User:
    """Read a user."""
    return _shown(await users.get(call.context.db, call.id))


async def change(call: Call[UserPatch]) -> User:
    """Change what is sent, and nothing else; another password ends all sessions of the user."""
    given, user = call.given, await users.get(call.context.db, call.id)
    hashed = None if given.password is None else await call.context.passwords.hash(given.password)
    return _shown(await users.edit(call.context.db, user, password=hashed, operator=given.operator))


async def delete(call: Call[None]) -> None:
    """Delete a user who is not the last owner of a project; all their sessions end."""
    db, user = call.context.db, await users.get(call.context.db, call.id)
    theirs = [project for project, _ in await members.projects_of(db, user.id)]
    alone = [project.name for project in theirs if await members.owners(db, project.id) == {user.id}]
    checks.unused("user", [f'the project "{name}" as its last owner' for name in alone])
    for project in theirs:
        await members.set_role(db, project.id, user.id, None)
    await users.delete(db, user)


async def me(call: Call[None]) -> Me:
    """Tell who calls, and what they may do in which project."""
    return await _about(call)


async def change_me(call: Call[MePatch]) -> Me:
    """Change one's own password; all other sessions end."""
    db, caller, passwords = call.context.db, call.principal, call.context.passwords
    if caller.user is None:
        raise Forbidden("only a user has a password, and this is none")
    user = await users.get(db, caller.user)
    await checked_attempt(db, "account", user.login)
    if not await passwords.fits(user.password, call.given.current):
        raise Invalid("current must be the password as it is now", field="current")
    changed = await users.edit(db, user, password=await passwords.hash(call.given.password))
    await sessions.survive(db, caller.session, changed.epoch)
    await sessions.forgive(db, "account", user.login)
    return await _about(call)


async def _about(call: Call[Any]) -> Me:
    db, caller = call.context.db, call.principal
    role = await members.role_of(db, caller.project, caller.user) if caller.user else None
    project = await members.project(db, caller.project) if caller.project != NOWHERE else None
    return Me(
        kind=_kind(caller),
        name=caller.name,
        user=caller.user,
        operator=caller.operator,
        project=Named(id=project.id, name=project.name) if project else None,
        role=role,
        scopes=tuple(scope for scope in ("ping", "read", "write", "admin") if caller.may(scope)),
    )


def _kind(caller: Principal) -> Literal["user", "key", "admin"]:
    if caller.user is not None:
        return "user"
    return "admin" if caller.operator else "key"


def _shown(user: users.User) -> User:
    return User(id=user.id, login=user.login, operator=user.operator, created_at=user.created_at)
