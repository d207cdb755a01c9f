"""What goes wrong around a notifier: receivers that misbehave, names that move, an outbox that somebody has damaged."""

import asyncio
import logging
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import TCPConnector

import notifier.consumer
import notifier.delivery
import notifier.escalation
from notifier.app import Notifier
from notifier.channels import Reason
from notifier.consumer import Consumer
from notifier.delivery import LEASE_MS
from notifier.settings import NotifierSettings
from runtime.metrics import new_registry
from store import channels, deadlines, heartbeats, keys
from store.database import GROUP, Database, mapped
from store.notifications import Reader
from store.records import Incident
from tests.conftest import Clock, eventually
from tests.notifier.conftest import Noted, Office
from tests.notifier.sinks import PATIENCE, Answer, http_sink
from tests.store.scene import make, send

METADATA = "169.254.169.254"
SECRET = "hunter2"


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, but by the receivers."""
    return "".join(str(vars(record)) for record in caplog.records if record.name != "aiohttp.access")


# Where a request is led


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_leads_nowhere_and_no_log_repeats_it(
    office: Office, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    base = f"http://127.0.0.1:{office.sink.port}"
    channel = await office.channel(url=f"{base}/hook?key={SECRET}")
    async with http_sink() as elsewhere:
        for target in (
            f"http://{METADATA}/latest/{SECRET}",
            f"http://127.0.0.1:{elsewhere.port}/{SECRET}",
            f"//{SECRET}",
        ):
            office.sink.answers.append(Answer(status=status, headers={"Location": target}))
            _, incident = await office.down()
            before = len(office.sink.requests)
            await office.tell()

            assert len(office.sink.requests) == before + 1
            found = await office.delivery(incident, channel)
            assert (found.told, found.reason) == ("", Reason.CLIENT_ERROR)
            assert SECRET not in found.answer + said(caplog)
        assert elsewhere.requests == []


def resolving(*answers: str) -> Callable[..., Any]:
    """A name server that says these, one after the other, and then the last for ever."""
    left = list(answers)

    async def getaddrinfo(_host: str, port: int, *_: object, **__: object) -> list[Any]:
        address = left.pop(0) if len(left) > 1 else left[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        where = (address, port, 0, 0) if family == socket.AF_INET6 else (address, port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]

    return getaddrinfo


@pytest.mark.parametrize("later", [METADATA, "10.0.0.1", f"::ffff:{METADATA}", "fd00:ec2::254", "64:ff9b::a9fe:a9fe"])
async def test_a_name_that_turns_to_a_forbidden_address_after_it_was_fine_is_not_followed_there(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, later: str
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolving("127.0.0.1", later))
    connector = office.senders.session.connector
    assert isinstance(connector, TCPConnector)
    channel = await office.channel(url=f"http://moves.example.org:{office.sink.port}/{SECRET}")
    _, fine = await office.down("fine")
    await office.tell()
    assert (await office.delivery(fine, channel)).told == "opened"

    connector.clear_dns_cache()
    _, refused = await office.down("refused")
    await office.tell()

    found = await office.delivery(refused, channel)
    assert (found.status, found.reason) == ("retrying", Reason.BLOCKED_TARGET)
    assert later in found.answer
    assert SECRET not in found.answer + said(caplog)
    assert office.events() == [("opened", "fine")]


# Receivers


async def test_a_message_that_takes_longer_than_its_lease_is_sent_by_nobody_else_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier.delivery, "RENEW_S", 0.01)
    channel = await office.channel()
    _, incident = await office.down()
    await office.look()
    answer = asyncio.Event()
    office.sink.answers.append(Answer(until=answer))
    work = asyncio.create_task(office.desk(channel.id, incident, owner="slow").work())
    await office.sink.received(1)
    record = office.db.shards[0].delivery(incident, channel.id)
    for _ in range(5):
        now = await office.clock.forward(0.9 * LEASE_MS / 1000)

        async def is_renewed(now: int = now) -> bool:
            return int(await office.db.execute("HGET", record, "leased_until")) == now + LEASE_MS

        await eventually(is_renewed)
        await office.tell("quick")
        assert len(office.sink.requests) == 1
    answer.set()
    async with asyncio.timeout(PATIENCE):
        await work
    await office.clock.forward(LEASE_MS / 1000)
    await office.tell("quick")

    assert office.events() == [("opened", "backup")]
    assert (await office.delivery(incident, channel)).told == "opened"


async def test_whatever_some_receivers_do_the_others_hear_everything_at_once_and_in_order(office: Office) -> None:
    settings = NotifierSettings(allow_private_targets=(ip_network("127.0.0.0/8"),))
    never: list[Answer] = [
        Answer(how="hang"), Answer(how="drip head"), Answer(status=500, how="endless"), Answer(how="reset"),
        Answer(how="not http"), Answer(status=500), Answer(status=429, headers={"Retry-After": "9999"}),
    ]  # fmt: skip
    async with AsyncExitStack() as stack:
        bad = [await stack.enter_async_context(http_sink()) for _ in never]
        async with http_sink() as gone:
            pass
        for number, (each, answer) in enumerate(zip(bad, never, strict=True)):
            each.answer = answer
            await office.channel(f"bad-{number}", url=f"http://127.0.0.1:{each.port}/")
        await office.channel("nowhere", url="http://nowhere.invalid/")
        await office.channel("tls", url=f"https://127.0.0.1:{office.sink.port}/")
        await office.channel("refused", url=f"http://127.0.0.1:{gone.port}/")
        await channels.create(office.db, "odd", "carrier pigeon", {})
        await office.db.execute("HSET", keys.channels("default"), "corrupt", b"{no json")
        for name in ("good", "fine"):
            await office.channel(name)
        async with Notifier(office.db, settings, new_registry()).running():
            heard = 0
            for round_ in range(3):
                made = [(await office.down(f"h{round_}{number}"))[0] for number in range(2)]
                heard += 2 * 2
                await office.sink.received(heard)
                for heartbeat in made:
                    await office.recover(heartbeat)
                heard += 2 * 2
                await office.sink.received(heard)

    events: dict[tuple[str, str], list[str]] = defaultdict(list)
    for request, (event, name) in zip(office.sink.requests, office.events(), strict=True):
        events[(request.path, name)].append(event)
    assert events == {
        (path, f"h{round_}{number}"): ["opened", "resolved"]
        for path in ("/good", "/fine") for round_ in range(3) for number in range(2)
    }  # fmt: skip
    assert all(each.requests for each in bad)


# The outbox


async def entries(office: Office) -> int:
    return int(await office.db.execute("XLEN", office.db.shards[0].notifications))


@pytest.fixture
async def consumer(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Consumer]:
    """One that claims in every step whatever is pending."""
    monkeypatch.setattr(notifier.consumer, "CLAIM_EVERY_S", -1.0)
    monkeypatch.setattr(notifier.consumer, "CLAIM_IDLE_MS", 0)
    made, _ = office.consumer()
    monkeypatch.setattr(made._reader, "read", lambda: Reader.read(made._reader, wait_ms=1))
    yield made
    await made._reader.aclose()


@pytest.mark.parametrize(
    "chores",
    [
        "nonsense : :: a:b:c:d",
        "escalate: escalate:0123456789ab-1 escalate:{} window:x:y",
        "tell:0123456789ab-1 tell:0123456789ab-1:nobody tell::",
        b"\xff\xfe:\x00 remind:\xff",
        " ".join(f"remind:{number:012x}-{number}" for number in range(1_000)),
    ],
)
async def test_chores_without_sense_are_read_away_and_hold_up_nobody(
    office: Office, consumer: Consumer, chores: str | bytes
) -> None:
    channel = await office.channel()
    await office.db.execute("XADD", office.db.shards[0].notifications, "*", "deliveries", "", "chores", chores)
    _, incident = await office.down()

    await consumer._step()

    assert isinstance(consumer._desks, Noted)
    assert ("default", incident, channel.id) in consumer._desks.pairs
    assert await entries(office) == 0


async def test_chores_of_an_open_incident_that_nobody_asked_for_tell_nobody(office: Office, consumer: Consumer) -> None:
    await office.channel()
    _, incident = await office.down()
    await consumer._step()
    assert isinstance(consumer._desks, Noted)
    consumer._desks.pairs.clear()
    chores = f"tell:{incident}:nobody escalate:{incident} remind:{incident} dance:{incident}"
    await office.db.execute("XADD", office.db.shards[0].notifications, "*", "chores", chores)

    await consumer._step()

    assert consumer._desks.pairs == []
    assert await entries(office) == 0


async def test_a_chore_that_stumbles_keeps_none_of_those_handed_out_with_it_from_being_done(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    await office.channel()
    found = [(await office.down(f"h{number}", remind_every=3_600))[1] for number in range(3)]
    await office.tell()
    for incident in found[:2]:
        await office.db.execute("HSET", office.db.shards[0].incident(incident), "reminders", "many")
    for seconds in (3_600, 30, 30):
        await office.clock.forward(seconds)
        await office.tell()

    assert office.events()[3:] == [("reminder", "h2")]
    assert [record.message for record in caplog.records] == ["chore_failed"] * 6
    assert await entries(office) == 0


async def taken(office: Office, name: str = "dead") -> None:
    """A notifier takes what is in the outbox and is seen no more."""
    reader = Reader(office.db, office.db.shards[0], name)
    await reader.make_group()
    assert await reader.read(wait_ms=1)
    await reader.aclose()


async def damage(office: Office, how: str) -> None:
    outbox = office.db.shards[0].notifications
    match how:
        case "the group is destroyed":
            await office.db.execute("XGROUP", "DESTROY", outbox, GROUP)
        case "a consumer is deleted with what it had taken":
            await office.db.execute("XGROUP", "DELCONSUMER", outbox, GROUP, "dead")
        case "the stream is trimmed":
            await office.db.execute("XTRIM", outbox, "MAXLEN", "0")
        case _:
            await office.db.execute("DEL", outbox)


DAMAGES = (
    "the group is destroyed",
    "a consumer is deleted with what it had taken",
    "the stream is trimmed",
    "the stream is deleted",
)


@pytest.mark.parametrize("how", DAMAGES)
async def test_what_was_taken_note_of_survives_a_damaged_outbox(office: Office, how: str) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    assert await office.look() == [("default", incident, channel.id)]  # and then this notifier dies
    await office.clock.forward(60)
    await deadlines.chores(office.db, office.db.shards[0])
    await taken(office)

    await damage(office, how)
    for _ in range(3):
        await office.clock.forward(60)
        await office.tell("other")

    assert office.events() == [("opened", "backup")]


async def test_what_nobody_took_note_of_survives_the_loss_of_the_group(office: Office) -> None:
    await office.channel()
    heartbeat, _ = await office.down()
    for expected in (["opened"], ["opened", "resolved"]):
        await taken(office)
        await damage(office, "the group is destroyed")
        await office.tell("other")
        assert [event for event, _ in office.events()] == expected
        await office.recover(heartbeat)


@pytest.mark.parametrize("how", ["trimmed", "deleted", "with its reader", "with its group"])
async def test_what_the_outbox_loses_is_named_again(office: Office, how: str) -> None:
    await office.channel("hook")
    heartbeat, _ = await office.down()
    shard = office.db.shards[0]
    reader = Reader(office.db, shard, "gone")
    await reader.make_group()
    (entry,) = await reader.read(wait_ms=1)
    await reader.aclose()
    await office.db.execute(*{
        "trimmed": ("XTRIM", shard.notifications, "MAXLEN", 0),
        "deleted": ("XDEL", shard.notifications, entry.entry),
        "with its reader": ("XGROUP", "DELCONSUMER", shard.notifications, GROUP, "gone"),
        "with its group": ("DEL", shard.notifications),
    }[how])  # fmt: skip

    await office.clock.forward(59)
    await office.tell()
    assert office.told() == []
    await office.clock.forward(1)
    await office.tell()
    assert office.events() == [("opened", "backup")]
    await office.recover(heartbeat)
    await office.tell()
    await office.clock.forward(600)
    await office.tell()

    assert office.events() == [("opened", "backup"), ("resolved", "backup")]
    assert await office.db.execute("ZCARD", shard.unseen) == 0


async def test_an_incident_that_redis_cannot_read_keeps_no_chore_from_being_done(db: Database, clock: Clock) -> None:
    heartbeat = await make(db)
    await send(db, heartbeat, "fail", at=clock.now)
    incident, shard = (await heartbeats.get(db, heartbeat.id)).incident, db.shards[0]
    assert incident
    await db.execute("DEL", shard.notifications)
    await db.execute("SET", shard.incident(incident), "spoilt")
    await clock.forward(61)
    await db.execute("ZADD", shard.chores, clock.now, "remind:0123456789ab-1")

    assert await deadlines.chores(db, shard) == 1
    assert [row[1][b"chores"] for row in await rows(db)] == [b"remind:0123456789ab-1"]
    assert await db.execute("ZCARD", shard.unseen) == 0


async def test_what_was_set_aside_is_not_named_again(db: Database, clock: Clock) -> None:
    heartbeat = await make(db)
    await send(db, heartbeat, "fail", at=clock.now)
    reader = Reader(db, db.shards[0], "n1")
    await reader.make_group()
    (entry,) = await reader.read(wait_ms=1)
    await reader.set_aside(entry)
    await reader.aclose()
    await clock.forward(61)
    await deadlines.chores(db, db.shards[0])

    assert len(await rows(db)) == 1


async def test_what_was_not_taken_note_of_is_named_again_though_the_clock_stepped_back(
    db: Database, clock: Clock
) -> None:
    heartbeat, shard = await make(db), db.shards[0]
    await deadlines.pulse(db, shard, "n1")
    await send(db, heartbeat, "fail", at=clock.now)
    await db.execute("DEL", shard.notifications)
    await clock.forward(-86_400)
    await deadlines.pulse(db, shard, "n1")
    await clock.forward(61)
    await deadlines.chores(db, shard)

    assert len(await rows(db)) == 1


async def rows(db: Database) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """What stands in the outbox."""
    return [
        (entry, mapped(fields)) for entry, fields in await db.execute("XRANGE", db.shards[0].notifications, "-", "+")
    ]


async def test_one_that_cannot_be_judged_keeps_those_named_with_it_from_nothing(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.channel()
    _, first = await office.down("a")
    _, second = await office.down("b")
    known = notifier.escalation._first

    def fails_for_one(incident: Incident, *rest: Any) -> None:
        if incident.id == first:
            raise ValueError("nobody can read this")
        known(incident, *rest)

    await office.db.execute("DEL", office.db.shards[0].notifications)  # and then both are named in one entry
    await office.clock.forward(61)
    with monkeypatch.context() as broken:
        broken.setattr(notifier.escalation, "_first", fails_for_one)
        await office.tell()
    assert [body["incident"]["id"] for body in office.told()] == [second]
    await office.clock.forward(61)
    await office.tell()

    assert [body["incident"]["id"] for body in office.told()] == [second, first]
