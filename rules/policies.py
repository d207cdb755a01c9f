"""Escalation policies: whom an incident is told to, step by step, until somebody acknowledges it.

How far an incident has come is its position, "<round>.<step>", both counted from 0; "" is the beginning. Waits are
seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`wait`: after the step before it; of the first, after the incident opened. The others are ids."""

    wait: int
    channels: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`repeat`: how often all steps are gone through again, each time `repeat_after` the last of them."""

    id: str
    name: str
    steps: tuple[Step, ...]
    repeat: int
    repeat_after: int

    @classmethod
    def from_json(cls, policy: str, record: Mapping[str, Any]) -> "Policy":
        """Raises ValueError, KeyError or TypeError on a corrupt record."""
        steps = tuple(
            Step(
                wait=step["wait"],
                channels=tuple(step["channels"]),
                people=tuple(step["people"]),
                schedules=tuple(step["schedules"]),
            )
            for step in record["steps"]
        )
        if not steps:
            raise ValueError("a policy has at least one step")
        return cls(
            id=policy, name=record["name"], steps=steps, repeat=record["repeat"], repeat_after=record["repeat_after"]
        )


def step_at(policy: Policy, position: str) -> Step | None:
    """The step to carry out; None if the policy was shortened meanwhile. Raises ValueError for what is no position."""
    round_, step = _read(position)
    return policy.steps[step] if round_ <= policy.repeat and step < len(policy.steps) else None


def next_position(policy: Policy, position: str) -> tuple[str, int] | None:
    """The position after the step at `position`, and how many seconds after that step it is due; None = there is none.

    Raises ValueError for what is no position.
    """
    round_, step = _read(position)
    if step + 1 < len(policy.steps):
        return f"{round_}.{step + 1}", policy.steps[step + 1].wait
    return (f"{round_ + 1}.0", policy.repeat_after) if round_ < policy.repeat else None


def _read(position: str) -> tuple[int, int]:
    round_, _, step = (position or "0.0").partition(".")
    return int(round_), int(step)
