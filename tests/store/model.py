"""What a heartbeat is by the rules alone: plain numbers, no Redis. The scripts are held against it, step by step.

Times in ms, settings in seconds. A deadline with a fraction was granted: no ping stands behind it.
"""

from dataclasses import dataclass, field
from math import floor, inf

CACHE_AGE = 5_000
CLOCK_OFF = 1_000
AHEAD = 20
GAP = 1_000


@dataclass
class World:
    """The clock, the newest pulse, and when we were deaf."""

    now: int
    pulse: int | None = None
    windows: list[tuple[int, int]] = field(default_factory=list)
    walking: bool = False

    def hear(self, *, restarted: bool = False) -> None:
        last = self.now if self.pulse is None else self.pulse
        if self.now < last - GAP:
            self.windows = [(start, min(end, self.now)) for start, end in self.windows if start < self.now]
            last, self.walking = self.now, True
        if self.now - last > GAP or restarted:
            start, end = min(last, self.now), max(last, self.now)
            for window in [w for w in self.windows if w[1] >= start]:
                self.windows.remove(window)
                start, end = min(start, window[0]), max(end, window[1])
            self.windows.append((start, end))
        self.pulse = max(last, self.now)

    def deaf(self, start: float, end: float) -> int | None:
        """The latest end of a window that overlaps."""
        return max((w[1] for w in self.windows if w[1] >= start and w[0] <= end), default=None)


@dataclass
class Incident:
    id: str
    opened: int
    cause: str
    status: str = "open"
    resolution: str = ""
    failure_joined: bool = False


@dataclass
class Heart:
    id: str
    world: World
    period: int = 60
    grace: int = 30
    misses: int = 1
    max_runtime: int | None = None
    resume_on_ping: bool = False
    status: str = "pending"
    deadline: float = inf
    settle_at: int | None = None
    stored_ping: int = 0
    failed: int = 0
    runs: dict[str, tuple[int, int]] = field(default_factory=dict)  # rid -> started, due
    incidents: list[Incident] = field(default_factory=list)
    excuses: int = 0
    excused_to: int = 0
    edited: int = 0
    resume_at: int | None = None

    def __post_init__(self) -> None:
        self.since = self.created = self.now

    @property
    def now(self) -> int:
        return self.world.now

    @property
    def span(self) -> int:
        return (self.misses * self.period + self.grace) * 1000

    @property
    def ping(self) -> int:
        """last ping = deadline - span holds for a live, unmarked deadline and is never later than now."""
        if self.deadline == inf or self.deadline % 1:
            return self.stored_ping
        return max(self.stored_ping, min(int(self.deadline) - self.span, self.now))

    @property
    def live(self) -> bool:
        """A node's ZADD can move it and a sweep can see it."""
        return self.deadline < inf and self.settle_at is None

    @property
    def next_due(self) -> float:
        times = [self.settle_at, self.resume_at, self.deadline if self.live else None]
        return min([time for time in times if time is not None] + [due for _, due in self.runs.values()], default=inf)

    @property
    def longest(self) -> int:
        return (max(self.grace, 60) if self.max_runtime is None else self.max_runtime) * 1000

    # What nodes send

    def push(self, deadline: int) -> bool:
        """The hot path, with a node's idea of the span."""
        if not self.live or deadline <= self.deadline:
            return False
        self.deadline = deadline
        return True

    def arrive(self, signal: str, at: int, rid: str = "") -> None:
        if signal != "log":
            getattr(self, signal)(min(at, self.now + AHEAD), rid)

    def is_later(self, at: int) -> bool:
        newest = max(self.ping, self.failed)
        waits_for_first = self.status == "pending" and self.since == self.created
        if not waits_for_first and not (self.status == "down" and self.incidents[-1].cause != "failure"):
            newest = max(newest, self.since)
        return at > newest

    def finish(self, at: int, rid: str) -> None:
        if rid:
            self.runs.pop(rid, None)
        elif "" in self.runs:
            if at >= self.runs[""][0] - CLOCK_OFF:
                del self.runs[""]
        else:
            self.runs = {name: run for name, run in self.runs.items() if at < run[0]}

    def success(self, at: int, rid: str) -> None:
        later, in_time = self.is_later(at), at + self.span > self.now
        self.finish(at, rid)
        revives = later and in_time and (self.status != "paused" or self.resume_on_ping)
        if self.status == "up" and self.deadline < inf:
            if later and at + self.span > self.deadline:
                self.deadline = at + self.span
                return
            if later:
                self.stored_ping, self.excuses = at, 0
            if self.deadline > self.now + self.span + CLOCK_OFF and in_time:  # a clock had jumped
                self.grant(self.now + self.span)
        elif self.status == "up":
            self.stored_ping = max(self.stored_ping, at)
            self.unpark()
        elif revives:
            if self.status == "down":
                incident = self.incidents[-1]
                void = incident.cause != "failure" and at <= self.since and not incident.failure_joined
                self.close("void" if void else "resolved", "ping")
            self.stored_ping, self.status, self.since = max(self.ping, at), "up", at
            self.resume_at = None
            self.unpark()
        elif self.status != "pending":
            self.stored_ping = max(self.ping, at)

    def start(self, at: int, rid: str) -> None:
        due = at + self.longest
        if self.status == "paused" or due <= self.now:
            return
        if rid in self.runs:
            self.runs[rid] = self.runs[rid][0], max(due, self.runs[rid][1])
        elif self.is_later(at):
            self.park()
            self.runs[rid] = at, due

    def fail(self, at: int, rid: str) -> None:
        self.finish(at, rid)
        if self.status != "paused" and self.is_later(at):
            self.failed = at
            if self.status == "down":
                self.incidents[-1].failure_joined = True
            else:
                self.open(at, "failure")
        self.unpark()

    # What people do

    def pause(self, until: int | None) -> None:
        if self.status != "paused":
            if self.status == "down":
                self.close("resolved", "paused")
            self.park()
            self.runs.clear()
            self.status, self.since = "paused", self.now
        self.resume_at = until

    def resume(self) -> None:
        if self.status != "paused":
            return
        self.resume_at, self.since, self.excuses = None, self.now, 0
        self.status = "up" if self.ping or self.failed else "pending"
        if self.status == "up":
            self.grant(self.now + self.span)

    def edit(self, **settings: int) -> None:
        old_span, old, ping = self.span, self.deadline, self.ping
        for name, value in settings.items():
            setattr(self, name, value)
        if self.span == old_span:
            return
        self.stored_ping, self.edited, self.settle_at = ping, self.now, self.now + CACHE_AGE
        if old < inf:
            old = floor(old)
            self.deadline = max(old - old_span + self.span, min(old, self.now + self.span)) + 0.5

    # What time does

    def sweep(self) -> None:
        if not self.live or self.world.pulse is None or self.deadline >= self.world.pulse:
            return
        period, grace = self.period * 1000, self.grace * 1000
        listening_from = self.deadline - grace - (self.misses - 1) * period - min(period, max(grace, 300_000))
        excuses = self.excuses if self.deadline % 1 else 0
        heard_again = self.world.deaf(listening_from, self.deadline)
        if heard_again is not None and heard_again > self.excused_to and excuses < 3:
            self.excuses, self.excused_to = excuses + 1, heard_again
            self.grant(max(heard_again, self.edited) + self.span)
        else:
            self.open(floor(self.deadline), "silence")

    def timers(self) -> None:
        timers = [(due, "overdue", rid) for rid, (_, due) in self.runs.items()]
        timers += [(self.resume_at, "resume", "")] if self.resume_at is not None else []
        timers += [(self.settle_at, "settle", "")] if self.settle_at is not None else []
        for due, kind, rid in sorted(timers):
            if due >= (self.world.pulse or 0):
                continue
            if kind == "resume":
                self.resume()
            elif kind == "settle":
                self.settle_at = None
            else:
                self.overdue(due, rid)

    def overdue(self, due: int, rid: str) -> None:
        started, _ = self.runs.pop(rid)
        heard_again = self.world.deaf(started, due)
        if heard_again is not None:
            if self.status == "up" and not self.runs:
                self.grant(max(self.ping, heard_again) + self.span)
        elif self.status != "down":
            self.open(due, "overrun")

    def clamp(self) -> None:
        """After a backward step nothing lies further in the future than if it had just happened."""
        self.stored_ping = min(self.ping, self.now)
        self.failed, self.edited = min(self.failed, self.now), min(self.edited, self.now)
        self.excused_to, self.since = min(self.excused_to, self.now), min(self.since, self.now)
        self.runs = {
            rid: (min(start, self.now), min(due, self.now + self.longest)) for rid, (start, due) in self.runs.items()
        }
        if self.settle_at is not None:
            self.settle_at = min(self.settle_at, self.now + CACHE_AGE)
        if inf > self.deadline > self.now + self.span:
            self.grant(self.now + self.span)

    # The words they are made of: whoever parks or grants stores the last ping

    def park(self) -> None:
        self.stored_ping, self.deadline = self.ping, inf

    def grant(self, until: int) -> None:
        self.stored_ping, self.deadline = self.ping, until + 0.5

    def unpark(self) -> None:
        if self.status == "up" and self.deadline == inf and not self.runs:
            self.deadline = self.ping + self.span
            if self.deadline <= self.now:
                self.deadline = self.now + self.span + 0.5

    def open(self, at: int, cause: str) -> None:
        known = {incident.opened for incident in self.incidents}
        while at in known:
            at += 1
        self.park()
        self.status, self.since = "down", at
        self.incidents.append(Incident(f"{self.id}-{at}", at, cause))

    def close(self, status: str, resolution: str) -> None:
        self.incidents[-1].status, self.incidents[-1].resolution = status, resolution
