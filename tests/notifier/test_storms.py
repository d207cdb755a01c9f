"""Thousands fall silent at once, and come back at once: people get a message or two, and nobody is left out.

The notifier is the real role with its real times, on the real clock; so is the sweeper that hands out what is due.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any, Final

import orjson
import pytest

from notifier.app import Notifier
from notifier.settings import NotifierSettings
from rules.channels import make_secret
from rules.oncall import Contact, Person
from rules.policies import Policy, Step
from rules.tokens import id_of, new_token
from runtime.metrics import new_registry
from runtime.tasks import background
from store import channels, deadlines, heartbeats, plans
from store.arrivals import JUDGED_MAX, Ping
from store.database import Database, opened
from store.records import Channel, Settings
from sweeper.app import Sweeper
from tests.conftest import eventually
from tests.notifier.sinks import HttpSink
from tests.store.scene import lane_of

HEARTBEATS: Final = 2_800
PEOPLE: Final = 10
WITHIN_S: Final = 2.0  # they fall silent, and come back
PERIOD_S: Final = 4
GRACE_S: Final = 1
PULSE_S: Final = 0.1
TOLD_WITHIN_S: Final = 40.0


@pytest.fixture
async def db(redis_url: str) -> AsyncIterator[Database]:
    """On the clock of the server: what is gathered here, and how long, is the point."""
    async with opened(redis_url) as database:
        yield database


@asynccontextmanager
async def hearing(db: Database) -> AsyncIterator[None]:
    """A node that always hears: a test on a starved machine is not about excuses."""

    async def pulse() -> None:
        while True:
            if await db.execute("EXISTS", db.shards[0].pulse):
                await db.execute("HSET", db.shards[0].pulse, "at", await db.now())
            await deadlines.pulse(db, db.shards[0], "n1")
            await asyncio.sleep(PULSE_S)

    async with background(pulse, name="pulse"):
        yield


@asynccontextmanager
async def at_work(db: Database) -> AsyncIterator[None]:
    """A notifier and a sweeper, as an operator runs them."""
    registry = new_registry()
    settings = NotifierSettings(allow_private_targets=(ip_network("127.0.0.0/8"),))
    async with hearing(db), Sweeper(db, registry).running(), Notifier(db, settings, registry).running():
        yield


async def create(db: Database, count: int, **settings: Any) -> list[str]:
    """The ids of so many heartbeats, named by their number."""

    async def one(number: int, token: str) -> None:
        assert await heartbeats.put(db, Settings(name=f"h{number:04}", period=PERIOD_S, grace=GRACE_S, **settings), token)

    tokens = [new_token() for _ in range(count)]
    for begin in range(0, count, 100):
        await asyncio.gather(*(one(begin + number, token) for number, token in enumerate(tokens[begin : begin + 100])))
    return [id_of(token) for token in tokens]


async def ping(db: Database, ids: Sequence[str], *, over_s: float) -> None:
    """All ping, the first now and the last so much later."""
    pieces = [ids[begin : begin + JUDGED_MAX] for begin in range(0, len(ids), JUDGED_MAX)]
    began = asyncio.get_running_loop().time()
    async with lane_of(db) as lane:
        for number, piece in enumerate(pieces):
            await asyncio.sleep(began + over_s * number / len(pieces) - asyncio.get_running_loop().time())
            now = await db.now()
            assert set(await lane.judge([Ping(each, now) for each in piece], sure=True)) == {"up"}


async def hook(db: Database, sink: HttpSink, name: str, **settings: Any) -> Channel:
    given = {"url": f"http://127.0.0.1:{sink.port}/{name}", "secret": make_secret(), **settings}
    return await channels.create(db, name, "webhook", given)


async def policy_of(db: Database, told: Sequence[Channel]) -> str:
    """One step that tells a person by each of the channels."""
    people = [
        (
            await plans.PEOPLE.create(
                db, lambda id_, channel=channel: Person(
                    id=id_, name=channel.name, contacts=(Contact(channel=channel.id, wait=0),)
                )
            )
        ).id
        for channel in told
    ]  # fmt: skip
    step = Step(wait=0, channels=(), people=tuple(people), schedules=())
    return (
        await plans.POLICIES.create(db, lambda id_: Policy(id=id_, name="p", steps=(step,), repeat=0, repeat_after=300))
    ).id


def counts(sink: HttpSink) -> dict[tuple[str, str], list[int]]:
    """(path, event) -> how many heartbeats each message was about."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for request in sink.requests:
        body = orjson.loads(request.body)
        found[(request.path, body["event"])].append(body.get("folded", {"count": 1})["count"])
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("by", ["a step of a policy", "plain channels"])
async def test_a_storm_is_one_message_or_two_for_each_person_and_its_end_is_one(
    by: str, db: Database, sink: HttpSink
) -> None:
    told = [await hook(db, sink, f"person-{number}") for number in range(PEOPLE)]
    policy = await policy_of(db, told) if by == "a step of a policy" else ""
    ids = await create(db, HEARTBEATS, policy=policy)
    paths = [f"/person-{number}" for number in range(PEOPLE)]

    async def all_are_counted(event: str) -> bool:
        seen = counts(sink)
        return all(sum(seen[(path, event)]) >= HEARTBEATS for path in paths)

    import time
    async with at_work(db):
        await ping(db, ids, over_s=WITHIN_S)
        t = time.monotonic()
        await eventually(lambda: all_are_counted("incident.opened"), within_s=TOLD_WITHIN_S)
        print("opened", time.monotonic() - t)
        print(counts(sink)[("/person-0", "incident.opened")])
        await ping(db, ids, over_s=WITHIN_S)
        t = time.monotonic()
        await eventually(lambda: all_are_counted("incident.resolved"), within_s=TOLD_WITHIN_S)
        print("resolved", time.monotonic() - t)

    seen = counts(sink)
    print(dict(seen))
    for path in paths:
        opened_by, resolved_by = seen[(path, "incident.opened")], seen[(path, "incident.resolved")]
        assert sum(opened_by) == sum(resolved_by) == HEARTBEATS
        assert len(opened_by) <= 2
        assert len(resolved_by) == 1
