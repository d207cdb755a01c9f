"""Who is on call. How turns fall around clock changes is in test_oncall_clocks.py."""

from itertools import pairwise
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.oncall import SHIFTS_MAX, Contact, Duty, OnCall, Override, Person, duty, on_call, shifts
from tests.rules.test_schedules import ms

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
START: Final = ms("2027-03-01T09:00+00:00")  # a Monday


def schedule(*people: str, days: int = 1, overrides: tuple[Override, ...] = ()) -> OnCall:
    return OnCall(
        id="0" * 12, name="Nights", timezone="UTC", people=people, days=days, handover="09:00", start="2027-03-01",
        overrides=overrides,
    )  # fmt: skip


def override(person: str, start_h: float, end_h: float) -> Override:
    """Hours after the start."""
    return Override(person=person, start_at=START + int(start_h * HOUR_MS), end_at=START + int(end_h * HOUR_MS))


def test_turns_go_round() -> None:
    of_three = schedule("ada", "bob", "cid")

    assert [on_call(of_three, START + day * DAY_MS) for day in range(5)] == ["ada", "bob", "cid", "ada", "bob"]
    assert on_call(of_three, START + DAY_MS - 1) == "ada"
    assert on_call(schedule("ada", "bob", days=7), START + 7 * DAY_MS - 1) == "ada"
    assert on_call(schedule("ada", "bob", days=7), START + 7 * DAY_MS) == "bob"
    assert on_call(schedule("ada", "bob", days=366), START + 366 * DAY_MS) == "bob"


def test_there_is_nobody_before_the_start_and_with_nobody_in_it() -> None:
    assert duty(schedule("ada"), START - 1) == Duty(person=None, until=START)
    assert duty(schedule("ada"), 0) == Duty(person=None, until=START)
    assert duty(schedule(), START + 1) == Duty(person=None, until=None)


def test_an_override_holds_from_its_first_moment_to_before_its_last() -> None:
    stood_in = schedule("ada", overrides=(override("bob", 1, 2),))

    assert duty(stood_in, START) == Duty(person="ada", until=START + HOUR_MS)
    assert duty(stood_in, START + HOUR_MS) == Duty(person="bob", until=START + 2 * HOUR_MS)
    assert duty(stood_in, START + 2 * HOUR_MS) == Duty(person="ada", until=START + DAY_MS)


def test_of_two_overrides_the_one_made_later_wins_and_the_other_goes_on_behind_it() -> None:
    stood_in = schedule("ada", overrides=(override("bob", 1, 5), override("cid", 2, 3)))

    assert shifts(stood_in, START, START + 6 * HOUR_MS) == [
        (START, START + HOUR_MS, "ada"),
        (START + HOUR_MS, START + 2 * HOUR_MS, "bob"),
        (START + 2 * HOUR_MS, START + 3 * HOUR_MS, "cid"),
        (START + 3 * HOUR_MS, START + 5 * HOUR_MS, "bob"),
        (START + 5 * HOUR_MS, START + 6 * HOUR_MS, "ada"),
    ]


def test_an_override_also_holds_where_nobody_has_a_turn() -> None:
    assert shifts(schedule("ada", overrides=(override("bob", -2, -1),)), START - DAY_MS, START + 1) == [
        (START - 2 * HOUR_MS, START - HOUR_MS, "bob"),
        (START, START + 1, "ada"),
    ]
    assert shifts(schedule(overrides=(override("bob", 1, 2),)), START, START + DAY_MS) == [
        (START + HOUR_MS, START + 2 * HOUR_MS, "bob")
    ]


def test_an_override_does_not_move_the_turns_of_the_others() -> None:
    stood_in = schedule("ada", "bob", overrides=(override("cid", 0, 72),))

    assert on_call(stood_in, START + 3 * DAY_MS) == "bob"


def test_so_many_shifts_are_shown_and_no_more() -> None:
    found = shifts(schedule("ada", "bob"), START, START + 5_000 * DAY_MS)

    assert len(found) == SHIFTS_MAX
    assert found[-1] == (START + 999 * DAY_MS, START + 1_000 * DAY_MS, "bob")
    assert shifts(schedule("ada"), START, START) == []


hours = st.integers(-72, 72)


@st.composite
def overrides(draw: st.DrawFn) -> tuple[Override, ...]:
    made = draw(st.lists(st.tuples(st.sampled_from(["cid", "dan"]), hours, st.integers(1, 48)), max_size=6))
    return tuple(override(person, start, start + length) for person, start, length in made)


@given(overrides=overrides(), people=st.sampled_from([(), ("ada",), ("ada", "bob")]), days=st.integers(1, 3))
def test_shifts_are_what_on_call_says_at_every_half_hour(
    overrides: tuple[Override, ...], people: tuple[str, ...], days: int
) -> None:
    """Each hour is asked by itself, and of the overrides the last one in the list that covers it is taken."""
    stood_in = schedule(*people, days=days, overrides=overrides)
    shown = shifts(stood_in, START - 5 * DAY_MS, START + 5 * DAY_MS)

    assert all(end <= following for (_, end, _), (following, _, _) in pairwise(shown))
    for at in range(START - 5 * DAY_MS, START + 5 * DAY_MS, HOUR_MS // 2):
        stands_in = [each.person for each in overrides if each.start_at <= at < each.end_at]
        turn = people[(at - START) // (days * DAY_MS) % len(people)] if people and at >= START else None
        expected = stands_in[-1] if stands_in else turn

        assert on_call(stood_in, at) == expected
        assert [person for start, end, person in shown if start <= at < end] == ([expected] if expected else [])


def test_records_are_read_as_they_were_written() -> None:
    person = Person(id="a" * 12, name="Ада", contacts=(Contact(channel="c" * 12, wait=0),))
    made = schedule("ada", overrides=(override("bob", 1, 2),))

    assert Person.from_json(person.id, orjson.loads(orjson.dumps(person))) == person
    assert OnCall.from_json(made.id, orjson.loads(orjson.dumps(made))) == made


@pytest.mark.parametrize(
    "change",
    [
        {"handover": "25:00"},
        {"start": "soon"},
        {"timezone": "Mars/Base"},
        {"days": "x"},
        {"people": None},
        {"name": ...},
    ],
)
def test_a_record_that_cannot_be_reckoned_with_is_not_read(change: dict[str, object]) -> None:
    record = {**orjson.loads(orjson.dumps(schedule("ada"))), **change}
    record = {field: value for field, value in record.items() if value is not ...}

    with pytest.raises((ValueError, KeyError, TypeError)):
        OnCall.from_json("0" * 12, record)
