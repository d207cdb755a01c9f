"""A job that keeps its pace is never alarmed for, whatever happens to us; when it stops, it is."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.meaning import reckon
from store import changes, deadlines, heartbeats
from store.arrivals import Lane, Ping
from store.database import opened
from store.records import Settings
from tests.conftest import T0, TEST_CLOCK, Clock, Sockets, clean
from tests.store.scene import all_incidents, hear, status

PACE = 120  # s; the job pings that often, whatever we do
PERIOD = {"schedule": "", "period": PACE}
SCHEDULE = {"schedule": "*/2 * * * *"}

beats = st.sampled_from([
    "heard", "late", "twice", "run", "lost", "lost run", "restart", "longer", "shorter", "paused", "to a period",
    "to a schedule", "a sweeper dies",
])  # fmt: skip
#: How far the job's clock is off, ms. Late by less than the shortest grace, with what a batch may be written late.
offsets = st.sampled_from([-40_000, -5_000, -300, 0, 200, 5_000])


class Job:
    def __init__(self, url: str, plan: dict[str, Any], offset: int) -> None:
        self.url = url
        self.plan = plan
        self.offset = offset
        self.lost = 0
        self.dying = 0

    async def live(self, script: list[str]) -> None:
        async with opened(clean(self.url), clock=TEST_CLOCK) as self.db:
            self.clock = Clock(self.db)
            self.lane = Lane(self.db, self.db.shards[0])
            await self.clock.set(T0)
            made = await heartbeats.create(self.db, Settings(name="job", grace=30, **self.plan))
            self.id = made.id
            await self.ping(T0)
            for number, beat in enumerate(script, start=1):
                # More than three windows in a row without a ping may alarm: nobody can tell such a job from a dead one.
                lost = beat in {"lost", "lost run"} and self.lost < 3
                self.lost = self.lost + 1 if lost else 0
                at = T0 + number * PACE * 1000 + self.offset
                await self.beat("heard" if "lost" in beat and not lost else beat, at)
                assert await all_incidents(self.db) == []
            await self.listen_until(self.clock.now + 3_000_000)
            assert await status(self.db, made) == "down"
            await self.lane.aclose()

    async def beat(self, beat: str, at: int) -> None:
        if "run" in beat:
            await self.listen_until(at - 20_000)
            await self.judge(Ping(self.id, at - 20_000, "start", rid="r"))
        if "lost" in beat:
            await self.listen_until(at - 2_000)
            await self.clock.set(at + 3_000)  # what was sent meanwhile is lost
            await deadlines.pulse(self.db, self.db.shards[0], "n")
        elif beat == "run":
            await self.listen_until(at)
            await self.judge(Ping(self.id, at, rid="r"))
        elif beat == "late":
            await self.listen_until(at + 14_000)
            await self.ping(at)
        else:
            await self.listen_until(at)
            await self.ping(at)
        await self.aside(beat, at)

    async def aside(self, beat: str, at: int) -> None:
        edits: dict[str, dict[str, Any]] = {
            # A ping that comes early may be late for the slot before, if that may be missed: nobody can tell.
            "longer": {"period": 3 * PACE, "misses": 2 if self.offset >= 0 else 1, "grace": 30},
            "shorter": {"period": PACE, "misses": 1, "grace": 20},
            "to a period": PERIOD,
            "to a schedule": SCHEDULE,
        }
        if beat == "twice":
            await self.listen_until(at + 10_000)
            await self.ping(at)
        elif beat == "restart":
            await self.db.execute("HSET", self.db.shards[0].pulse, "run", "another")
        elif beat in edits:
            await self.listen_until(at + 25_000)
            await heartbeats.edit(self.db, self.id, edits[beat])
        elif beat == "paused":
            await heartbeats.pause(self.db, self.id, at + 30_000)
        elif beat == "a sweeper dies":
            self.dying = 2

    async def ping(self, at: int) -> None:
        """By a node that always thinks it is up, unless it has a schedule."""
        found = await heartbeats.get(self.db, self.id)
        if found.settings.schedule:
            await self.judge(Ping(self.id, at))
        elif await self.lane.commit([(Ping(self.id, at), at + found.span_ms)]):
            await self.judge(Ping(self.id, at, "plain"))

    async def judge(self, ping: Ping) -> None:
        (known,) = await changes.lookup(self.db, [self.id])
        assert known is not None
        reckon(ping, known)
        assert await self.lane.judge([ping], sure=True) in (["up"], ["parked"])

    async def listen_until(self, until: int) -> None:
        shard = self.db.shards[0]
        while self.clock.now < until:
            await self.clock.set(min(until, self.clock.now + 9_000))
            await hear(self.db, self.clock)
            swept = await deadlines.sweep(self.db, shard)
            if swept.unreckoned and self.dying:
                self.dying -= 1
            else:
                await deadlines.reckon(self.db, shard, swept.unreckoned)
            await deadlines.timers(self.db, shard)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("plan", [PERIOD, SCHEDULE], ids=["period", "schedule"])
def test_a_job_that_keeps_its_pace_is_never_alarmed_for_until_it_stops(
    sockets: Sockets, effort: settings, plan: dict[str, Any]
) -> None:
    url = sockets.url("valkey-9")

    @settings(effort, max_examples=effort.max_examples // 4)
    @given(st.lists(beats, min_size=3, max_size=25), offsets)
    def keep_pace(script: list[str], offset: int) -> None:
        asyncio.run(Job(url, plan, offset).live(script))

    keep_pace()
