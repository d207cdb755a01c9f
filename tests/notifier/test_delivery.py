"""Desks with a real receiver: what is told, in which order, how often, and when it is given up."""

import asyncio
import logging
from ipaddress import ip_network

import pytest

import notifier.delivery
import notifier.desks
from notifier.channels import Reason, Senders
from notifier.delivery import LEASE_MAX, LEASE_MS, Desk
from notifier.desks import Desks
from notifier.outgoing import open_session
from notifier.pace import Pace
from rules import retry
from runtime.metrics import new_registry
from store import channels, deliveries, heartbeats
from store.database import opened
from store.errors import Unavailable
from tests.conftest import clean, eventually
from tests.notifier.conftest import Office
from tests.notifier.sinks import PATIENCE, Answer
from tests.store.scene import make


async def test_an_incident_is_told_once_and_so_is_its_end(office: Office) -> None:
    channel = await office.channel()
    heartbeat, incident = await office.down()
    for _ in range(2):
        await office.tell()
    assert office.events() == [("opened", "backup")]
    assert (await office.delivery(incident, channel)).told == "opened"

    await office.recover(heartbeat)
    for _ in range(2):
        await office.tell()

    assert office.events() == [("opened", "backup"), ("resolved", "backup")]
    ids = [request.headers["webhook-id"] for request in office.sink.requests]
    assert ids == [f"msg_{incident}_{channel.id}_{word}" for word in ("opened", "resolved")]
    found = await office.delivery(incident, channel)
    assert (found.status, found.told, found.answer) == ("told", "resolved", "200")
    await office.clock.forward(100_000)
    await office.tell()
    assert len(office.sink.requests) == 2


async def test_a_failed_message_is_tried_again_no_sooner_than_the_receiver_asked(office: Office) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    office.sink.answers.append(Answer(status=503, headers={"Retry-After": "120"}))
    await office.tell()

    found = await office.delivery(incident, channel)
    assert (found.status, found.reason, found.attempts) == ("retrying", Reason.SERVER_ERROR, 1)
    assert found.next_at == office.clock.now + 120_000

    await office.clock.forward(119)
    await office.tell()
    assert len(office.sink.requests) == 1
    await office.clock.forward(2)
    await office.tell()

    first, second = office.sink.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert (await office.delivery(incident, channel)).status == "told"


async def test_a_receiver_that_resigns_makes_a_dead_letter_at_once(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    office.sink.answer = Answer(status=410)

    await office.tell()
    await office.clock.forward(1_000_000)
    await office.tell()

    assert len(office.sink.requests) == 1
    found = await office.delivery(incident, channel)
    assert (found.status, found.reason) == ("dead", Reason.GONE)
    assert [letter.id for letter in await deliveries.dead(office.db)] == [found.id]
    assert [record.message for record in caplog.records] == ["dead_letter"]


async def test_a_receiver_that_never_takes_it_is_tried_for_three_days_and_then_given_up(office: Office) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    office.sink.answer = Answer(status=500)
    began = office.clock.now
    await office.tell()
    while (await office.delivery(incident, channel)).status == "retrying":
        due = (await office.delivery(incident, channel)).next_at
        assert due
        await office.clock.set(due)
        await office.tell()

    assert (await office.delivery(incident, channel)).status == "dead"
    assert len(office.sink.requests) == len(retry.SCHEDULE) + 1
    assert {request.headers["webhook-id"] for request in office.sink.requests} == {
        f"msg_{incident}_{channel.id}_opened"
    }
    assert office.clock.now - began > 3 * 86_400_000


async def test_a_recovery_overtakes_a_waiting_alert(office: Office) -> None:
    channel = await office.channel()
    heartbeat, incident = await office.down()
    office.sink.answers.append(Answer(status=500))
    await office.tell()
    await office.recover(heartbeat, after_s=300)

    await office.tell()
    await office.clock.forward(1_000)
    await office.tell()

    assert office.events() == [("opened", "backup"), ("resolved", "backup")]  # the first was refused
    assert "It was down for 5 min" in office.told()[1]["text"]
    assert (await office.delivery(incident, channel)).told == "resolved"


async def test_a_crash_between_the_send_and_its_record_repeats_it_with_the_same_id(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.channel()
    await office.down()
    with monkeypatch.context() as patched:

        async def vanish(*_: object, **__: object) -> None:
            raise Unavailable("away")

        patched.setattr(Desk, "_record", vanish)
        with pytest.raises(Unavailable):
            await office.tell("n1")
    assert len(office.sink.requests) == 1

    await office.tell("n2")
    assert len(office.sink.requests) == 1  # the lease still holds
    await office.clock.forward(LEASE_MS / 1000)
    for _ in range(2):
        await office.tell("n2")

    first, second = office.sink.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_two_notifiers_never_send_in_parallel(office: Office) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    await office.look()
    answer = asyncio.Event()
    office.sink.answer = Answer(until=answer)
    one = asyncio.create_task(office.desk(channel.id, incident, owner="n1").work())
    await office.sink.received(1)

    await office.desk(channel.id, incident, owner="n2").work()
    assert (await office.delivery(incident, channel)).status == "sending"
    answer.set()
    async with asyncio.timeout(PATIENCE):
        await one
    await office.desk(channel.id, incident, owner="n2").work()

    assert len(office.sink.requests) == 1


async def test_a_word_that_hangs_is_given_up_in_time_and_the_next_is_said(office: Office) -> None:
    channel = await office.channel()
    back, _ = await office.down("back")
    await office.tell()
    await office.recover(back)
    _, opened_now = await office.down("gone")
    resolved_now = (await heartbeats.get(office.db, back.id)).incident
    assert resolved_now
    await office.look()
    office.sink.answers.append(Answer(how="hang"))
    async with open_session(allow=(ip_network("127.0.0.0/8"),), deadline=0.3) as impatient:
        office.senders = Senders(session=impatient, smtp=None, smtp_from=None)
        async with asyncio.timeout(PATIENCE):
            await office.desk(channel.id, opened_now, resolved_now).work()

    assert office.events()[1:] == [("opened", "gone"), ("resolved", "back")]
    assert (await office.delivery(opened_now, channel)).status == "retrying"
    assert (await office.delivery(resolved_now, channel)).told == "resolved"


@pytest.mark.parametrize(("count", "messages"), [(1, 1), (5, 5), (6, 1), (30, 1)])
async def test_more_than_five_that_come_together_are_one_message(office: Office, count: int, messages: int) -> None:
    channel = await office.channel()
    found = [await office.down(f"h{number:02}", tags=("rack-7",)) for number in range(count)]

    for _ in range(2):
        await office.tell()

    assert len(office.sink.requests) == messages
    for _, incident in found:
        assert (await office.delivery(incident, channel)).told == "opened"
    if messages == 1 < count:
        (body,) = office.told()
        assert body["folded"]["count"] == count
        assert body["folded"]["heartbeats"] == [f"h{number:02}" for number in range(min(count, 20))]
        assert body["incident"]["id"] == found[0][1]
        assert body["id"] == office.sink.requests[0].headers["webhook-id"]


async def test_a_channel_that_does_not_fold_is_told_each_one(office: Office) -> None:
    await office.channel(fold=False)
    for number in range(12):
        await office.down(f"h{number:02}")

    for _ in range(2):
        await office.tell()

    assert sorted(office.events()) == [("opened", f"h{number:02}") for number in range(12)]


async def test_a_folded_message_is_repeated_with_its_id_but_not_once_another_has_joined(office: Office) -> None:
    """A receiver that drops what it knows would never hear of the one that joined."""
    await office.channel()
    for number in range(6):
        await office.down(f"h{number}")
    office.sink.answer = Answer(status=500)
    await office.tell()
    await office.clock.forward(7)
    await office.tell()
    await office.down("another")
    await office.clock.forward(40)
    await office.tell()

    ids = [request.headers["webhook-id"] for request in office.sink.requests]
    assert [body["folded"]["count"] for body in office.told()] == [6, 6, 7]
    assert ids[0] == ids[1] != ids[2]


async def test_one_that_joined_a_folded_message_late_is_not_given_up_with_the_others(office: Office) -> None:
    channel = await office.channel()
    old = [(await office.down(f"h{number}"))[1] for number in range(6)]
    office.sink.answer = Answer(status=500)
    await office.tell()
    for incident in old:  # as if for three days
        await office.db.execute(
            "HSET", office.db.shards[0].delivery(incident, channel.id), "attempt", len(retry.SCHEDULE)
        )
    _, joined = await office.down("another")
    await office.clock.forward(10)
    await office.tell()

    assert office.told()[-1]["folded"]["count"] == 7
    assert {(await office.delivery(incident, channel)).status for incident in old} == {"dead"}
    found = await office.delivery(joined, channel)
    assert found.status == "retrying"
    assert found.next_at
    assert found.next_at < office.clock.now + 7_000


async def test_a_deleted_channel_hears_nothing_and_its_deliveries_are_dead_letters(office: Office) -> None:
    channel, other = await office.channel("one"), await office.channel("two")
    _, incident = await office.down()
    await office.look()
    await channels.delete(office.db, channel.id)

    for each in (channel, other):
        await office.desk(each.id, incident).work()

    assert [request.path for request in office.sink.requests] == ["/two"]
    found = await office.delivery(incident, channel)
    assert (found.status, found.answer, found.reason) == ("dead", "the channel was deleted", Reason.SETTINGS)


async def test_a_channel_that_is_deleted_in_the_middle_of_a_storm_hears_no_more(office: Office) -> None:
    channel = await office.channel(fold=False)
    found = [(await office.down(f"h{number}"))[1] for number in range(11)]
    await office.look()
    answer = asyncio.Event()
    office.sink.answers.append(Answer(until=answer))
    work = asyncio.create_task(office.desk(channel.id, *found).work())
    await office.sink.received(1)
    await channels.delete(office.db, channel.id)
    answer.set()
    async with asyncio.timeout(PATIENCE):
        await work

    assert len(office.sink.requests) == 5
    assert {(await office.delivery(incident, channel)).status for incident in found[5:]} == {"dead"}


async def test_a_heartbeats_second_incident_waits_for_the_end_of_its_first(office: Office) -> None:
    channel = await office.channel()
    heartbeat, first = await office.down()
    office.sink.answers.append(Answer(status=503, headers={"Retry-After": "600"}))
    await office.tell()
    await office.recover(heartbeat)
    second = await office.fail(heartbeat)
    office.sink.answers.append(Answer(status=503, headers={"Retry-After": "600"}))
    await office.tell()  # the end of the first is tried, and refused
    for _ in range(3):
        await office.clock.forward(2)
        await office.tell()
    assert (await office.delivery(second, channel)).status == "waiting"
    assert len(office.sink.requests) == 2

    await office.clock.forward(600)
    for _ in range(3):
        await office.tell()
        await office.clock.forward(2)

    assert [body["incident"]["id"] for body in office.told()] == [first, first, first, second]
    assert [event for event, _ in office.events()] == ["opened", "resolved", "resolved", "opened"]


async def test_a_kind_that_nobody_can_send_waits_for_a_notifier_that_can(office: Office) -> None:
    odd, fine = await office.channel("odd", kind="carrier pigeon"), await office.channel("fine")
    _, incident = await office.down()

    await office.tell()

    found = await office.delivery(incident, odd)
    assert (found.status, found.reason) == ("retrying", Reason.SETTINGS)
    assert (await office.delivery(incident, fine)).status == "told"


async def test_settings_that_no_sender_can_use_are_put_off_like_any_failure(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await office.channel(secret="whsec_hunter2")
    _, incident = await office.down()

    await office.tell()

    found = await office.delivery(incident, channel)
    assert (found.status, found.reason) == ("retrying", Reason.SETTINGS)
    assert "hunter2" not in found.answer + caplog.text
    assert "cannot_send" in [record.message for record in caplog.records]


@pytest.mark.parametrize("count", [2, 8])
async def test_a_corrupt_heartbeat_silences_nobody(office: Office, count: int) -> None:
    channel = await office.channel()
    found = [await office.down(f"h{number}") for number in range(count)]
    await office.db.execute("HDEL", office.db.shards[0].heartbeat(found[0][0].id), "name")

    await office.tell()

    for _, incident in found:
        assert (await office.delivery(incident, channel)).told == "opened"


@pytest.mark.parametrize("count", [2, 8])
async def test_a_corrupt_incident_silences_nobody_else(office: Office, count: int) -> None:
    channel = await office.channel()
    found = [(await office.down(f"h{number}"))[1] for number in range(count)]
    await office.look()
    await office.db.execute("HDEL", office.db.shards[0].incident(found[0]), "opened_at")

    await office.desk(channel.id, *found).work()

    for incident in found[1:]:
        assert (await office.delivery(incident, channel)).told == "opened"


async def test_many_that_are_paused_together_are_not_told_as_up_again(office: Office) -> None:
    await office.channel()
    found = [await office.down(f"h{number}") for number in range(7)]
    await office.tell()
    for heartbeat, _ in found:
        await heartbeats.pause(office.db, heartbeat.id)
    await office.tell()

    assert [body["title"] for body in office.told()] == ["7 heartbeats are down", "7 heartbeats are no longer down"]


async def test_many_tests_at_once_are_one_test(office: Office) -> None:
    channel = await office.channel()
    asked = [await deliveries.send_test(office.db, channel.id) for _ in range(7)]

    await office.tell()

    (body,) = office.told()
    assert (body["event"], body["title"]) == ("test", "Test message from flatline")
    assert {(await deliveries.get(office.db, each.id)).status for each in asked} == {"told"}


async def test_company_is_waited_for_and_longer_when_a_storm_begins(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = await office.channel()
    found = [(await office.down(f"h{number}"))[1] for number in range(9)]
    await office.look()
    monkeypatch.setattr(notifier.delivery, "COMPANY_S", 0.05)
    monkeypatch.setattr(notifier.delivery, "STORM_S", 0.3)
    desk = office.desk(channel.id, *found[:6])
    work = asyncio.create_task(desk.work())

    def come() -> None:
        for incident in found[6:]:
            desk.put(incident)

    asyncio.get_running_loop().call_later(0.15, come)
    async with asyncio.timeout(PATIENCE):
        await work

    assert [body["folded"]["count"] for body in office.told()] == [9]


async def test_a_channel_that_hangs_delays_nobody_else_and_folds_what_comes_meanwhile(office: Office) -> None:
    slow, quick = await office.channel("slow"), await office.channel("quick")
    _, first = await office.down("first")
    await office.look()
    desks = Desks(office.db, office.supplies())
    answer = asyncio.Event()
    office.sink.answers.append(Answer(until=answer))
    desks.put("default", [(first, slow.id)])
    await office.sink.received(1)

    rest = [(await office.down(f"h{number}"))[1] for number in range(8)]
    await office.look()
    desks.put("default", [(incident, channel.id) for incident in rest for channel in (slow, quick)])
    await office.sink.received(2)
    assert [request.path for request in office.sink.requests] == ["/slow", "/quick"]
    answer.set()
    await office.sink.received(3)
    await desks.aclose()

    assert [request.path for request in office.sink.requests] == ["/slow", "/quick", "/slow"]
    assert office.told()[2]["folded"]["count"] == 8
    assert not desks._desks


async def test_what_is_being_said_when_we_are_told_to_stop_is_said_again_by_another(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier.desks, "CLOSE_S", 0.05)
    channel = await office.channel()
    _, incident = await office.down()
    await office.look()
    desks = Desks(office.db, office.supplies())
    office.sink.answers.append(Answer(how="hang"))
    desks.put("default", [(incident, channel.id)])
    await office.sink.received(1)

    await desks.aclose()

    assert (await office.delivery(incident, channel)).status == "sending"
    await office.clock.forward(LEASE_MS / 1000)
    await office.tell("n2")
    first, second = office.sink.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (await office.delivery(incident, channel)).told == "opened"


async def test_a_desk_that_dies_is_logged_and_the_next_incident_gets_a_new_one(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    channel = await office.channel()
    (_, first), (_, second) = await office.down("first"), await office.down("second")
    await office.look()
    desks = Desks(office.db, office.supplies())
    with monkeypatch.context() as patched:

        async def die(_: Desk) -> None:
            raise KeyError("a bug")

        patched.setattr(Desk, "work", die)
        desks.put("default", [(first, channel.id)])

        async def died() -> bool:
            return not desks._desks

        await eventually(died)
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["desk_failed"]

    desks.put("default", [(second, channel.id)])
    await office.sink.received(1)
    await office.clock.forward(16)  # the note that was taken of the first
    await office.tell()
    await desks.aclose()

    assert sorted(office.events()) == [("opened", "first"), ("opened", "second")]


async def test_the_last_heartbeat_is_told_of_though_it_was_deleted_meanwhile(office: Office) -> None:
    await office.channel()
    heartbeat, _ = await office.down("doomed")
    await office.tell()
    await heartbeats.delete(office.db, heartbeat.id)
    await office.tell()

    assert [body["title"] for body in office.told()] == ["doomed is down", "doomed was deleted"]


async def test_a_pause_before_anybody_heard_tells_nothing(office: Office) -> None:
    await office.channel()
    heartbeat, _ = await office.down()
    await heartbeats.pause(office.db, heartbeat.id)

    await office.tell()

    assert office.sink.requests == []


async def test_a_storm_over_many_shards_is_leased_and_recorded_in_bounded_pieces(
    redis_url: str, office: Office
) -> None:
    async with opened(clean(redis_url), shards=16) as db:
        desk = Desk(db, "default", "c1", office.supplies(), Pace())
        storm = [f"{number:012x}-{number}" for number in range(20_000)]

        pieces = list(desk._by_shard(storm, str))

        assert sorted(incident for _, piece in pieces for incident in piece) == storm
        for shard, piece in pieces:
            assert len(piece) <= LEASE_MAX
            assert {db.shard(incident).number for incident in piece} == {shard.number}


async def test_metrics_know_only_the_kinds_that_we_know(office: Office) -> None:
    registry = new_registry()
    office.metrics = type(office.metrics)(registry)
    await office.channel(kind="\x00 anything a record may say")
    await office.down()

    await office.tell()

    kinds = {
        sample.labels["kind"] for metric in registry.collect() for sample in metric.samples if "kind" in sample.labels
    }
    assert kinds == {"unknown"}


async def test_a_name_of_markup_and_emoji_arrives_as_it_is(office: Office) -> None:
    await office.channel()
    name = "<b>Резервная</b> \r\nX-Injected: 1 " + "🧨" * 60
    await make(office.db, "first", up_at=office.clock.now)
    await office.down(name)

    await office.tell()

    (body,) = office.told()
    assert body["heartbeat"]["name"] == name
    assert body["title"] == name.replace("\r\n", " ") + " is down"
