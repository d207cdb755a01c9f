"""Microsoft Teams, through a workflow that starts when a webhook request is received."""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from notifier import outgoing
from notifier.channels.text import details, head, links, tail
from notifier.message import Message

# Together well below the 28 kB that a message may have, in any script.
TITLE_MAX: Final = 300
TEXT_MAX: Final = 2_000
DETAILS_MAX: Final = 1_000
OUTPUT_MAX: Final = 2_000
LINES_MAX: Final = 60
STYLES: Final = {"bad": "attention", "warning": "warning", "good": "good", "neutral": "default"}


class Teams:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        return outgoing.accepted(await outgoing.post_json(self._session, settings["url"], compose(message)))


def compose(message: Message) -> dict[str, Any]:
    """One Adaptive Card. Runs of text and not text blocks, for those would read Markdown into a name."""
    body: list[dict[str, Any]] = [
        {
            "type": "Container",
            "style": STYLES[message.tone],
            "bleed": True,
            "items": [_line(head(message.title, TITLE_MAX), weight="Bolder", size="Medium")],
        }
    ]
    lines = [*head(message.text, TEXT_MAX).split("\n"), *head(details(message), DETAILS_MAX).split("\n")]
    body += [_line(line) for line in lines[:LINES_MAX] if line.strip()]
    if output := tail(message, OUTPUT_MAX):
        body.append({"type": "CodeBlock", "codeSnippet": output, "language": "PlainText"})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": label, "url": url} for label, url in links(message)],
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        ],
    }


def _line(text: str, **look: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "spacing": "Small", "inlines": [{"type": "TextRun", "text": text, **look}]}
