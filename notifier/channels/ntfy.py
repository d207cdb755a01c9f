"""ntfy, the public server or one's own: a push to phones. Published as JSON, so that no name can become a header."""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from notifier import outgoing
from notifier.channels.text import details, head, links, octets, tail
from notifier.message import Message

# Bytes. A server takes 4,096 of a message, and twice as much of JSON, where a quotation mark takes two.
TITLE_MAX: Final = 300
TEXT_MAX: Final = 1_300
DETAILS_MAX: Final = 400
OUTPUT_MAX: Final = 900
#: By our priority: 1 lowest, 3 as usual, 4 with a longer sound, 5 bursts through "do not disturb".
PRIORITIES: Final = (1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5)
TAGS: Final = {"bad": "rotating_light", "warning": "warning", "good": "white_check_mark", "neutral": "bell"}


class Ntfy:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        content = compose(message) | {"topic": settings["topic"]}
        headers = {"authorization": f"Bearer {settings['token']}"} if "token" in settings else {}
        return outgoing.accepted(await outgoing.post_json(self._session, settings["url"] + "/", content, headers))


def compose(message: Message) -> dict[str, Any]:
    parts = (
        head(message.text, TEXT_MAX, length=octets),
        head(details(message), DETAILS_MAX, length=octets),
        tail(message, OUTPUT_MAX, length=octets),
    )
    found = links(message)
    content = {
        "title": head(message.title, TITLE_MAX, length=octets),
        "message": "\n\n".join(filter(None, parts)),  # empty, it would read "triggered"
        "priority": PRIORITIES[message.priority],
        "tags": [TAGS[message.tone]],
        "actions": [{"action": "view", "label": label, "url": url} for label, url in found],
    }
    return content | ({"click": found[0][1]} if found else {})
