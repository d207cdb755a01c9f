import re

import pytest

from notifier.channels import Reason
from notifier.channels.discord import escaped
from tests.notifier.messages import hostile, message
from tests.notifier.sinks import Answer, HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, texts, told

SETTINGS = {"url": "{base}/api/webhooks/1/hunter2"}


async def test_a_message_is_an_embed_that_calls_nobody(sink: HttpSink) -> None:
    content = await told(sink, "discord", message(output=b"rsync: gone\n"), **SETTINGS)

    assert content == {
        "embeds": [
            {
                "title": "Резервная копия молчит",
                "description": "No ping for 1 h 5 min.\n\nLast ping: 2023-11-14 21:08:20 UTC\nPeriod: 1 h\n\n"
                "```\nrsync: gone\n```\n\n"
                f"[Incident](<{message().url}>) · [Runbook](<{message().runbook_url}>)",
                "color": 0xC62828,
                "timestamp": "2023-11-14T22:13:20.000Z",
                "url": message().url,
            }
        ],
        "allowed_mentions": {"parse": []},
    }


async def test_without_an_address_of_ours_there_is_no_link(sink: HttpSink) -> None:
    [embed] = (await told(sink, "discord", message(url="", runbook_url=""), **SETTINGS))["embeds"]

    assert "url" not in embed
    assert "](" not in embed["description"]


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_stay_text_and_within_discords_limits(sink: HttpSink, size: int) -> None:
    content = await told(sink, "discord", hostile(size), **SETTINGS)

    [embed] = content["embeds"]
    assert content["allowed_mentions"] == {"parse": []}
    assert len(embed["title"]) <= 256
    assert len(embed["description"]) <= 4_096
    assert not re.search(r"(?<!\\)[<`@]", embed["title"])
    before, _, rest = embed["description"].partition("\n```\n")
    output, _, links = rest.partition("\n```\n")
    assert not re.search(r"(?<!\\)[<`\[]", before)
    assert "`" not in output.replace("`\u200b", "")
    assert links.strip() == f"[Incident](<{message().url}>) · [Runbook](<{message().runbook_url}>)"
    assert not UNPRINTABLE & set("".join(texts(content)))


def test_markdown_is_escaped_sign_by_sign() -> None:
    assert escaped("[x](y) **b** @everyone \\") == r"\[x\]\(y\) \*\*b\*\* \@everyone " + "\\\\"


async def test_discord_answers_with_nothing(sink: HttpSink) -> None:
    sink.answer = Answer(status=204)

    assert await tell(sink, "discord", message(), **SETTINGS) == "204"


@pytest.mark.parametrize(
    ("status", "said", "breaks"),
    [
        (404, {"message": "Unknown Webhook", "code": 10015}, True),
        (401, {"message": "Invalid Webhook Token", "code": 50027}, True),
        (400, {"embeds": ["0"]}, False),
    ],
)
async def test_a_webhook_that_is_gone_breaks_the_channel(
    sink: HttpSink, status: int, said: object, *, breaks: bool
) -> None:
    error = await refused(sink, "discord", message(), answer(status, said), **SETTINGS)

    assert (error.tries, error.breaks) == (1, breaks)


async def test_discords_rate_limit_is_obeyed(sink: HttpSink) -> None:
    said = answer(429, {"message": "You are being rate limited.", "retry_after": 1.2}, Retry_After="2")

    error = await refused(sink, "discord", message(), said, **SETTINGS)

    assert (error.reason, error.tries, error.retry_after) == (Reason.RATE_LIMITED, None, 2)
