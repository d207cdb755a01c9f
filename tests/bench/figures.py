"""From runs to figures: medians over the rounds, ratios within a round, and the goal beside each."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from tests.bench.load import Run


class Goal(NamedTuple):
    """At most `most` times the CPU that `peer` takes for one ping; up to `accepted` it will do."""

    ours: str
    peer: str
    what: str
    most: float
    accepted: float


GOALS: Final = (
    Goal("members", "nginx", "node CPU per ping of a fleet's member, against nginx return 200", 1.7, 2.1),
    Goal("members", "webdis", "node CPU per ping of a fleet's member, against webdis", 0.75, 0.9),
    Goal("heartbeats", "webdis", "node CPU per ping with the event log on, against webdis", 1.2, 1.4),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured ratio; the spread is that of the rounds."""

    what: str
    connections: int
    ratio: float
    lowest: float
    highest: float
    most: float
    accepted: float

    @property
    def met(self) -> bool:
        return self.ratio <= self.most

    def __str__(self) -> str:
        said = "met" if self.met else "accepted" if self.ratio <= self.accepted else "NOT MET"
        return (
            f"{self.what}, {self.connections} connections: at most {self.most:g} x: "
            f"{self.ratio:.2f} x ({self.lowest:.2f} to {self.highest:.2f}): {said}"
        )


def figures(runs: Sequence[Run]) -> list[Figure]:
    found: list[Figure] = []
    for goal in GOALS:
        for connections in dict.fromkeys(run.connections for run in runs):
            ours, theirs = (_of(runs, name, connections) for name in (goal.ours, goal.peer))
            ratios = [our.cpu_us / their.cpu_us for our, their in zip(ours, theirs, strict=False)]
            if ratios:
                spread = median(ratios), min(ratios), max(ratios)
                found.append(Figure(goal.what, connections, *spread, goal.most, goal.accepted))
    return found


def table(runs: Sequence[Run]) -> str:
    """One line per contender and number of connections: medians over the rounds, of `others` the worst."""
    lines = ["contender                conns   pings/s  CPU us/ping   p50 ms   p99 ms  failed  others"]
    for name, connections in dict.fromkeys((run.contender, run.connections) for run in runs):
        mine = _of(runs, name, connections)
        lines.append(
            f"{name:<24} {connections:>5} {median(r.per_second for r in mine):>9,.0f}"
            f" {median(r.cpu_us for r in mine):>12.1f} {median(r.p50_ms for r in mine):>8.2f}"
            f" {median(r.p99_ms for r in mine):>8.2f} {sum(r.refused + r.lost for r in mine):>7}"
            f" {max(r.others for r in mine):>6.0%}"
        )
    return "\n".join(lines)


def _of(runs: Sequence[Run], name: str, connections: int) -> list[Run]:
    return [run for run in runs if (run.contender, run.connections) == (name, connections)]
