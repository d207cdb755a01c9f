from typing import Any

import pytest

from rules.oncall import Contact, OnCall, Override, Person
from rules.policies import Policy, Step
from rules.windows import Window
from store import collection, keys, plans
from store.database import Database
from store.errors import NotFound, TooMany
from store.plans import Plan


def ada(person: str) -> Person:
    return Person(
        id=person, name="Ада", contacts=(Contact(channel="c" * 12, wait=0), Contact(channel="d" * 12, wait=60))
    )


def nights(schedule: str) -> OnCall:
    stands_in = Override(person="b" * 12, start_at=1_800_000_000_000, end_at=1_800_000_000_001)
    return OnCall(
        id=schedule, name="Nights", timezone="Europe/Berlin", people=("a" * 12, "b" * 12), days=7, handover="09:00",
        start="2027-01-04", overrides=(stands_in,),
    )  # fmt: skip


def loud(policy: str) -> Policy:
    steps = (Step(wait=0, channels=("c" * 12,)), Step(wait=300, people=("a" * 12,), schedules=("e" * 12,)))
    return Policy(id=policy, name="Loud", steps=steps, repeat=2, repeat_after=600)


def patches(window: str) -> Window:
    return Window(
        id=window, name="Patches", tags=("db",), days=(0, 6), start="22:00", end="02:00", timezone="Asia/Tokyo"
    )


def muted(window: str) -> Window:
    return Window(id=window, name="Mute", heartbeats=("a" * 12,), start_at=1_800_000_000_000)


async def test_a_new_project_has_planned_nothing(db: Database) -> None:
    assert await plans.plan(db) == Plan(people={}, schedules={}, policies={}, windows=(), corrupt=())


async def test_all_that_was_planned_is_read_as_it_was_made(db: Database) -> None:
    person = await plans.PEOPLE.create(db, ada)
    schedule = await plans.ONCALL.create(db, nights)
    policy = await plans.POLICIES.create(db, loud)
    windows = [await plans.WINDOWS.create(db, patches), await plans.WINDOWS.create(db, muted)]

    assert await plans.plan(db) == Plan(
        people={person.id: person},
        schedules={schedule.id: schedule},
        policies={policy.id: policy},
        windows=tuple(sorted(windows, key=lambda window: window.id)),
        corrupt=(),
    )
    assert await plans.ONCALL.get(db, schedule.id) == schedule
    assert await plans.POLICIES.all(db) == {policy.id: policy}


async def test_projects_do_not_see_each_others_plans(db: Database) -> None:
    await plans.PEOPLE.create(db, ada, "other")

    assert (await plans.plan(db)).people == {}
    assert len((await plans.plan(db, "other")).people) == 1


async def test_a_plan_takes_one_round_trip(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def pipeline(commands: list[Any]) -> list[Any]:
        calls.append(len(commands))
        return await Database.pipeline(db, commands)

    monkeypatch.setattr(db, "pipeline", pipeline)
    monkeypatch.setattr(db, "execute", None)
    await plans.plan(db)

    assert calls == [4]


async def test_a_record_that_cannot_be_read_is_left_out_and_named(db: Database) -> None:
    person, window = await plans.PEOPLE.create(db, ada), await plans.WINDOWS.create(db, patches)
    schedule = await plans.ONCALL.create(db, nights)
    stored = await db.execute("HGET", keys.ONCALL + keys.DEFAULT_PROJECT, schedule.id)
    for key, id_, text in (
        (keys.PEOPLE, b"\xff", b"{"),
        (keys.PEOPLE, b"no-contacts", b'{"name": "x"}'),
        (keys.ONCALL, b"no-place", stored.replace(b"Europe/Berlin", b"Europe/Nowhere")),
        (keys.POLICIES, b"no-steps", b'{"name": "x", "steps": [], "repeat": 0, "repeat_after": 60}'),
        (keys.WINDOWS, b"number", b"5"),
    ):
        await db.execute("HSET", key + keys.DEFAULT_PROJECT, id_, text)

    found = await plans.plan(db)

    assert (list(found.people), list(found.schedules), found.policies) == ([person.id], [schedule.id], {})
    assert found.windows == (window,)
    assert found.corrupt == (
        "person no-contacts", "person \ufffd", "oncall no-place", "policy no-steps", "window number",
    )  # fmt: skip


async def test_what_is_deleted_or_was_never_there_is_not_found(db: Database) -> None:
    person = await plans.PEOPLE.create(db, ada)
    await plans.PEOPLE.delete(db, person.id)

    with pytest.raises(NotFound, match="no such person"):
        await plans.PEOPLE.get(db, person.id)
    with pytest.raises(NotFound, match="no such on-call schedule"):
        await plans.ONCALL.delete(db, "0" * 12)
    assert (await plans.plan(db)).people == {}


async def test_a_project_has_so_many_of_a_kind_and_no_more(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "RECORDS_MAX", 1)
    await plans.WINDOWS.create(db, patches)

    with pytest.raises(TooMany):
        await plans.WINDOWS.create(db, muted)
    await plans.PEOPLE.create(db, ada)
