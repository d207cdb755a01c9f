"""Discord, through a channel's webhook."""

import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from notifier import outgoing
from notifier.channels.text import details, fenced, head, links, tail
from notifier.message import Message
from rules.times import rfc3339

TITLE_MAX: Final = 256
# Together with two links below the 4,096 that a description may have.
TEXT_MAX: Final = 1_200
DETAILS_MAX: Final = 600
OUTPUT_MAX: Final = 1_000
COLORS: Final = {"bad": 0xC62828, "warning": 0xF9A825, "good": 0x2E7D32, "neutral": 0x607D8B}


class Discord:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        return outgoing.accepted(await outgoing.post_json(self._session, settings["url"], compose(message)))


def compose(message: Message) -> dict[str, Any]:
    output = tail(message, OUTPUT_MAX, fenced)
    parts = (
        head(message.text, TEXT_MAX, escaped),
        head(details(message), DETAILS_MAX, escaped),
        f"```\n{output}\n```" if output else "",
        " · ".join(f"[{label}](<{url}>)" for label, url in links(message)),
    )
    embed = {
        "title": head(message.title, TITLE_MAX, escaped),
        "description": "\n\n".join(filter(None, parts)),
        "color": COLORS[message.tone],
        "timestamp": rfc3339(message.at),
    }
    return {
        "embeds": [embed | ({"url": message.url} if message.url else {})],
        "allowed_mentions": {"parse": []},  # so that @everyone in a name calls nobody
    }


def escaped(text: str) -> str:
    """Without the marks of Discord's Markdown, links that show another address than they open among them."""
    return re.sub(r"([\\*_~`|>#\[\]()<@])", r"\\\1", text)
