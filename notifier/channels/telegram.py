"""Telegram, through a bot; a chat of people, a group with topics or a channel."""

from collections.abc import Mapping
from html import escape
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from notifier import outgoing
from notifier.channels.text import SILENT_MAX, details, head, links, markup, tail
from notifier.message import Message

# Together below the 4,096 that a message may have.
TITLE_MAX: Final = 250
TEXT_MAX: Final = 1_700
DETAILS_MAX: Final = 700
OUTPUT_MAX: Final = 1_200
#: What a 400 may say of the chat; a bot that was blocked or thrown out gets 403.
BREAKING: Final = ("chat not found", "chat_id is empty", "user not found", "message thread not found")


class Telegram:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        url = f"{settings['url']}/bot{quote(settings['token'], safe=':')}/sendMessage"
        content = compose(message) | {"chat_id": settings["chat_id"]}
        if "topic" in settings:
            content["message_thread_id"] = settings["topic"]
        answer = await outgoing.post_json(self._session, url, content)
        if moved := _parameters(answer).get("migrate_to_chat_id"):  # a group that grew has a new number
            answer = await outgoing.post_json(self._session, url, content | {"chat_id": moved})
        said = answer.json()
        description, wait = str(said.get("description", "")), _parameters(answer).get("retry_after")
        return outgoing.accepted(
            answer,
            failed=said.get("ok") is False,
            breaks=any(words in description for words in BREAKING),
            retry_after=wait if isinstance(wait, int) and wait >= 0 else None,
        )


def compose(message: Message) -> dict[str, Any]:
    output = tail(message, OUTPUT_MAX, markup)
    parts = (
        f"<b>{head(message.title, TITLE_MAX, markup)}</b>",
        head(message.text, TEXT_MAX, markup),
        head(details(message), DETAILS_MAX, markup),
        f"<pre>{output}</pre>" if output else "",
        " · ".join(f'<a href="{escape(url)}">{label}</a>' for label, url in links(message)),
    )
    return {
        "text": "\n\n".join(filter(None, parts)),
        "parse_mode": "HTML",
        "link_preview_options": {"is_disabled": True},
        "disable_notification": message.priority <= SILENT_MAX,
    }


def _parameters(answer: "outgoing.Answer") -> dict[str, Any]:
    found = answer.json().get("parameters")
    return found if isinstance(found, dict) else {}
