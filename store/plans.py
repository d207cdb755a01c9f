"""What a project has planned: its people, on-call schedules, escalation policies and maintenance windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from rules.oncall import OnCall, Person
from rules.policies import Policy
from rules.windows import Window
from store import keys
from store.collection import Collection
from store.database import Database
from store.keys import DEFAULT_PROJECT

PEOPLE: Final = Collection(keys.PEOPLE, "person", Person.from_json)
ONCALL: Final = Collection(keys.ONCALL, "on-call schedule", OnCall.from_json)
POLICIES: Final = Collection(keys.POLICIES, "policy", Policy.from_json)
WINDOWS: Final = Collection(keys.WINDOWS, "window", Window.from_json)

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """By id. `corrupt`: what could not be read and is left out, as "<kind> <id>"; the rest holds without it."""

    people: Mapping[str, Person]
    schedules: Mapping[str, OnCall]
    policies: Mapping[str, Policy]
    windows: tuple[Window, ...]
    corrupt: tuple[str, ...]


async def plan(db: Database, project: str = DEFAULT_PROJECT) -> Plan:
    """All of it, in one round trip."""
    prefixes = (keys.PEOPLE, keys.ONCALL, keys.POLICIES, keys.WINDOWS)
    people, schedules, policies, windows = await db.pipeline([("HGETALL", prefix + project) for prefix in prefixes])
    corrupt: list[str] = []
    return Plan(
        people=_legible("person", people, Person.from_json, corrupt),
        schedules=_legible("oncall", schedules, OnCall.from_json, corrupt),
        policies=_legible("policy", policies, Policy.from_json, corrupt),
        windows=tuple(_legible("window", windows, Window.from_json, corrupt).values()),
        corrupt=tuple(corrupt),
    )


def _legible(
    kind: str, found: Mapping[bytes, bytes], read: Callable[[str, Mapping[str, Any]], R], corrupt: list[str]
) -> dict[str, R]:
    """In the order of ids. What cannot be read is added to `corrupt`."""
    records: dict[str, R] = {}
    for id_, text in sorted(found.items()):
        try:
            records[id_.decode()] = read(id_.decode(), orjson.loads(text))
        except (ValueError, KeyError, TypeError):
            corrupt.append(f"{kind} {id_.decode(errors='replace')}")
    return records
