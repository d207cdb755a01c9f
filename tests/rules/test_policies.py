from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.policies import Policy, Step, next_position, step_at


def policy(*waits: int, repeat: int = 0, repeat_after: int = 300) -> Policy:
    """A step for each wait."""
    steps = tuple(Step(wait=wait, channels=(f"{number:012}",)) for number, wait in enumerate(waits))
    return Policy(id="0" * 12, name="Escalate", steps=steps, repeat=repeat, repeat_after=repeat_after)


def walk(policy: Policy) -> list[tuple[str, int]]:
    """Every position, with the seconds from the beginning of the first step to this one."""
    found, position, at = [("", 0)], "", 0
    while following := next_position(policy, position):
        position, at = following[0], at + following[1]
        found.append((position, at))
    return found


def test_steps_come_one_after_the_other_and_then_all_again() -> None:
    assert walk(policy(60, 300, 900)) == [("", 0), ("0.1", 300), ("0.2", 1200)]
    assert walk(policy(60, 300, repeat=2, repeat_after=600)) == [
        ("", 0), ("0.1", 300), ("1.0", 900), ("1.1", 1200), ("2.0", 1800), ("2.1", 2100),
    ]  # fmt: skip
    assert walk(policy(60)) == [("", 0)]
    assert walk(policy(60, repeat=1)) == [("", 0), ("1.0", 300)]


def test_the_beginning_is_the_first_step_of_the_first_round() -> None:
    some = policy(0, 60, repeat=1)

    assert step_at(some, "") == step_at(some, "0.0") == step_at(some, "1.0") == some.steps[0]
    assert next_position(some, "") == next_position(some, "0.0")
    assert step_at(some, "1.1") == some.steps[1]


@given(waits=st.lists(st.integers(0, 600), min_size=1, max_size=20), repeat=st.integers(0, 9))
def test_each_step_is_carried_out_once_in_each_round(waits: list[int], repeat: int) -> None:
    some = policy(*waits, repeat=repeat)
    positions = walk(some)

    assert [step_at(some, position) for position, _ in positions] == [*some.steps] * (repeat + 1)
    assert len({position for position, _ in positions}) == len(positions)
    assert all(at <= later for (_, at), (_, later) in pairwise(positions))


def test_an_incident_that_is_beyond_a_shortened_policy_has_no_step_there_and_goes_on_with_the_next_round() -> None:
    shorter = policy(0, 60, repeat=1)

    assert (step_at(shorter, "0.7"), next_position(shorter, "0.7")) == (None, ("1.0", 300))
    assert (step_at(shorter, "1.7"), next_position(shorter, "1.7")) == (None, None)
    assert (step_at(shorter, "2.0"), next_position(policy(0), "2.0")) == (None, None)


def test_a_policy_that_was_made_longer_goes_on_with_its_new_steps() -> None:
    assert next_position(policy(0, 60, 120), "0.1") == ("0.2", 120)


@pytest.mark.parametrize("position", ["done", "1", "1.", "a.b"])
def test_what_is_no_position_is_refused(position: str) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        step_at(policy(0), position)
    with pytest.raises(ValueError, match="invalid literal"):
        next_position(policy(0), position)


def test_a_record_is_read_as_it_was_written() -> None:
    step = Step(wait=5, channels=("a",), people=("b", "c"), schedules=("d",))
    made = Policy(id="0" * 12, name="дежурный", steps=(step, Step(wait=0, people=("b",))), repeat=3, repeat_after=60)

    assert Policy.from_json(made.id, orjson.loads(orjson.dumps(made))) == made


@pytest.mark.parametrize("record", [{}, {"steps": []}, {"steps": [{"wait": 0}]}, {"steps": 5}, []])
def test_a_record_that_cannot_be_carried_out_is_not_read(record: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Policy.from_json("0" * 12, record)
