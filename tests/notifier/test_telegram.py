import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest

from notifier.channels import Reason
from tests.notifier.messages import hostile, message
from tests.notifier.sinks import HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, told

SETTINGS: dict[str, Any] = {"url": "{base}", "token": "123:hunter2", "chat_id": "-1001234"}
OK = {"ok": True, "result": {"message_id": 1}}


class Tags(HTMLParser):
    """Which tags a text opens."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - HTMLParser gives them
        self.found.append(tag)


async def test_a_message_is_html_for_the_chat(sink: HttpSink) -> None:
    content = await told(sink, "telegram", message(output=b"a < b\n"), **SETTINGS)

    assert sink.requests[0].path == "/bot123:hunter2/sendMessage"
    assert content == {
        "chat_id": "-1001234",
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": False,
        "text": "<b>Резервная копия молчит</b>\n\nNo ping for 1 h 5 min.\n\n"
        "Last ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h\n\n<pre>a &lt; b</pre>\n\n"
        f'<a href="{message().url}">Incident</a> · '
        '<a href="https://wiki.example.org/backup?a=1&amp;b=2">Runbook</a>',
    }


async def test_good_news_makes_no_sound(sink: HttpSink) -> None:
    content = await told(sink, "telegram", message(event="incident.resolved", priority=3), **SETTINGS)

    assert content["disable_notification"] is True


async def test_a_topic_of_a_group_is_named(sink: HttpSink) -> None:
    assert (await told(sink, "telegram", message(), **SETTINGS, topic=7))["message_thread_id"] == 7


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_stay_text_and_fit(sink: HttpSink, size: int) -> None:
    text = (await told(sink, "telegram", hostile(size), **SETTINGS))["text"]

    parser = Tags()
    parser.feed(text)
    assert parser.found == ["b", "pre", "a", "a"]
    shown = unescape(re.sub("<[^>]*>", "", text))
    assert len(shown.encode("utf-16-le")) // 2 <= 4_096
    assert "<!channel>" in shown
    assert not re.search("&(?!lt;|gt;|amp;)", text)
    assert not UNPRINTABLE & set(text)


async def test_a_token_cannot_lead_elsewhere(sink: HttpSink) -> None:
    await tell(sink, "telegram", message(), **SETTINGS | {"token": "../../1:x?y=z#"})

    assert sink.requests[0].path == "/bot..%2F..%2F1:x%3Fy=z%23/sendMessage"


@pytest.mark.parametrize(
    ("status", "description", "reason", "breaks"),
    [
        (400, "Bad Request: chat not found", Reason.CLIENT_ERROR, True),
        (400, "Bad Request: message thread not found", Reason.CLIENT_ERROR, True),
        (400, "Bad Request: can't parse entities: hunter2", Reason.CLIENT_ERROR, False),
        (403, "Forbidden: bot was blocked by the user", Reason.AUTH, True),
        (401, "Unauthorized", Reason.AUTH, True),
        (404, "Not Found", Reason.CLIENT_ERROR, True),
        (200, "Bad Request: chat not found", Reason.CLIENT_ERROR, True),
        (200, "Bad Request: message is too long", Reason.CLIENT_ERROR, False),
    ],
)
async def test_what_telegram_says_of_the_chat_breaks_the_channel(
    sink: HttpSink, status: int, description: str, reason: Reason, *, breaks: bool
) -> None:
    said = {"ok": False, "error_code": status, "description": description}

    error = await refused(sink, "telegram", message(), answer(status, said), **SETTINGS)

    assert (error.reason, error.tries, error.breaks) == (reason, 1, breaks)


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [({"retry_after": 35}, 35), ({"retry_after": 0}, 0), ({"retry_after": "soon"}, None), ([], None), (None, None)],
)
async def test_the_wait_that_telegram_asks_for_stands_in_the_body(
    sink: HttpSink, parameters: object, seconds: int | None
) -> None:
    said = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": parameters}

    error = await refused(sink, "telegram", message(), answer(429, said), **SETTINGS)

    assert (error.reason, error.tries, error.breaks) == (Reason.RATE_LIMITED, None, False)
    assert error.retry_after == seconds


async def test_a_group_that_got_another_number_is_told_there(sink: HttpSink) -> None:
    moved = {"ok": False, "error_code": 400, "description": "x", "parameters": {"migrate_to_chat_id": -100999}}
    sink.answers.append(answer(400, moved))
    sink.answer = answer(200, OK)

    assert await tell(sink, "telegram", message(), **SETTINGS) == "200"
    assert [orjson.loads(request.body)["chat_id"] for request in sink.requests] == ["-1001234", -100999]


@pytest.mark.parametrize("said", ["", "[]", "null", "<html>", '{"ok":'])
async def test_a_success_without_sense_is_still_one(sink: HttpSink, said: str) -> None:
    sink.answer = answer(200, said)

    assert await tell(sink, "telegram", message(), **SETTINGS) == "200"
