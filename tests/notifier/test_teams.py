from typing import Any

import pytest

from tests.notifier.messages import hostile, message
from tests.notifier.sinks import Answer, HttpSink
from tests.notifier.telling import UNPRINTABLE, answer, refused, tell, texts, told

SETTINGS = {"url": "{base}/workflows/1/triggers/manual/paths/invoke?sig=hunter2"}


async def card(sink: HttpSink, told_message: Any) -> dict[str, Any]:
    content = await told(sink, "teams", told_message, **SETTINGS)
    assert content["type"] == "message"
    [attachment] = content["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    found: dict[str, Any] = attachment["content"]
    return found


async def test_a_message_is_an_adaptive_card(sink: HttpSink) -> None:
    found = await card(sink, message(output=b"rsync: gone\n"))

    assert (found["type"], found["version"]) == ("AdaptiveCard", "1.4")
    head, *lines, code = found["body"]
    assert head["style"] == "attention"
    assert head["items"][0]["inlines"][0]["text"] == "Резервная копия молчит"
    assert [line["inlines"][0]["text"] for line in lines] == [
        "No ping for 1 h 5 min.",
        "Last ping: 2023-11-14 21:08:20 UTC",
        "Period: 1 h",
    ]
    assert code == {"type": "CodeBlock", "codeSnippet": "rsync: gone", "language": "PlainText"}
    assert [(action["title"], action["url"]) for action in found["actions"]] == [
        ("Incident", message().url),
        ("Runbook", message().runbook_url),
    ]
    assert sink.requests[0].path.endswith("?sig=hunter2")


async def test_a_message_of_many_names_keeps_its_lines(sink: HttpSink) -> None:
    found = await card(sink, message(text="- one\n- two\n\nand 3 more", details=(), output=b""))

    assert [block["inlines"][0]["text"] for block in found["body"][1:]] == ["- one", "- two", "and 3 more"]


@pytest.mark.parametrize("size", [0, 10_000])
async def test_hostile_texts_stand_only_where_no_markdown_is_read(sink: HttpSink, size: int) -> None:
    found = await card(sink, hostile(size))

    def kinds(content: Any) -> set[str]:
        if isinstance(content, list):
            return set().union(*map(kinds, content)) if content else set()
        if not isinstance(content, dict):
            return set()
        return {content["type"]}.union(*(kinds(value) for value in content.values()))

    assert kinds(found["body"]) == {"Container", "RichTextBlock", "TextRun", "CodeBlock"}
    assert not UNPRINTABLE & set("".join(texts(found)))
    assert len(sink.requests[0].body) < 28_000


async def test_however_many_lines_a_message_has_the_card_is_no_roll(sink: HttpSink) -> None:
    found = await card(sink, message(text="\n".join(["😀"] * 1_000), output=b"\xff" * 10_000))

    assert len(found["body"]) < 70
    assert len(sink.requests[0].body) < 28_000


async def test_a_workflow_answers_that_it_has_begun(sink: HttpSink) -> None:
    sink.answer = Answer(status=202)

    assert await tell(sink, "teams", message(), **SETTINGS) == "202"


@pytest.mark.parametrize(
    ("status", "code", "tries", "breaks"),
    [
        (401, "DirectApiAuthorizationRequired", 1, True),
        (404, "WorkflowNotFound", 1, True),
        (400, "TriggerInputSchemaMismatch", 1, False),
        (429, "WorkflowRunActionRateLimited", None, False),
        (502, "NoResponse", None, False),
    ],
)
async def test_a_workflow_that_is_gone_breaks_the_channel(
    sink: HttpSink, status: int, code: str, tries: int | None, *, breaks: bool
) -> None:
    said = answer(status, {"error": {"code": code, "message": "hunter2"}})

    error = await refused(sink, "teams", message(), said, **SETTINGS)

    assert (error.tries, error.breaks) == (tries, breaks)
