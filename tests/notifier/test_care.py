"""How a channel is treated: its pace, its wishes, what happens when it breaks, and what its log tells."""

import asyncio
from typing import Any

import orjson
import pytest

from notifier.channels import Reason
from notifier.pace import BREAKS_AFTER, FIRST_BREAK_S, LONGEST_BREAK_S, Pace
from store import channels, deliveries, incidents, problems, threads
from store.records import Channel
from tests.notifier.conftest import Office
from tests.notifier.sinks import Answer

# Wishes


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"alert_priority": "off"}, [("resolved", 3)]),
        ({"recovery_priority": "off"}, [("opened", 8)]),
        ({"alert_priority": 0, "recovery_priority": 10}, [("opened", 0), ("resolved", 10)]),
        ({}, [("opened", 8), ("resolved", 3)]),
    ],
)
async def test_a_channel_has_priorities_of_its_own_and_off_is_not_zero(
    office: Office, settings: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    channel = await office.channel(**settings)
    heartbeat, incident = await office.down()
    await office.tell()
    await office.recover(heartbeat)
    await office.tell()

    assert [(body["event"].removeprefix("incident."), body["priority"]) for body in office.told()] == expected
    found = await office.delivery(incident, channel)
    assert (found.status, found.told) == ("told", "resolved")


async def test_a_message_links_to_its_page(office: Office) -> None:
    office.public_url = "https://flatline.example"
    channel = await office.channel()
    _, incident = await office.down(runbook_url="https://wiki.example/backup")
    await office.tell()

    (body,) = office.told()
    assert body["url"].startswith(f"https://flatline.example/incidents/{incident}?by={channel.id}&sig=")
    assert body["runbook_url"] == "https://wiki.example/backup"
    assert body["url"] in body["text"]


# Breaking


async def gone(office: Office) -> tuple[Channel, Channel, str]:
    """Two channels, of which the first has answered 410; its incident."""
    broken, other = await office.channel("broken"), await office.channel("other")
    _, incident = await office.down(channels=(broken.id,))
    office.sink.answers.append(Answer(status=410))
    await office.tell()
    return broken, other, incident


async def test_the_owner_of_a_broken_channel_hears_of_it_through_another(office: Office) -> None:
    broken, other, incident = await gone(office)

    assert (await office.delivery(incident, broken)).status == "dead"
    found = await channels.get(office.db, broken.id)
    assert (found.broken, found.gone) == ("127.0.0.1 answered 410", True)
    (problem,) = await problems.open_problems(office.db)
    assert (problem.kind, problem.subject) == ("channel_broken", broken.id)
    await office.tell()

    assert [request.path for request in office.sink.requests] == ["/broken", "/other"]
    text = office.told()[1]["text"]
    assert text == "The channel broken (webhook) cannot be told any more: 127.0.0.1 answered 410."
    assert (await office.delivery(problem.incident, other)).status == "told"


async def test_who_has_resigned_is_sent_nothing_but_tests_and_a_test_mends_it(office: Office) -> None:
    broken, _, _ = await gone(office)
    await office.tell()
    _, missed = await office.down("missed", channels=(broken.id,))
    await office.tell()
    assert len(office.sink.requests) == 2
    dead = await office.delivery(missed, broken)
    assert (dead.status, dead.answer, dead.reason) == ("dead", "127.0.0.1 answered 410", Reason.GONE)

    await deliveries.send_test(office.db, broken.id)
    await office.tell()
    assert not (await channels.get(office.db, broken.id)).broken
    assert await problems.open_problems(office.db) == []
    _, heard = await office.down("heard", channels=(broken.id,))
    await office.tell()

    assert (await office.delivery(heard, broken)).status == "told"


async def test_an_edit_mends_a_channel(office: Office) -> None:
    broken, _, _ = await gone(office)

    await channels.edit(office.db, await channels.get(office.db, broken.id), "new", broken.settings)

    assert not (await channels.get(office.db, broken.id)).broken


async def test_a_webhook_that_answers_404_is_given_some_time_and_then_its_owner_hears(office: Office) -> None:
    channel = await office.channel()
    office.sink.answer = Answer(status=404)
    _, incident = await office.down()
    for _ in range(3):
        await office.tell()
        assert not (await channels.get(office.db, channel.id)).broken
        await office.clock.forward(3_600)
    for _ in range(3):
        await office.tell()
        await office.clock.forward(3_600)

    assert (await office.delivery(incident, channel)).status == "dead"
    found = await channels.get(office.db, channel.id)
    assert (found.broken, found.gone) == ("127.0.0.1 answered 404", False)
    office.sink.answer = Answer()
    await office.down("next")
    await office.tell()
    assert not (await channels.get(office.db, channel.id)).broken


# The log, and letters that came back


async def test_the_log_tells_what_was_sent_and_how_it_ended(office: Office) -> None:
    channel = await office.channel()
    office.sink.answers.append(Answer(status=500))
    _, incident = await office.down()
    await office.tell()
    await office.clock.forward(60)
    await office.tell()

    rows = await deliveries.log(office.db, channel.id)

    assert [(row.incident, row.word, row.outcome, row.answer, row.reason) for row in rows] == [
        (incident, "opened", "told", "200", ""),
        (incident, "opened", "retry", "127.0.0.1 answered 500", "server_error"),
    ]


async def test_a_dead_letter_can_be_sent_again_and_is_off_the_list_then(office: Office) -> None:
    channel = await office.channel()
    office.sink.answers.append(Answer(status=410))
    _, incident = await office.down()
    await office.tell()
    (letter,) = await deliveries.dead(office.db)
    assert letter.id == f"{incident}:{channel.id}"
    await channels.mend(office.db, channel)

    await deliveries.resend(office.db, letter.id)
    await office.tell()

    assert office.events() == [("opened", "backup")] * 2
    assert await deliveries.count_dead(office.db) == 0
    assert (await office.delivery(incident, channel)).status == "told"


async def test_what_was_told_can_be_told_again(office: Office) -> None:
    channel = await office.channel()
    _, incident = await office.down()
    await office.tell()

    await deliveries.resend(office.db, f"{incident}:{channel.id}")
    for _ in range(2):
        await office.tell()

    assert office.events() == [("opened", "backup")] * 2


async def test_purged_letters_are_gone(office: Office) -> None:
    channel = await office.channel()
    office.sink.answer = Answer(status=410)
    letters = [(await office.down(f"h{n}"))[1] for n in range(3)]
    await office.tell()

    assert await deliveries.purge(office.db, [f"{letters[0]}:{channel.id}", "0-0:x"]) == 1
    assert await deliveries.count_dead(office.db) == 2


# Threads: what is opened together is closed together


async def pagerduty(office: Office) -> Channel:
    url = f"http://127.0.0.1:{office.sink.port}"
    return await channels.create(office.db, "pd", "pagerduty", {"routing_key": "r" * 32, "url": url})


def sent(office: Office) -> list[tuple[str, str]]:
    bodies = [orjson.loads(request.body) for request in office.sink.requests]
    return [(body["event_action"], body["dedup_key"]) for body in bodies]


async def test_an_alert_is_triggered_acknowledged_and_resolved_under_one_key(office: Office) -> None:
    office.sink.answer = Answer(status=202, body=b'{"status":"success"}')
    await pagerduty(office)
    heartbeat, incident = await office.down()
    await office.tell()
    await acknowledge(office, incident)
    await office.tell()
    await office.recover(heartbeat)
    await office.tell()

    assert sent(office) == [("trigger", incident), ("acknowledge", incident), ("resolve", incident)]


async def test_what_was_folded_is_resolved_when_the_last_of_it_is_over(office: Office) -> None:
    office.sink.answer = Answer(status=202, body=b'{"status":"success"}')
    channel = await pagerduty(office)
    found = [await office.down(f"h{n}") for n in range(7)]
    await office.tell()
    ((action, key),) = sent(office)
    assert action == "trigger"

    for heartbeat, _ in found[:6]:
        await office.recover(heartbeat, after_s=1)
    await office.tell()
    assert len(sent(office)) == 1
    assert (await office.delivery(found[0][1], channel)).told == "resolved"
    await office.recover(found[6][0])
    await office.tell()

    assert sent(office) == [("trigger", key), ("resolve", key)]


async def test_to_join_or_to_leave_a_thread_twice_changes_nothing(office: Office) -> None:
    for _ in range(2):
        await threads.join(office.db, "c", "t", ["a", "b"])
    assert [await threads.leave(office.db, "c", "t", ["a"]) for _ in range(2)] == [1, 1]
    assert await threads.leave(office.db, "c", "t", ["b"]) == 0


async def acknowledge(office: Office, incident: str) -> None:
    assert await incidents.acknowledge(office.db, incident, "Ada")


# Pace


class Hand:
    """A clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_lets_a_burst_through_and_then_so_many_a_second() -> None:
    clock = Hand()
    pace = Pace(clock)
    pace.limit(per_s=2, burst=3)
    waits = []
    for _ in range(5):
        waits.append(pace.wait_s())
        pace.take()

    assert waits == [0, 0, 0, 0.5, 1.0]
    clock.now = 1.5
    assert pace.wait_s() == 0
    clock.now = 1_000
    for _ in range(3):
        pace.take()
    assert pace.wait_s() == 0.5


def test_a_receiver_that_fails_in_a_row_is_left_alone_longer_and_longer() -> None:
    pace = Pace(Hand())
    waits = []
    for _ in range(BREAKS_AFTER + 6):
        pace.failed()
        waits.append(pace.wait_s())

    assert waits == [0] * (BREAKS_AFTER - 1) + [5, 10, 20, 40, 60, 60, 60]
    assert (waits[BREAKS_AFTER - 1], max(waits)) == (FIRST_BREAK_S, LONGEST_BREAK_S)
    pace.worked()
    assert pace.wait_s() == 0


async def test_a_test_by_hand_does_not_wait_for_a_pause_to_end() -> None:
    pace = Pace()
    for _ in range(BREAKS_AFTER + 9):
        pace.failed()
    waiting = asyncio.create_task(pace.ready())
    await asyncio.sleep(0)

    pace.hurry()
    async with asyncio.timeout(5):
        await waiting
