"""Who appears in the tests of rights: users by their sessions, and keys. No password is hashed for them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from console.access import Role, Scope, with_lesser
from store import api_keys, members, sessions, users
from store.database import Database
from store.keys import DEFAULT_PROJECT
from tests.console.conftest import KEY

COOKIE = "__Host-flatline"  # the public URL of the tests is https
OURS = {"Sec-Fetch-Site": "same-origin"}

_numbers = itertools.count()


@dataclass(frozen=True)
class Actor:
    """`headers` of each request; a browser's say that it came from a page of ours."""

    headers: dict[str, str]
    user: users.User | None = None

    @property
    def cookie(self) -> str:
        return self.headers["Cookie"].partition("=")[2]


async def user(
    db: Database, login: str = "", roles: Mapping[str, Role] | None = None, *, operator: bool = False
) -> users.User:
    """`roles`: by project."""
    made = await users.create(db, login or f"user{next(_numbers)}", "no hash at all", operator=operator)
    for project, role in (roles or {}).items():
        await members.set_role(db, project, made.id, role)
    return made


async def session(db: Database, who: users.User, project: str = DEFAULT_PROJECT) -> Actor:
    id_ = await sessions.begin(db, who.id, project, who.epoch)
    return Actor({"Cookie": f"{COOKIE}={id_}", **OURS}, who)


async def signed_in(
    db: Database, role: Role | None, project: str = DEFAULT_PROJECT, *, operator: bool = False
) -> Actor:
    """A new user with this role; None = a member of nothing."""
    return await session(db, await user(db, roles={project: role} if role else {}, operator=operator), project)


async def key(db: Database, scope: Scope, project: str = DEFAULT_PROJECT) -> Actor:
    _, text = await api_keys.create(db, project, scope, with_lesser([scope]), scope[0])
    return Actor({"Authorization": f"Bearer {text}"})


ADMIN = Actor({"Authorization": f"Bearer {KEY}"})
NOBODY = Actor({})
