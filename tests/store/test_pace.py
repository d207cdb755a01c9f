"""A job that keeps its pace is never alarmed for, whatever happens to us; when it stops, it is."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import deadlines, heartbeats
from store.arrivals import Lane, Ping
from store.database import opened
from store.records import Settings
from tests.conftest import T0, TEST_CLOCK, Clock, Sockets, clean
from tests.store.scene import all_incidents, hear, status

PACE = 60  # s; the job pings at each full minute, whatever we do

beats = st.sampled_from(["heard", "late", "twice", "run", "lost", "lost run", "restart", "longer", "shorter", "paused"])


class Job:
    def __init__(self, url: str) -> None:
        self.url = url
        self.lost = 0

    async def live(self, script: list[str]) -> None:
        async with opened(clean(self.url), clock=TEST_CLOCK) as self.db:
            self.clock = Clock(self.db)
            self.lane = Lane(self.db, self.db.shards[0])
            await self.clock.set(T0)
            made = await heartbeats.create(self.db, Settings(name="job", period=PACE, grace=30))
            self.id = made.id
            await self.ping(T0)
            for number, beat in enumerate(script, start=1):
                # More than three windows in a row without a ping may alarm: nobody can tell such a job from a dead one.
                lost = beat in {"lost", "lost run"} and self.lost < 3
                self.lost = self.lost + 1 if lost else 0
                await self.beat("heard" if "lost" in beat and not lost else beat, T0 + number * PACE * 1000)
                assert await all_incidents(self.db) == []
            await self.listen_until(self.clock.now + 3_000_000)
            assert await status(self.db, made) == "down"
            await self.lane.aclose()

    async def beat(self, beat: str, at: int) -> None:
        if "run" in beat:
            await self.listen_until(at - 20_000)
            await self.lane.judge([Ping(self.id, at - 20_000, "start", rid="r")], sure=True)
        if "lost" in beat:
            await self.listen_until(at - 2_000)
            await self.clock.set(at + 3_000)  # what was sent meanwhile is lost
            await deadlines.pulse(self.db, self.db.shards[0], "n")
        elif beat == "run":
            await self.listen_until(at)
            await self.lane.judge([Ping(self.id, at, rid="r")], sure=True)
        elif beat == "late":
            await self.listen_until(at + 14_000)
            await self.ping(at)
        else:
            await self.listen_until(at)
            await self.ping(at)
        await self.aside(beat, at)

    async def aside(self, beat: str, at: int) -> None:
        if beat == "twice":
            await self.listen_until(at + 10_000)
            await self.ping(at)
        elif beat == "restart":
            await self.db.execute("HSET", self.db.shards[0].pulse, "run", "another")
        elif beat == "longer":
            await self.listen_until(at + 25_000)
            await heartbeats.edit(self.db, self.id, {"period": 3 * PACE, "misses": 2})
        elif beat == "shorter":
            await self.listen_until(at + 25_000)
            await heartbeats.edit(self.db, self.id, {"period": PACE, "grace": 20, "misses": 1})
        elif beat == "paused":
            await heartbeats.pause(self.db, self.id, at + 30_000)

    async def ping(self, at: int) -> None:
        """By a node that always thinks it is up."""
        span = (await heartbeats.get(self.db, self.id)).span_ms
        if await self.lane.commit([(Ping(self.id, at), at + span)]):
            await self.lane.judge([Ping(self.id, at, "plain")], sure=True)

    async def listen_until(self, until: int) -> None:
        while self.clock.now < until:
            await self.clock.set(min(until, self.clock.now + 9_000))
            await hear(self.db, self.clock)
            for call in (deadlines.sweep, deadlines.timers):
                await call(self.db, self.db.shards[0])


@pytest.mark.timeout(0)
def test_a_job_that_keeps_its_pace_is_never_alarmed_for_until_it_stops(sockets: Sockets, effort: settings) -> None:
    url = sockets.url("valkey-9")

    @settings(effort, max_examples=effort.max_examples // 4)
    @given(st.lists(beats, min_size=3, max_size=25))
    def keep_pace(script: list[str]) -> None:
        asyncio.run(Job(url).live(script))

    keep_pace()
