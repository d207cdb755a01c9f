from typing import Any

import orjson
import pytest

from notifier.channels import SENDERS, Reason
from tests.notifier.messages import hostile, message
from tests.notifier.sinks import HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, texts, told

SETTINGS: dict[str, Any] = {"url": "{base}", "routing_key": "hunter2"}
ACCEPTED = {"status": "success", "message": "Event processed", "dedup_key": message().thread}


def actions(sink: HttpSink) -> list[tuple[str, str]]:
    events = [orjson.loads(request.body) for request in sink.requests]
    return [(event["event_action"], event["dedup_key"]) for event in events]


async def test_an_incident_is_triggered_under_its_own_key(sink: HttpSink) -> None:
    content = await told(sink, "pagerduty", message(output=b"rsync: gone\n"), **SETTINGS)

    assert sink.requests[0].path == "/v2/enqueue"
    assert content == {
        "routing_key": "hunter2",
        "event_action": "trigger",
        "dedup_key": message().thread,
        "payload": {
            "summary": "Резервная копия молчит",
            "source": "Копия",
            "severity": "critical",
            "timestamp": "2023-11-14T22:13:20.000Z",
            "custom_details": {
                "Text": "No ping for 1 h 5 min.",
                "Output": "rsync: gone",
                "Last ping": "2023-11-14 21:08:20 UTC",
                "Period": "1 h",
            },
        },
        "client": "flatline",
        "client_url": message().url,
        "links": [
            {"href": message().url, "text": "Incident"},
            {"href": message().runbook_url, "text": "Runbook"},
        ],
    }


@pytest.mark.parametrize(
    ("event", "action"),
    [
        ("incident.opened", "trigger"),
        ("incident.escalated", "trigger"),
        ("incident.reminder", "trigger"),
        ("incident.acknowledged", "acknowledge"),
        ("incident.resolved", "resolve"),
    ],
)
async def test_each_event_has_its_action_and_the_same_key(sink: HttpSink, event: str, action: str) -> None:
    await tell(sink, "pagerduty", message(event=event), **SETTINGS)

    assert actions(sink) == [(action, message().thread)]


@pytest.mark.parametrize("event", ["test", "heartbeat.late"])
async def test_what_nobody_would_end_ends_at_once(sink: HttpSink, event: str) -> None:
    sink.answer = answer(202, ACCEPTED)

    assert await tell(sink, "pagerduty", message(event=event), **SETTINGS) == "202"
    assert actions(sink) == [("trigger", message().thread), ("resolve", message().thread)]


async def test_a_test_that_opened_nothing_is_not_ended(sink: HttpSink) -> None:
    said = answer(400, {"status": "invalid event", "message": "Event object is invalid", "errors": ["hunter2"]})

    error = await refused(sink, "pagerduty", message(event="test"), said, **SETTINGS)

    assert (error.tries, len(sink.requests)) == (1, 1)


@pytest.mark.parametrize(
    ("priority", "severity"),
    [(0, "info"), (3, "info"), (4, "warning"), (6, "error"), (8, "critical"), (10, "critical")],
)
async def test_priorities_are_severities(sink: HttpSink, priority: int, severity: str) -> None:
    content = await told(sink, "pagerduty", message(priority=priority), **SETTINGS)

    assert content["payload"]["severity"] == severity


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_stay_text_and_within_the_limits(sink: HttpSink, size: int) -> None:
    content = await told(sink, "pagerduty", hostile(size), **SETTINGS)

    assert len(content["payload"]["summary"]) <= 1_024
    assert len(content["payload"]["source"]) <= 1_024
    assert len(sink.requests[0].body) < 512_000
    assert not UNPRINTABLE & set("".join(texts(content)))


async def test_a_long_thread_is_cut_alike_for_all_events(sink: HttpSink) -> None:
    for event in ("incident.opened", "incident.resolved"):
        await tell(sink, "pagerduty", message(event=event, thread="t" * 300), **SETTINGS)

    assert [key for _, key in actions(sink)] == ["t" * 255] * 2


@pytest.mark.parametrize("owner", [{}, {"heartbeat": None}, {"heartbeat": {"name": None}}, {"heartbeat": {"name": ""}}])
async def test_an_incident_of_nobody_has_a_source_all_the_same(sink: HttpSink, owner: dict[str, Any]) -> None:
    assert (await told(sink, "pagerduty", message(payload=owner), **SETTINGS))["payload"]["source"] == "flatline"


@pytest.mark.parametrize(
    ("errors", "breaks"),
    [
        (["'routing_key' is invalid"], True),
        (["Length of 'routing_key' is incorrect"], True),
        (["x"], False),
        (None, False),
    ],
)
async def test_a_wrong_key_breaks_the_channel(sink: HttpSink, errors: object, *, breaks: bool) -> None:
    said = answer(400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors})

    error = await refused(sink, "pagerduty", message(), said, **SETTINGS)

    assert (error.reason, error.tries, error.breaks) == (Reason.CLIENT_ERROR, 1, breaks)


def test_pagerduty_closes_what_it_opened_and_hears_of_acknowledgements() -> None:
    assert SENDERS["pagerduty"].threads
    assert SENDERS["pagerduty"].acknowledges
