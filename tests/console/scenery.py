"""A project with a past, to look at: its jobs ran for weeks on a clock that was moved for them."""

import random
from typing import Final

from store import deadlines, heartbeats
from store.arrivals import Lane, Ping
from store.database import Database, opened
from store.records import Heartbeat, Settings
from tests.conftest import TEST_CLOCK, Clock

MINUTE: Final = 60_000  # ms
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
OUTPUT: Final = b"could not write block 1204\n<script>alert(1)</script> No space left on device\n"
STRANGER: Final = "<img src=x onerror=alert(1)>"


async def fill(url: str, *, strangers: bool = True) -> None:
    """Ends at Redis' own time. `strangers`: also what would do harm if it were not shown as text."""
    async with opened(url, clock=TEST_CLOCK) as db:
        now = await db.now()
        await Past(db).live(now, strangers=strangers)
        await db.execute("DEL", "{flatline}:test:now")


class Past:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._clock = Clock(db)
        self._chance = random.Random(7)
        self._moments: list[tuple[int, Heartbeat, str, dict[str, object]]] = []

    async def live(self, now: int, *, strangers: bool) -> None:
        await self._clock.set(now - 40 * DAY)
        dump = await self._make("Nightly database dump", period=86_400, grace=7_200, tags=("backup", "db1"))
        copy = await self._make("Offsite copy", period=86_400, grace=3_600, tags=("backup",), priority=9)
        check = await self._make("Certificates", period=86_400, tags=("ops",))
        rotation = await self._make("Log rotation", period=86_400, grace=28_800, tags=("ops",))
        report = await self._make("Weekly report", period=7 * 86_400, grace=7_200)
        watcher = await self._make("Staging deploys", period=3_600, grace=5_400, tags=("staging",))
        sensors = [
            await self._make(f"Greenhouse sensor {number}", period=300, grace=120, tags=("iot", "greenhouse"))
            for number in (1, 2, 3)
        ]
        await self._make("Quarterly audit", period=90 * 86_400, grace=86_400)
        for day in range(36, 0, -1):
            self._run(dump, now - day * DAY + 5 * HOUR, fails=day == 11)
            self._run(copy, now - day * DAY + 6 * HOUR, fails=day in {1, 17})
            self._plain(check, now - day * DAY + 2 * HOUR, agent=b"systemd-ping")
        for day in range(20, 0, -1):
            self._plain(rotation, now - day * DAY - 3 * HOUR)
        for hour in range(30, 0, -1):
            self._plain(watcher, now - hour * HOUR - 20 * MINUTE)
        for step in range(45, 0, -1):
            for number, sensor in enumerate(sensors):
                self._plain(sensor, now - step * 5 * MINUTE + number * 40_000 + 2 * MINUTE, agent=b"ESP32HTTPClient")
        if strangers:
            odd = await self._make(STRANGER, period=3_600, grace=600, tags=("<b>bold</b>", "'\"&"))
            for step in range(4, 0, -1):
                self._plain(odd, now - step * 20 * MINUTE, agent=STRANGER.encode())
        self._plain(report, now - 2 * DAY)
        await self._happen()
        await self._clock.set(now)
        await heartbeats.pause(self._db, watcher.id, now + 5 * HOUR)
        for heartbeat, schedule in ((check, "0 6 * * *"), (report, "Mon 07:00")):
            await heartbeats.edit(self._db, heartbeat.id, {"schedule": schedule, "timezone": "Europe/Berlin"})

    async def _make(self, name: str, **settings: object) -> Heartbeat:
        return await heartbeats.create(self._db, Settings(name=name, **settings))  # type: ignore[arg-type]  # told above

    def _plain(self, heartbeat: Heartbeat, at: int, *, agent: bytes = b"curl/8.5.0") -> None:
        self._moments.append((at, heartbeat, "success", {"sender": b"192.0.2.17", "agent": agent}))

    def _run(self, heartbeat: Heartbeat, at: int, *, fails: bool) -> None:
        took = int(self._chance.gauss(14, 2) * MINUTE * (2.2 if fails else 1))
        self._moments.append((at, heartbeat, "start", {"rid": ""}))
        ended: dict[str, object] = {"sender": b"192.0.2.4", "agent": b"curl/8.5.0"}
        if fails:
            self._moments.append((at + took, heartbeat, "fail", {**ended, "exit_status": "1", "output": OUTPUT}))
        else:
            self._moments.append((at + took, heartbeat, "success", ended))

    async def _happen(self) -> None:
        shard = self._db.shards[0]
        lane = Lane(self._db, shard)
        for at, heartbeat, kind, fields in sorted(self._moments, key=lambda moment: moment[0]):
            await self._clock.set(at)
            await self._db.execute("HSET", shard.pulse, "at", at)
            await deadlines.pulse(self._db, shard, "n1")
            await deadlines.sweep(self._db, shard)
            await lane.judge([Ping(heartbeat.id, at, kind, **fields)], sure=True)  # type: ignore[arg-type]  # told above
        await lane.aclose()
