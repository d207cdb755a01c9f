from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from notifier.channels import SENDERS, Reason
from tests.notifier.messages import hostile, message
from tests.notifier.sinks import HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, texts, told

SETTINGS: dict[str, Any] = {"url": "{base}/am"}
LABELS = {
    "alertname": "HeartbeatDown",
    "incident": message().thread,
    "heartbeat": "Копия",
    "severity": "critical",
}
RESOLVED = message(event="incident.resolved", at=message().at + 60_000, priority=3, payload={"heartbeat": None})


async def test_an_incident_is_one_alert_that_does_not_expire_by_itself(sink: HttpSink) -> None:
    content = await told(sink, "alertmanager", message(output=b"rsync: gone\n"), **SETTINGS)

    assert sink.requests[0].path == "/am/api/v2/alerts"
    assert "Authorization" not in sink.requests[0].headers
    assert content == [
        {
            "labels": LABELS,
            "annotations": {
                "summary": "Резервная копия молчит",
                "description": "No ping for 1 h 5 min.",
                "details": "Last ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h",
                "output": "rsync: gone",
                "runbook_url": message().runbook_url,
            },
            "startsAt": "2023-11-14T22:13:20.000Z",
            "endsAt": "2024-11-14T22:13:20.000Z",
            "generatorURL": message().url,
        }
    ]


async def test_an_incident_ends_under_the_labels_that_alertmanager_knows(sink: HttpSink) -> None:
    """They are its identity there; the heartbeat may have been renamed, and good news has another priority."""
    sink.answers.append(answer(200, [{"labels": LABELS, "fingerprint": "f"}, {"labels": LABELS | {"heartbeat": "x"}}]))

    content = await told(sink, "alertmanager", RESOLVED, **SETTINGS, token="hunter2")

    asked, _ = sink.requests
    assert asked.method == "GET"
    assert urlsplit(asked.path).path == "/am/api/v2/alerts"
    assert parse_qs(urlsplit(asked.path).query) == {"filter": [f'incident="{message().thread}"']}
    assert {request.headers["Authorization"] for request in sink.requests} == {"Bearer hunter2"}
    assert [alert["labels"] for alert in content] == [LABELS, LABELS | {"heartbeat": "x"}]
    assert {alert["endsAt"] for alert in content} == {"2023-11-14T22:14:20.000Z"}
    assert all("startsAt" not in alert for alert in content)


@pytest.mark.parametrize("known", ["[]", "", "<html>", "{}", "[{}]", "[1]"])
async def test_an_end_is_told_even_where_the_beginning_is_not_known(sink: HttpSink, known: str) -> None:
    sink.answers.append(answer(200, known))

    [alert] = await told(sink, "alertmanager", RESOLVED, **SETTINGS)

    assert alert["labels"]["incident"] == message().thread
    assert alert["endsAt"] == "2023-11-14T22:14:20.000Z"


async def test_if_it_cannot_be_asked_nothing_is_ended(sink: HttpSink) -> None:
    error = await refused(sink, "alertmanager", RESOLVED, answer(503, "hunter2"), **SETTINGS)

    assert (error.reason, error.tries, len(sink.requests)) == (Reason.SERVER_ERROR, None, 1)


@pytest.mark.parametrize(("event", "name"), [("test", "FlatlineTest"), ("heartbeat.late", "HeartbeatLate")])
async def test_what_nobody_would_end_ends_by_itself(sink: HttpSink, event: str, name: str) -> None:
    [alert] = await told(sink, "alertmanager", message(event=event, priority=2), **SETTINGS)

    assert (alert["labels"]["alertname"], alert["labels"]["severity"]) == (name, "info")
    assert alert["endsAt"] == "2023-11-14T22:18:20.000Z"


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_stay_values(sink: HttpSink, size: int) -> None:
    content = await told(sink, "alertmanager", hostile(size), **SETTINGS)

    [alert] = content
    assert set(alert["labels"]) == set(LABELS)
    assert len(alert["labels"]["heartbeat"]) <= 100
    assert max(map(len, texts(alert))) <= 4_000
    assert not UNPRINTABLE & set("".join(texts(content)))


async def test_a_hostile_thread_stays_one_matcher(sink: HttpSink) -> None:
    thread = 'x"&filter=alertname=~".*'
    await tell(sink, "alertmanager", message(event="incident.resolved", thread=thread), **SETTINGS)

    assert parse_qs(urlsplit(sink.requests[0].path).query) == {"filter": [f"incident={orjson.dumps(thread).decode()}"]}


async def test_an_alert_that_it_refuses_is_not_repeated(sink: HttpSink) -> None:
    error = await refused(sink, "alertmanager", message(), answer(400, '"bad matcher hunter2"'), **SETTINGS)

    assert (error.tries, error.breaks) == (1, False)


def test_alertmanager_closes_what_it_opened() -> None:
    assert SENDERS["alertmanager"].threads
    assert not SENDERS["alertmanager"].acknowledges
