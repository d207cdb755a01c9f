"""What can be done with a project's API keys. A key is shown once, in the answer that made it."""

from typing import Annotated

from pydantic import AfterValidator

from console.access import SCOPES, Scope, with_lesser
from console.answers import Answer, Time
from console.fields import several
from console.routing import Call
from console.schemas import Body, Name
from store import api_keys


def _one_at_least(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if not scopes:
        raise ValueError("must have one entry at least")
    return scopes


class ApiKeyCreate(Body):
    """`write` brings `read` with it, and `admin` both."""

    name: Name
    scopes: Annotated[tuple[Scope, ...], *several(len(SCOPES)), AfterValidator(_one_at_least)]


class ApiKey(Answer):
    """Who may call in its place, and how far. `used_at`: to the minute, null = never."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: Time
    used_at: Time | None


class MadeApiKey(ApiKey):
    """`key` is shown this once."""

    key: str


class ApiKeys(Answer):
    keys: tuple[ApiKey, ...]
    next_cursor: None = None


async def create(call: Call[ApiKeyCreate]) -> MadeApiKey:
    """Make an API key of the project; the answer is the only place where it stands."""
    scopes = with_lesser(call.given.scopes)
    db, project = call.context.db, call.principal.project
    made, key = await api_keys.create(db, project, call.given.name, scopes, letter=scopes[-1][0])
    return MadeApiKey(**dict(_shown(made)), key=key)


async def page(call: Call[None]) -> ApiKeys:
    """List the project's API keys, the oldest first, without the keys themselves."""
    found = await api_keys.of_project(call.context.db, call.principal.project)
    return ApiKeys(keys=tuple(_shown(key) for key in found))


async def delete(call: Call[None]) -> None:
    """Delete an API key; it opens nothing from now on."""
    await api_keys.delete(call.context.db, call.principal.project, call.id)


def _shown(key: api_keys.ApiKey) -> ApiKey:
    scopes = tuple(scope for scope in SCOPES if scope in key.scopes)
    return ApiKey(id=key.id, name=key.name, scopes=scopes, created_at=key.created_at, used_at=key.used_at)
