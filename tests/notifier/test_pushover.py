from typing import Any

import pytest

from notifier.channels import Reason
from tests.notifier.messages import hostile, message
from tests.notifier.sinks import HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, texts, told

SETTINGS: dict[str, Any] = {"url": "{base}", "token": "app-hunter2", "user": "user-hunter2"}


async def test_a_message_names_its_application_and_its_user(sink: HttpSink) -> None:
    content = await told(sink, "pushover", message(output=b"rsync: gone\n"), **SETTINGS, device="phone")

    assert sink.requests[0].path == "/1/messages.json"
    assert content == {
        "token": "app-hunter2",
        "user": "user-hunter2",
        "device": "phone",
        "title": "Резервная копия молчит",
        "message": "No ping for 1 h 5 min.\n\nLast ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h\n\n"
        f"Runbook: {message().runbook_url}\n\nrsync: gone",
        "priority": 1,
        "timestamp": 1_700_000_000,
        "url": message().url,
        "url_title": "Incident",
    }


@pytest.mark.parametrize(("ours", "theirs"), [(0, -2), (1, -1), (3, -1), (4, 0), (7, 0), (8, 1), (9, 1), (10, 1)])
async def test_priorities_are_mapped_and_none_is_an_emergency_unasked(sink: HttpSink, ours: int, theirs: int) -> None:
    content = await told(sink, "pushover", message(priority=ours), **SETTINGS)

    assert content["priority"] == theirs
    assert not {"retry", "expire", "device"} & set(content)


async def test_only_the_highest_priority_is_an_emergency_where_that_is_wished(sink: HttpSink) -> None:
    wished = SETTINGS | {"emergency": True, "retry": 90, "expire": 600}

    loud = await told(sink, "pushover", message(priority=10), **wished)
    usual = await told(sink, "pushover", message(priority=9), **wished)

    assert (loud["priority"], loud["retry"], loud["expire"]) == (2, 90, 600)
    assert usual["priority"] == 1
    assert "retry" not in usual


async def test_a_message_without_text_is_its_title(sink: HttpSink) -> None:
    empty = message(title="silent", text="", details=(), url="", runbook_url="")

    content = await told(sink, "pushover", empty, **SETTINGS)

    assert content["message"] == "silent"
    assert "url" not in content


async def test_a_link_that_is_too_long_for_the_text_is_left_out(sink: HttpSink) -> None:
    content = await told(sink, "pushover", message(runbook_url="https://example.org/" + "x" * 300), **SETTINGS)

    assert "example.org" not in content["message"]
    assert content["url"] == message().url


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_stay_plain_and_within_the_limits(sink: HttpSink, size: int) -> None:
    content = await told(sink, "pushover", hostile(size), **SETTINGS)

    assert len(content["title"]) <= 250
    assert len(content["message"]) <= 1_024
    assert not {"html", "monospace"} & set(content)
    assert not UNPRINTABLE & set("".join(texts(content)))


async def test_pushover_answers_with_a_status_of_its_own(sink: HttpSink) -> None:
    sink.answer = answer(200, {"status": 1, "request": "647d2300-702c-4b38-8b2f-d56326ae460b"})

    assert await tell(sink, "pushover", message(), **SETTINGS) == "200"


@pytest.mark.parametrize(
    ("status", "said", "reason", "tries", "breaks"),
    [
        (400, {"user": "invalid", "errors": ["user identifier is invalid"]}, Reason.CLIENT_ERROR, 1, True),
        (400, {"token": "invalid", "errors": ["application token is invalid"]}, Reason.CLIENT_ERROR, 1, True),
        (400, {"message": "cannot be blank", "errors": ["message cannot be blank"]}, Reason.CLIENT_ERROR, 1, False),
        (200, {"errors": ["hunter2"]}, Reason.CLIENT_ERROR, 1, False),
        (429, {"errors": ["application is over its limit"]}, Reason.RATE_LIMITED, None, False),
    ],
)
async def test_a_status_of_zero_is_a_failure_whatever_http_says(
    sink: HttpSink, status: int, said: dict[str, object], reason: Reason, tries: int | None, *, breaks: bool
) -> None:
    error = await refused(sink, "pushover", message(), answer(status, {"status": 0} | said), **SETTINGS)

    assert (error.reason, error.tries, error.breaks) == (reason, tries, breaks)
