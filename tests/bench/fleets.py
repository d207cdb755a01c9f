"""`python -m tests.bench.fleets [members]`: a million members of one fleet, on each server of this machine.

What people do to such a fleet must not keep a server busy: no command or script may take longer than SLOW_MS, as the
server itself measures it. And no edit may raise an alarm. Printed are also what a member costs in memory and in time.
A machine with other work to do interrupts its server now and then, so a few of many calls may look slow.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from store import fleets
from store.arrivals import MEMBERS_JUDGED_MAX, PLAIN_MAX, Lane, Ping
from store.database import Database, opened
from store.fleets import Fleet, FleetSettings
from tests.conftest import T0, TEST_CLOCK, Clock, Sockets, clean
from tests.store.fleet_scene import SPAN
from tests.store.scene import hear, lane_of

MEMBERS: Final = 1_000_000
SLOW_MS: Final = 10
HOUR: Final = 3_600  # seconds
PAGE: Final = 1_000  # members
SLOW_MAX: Final = 1_000  # entries of the log of slow commands


@dataclass
class Report:
    """What was seen. `slow`: (step, command or script) -> share of its calls that took longer than SLOW_MS."""

    members: int
    seconds: dict[str, float] = field(default_factory=dict)
    slow: dict[tuple[str, str], float] = field(default_factory=dict)
    up_bytes: float = 0
    silent_bytes: float = 0

    def __str__(self) -> str:
        lines = [
            f"{step:<34} {seconds:7.2f} s {seconds / self.members * 1e6:7.2f} us/member"
            for step, seconds in self.seconds.items()
        ]
        lines.append(f"memory per member: up {self.up_bytes:.0f} bytes, silent {self.silent_bytes:.0f} bytes")
        lines += [
            f"longer than {SLOW_MS} ms: {share:.1%} of the calls of {command} in {step!r}"
            for (step, command), share in sorted(self.slow.items())
        ]
        return "\n".join(lines)


class Story:
    """One fleet and all that happens to it."""

    def __init__(self, db: Database, members: int) -> None:
        self.db = db
        self.clock = Clock(db)
        self.slugs = [f"device-{number:013}" for number in range(members)]
        self.report = Report(members)
        self.fleet: Fleet

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        await self.db.execute("SLOWLOG", "RESET")
        await self.db.execute("CONFIG", "RESETSTAT")
        started = time.monotonic()
        yield
        self.report.seconds[name] = time.monotonic() - started
        entries = await self.db.execute("SLOWLOG", "GET", SLOW_MAX)
        calls = await self.db.execute("INFO", "commandstats")
        for (verb, script), slow in Counter(self.command(words) for _, _, _, words, *_ in entries).items():
            self.report.slow[name, script] = slow / calls[f"cmdstat_{verb.lower()}"]["calls"]

    def command(self, words: list[bytes]) -> tuple[str, str]:
        """Its first word, and its name if it is a script."""
        verb = words[0].decode()
        scripts = {digest.encode(): script for script, digest in self.db.scripts.digests.items()}
        return verb, scripts.get(words[1], verb) if len(words) > 1 else verb

    async def tell(self) -> None:
        await self.db.execute("CONFIG", "SET", "slowlog-log-slower-than", SLOW_MS * 1000)
        await self.db.execute("CONFIG", "SET", "slowlog-max-len", SLOW_MAX)
        await self.clock.set(T0)
        await hear(self.db, self.clock)
        self.fleet = await fleets.create(self.db, FleetSettings(name="devices", period=60, grace=30, cap=2 * MEMBERS))
        empty = await self.memory()
        async with lane_of(self.db) as lane:
            async with self.step("first pings"):
                await self.arrive(lane)
            self.report.up_bytes = (await self.memory() - empty) / len(self.slugs)
            async with self.step("pings"):
                await self.ping(lane, SPAN)
            await self.edits(lane)
            await self.lists()
            await self.silence(empty)
            await self.pauses()
            async with self.step("returns"):
                await self.arrive(lane)
            await self.farewells(lane)

    async def arrive(self, lane: Lane) -> None:
        for chunk in self.chunks(MEMBERS_JUDGED_MAX):
            answers = await lane.judge_members(self.fleet.id, [Ping(slug, self.clock.now) for slug in chunk], sure=True)
            assert set(answers) == {"up"}

    async def ping(self, lane: Lane, span: int) -> None:
        await self.clock.forward(1)
        await hear(self.db, self.clock)
        for chunk in self.chunks(PLAIN_MAX):
            pings = [(Ping(slug, self.clock.now, fleet=self.fleet.id), self.clock.now + span) for slug in chunk]
            assert not await lane.commit(pings)

    async def edits(self, lane: Lane) -> None:
        async with self.step("longer span"):
            await fleets.edit(self.db, self.fleet.id, {"period": HOUR})
            await self.pass_time(HOUR)
        assert await self.silent() == 0
        await self.ping(lane, HOUR * 1000 + 30_000)
        async with self.step("shorter span"):
            await fleets.edit(self.db, self.fleet.id, {"period": 60})
            await self.pass_time(0.1)
        await self.pass_time(10)
        await self.pass_time(0)
        assert await self.silent() == 0
        await self.ping(lane, SPAN)
        await self.pass_time(SPAN / 1000 - 1)
        assert await self.silent() == 0

    async def lists(self) -> None:
        async with self.step("list of those that are up"):
            assert await self.listed("up") == len(self.slugs)

    async def silence(self, empty: int) -> None:
        await self.clock.forward(10)
        await hear(self.db, self.clock)
        async with self.step("everyone falls silent"):
            await self.sweep()
        assert await self.silent() == len(self.slugs)
        self.report.silent_bytes = (await self.memory() - empty) / len(self.slugs)
        async with self.step("list of the silent"):
            assert await self.listed("down") == len(self.slugs)
        async with self.step("look"):
            assert await fleets.look(self.db, self.fleet.id)

    async def pauses(self) -> None:
        async with self.step("pause"):
            await fleets.pause(self.db, self.fleet.id)
        assert (await fleets.counts(self.db, self.fleet.id))["paused"] == len(self.slugs)
        async with self.step("the silent come back from a pause"):
            await self.pass_time(0.1)
        async with self.step("resume"):
            await fleets.resume(self.db, self.fleet.id)
        await self.pass_time(SPAN / 1000 - 1)
        assert await self.silent() == 0
        await self.pass_time(10)
        assert await self.silent() == len(self.slugs)

    async def farewells(self, lane: Lane) -> None:
        async with self.step("forget one"):
            assert await fleets.forget(self.db, self.fleet.id, self.slugs[0])
        await self.pass_time(SPAN / 1000 + 10)
        async with self.step("forget the silent"):
            assert await fleets.forget_silent(self.db, self.fleet.id, 1) == len(self.slugs) - 1
        await self.arrive(lane)
        async with self.step("delete"):
            await fleets.delete(self.db, self.fleet.id)
        assert await self.db.execute("ZCARD", self.db.shards[0].fleet_deadlines(self.fleet.id)) == 0

    async def pass_time(self, seconds: float) -> None:
        await self.clock.forward(seconds)
        await hear(self.db, self.clock)
        await self.sweep()

    async def sweep(self) -> None:
        while (await fleets.sweep(self.db, self.db.shards[0])).fleet:
            pass

    async def listed(self, status: fleets.MemberStatus) -> int:
        seen, cursor = 0, None
        while True:
            page, cursor = await fleets.members(self.db, self.fleet.id, status=status, limit=PAGE, cursor=cursor)
            seen += len(page)
            if cursor is None:
                return seen

    async def silent(self) -> int:
        return (await fleets.counts(self.db, self.fleet.id))["down"]

    async def memory(self) -> int:
        return int((await self.db.execute("INFO", "memory"))["used_memory"])

    def chunks(self, size: int) -> list[list[str]]:
        return [self.slugs[start : start + size] for start in range(0, len(self.slugs), size)]


async def told(url: str, members: int) -> Report:
    async with opened(clean(url), clock=TEST_CLOCK) as db:
        story = Story(db, members)
        await story.tell()
        return story.report


def main() -> None:
    members = int(sys.argv[1]) if len(sys.argv) > 1 else MEMBERS
    sockets = Sockets()
    try:
        for kind in sockets.binaries:
            print(f"\n{kind}, {members:,} members\n{asyncio.run(told(sockets.url(kind), members))}")
    finally:
        sockets.stop()


if __name__ == "__main__":
    main()
