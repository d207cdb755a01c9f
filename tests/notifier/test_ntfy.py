from typing import Any

import pytest

from notifier.channels.text import LINK_MAX
from tests.notifier.messages import hostile, message
from tests.notifier.sinks import HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, texts, told

SETTINGS: dict[str, Any] = {"url": "{base}", "topic": "ops-hunter2", "token": "tk_hunter2"}


async def test_a_message_is_published_as_json(sink: HttpSink) -> None:
    content = await told(sink, "ntfy", message(output=b"rsync: gone\n"), **SETTINGS)

    assert content == {
        "topic": "ops-hunter2",
        "title": "Резервная копия молчит",
        "message": "No ping for 1 h 5 min.\n\nLast ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h\n\nrsync: gone",
        "priority": 4,
        "tags": ["rotating_light"],
        "actions": [
            {"action": "view", "label": "Incident", "url": message().url},
            {"action": "view", "label": "Runbook", "url": message().runbook_url},
        ],
        "click": message().url,
    }
    assert sink.requests[0].path == "/"
    assert sink.requests[0].headers["Authorization"] == "Bearer tk_hunter2"


async def test_without_a_token_nothing_authorizes(sink: HttpSink) -> None:
    await told(sink, "ntfy", message(), url="{base}/push/", topic="ops")

    assert "Authorization" not in sink.requests[0].headers
    assert sink.requests[0].path == "/push/"


async def test_without_an_address_of_ours_there_is_nothing_to_click(sink: HttpSink) -> None:
    content = await told(sink, "ntfy", message(url="", runbook_url=""), **SETTINGS)

    assert "click" not in content
    assert content["actions"] == []


@pytest.mark.parametrize(("ours", "theirs"), [(0, 1), (1, 2), (3, 2), (4, 3), (7, 3), (8, 4), (9, 4), (10, 5)])
async def test_priorities_are_mapped(sink: HttpSink, ours: int, theirs: int) -> None:
    assert (await told(sink, "ntfy", message(priority=ours), **SETTINGS))["priority"] == theirs


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_make_no_header_and_fit_the_servers_limits(sink: HttpSink, size: int) -> None:
    content = await told(sink, "ntfy", hostile(size), **SETTINGS)

    assert len(content["message"].encode()) <= 4_096
    assert len(sink.requests[0].body) <= 2 * 4_096
    assert not UNPRINTABLE & set("".join(texts(content)))
    assert not {"Title", "Bcc", "Tags"} & set(sink.requests[0].headers)


async def test_a_message_of_quotation_marks_alone_fits_too(sink: HttpSink) -> None:
    quotes = '"' * 10_000
    parts: dict[str, Any] = {"title": quotes, "text": quotes, "details": ((quotes, quotes),), "output": quotes.encode()}
    link = "https://example.org/".ljust(LINK_MAX, "x")
    await told(sink, "ntfy", message(**parts, url=link, runbook_url=link), **SETTINGS)

    assert len(sink.requests[0].body) <= 2 * 4_096


@pytest.mark.parametrize(
    ("status", "code", "tries", "breaks"),
    [(403, 40301, 1, True), (401, 40101, 1, True), (400, 40009, 1, False), (429, 42901, None, False)],
)
async def test_what_the_server_says_is_judged_by_its_status(
    sink: HttpSink, status: int, code: int, tries: int | None, *, breaks: bool
) -> None:
    said = answer(status, {"code": code, "http": status, "error": "hunter2", "link": "https://ntfy.sh/docs"})

    error = await refused(sink, "ntfy", message(), said, **SETTINGS)

    assert (error.tries, error.breaks) == (tries, breaks)
