"""A notifier taken apart: its consumer and its desks, worked by hand, against a real Redis and a real receiver."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import orjson
import pytest

import notifier.delivery
from notifier.channels import Senders
from notifier.consumer import Consumer
from notifier.delivery import Desk, Supplies
from notifier.desks import Desks
from notifier.fleets import Fleets
from notifier.links import Links
from notifier.metrics import Metrics
from notifier.outgoing import open_session
from notifier.pace import Pace
from rules.channels import make_secret
from runtime.metrics import new_registry
from store import channels, deadlines, deliveries, heartbeats
from store.database import Database, opened
from store.notifications import Reader
from store.records import Channel, Delivery, Heartbeat
from tests.conftest import T0, TEST_CLOCK, Clock
from tests.notifier.sinks import HttpSink, http_sink
from tests.store.scene import make, send


@pytest.fixture
async def db(redis_url: str) -> AsyncIterator[Database]:
    """A clean database on the newest server: what differs between servers is the business of tests/store."""
    async with opened(redis_url, clock=TEST_CLOCK) as database:
        yield database


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as sink:
        yield sink


class Noted(Desks):
    """Desks that only remember what they were given."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.pairs: list[tuple[str, str, str]] = []

    def put(self, project: str, pairs: Iterable[tuple[str, str]], *, urgent: bool = False) -> None:
        self.pairs += [(project, incident, channel) for incident, channel in pairs]
        self.is_urgent = urgent


@dataclass
class Office:
    """Everything of a notifier, step by step."""

    db: Database
    clock: Clock
    sink: HttpSink
    senders: Senders
    metrics: Metrics = field(default_factory=lambda: Metrics(new_registry()))
    public_url: str = ""

    async def channel(self, name: str = "hook", kind: str = "webhook", **settings: Any) -> Channel:
        chosen = {"url": f"http://127.0.0.1:{self.sink.port}/{name}", "secret": make_secret()} | settings
        return await channels.create(self.db, name, kind, chosen)

    async def fail(self, heartbeat: Heartbeat) -> str:
        """A failure now; the incident."""
        await self.clock.forward(1)
        assert (
            await send(self.db, heartbeat, "fail", at=self.clock.now, exit_status="1", output=b"no space") == "parked"
        )
        incident = (await heartbeats.get(self.db, heartbeat.id)).incident
        assert incident
        return incident

    async def recover(self, heartbeat: Heartbeat, *, after_s: float = 60) -> None:
        await self.clock.forward(after_s)
        assert await send(self.db, heartbeat, at=self.clock.now) == "up"

    async def down(self, name: str = "backup", **settings: Any) -> tuple[Heartbeat, str]:
        """A heartbeat that has failed, and its incident."""
        heartbeat = await make(self.db, name, up_at=self.clock.now, **settings)
        return heartbeat, await self.fail(heartbeat)

    def supplies(self, owner: str = "n1") -> Supplies:
        links = Links(self.db, self.public_url)
        return Supplies(owner=owner, senders=self.senders, metrics=self.metrics, links=links)

    def consumer(self, name: str = "n1", *, shard: int = 0) -> tuple[Consumer, Noted]:
        noted = Noted(self.db, self.supplies(name))
        return Consumer(self.db, self.db.shards[shard], noted, Fleets(self.db), name), noted

    async def look(self, name: str = "n1") -> list[tuple[str, str, str]]:
        """Reads what is in the outbox; (project, incident, channel) to be told."""
        consumer, noted = self.consumer(name)
        reader = Reader(self.db, self.db.shards[0], name)
        await reader.make_group()
        await consumer._look_at(await reader.read(wait_ms=1))
        await reader.aclose()
        await consumer._reader.aclose()
        return noted.pairs

    def desk(self, channel: str, *incidents: str, owner: str = "n1", project: str = "default") -> Desk:
        desk = Desk(self.db, project, channel, self.supplies(owner), Pace())
        for incident in incidents:
            desk.put(incident)
        return desk

    async def tell(self, owner: str = "n1") -> None:
        """All that is due now: chores, the outbox, the desks."""
        await deadlines.chores(self.db, self.db.shards[0])
        found: dict[tuple[str, str], list[str]] = {}
        for project, incident, channel in await self.look(owner):
            found.setdefault((project, channel), []).append(incident)
        for (project, channel), incidents in found.items():
            await self.desk(channel, *incidents, owner=owner, project=project).work()

    async def delivery(self, incident: str, channel: Channel) -> Delivery:
        return await deliveries.get(self.db, f"{incident}:{channel.id}")

    def told(self) -> list[dict[str, Any]]:
        """The bodies that were received."""
        return [orjson.loads(request.body) for request in self.sink.requests]

    def events(self) -> list[tuple[str, str]]:
        """(event, name of the heartbeat), as received."""
        return [(body["event"].removeprefix("incident."), body["heartbeat"]["name"]) for body in self.told()]


@pytest.fixture
async def office(db: Database, clock: Clock, sink: HttpSink, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Office]:
    monkeypatch.setattr(notifier.delivery, "COMPANY_S", 0.0)
    monkeypatch.setattr(notifier.delivery, "STORM_S", 0.0)
    assert clock.now == T0

    async def now() -> int:
        return clock.now

    monkeypatch.setattr(db, "now", now)  # what decides outside of scripts goes by the same clock
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(open_session(allow=(ip_network("127.0.0.0/8"),)))
        yield Office(db, clock, sink, Senders(session=session, smtp=None, smtp_from=None))
