"""What a fleet is by the rules alone: plain numbers, no Redis. The scripts are held against it, step by step.

Times in ms, settings in seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import floor, inf
from typing import NamedTuple

from tests.store.model import AHEAD, CACHE_AGE, CLOCK_OFF, World

EXCUSES = 3
LISTENING = 300_000


class Deadline(NamedTuple):
    """`excuses`: how many in a row granted it; None = a ping earned it."""

    at: int
    excuses: int | None = None

    @property
    def score(self) -> float:
        return self.at if self.excuses is None else self.at + 0.5 + self.excuses / 16


@dataclass
class FleetModel:
    id: str
    world: World
    period: int
    grace: int
    misses: int
    cap: int
    status: str = "up"
    edited: int = 0
    not_before: int = 0
    walk: int | None = None
    stepped: bool = False
    up: dict[str, Deadline] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)
    returning: dict[str, int] = field(default_factory=dict)
    causes: dict[str, str] = field(default_factory=dict)

    @property
    def now(self) -> int:
        return self.world.now

    @property
    def span(self) -> int:
        return (self.misses * self.period + self.grace) * 1000

    @property
    def members(self) -> set[str]:
        return {*self.up, *self.down, *self.returning}

    @property
    def silent(self) -> int:
        """Of a paused fleet nobody is silent."""
        return 0 if self.status == "paused" else len(self.down)

    @property
    def next_due(self) -> float:
        """When there is something to do; at or before this FLEETS must have it."""
        moments = [self.walk if self.walk is not None else inf]
        if self.stepped:
            moments.append(0)
        if self.returning or (self.status == "paused" and self.down):
            moments.append(self.now)
        if self.status == "up" and self.up:
            moments.append(max(self.not_before, floor(min(deadline.score for deadline in self.up.values()))))
        return min(moments)

    # What nodes send

    def push(self, slug: str, deadline: int) -> bool:
        """The hot path, with a node's idea of the span."""
        if slug not in self.up or deadline <= self.up[slug].score:
            return False
        self.up[slug] = Deadline(deadline)
        return True

    def arrive(self, slug: str, signal: str, at: int, exit_status: str = "") -> str:
        at = min(at, self.now + AHEAD)
        fails, pings = signal == "fail" and self.status == "up", signal in {"success", "start"}
        if slug not in self.members and (fails or pings) and len(self.members) >= self.cap:
            return "full"
        if fails:
            self.fail(slug, at, exit_status)
        elif pings:
            self.ping(slug, at)
        return "up" if self.status == "up" and slug in self.up else "parked"

    def ping(self, slug: str, at: int) -> None:
        in_time = at + self.span > self.now
        if slug not in self.up:
            failed_since = slug in self.causes and at <= self.down[slug]
            if in_time and not failed_since:
                self.leave(slug)
                self.up[slug] = Deadline(at + self.span)
        elif at + self.span > self.up[slug].score:
            self.up[slug] = Deadline(at + self.span)
        elif in_time and self.up[slug].score > self.now + self.span + CLOCK_OFF:
            self.up[slug] = Deadline(self.now + self.span, 0)
        elif in_time and self.up[slug].excuses:
            self.up[slug] = Deadline(self.up[slug].at, 0)

    def fail(self, slug: str, at: int, exit_status: str) -> None:
        if slug in self.up:
            newest = self.last_ping(self.up[slug])
        elif slug in self.causes:
            newest = self.down[slug]
        elif slug in self.down:
            newest = self.down[slug] - self.span
        elif slug in self.returning:
            newest = 0
        else:
            newest = self.now - self.span
        if at > newest:
            self.leave(slug)
            self.down[slug], self.causes[slug] = at, exit_status or "fail"

    def last_ping(self, deadline: Deadline) -> int:
        """0 = nobody knows: granted, written by a node that may have known another span, or by a clock that jumped."""
        at = deadline.at - self.span
        exact = deadline.excuses is None and at > self.edited + CACHE_AGE and at <= self.now + AHEAD
        return at if exact else 0

    def leave(self, slug: str) -> None:
        for place in (self.up, self.down, self.returning, self.causes):
            place.pop(slug, None)

    # What people do

    def edit(self, period: int, grace: int, misses: int) -> None:
        old = self.span
        self.period, self.grace, self.misses = period, grace, misses
        nodes_know = self.now + CACHE_AGE
        if self.span > old:
            self.not_before = nodes_know + self.span
        elif self.span < old:
            self.not_before, self.walk = min(self.not_before, nodes_know + self.span), nodes_know
        if self.span != old:
            self.edited = self.now

    def pause(self) -> None:
        if self.status == "paused":
            return
        self.status = "paused"
        self.causes.clear()
        if not self.returning:
            self.returning, self.down = self.down, {}

    def resume(self) -> None:
        if self.status == "paused":
            self.status, self.not_before = "up", max(self.not_before, self.now + self.span)

    def forget_silent(self, silent_for: int) -> None:
        for slug in [slug for slug, since in self.down.items() if since <= self.now - silent_for]:
            if self.status == "up":
                self.leave(slug)

    # What time does

    def sweep(self, limit: int) -> dict[str, int]:
        """One call of a sweeper; who falls silent, and since when."""
        if self.stepped:
            self.stepped, self.walk = False, self.now + CACHE_AGE
            self.edited = min(self.edited, self.now)
            self.not_before = min(self.not_before, self.now + CACHE_AGE + self.span)
        walked = self.walk_on(limit)
        if walked == limit or self.status == "paused" or self.not_before >= (self.world.pulse or 0):
            return {}
        return self.judge(limit - walked)

    def walk_on(self, limit: int) -> int:
        if self.status == "paused" and not self.returning:
            self.returning, self.down = self.down, {}
        coming = sorted((since, slug) for slug, since in self.returning.items())[:limit]
        too_far: list[str] = []
        since_ahead: list[str] = []
        if self.walk is not None:
            latest = self.now + self.span + AHEAD
            scores = ((deadline.score, slug) for slug, deadline in self.up.items())
            too_far = _from_the_top(scores, latest)[: limit - len(coming)]
            since = ((float(since), slug) for slug, since in self.down.items())
            since_ahead = _from_the_top(since, self.now + AHEAD)[: limit - len(coming) - len(too_far)]
        for _, slug in coming:
            del self.returning[slug]
            self.up[slug] = Deadline(self.now + self.span, 0)
        for slug in too_far:
            self.up[slug] = Deadline(self.now + self.span, self.up[slug].excuses or 0)
        for slug in since_ahead:
            self.down[slug] = self.now
        walked = len(coming) + len(too_far) + len(since_ahead)
        if self.walk is not None and self.walk <= self.now and walked < limit:
            self.walk = None
        return walked

    def judge(self, limit: int) -> dict[str, int]:
        pulse = self.world.pulse or 0
        due = sorted((deadline.score, slug) for slug, deadline in self.up.items() if deadline.score < pulse)[:limit]
        period, grace = self.period * 1000, self.grace * 1000
        listening = grace + (self.misses - 1) * period + min(period, max(grace, LISTENING))
        silent = {}
        for score, slug in due:
            until, excuses = max(score, self.not_before), self.up[slug].excuses
            heard_again = self.world.deaf(score - listening, until)
            counts = heard_again is not None and (excuses is None or heard_again > score - self.span)
            if heard_again is not None and counts and (excuses or 0) < EXCUSES:
                self.up[slug] = Deadline(max(heard_again, self.edited) + self.span, (excuses or 0) + 1)
            else:
                del self.up[slug]
                self.down[slug] = silent[slug] = floor(until)
        return silent


def _from_the_top(scores: Iterable[tuple[float, str]], above: float) -> list[str]:
    return [slug for score, slug in sorted(scores, reverse=True) if score > above]
