"""The checker must see what it is there to see."""

from dataclasses import replace

import pytest

from tests.system.checker import Logs, Sent, Told, faults

OPENED = Told("m1", "incident.opened", "b", "b-1")
RESOLVED = Told("m2", "incident.resolved", "b", "b-1")


def fine() -> Logs:
    return Logs(
        sent=[Sent("a", 1000, 1001), Sent("b", 900, 902)], told=[OPENED, RESOLVED], steady={"a"}, returned={"b"}
    )


def test_a_run_without_faults_has_none() -> None:
    assert faults(fine(), {"a": 1000, "b": 901}) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sent": [Sent("a", 2000, 2001)]}, "lost"),
        ({"told": [*fine().told, replace(OPENED, heartbeat="a", incident="a-1", message="m3")]}, "kept pinging"),
        ({"told": [], "silent": {"b"}, "returned": set()}, "nobody was told"),
        ({"told": [*fine().told, replace(OPENED, incident="b-2", message="m3")]}, "opened 2 times"),
        ({"told": [RESOLVED, OPENED]}, "out of order"),
        ({"told": [OPENED]}, "recovery was not told"),
        ({"told": [OPENED, OPENED, RESOLVED]}, "repeated"),
    ],
)
def test_each_broken_promise_is_found(change: dict[str, object], says: str) -> None:
    assert any(says in fault for fault in faults(replace(fine(), **change), {"a": 1000, "b": 901}))  # type: ignore[arg-type]
