"""Users: who may sign in by a login and a password. Records of the control plane; what they may do is in members.py.

The record is written before the login that points to it and removed after it: a login never leads to nobody for long.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from store import keys
from store.collection import Collection
from store.database import Database
from store.errors import NotFound, StoreError

EPOCH_BYTES: Final = 8


class LoginTaken(StoreError):
    """Another user has this login."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`password`: its Argon2id hash. `epoch`: another with each password; sessions carry the one they began in."""

    id: str
    login: str
    password: str
    operator: bool
    epoch: str
    created_at: int

    @classmethod
    def from_json(cls, id_: str, record: Mapping[str, Any]) -> "User":
        return cls(**{**record, "id": id_})


#: One hash for all projects.
USERS: Final = Collection(keys.USERS, "user", User.from_json)
EVERYWHERE: Final = ""


async def create(db: Database, login: str, password: str, *, operator: bool) -> User:
    """`password`: its hash. Raises LoginTaken or TooMany."""
    now = await db.now()

    def make(drawn: str) -> User:
        return User(id=drawn, login=login, password=password, operator=operator, epoch=_epoch(), created_at=now)

    user = await USERS.create(db, make, EVERYWHERE)
    if not await db.execute("HSETNX", keys.LOGINS, login, user.id):
        await USERS.delete(db, user.id, EVERYWHERE)
        raise LoginTaken(f'there is a user "{login}" already')
    return user


async def any_there(db: Database) -> bool:
    return bool(await db.execute("HLEN", keys.LOGINS))


async def page(db: Database) -> list[User]:
    """All of them, in the order of their logins."""
    return sorted((await USERS.all(db, EVERYWHERE)).values(), key=lambda user: user.login)


async def get(db: Database, user: str) -> User:
    """Raises NotFound."""
    return await USERS.get(db, user, EVERYWHERE)


async def find(db: Database, login: str) -> User | None:
    """As many steps for a login that nobody has."""
    user = await db.execute("HGET", keys.LOGINS, login)
    try:
        return await get(db, user.decode() if user else "")
    except NotFound:
        return None


async def edit(db: Database, user: User, *, password: str | None = None, operator: bool | None = None) -> User:
    """With another password (its hash) all sessions of the user end."""
    changed = user if operator is None else replace(user, operator=operator)
    if password is not None:
        changed = replace(changed, password=password, epoch=_epoch())
    await USERS.put(db, user.id, changed, EVERYWHERE)
    return changed


async def delete(db: Database, user: User) -> None:
    """Raises NotFound."""
    if await db.execute("HGET", keys.LOGINS, user.login) == user.id.encode():
        await db.execute("HDEL", keys.LOGINS, user.login)
    await USERS.delete(db, user.id, EVERYWHERE)


def _epoch() -> str:
    return secrets.token_hex(EPOCH_BYTES)
