"""What a heartbeat is by the rules alone: plain numbers, no Redis. The scripts are held against it, step by step.

Times in ms, settings in seconds. A deadline with a fraction was granted: no ping stands behind it. Slots are asked of
rules/schedules.py, which has tests of its own.
"""

from dataclasses import dataclass, field
from math import floor, inf
from typing import Any

from rules import schedules
from rules.schedules import Due

CACHE_AGE = 5_000
RECKON_AGAIN = 5_000
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
    schedule: str = ""
    timezone: str = "UTC"
    early: int = 60
    recover_after: int = 1
    rev: int = 1
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
    good: int = 0  # pings since the incident was opened
    slot: int | None = None  # that is owed, and
    due: int | None = None  # when its silence is an incident
    slot_from: int | None = None  # owed are the slots from here on, but nobody has reckoned them

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
        if self.deadline == inf or self.deadline % 1 or self.schedule:
            return self.stored_ping
        return max(self.stored_ping, min(int(self.deadline) - self.span, self.now))

    @property
    def timing(self) -> Any:
        """What an edit must change to move a deadline."""
        return (self.schedule, self.timezone, self.misses, self.grace) if self.schedule else self.span

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

    def is_stale(self, signal: str, rev: int) -> bool:
        """The node that sent it knows other settings, and it matters."""
        return bool(self.schedule) and signal in {"success", "fail"} and rev != self.rev

    def arrive(self, signal: str, at: int, rid: str = "") -> None:
        if signal not in {"log", "ignored"}:
            self.owed_next = self.after_ping(at)
            getattr(self, signal)(min(at, self.now + AHEAD), rid)

    def after(self, at: int) -> Due:
        """From a moment on, nothing before it being owed."""
        if self.schedule:
            return schedules.due(self.schedule, self.timezone, at, grace=self.grace, misses=self.misses)
        return Due(at + self.period * 1000, at + self.span)

    def credited(self, at: int) -> Due | None:
        settings = {"grace": self.grace, "misses": self.misses, "early": self.early}
        return schedules.credited(self.schedule, self.timezone, at, **settings)

    def after_ping(self, at: int) -> Due:
        due = self.after(at)
        owes_none = self.status in {"down", "paused"} and min(at, self.now + AHEAD) > self.since
        if self.schedule and (owes_none or self.slot == due.slot):
            return self.credited(at) or due
        return due

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
        deadline = self.owed_next.deadline
        later, in_time = self.is_later(at), deadline > self.now
        self.finish(at, rid)
        revives = later and in_time and (self.status != "paused" or self.resume_on_ping)
        if self.status == "up" and self.deadline < inf:
            if later and self.slot_from is None and deadline > self.deadline:
                self.owe(at)
                self.deadline = deadline
                return
            if later:
                self.store(max(at, self.ping))
            if not self.schedule and self.deadline > self.now + self.span + CLOCK_OFF and in_time:  # a clock had jumped
                self.grant(self.now)
        elif self.status == "up":
            if self.schedule and deadline > (self.due or 0):
                self.owe(at)
            self.store(max(at, self.ping))
            self.unpark()
        elif revives and not (self.status == "down" and self.needs_more(at)):
            self.store(max(at, self.ping))
            self.status, self.since, self.resume_at = "up", at, None
            if self.slot_from is not None and at >= self.slot_from:
                self.slot_from = None
            self.owe(at)
            self.unpark()
        elif self.status != "pending":
            self.store(max(at, self.ping))

    def owe(self, at: int) -> None:
        if self.schedule and self.slot_from is None:
            self.slot, self.due = self.owed_next.slot, self.owed_next.deadline
            self.store(max(at, self.ping))

    def needs_more(self, at: int) -> bool:
        """Closes the incident, unless more good pings must come before that."""
        incident = self.incidents[-1]
        void = incident.cause != "failure" and at <= self.since and not incident.failure_joined
        if not void and self.good + 1 < self.recover_after:
            self.good += 1
            return True
        self.close("void" if void else "resolved", "ping")
        return False

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
            self.failed, self.good = at, 0
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
            self.grant(self.now)

    def edit(self, **settings: Any) -> None:
        old_timing, old_span, old, ping = self.timing, self.span, self.deadline, self.ping
        had_schedule, unreckoned = self.schedule, self.slot_from is not None
        for name, value in settings.items():
            setattr(self, name, value)
        self.rev += 1
        if self.timing == old_timing:
            return
        self.store(ping)
        self.edited, self.settle_at = self.now, self.now + CACHE_AGE
        if self.schedule:
            self.slot_from = self.now
        else:
            self.slot = self.due = self.slot_from = None
        if old < inf and (self.schedule or unreckoned):
            self.grant(self.now)
        elif old < inf:
            old = floor(old)
            start = ping if had_schedule else old - old_span
            self.deadline = max(start + self.span, min(old, self.now + self.span)) + 0.5

    # What time does

    def sweep(self) -> bool:
        """True: its slots are to be reckoned."""
        if not self.live or self.world.pulse is None or self.deadline >= self.world.pulse:
            return False
        if self.slot_from is not None:
            self.deadline = self.now + RECKON_AGAIN + 0.5
            return True
        period, grace = self.period * 1000, self.grace * 1000
        listening_from = self.deadline - grace - (self.misses - 1) * period - min(period, max(grace, 300_000))
        if self.schedule:
            listening_from = (self.deadline if self.slot is None else self.slot) - self.early * 1000
        excuses = self.excuses if self.deadline % 1 else 0
        heard_again = self.world.deaf(listening_from, self.deadline)
        if heard_again is not None and heard_again > self.excused_to and excuses < 3:
            self.store(self.ping)
            self.excuses, self.excused_to = excuses + 1, heard_again
            self.grant(max(heard_again, self.edited))
        else:
            self.open(floor(self.deadline), "silence")
        return False

    def owed(self) -> Due:
        """After a grant: the slots from then on, or from a ping that came since, but none that was met early."""
        since, ping = self.slot_from or 0, self.stored_ping
        ahead = self.after(ping).slot
        met_early = ahead == self.after(since).slot if ping >= since else ahead != self.slot
        found = [self.credited(at) for at in (self.excused_to, ping if met_early else 0) if at]
        return max([self.after(max(since, ping)), *(due for due in found if due)], key=lambda due: due.slot)

    def reckon(self) -> None:
        due = self.owed()
        self.slot, self.due, self.slot_from = due.slot, due.deadline, None
        if self.status == "up" and not self.runs:
            self.deadline = due.deadline + 0.5

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
                self.grant(max(self.ping, heard_again))
        elif self.status != "down":
            self.open(due, "overrun")

    def clamp(self) -> None:
        """After a backward step nothing lies further in the future than if it had just happened."""
        reckoned_ahead = max(self.ping, self.slot_from or 0) > self.now
        self.store(self.ping)
        self.stored_ping = min(self.stored_ping, self.now)
        self.failed, self.edited = min(self.failed, self.now), min(self.edited, self.now)
        self.excused_to, self.since = min(self.excused_to, self.now), min(self.since, self.now)
        self.runs = {
            rid: (min(start, self.now), min(due, self.now + self.longest)) for rid, (start, due) in self.runs.items()
        }
        if self.settle_at is not None:
            self.settle_at = min(self.settle_at, self.now + CACHE_AGE)
        if self.schedule:
            if reckoned_ahead and self.deadline < inf:
                self.grant(self.now)
            elif reckoned_ahead:
                self.slot_from = self.now
        elif inf > self.deadline > self.now + self.span:
            self.grant(self.now)

    # The words they are made of: whoever parks or grants stores the last ping

    def store(self, ping: int) -> None:
        """One that is news ends the row of excuses."""
        if ping > self.stored_ping:
            self.stored_ping, self.excuses = ping, 0

    def park(self) -> None:
        self.store(self.ping)
        self.deadline = inf

    def grant(self, since: int) -> None:
        self.store(self.ping)
        if self.schedule:
            self.slot_from, self.deadline = since, self.now + 0.5
        else:
            self.deadline = since + self.span + 0.5

    def unpark(self) -> None:
        if self.status == "up" and self.deadline == inf and not self.runs:
            deadline = self.ping + self.span
            if self.schedule:
                deadline = self.due if self.due is not None and self.slot_from is None else 0
            if deadline > self.now:
                self.deadline = deadline
            else:
                self.grant(self.now if self.slot_from is None else self.slot_from)

    def open(self, at: int, cause: str) -> None:
        known = {incident.opened for incident in self.incidents}
        while at in known:
            at += 1
        self.park()
        self.status, self.since = "down", at
        self.incidents.append(Incident(f"{self.id}-{at}", at, cause))

    def close(self, status: str, resolution: str) -> None:
        self.incidents[-1].status, self.incidents[-1].resolution = status, resolution
        self.good = 0
