"""The outbox: an entry goes only when what it asks for is on record, and none of them holds up the others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import notifier.consumer
from notifier.app import Notifier
from notifier.consumer import Consumer
from notifier.settings import NotifierSettings
from runtime.metrics import new_registry
from store import channels, deliveries, heartbeats, incidents, keys, notifications
from store.database import GROUP, Database
from store.errors import Unavailable
from store.notifications import Notification, Reader
from tests.conftest import eventually, stop
from tests.notifier.conftest import Noted, Office
from tests.notifier.sinks import PATIENCE


@pytest.fixture
async def consumer(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Consumer]:
    """One that claims in every step whatever is pending."""
    monkeypatch.setattr(notifier.consumer, "CLAIM_EVERY_S", -1.0)
    monkeypatch.setattr(notifier.consumer, "CLAIM_IDLE_MS", 0)
    monkeypatch.setattr(notifier.consumer, "AWAY_S", 0.01)
    monkeypatch.setattr(notifications, "BLOCK_MS", 1)
    made, _ = office.consumer()
    monkeypatch.setattr(made._reader, "read", lambda: Reader.read(made._reader, wait_ms=1))
    yield made
    await made._reader.aclose()


def noted(consumer: Consumer) -> list[tuple[str, str, str]]:
    assert isinstance(consumer._desks, Noted)
    return consumer._desks.pairs


async def entries(db: Database) -> list[str]:
    return [entry.decode() for entry, _ in await db.execute("XRANGE", db.shards[0].notifications, "-", "+")]


async def pending(db: Database) -> int:
    return int((await db.execute("XPENDING", db.shards[0].notifications, GROUP))["pending"])


async def add(db: Database, *fields: Any) -> str:
    return str((await db.execute("XADD", db.shards[0].notifications, "*", *fields)).decode())


async def test_an_entry_goes_once_its_deliveries_are_on_record(office: Office, consumer: Consumer) -> None:
    one, two = await office.channel("one"), await office.channel("two")
    _, incident = await office.down()
    assert len(await entries(office.db)) == 1

    await consumer._step()

    assert await entries(office.db) == []
    assert await pending(office.db) == 0
    for channel in (one, two):
        assert (await office.delivery(incident, channel)).status == "waiting"
        assert await office.db.execute("ZSCORE", office.db.shards[0].chores, f"retry:{incident}:{channel.id}")
    assert sorted(noted(consumer)) == sorted(("default", incident, channel.id) for channel in (one, two))
    assert set((await incidents.get(office.db, incident)).channels) == {one.id, two.id}


async def test_an_entry_stays_while_nothing_is_on_record(
    office: Office, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    with monkeypatch.context() as patched:

        async def vanish(*_: object) -> None:
            raise Unavailable("away")

        patched.setattr(notifications, "enlist", vanish)
        with pytest.raises(Unavailable):
            await consumer._step()

    assert len(await entries(office.db)) == await pending(office.db) == 1
    assert noted(consumer) == []

    await consumer._step()
    assert await entries(office.db) == []
    assert noted(consumer) == [("default", incident, channel.id)]


async def test_what_an_abandoned_reader_took_is_claimed(office: Office, consumer: Consumer) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    dead = Reader(office.db, office.db.shards[0], "dead")
    await dead.make_group()
    assert len(await dead.read(wait_ms=1)) == 1
    await dead.aclose()

    await consumer._step()

    assert noted(consumer) == [("default", incident, channel.id)]
    assert await entries(office.db) == []


async def test_what_another_reads_just_now_is_left_to_him(
    office: Office, consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier.consumer, "CLAIM_IDLE_MS", 60_000)
    await office.channel()
    await office.down()
    other = Reader(office.db, office.db.shards[0], "other")
    await other.make_group()
    assert len(await other.read(wait_ms=1)) == 1
    await other.aclose()

    await consumer._step()

    assert noted(consumer) == []
    assert await pending(office.db) == 1


POISON: dict[str, tuple[Any, ...]] = {
    "no field of ours": ("colour", "red"),
    "bytes that are no text": ("project", b"\xff\xfe", "incidents", b"\xff\x00 \xfe"),
    "an unknown project": ("project", "nobody's", "incidents", "0123456789ab-1"),
    "an incident that is gone": ("project", "default", "incidents", "0123456789ab-1"),
    "ids that are none": ("project", "default", "incidents", "- : {} 0123456789ab"),
    "deliveries that are none": ("deliveries", "x : :y 0123456789ab-1 0123456789ab-z:c"),
    "a corrupt incident": ("project", "default", "incidents", "aaaaaaaaaaaa-1"),
    "a corrupt incident's delivery": ("deliveries", "aaaaaaaaaaaa-1:c"),
    "an incident without a heartbeat": ("project", "default", "incidents", "bbbbbbbbbbbb-1"),
    "a fleet that is gone": ("project", "default", "fleet", "0123456789ab"),
    "a fleet that is none": ("fleet", b"\xff {} \x00"),
    "a very long one": ("project", "default", "incidents", " ".join(f"{n:012x}-{n}" for n in range(20_000))),
}


@pytest.mark.parametrize("fields", POISON.values(), ids=POISON)
async def test_an_entry_without_sense_is_read_away_and_holds_up_nobody(
    office: Office, consumer: Consumer, fields: tuple[Any, ...]
) -> None:
    channel = await office.channel()
    shard = office.db.shards[0]
    await office.db.execute("HSET", shard.incident("aaaaaaaaaaaa-1"), "status", "no status", "heartbeat", "a")
    await office.db.execute(
        "HSET", shard.incident("bbbbbbbbbbbb-1"), "status", "open", "cause", "silence", "opened_at", "1",
        "heartbeat", "bbbbbbbbbbbb", "project", "default",
    )  # fmt: skip
    await add(office.db, *fields)
    _, incident = await office.down()

    await consumer._step()

    assert ("default", incident, channel.id) in noted(consumer)
    assert await entries(office.db) == []


async def test_what_makes_no_sense_beside_a_good_incident_does_not_silence_it(
    office: Office, consumer: Consumer
) -> None:
    channel = await office.channel()
    heartbeat, incident = await office.down()
    shard = office.db.shards[0]
    await office.db.execute("DEL", shard.notifications)
    await office.db.execute("HSET", shard.incident("aaaaaaaaaaaa-1"), "status", "no status", "heartbeat", "a")
    await office.db.execute("HDEL", shard.heartbeat(heartbeat.id), "name")
    await office.db.execute("HSET", keys.channels("default"), "corrupt", b"{no json")
    await add(office.db, "project", "default", "incidents", f"aaaaaaaaaaaa-1 {incident} - x")

    await consumer._step()

    assert ("default", incident, channel.id) in noted(consumer)


async def test_an_entry_that_nobody_can_take_is_set_aside_after_some_tries(
    office: Office, consumer: Consumer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await office.channel()
    poison = await add(office.db, "project", "default", "incidents", "")
    found = [(await office.down(f"h{number}"))[1] for number in range(3)]
    look = Consumer._look

    async def stumble(self: Consumer, notification: Notification) -> None:
        if notification.entry == poison:
            raise KeyError("a bug")
        await look(self, notification)

    monkeypatch.setattr(Consumer, "_look", stumble)
    await consumer._step()
    assert noted(consumer) == [("default", incident, channel.id) for incident in found]
    assert await entries(office.db) == [poison]

    for _ in range(notifier.consumer.TRIES):
        await consumer._step()

    assert await pending(office.db) == 0
    assert await entries(office.db) == [poison]  # for a human
    messages = [record.message for record in caplog.records]
    assert messages.count("notification_failed") == notifier.consumer.TRIES
    assert messages[-1] == "notification_set_aside"


async def test_one_whose_records_redis_refuses_does_not_stand_in_front_for_ever(
    office: Office, consumer: Consumer
) -> None:
    channel = await office.channel()
    shard = office.db.shards[0]
    await office.db.execute("SET", shard.incident("aaaaaaaaaaaa-1"), "of another type")
    await add(office.db, "project", "default", "incidents", "aaaaaaaaaaaa-1")
    _, incident = await office.down()
    await consumer._reader.make_group()
    abandoned = Reader(office.db, shard, "dead")
    assert len(await abandoned.read(wait_ms=1)) == 2
    await abandoned.aclose()

    async def is_noted() -> bool:
        with pytest.raises(Unavailable):
            await consumer._step()
        return ("default", incident, channel.id) in noted(consumer)

    await eventually(is_noted)


async def test_a_group_that_was_lost_is_made_again_and_misses_nothing(office: Office, consumer: Consumer) -> None:
    channel = await office.channel()
    task = asyncio.create_task(consumer.run())

    async def is_ready() -> bool:
        return consumer.read_at > 0

    await eventually(is_ready)
    _, before = await office.down("before")

    async def heard(incident: str) -> bool:
        return ("default", incident, channel.id) in noted(consumer)

    await eventually(lambda: heard(before))
    for command in (("XGROUP", "DESTROY", office.db.shards[0].notifications, GROUP),
                    ("DEL", office.db.shards[0].notifications)):  # fmt: skip
        await office.db.execute(*command)
        _, after = await office.down("after")
        await eventually(lambda incident=after: heard(incident))
    await stop(task)


async def test_readers_of_former_lives_are_forgotten(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = office.db.shards[0]
    for name in ("old", "now"):
        reader = Reader(office.db, shard, name)
        await reader.make_group()
        await reader.read(wait_ms=1)
        await reader.aclose()
    monkeypatch.setattr(notifications, "DEAD_CONSUMER_MS", -1)

    reader = Reader(office.db, shard, "now")
    assert await reader.claim(idle_ms=0) == []
    await reader.aclose()

    left = await office.db.execute("XINFO", "CONSUMERS", shard.notifications, GROUP)
    assert len(left) <= 1


async def test_the_channels_of_an_incident_are_settled_at_the_first_look(office: Office, consumer: Consumer) -> None:
    first = await office.channel("first")
    heartbeat, incident = await office.down()
    await consumer._step()
    await office.channel("second")
    await office.recover(heartbeat)

    await consumer._step()

    assert noted(consumer) == [("default", incident, first.id)] * 2


async def test_only_the_channels_that_a_heartbeat_chose_are_told(office: Office, consumer: Consumer) -> None:
    chosen = await office.channel("chosen")
    await office.channel("other")
    _, incident = await office.down("chosen", channels=(chosen.id,))
    await office.down("none", channels=())

    await consumer._step()

    assert noted(consumer) == [("default", incident, chosen.id)]


async def test_the_whole_role_tells_is_ready_and_stops_clean(office: Office) -> None:
    from ipaddress import ip_network  # noqa: PLC0415

    channel = await office.channel()
    settings = NotifierSettings(allow_private_targets=(ip_network("127.0.0.0/8"),))
    role = Notifier(office.db, settings, new_registry())
    assert (await role.ready())["outbox"]
    before = asyncio.all_tasks()

    async with role.running():
        heartbeat, incident = await office.down()
        await office.sink.received(1)
        asked = await deliveries.send_test(office.db, channel.id)
        await office.sink.received(2)

        async def is_ready() -> bool:
            return not (await role.ready())["outbox"]

        async def is_told() -> bool:
            return (await deliveries.get(office.db, asked.id)).status == "told"

        await eventually(is_ready)
        await eventually(is_told)
        await channels.delete(office.db, channel.id)
        await heartbeats.delete(office.db, heartbeat.id)

        async def is_dropped() -> bool:
            return (await office.delivery(incident, channel)).status == "dead"

        await eventually(is_dropped, within_s=PATIENCE)

    assert asyncio.all_tasks() == before
    assert [event for event, _ in office.events()] == ["opened", "test"]
