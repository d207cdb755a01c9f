"""Projects, and who is what in them. `default` is always there; what a role may do is the console's to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import orjson

from store import keys
from store.collection import Collection
from store.database import Database, mapped
from store.errors import NotFound, StoreError
from store.keys import DEFAULT_PROJECT

Role = Literal["owner", "member", "reader"]
ROLES: Final[Mapping[str, Role]] = {role: role for role in get_args(Role)}


class LastOwner(StoreError):
    """The last owner of a project stays one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    id: str
    name: str

    @classmethod
    def from_json(cls, id_: str, record: Mapping[str, Any]) -> "Project":
        return cls(id=id_, name=record["name"])


PROJECTS: Final = Collection(keys.PROJECTS, "project", Project.from_json)
EVERYWHERE: Final = ""
DEFAULT: Final = Project(id=DEFAULT_PROJECT, name=DEFAULT_PROJECT)


async def create_project(db: Database, name: str) -> Project:
    """Raises TooMany."""
    return await PROJECTS.create(db, lambda drawn: Project(id=drawn, name=name), EVERYWHERE)


async def project(db: Database, id_: str) -> Project:
    """Raises NotFound."""
    try:
        return await PROJECTS.get(db, id_, EVERYWHERE)
    except NotFound:
        if id_ != DEFAULT_PROJECT:
            raise
        return DEFAULT


async def rename_project(db: Database, id_: str, name: str) -> Project:
    """Raises NotFound."""
    renamed = Project(id=(await project(db, id_)).id, name=name)
    # Not put(): `default` has no record before it has a name of its own.
    await db.execute("HSET", keys.PROJECTS + EVERYWHERE, id_, orjson.dumps(renamed))
    return renamed


async def projects(db: Database) -> list[Project]:
    """All of them: `default`, then the others in the order of their names."""
    found = {DEFAULT_PROJECT: DEFAULT, **await PROJECTS.all(db, EVERYWHERE)}
    return sorted(found.values(), key=lambda each: (each.id != DEFAULT_PROJECT, each.name.casefold(), each.id))


async def projects_of(db: Database, user: str) -> list[tuple[Project, Role]]:
    """Where the user is a member, and as what; in the same order."""
    there = await projects(db)
    roles = await db.pipeline([("HGET", keys.MEMBERS + each.id, user) for each in there])
    return [(each, ROLES[role.decode()]) for each, role in zip(there, roles, strict=True) if role]


async def role_of(db: Database, project: str, user: str) -> Role | None:
    role = await db.execute("HGET", keys.MEMBERS + project, user)
    return ROLES[role.decode()] if role else None


async def of_project(db: Database, project: str) -> dict[str, Role]:
    """By user id."""
    return _roles(await db.execute("HGETALL", keys.MEMBERS + project))


async def owners(db: Database, project: str) -> set[str]:
    return _owners(await of_project(db, project))


async def set_role(db: Database, project: str, user: str, role: Role | None) -> None:
    """None = a member no more. Raises LastOwner."""
    key = keys.MEMBERS + project

    def check(stored: dict[bytes, bytes]) -> None:
        if _owners(_roles(stored)) == {user} and role != "owner":
            raise LastOwner("a project keeps its last owner: make somebody else an owner first")

    await db.write_checked(key, check, [("HDEL", key, user) if role is None else ("HSET", key, user, role)])


def _owners(roles: Mapping[str, Role]) -> set[str]:
    return {user for user, role in roles.items() if role == "owner"}


def _roles(answer: Any) -> dict[str, Role]:
    return {user.decode(): ROLES[role.decode()] for user, role in mapped(answer).items()}
