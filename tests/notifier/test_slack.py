import re

import pytest

from notifier.channels import Reason
from tests.notifier.messages import HOSTILE, hostile, message
from tests.notifier.sinks import HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, texts, told

SETTINGS = {"url": "{base}/services/T0/B0/hunter2"}


async def test_a_message_is_an_attachment_with_its_colour_and_links(sink: HttpSink) -> None:
    content = await told(sink, "slack", message(output=b"rsync: <gone> & done\n"), **SETTINGS)

    [attachment] = content["attachments"]
    assert attachment["color"] == "#c62828"
    assert attachment["title"] == attachment["fallback"] == "Резервная копия молчит"
    assert attachment["title_link"] == message().url
    assert attachment["ts"] == 1_700_000_000
    assert attachment["text"].split("\n\n") == [
        "No ping for 1 h 5 min.",
        "Last ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h",
        "```rsync: &lt;gone&gt; &amp; done```",
        f"<{message().url}|Incident> · <https://wiki.example.org/backup?a=1&amp;b=2|Runbook>",
    ]
    assert sink.requests[0].path == "/services/T0/B0/hunter2"


@pytest.mark.parametrize(
    ("event", "color"), [("incident.resolved", "#2e7d32"), ("heartbeat.late", "#f9a825"), ("test", "#607d8b")]
)
async def test_each_tone_has_its_colour(sink: HttpSink, event: str, color: str) -> None:
    content = await told(sink, "slack", message(event=event), **SETTINGS)

    assert content["attachments"][0]["color"] == color


async def test_nothing_in_a_message_mentions_anybody_or_leaves_its_block(sink: HttpSink) -> None:
    content = await told(sink, "slack", hostile(), **SETTINGS)

    [attachment] = content["attachments"]
    for text in (attachment["title"], attachment["fallback"]):
        assert not re.search("[<>]", text)
        assert "&lt;!channel&gt; &lt;@U1&gt;" in text
    assert re.findall("<[^>]*>", attachment["text"]) == [
        f"<{message().url}|Incident>",
        "<https://wiki.example.org/backup?a=1&amp;b=2|Runbook>",
    ]
    assert attachment["text"].count("```") == 2 + 2 * 2  # the block's own; those of the text and of the details
    block = attachment["text"].split("\n\n")[-2]
    assert block.startswith("```")
    assert block.endswith("```")
    assert "`" not in block[3:-3].replace("`\u200b", "")
    assert not UNPRINTABLE & set("".join(texts(content)))


async def test_however_long_a_message_is_no_part_is_too_long(sink: HttpSink) -> None:
    content = await told(sink, "slack", hostile(10_000), **SETTINGS)

    [attachment] = content["attachments"]
    assert len(attachment["title"]) <= 300
    assert len(attachment["text"]) <= 8_000
    assert not re.search("&(?!lt;|gt;|amp;)", "".join(texts(content)))  # no entity was cut
    assert HOSTILE[-5:] in attachment["text"].split("\n\n")[-2]  # of the output the end is kept


async def test_slack_says_ok(sink: HttpSink) -> None:
    sink.answer = answer(200, "ok")

    assert await tell(sink, "slack", message(), **SETTINGS) == "200"


@pytest.mark.parametrize(
    ("status", "word", "reason", "breaks"),
    [
        (404, "no_service", Reason.CLIENT_ERROR, True),
        (404, "channel_not_found", Reason.CLIENT_ERROR, True),
        (410, "channel_is_archived", Reason.GONE, True),
        (403, "action_prohibited", Reason.AUTH, True),
        (400, "invalid_token", Reason.CLIENT_ERROR, True),
        (400, "invalid_payload", Reason.CLIENT_ERROR, False),
        (200, "no_active_hooks", Reason.CLIENT_ERROR, True),
        (200, "invalid_payload", Reason.CLIENT_ERROR, False),
    ],
)
async def test_the_word_in_the_body_counts(
    sink: HttpSink, status: int, word: str, reason: Reason, *, breaks: bool
) -> None:
    error = await refused(sink, "slack", message(), answer(status, word), **SETTINGS)

    assert (error.reason, error.status, error.tries, error.breaks) == (reason, status, 1, breaks)


async def test_slacks_rate_limit_is_obeyed(sink: HttpSink) -> None:
    error = await refused(sink, "slack", message(), answer(429, "rate_limited", Retry_After="30"), **SETTINGS)

    assert (error.reason, error.tries, error.retry_after, error.breaks) == (Reason.RATE_LIMITED, None, 30, False)
