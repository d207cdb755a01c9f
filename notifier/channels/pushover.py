"""Pushover: a push to phones."""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from notifier import outgoing
from notifier.channels.text import details, head, links, tail
from notifier.message import Message

TITLE_MAX: Final = 250
# Together 1,024 with the empty lines between them.
TEXT_MAX: Final = 400
DETAILS_MAX: Final = 200
LINK_MAX: Final = 200
OUTPUT_MAX: Final = 218
#: By our priority: -2 shows nothing, -1 makes no sound, 1 breaks the quiet hours.
PRIORITIES: Final = (-2, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1)
EMERGENCY: Final = 2  # repeats until somebody confirms it
EMERGENCY_FROM: Final = 10  # of our priority, where the channel allows it


class Pushover:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        content = compose(message) | {name: settings[name] for name in ("token", "user", "device") if name in settings}
        if settings.get("emergency") and message.priority >= EMERGENCY_FROM:
            content |= {"priority": EMERGENCY, "retry": settings["retry"], "expire": settings["expire"]}
        answer = await outgoing.post_json(self._session, f"{settings['url']}/1/messages.json", content)
        said = answer.json()
        return outgoing.accepted(
            answer,
            failed=said.get("status", 1) != 1,
            breaks=any(said.get(name) == "invalid" for name in ("token", "user", "device")),
        )


def compose(message: Message) -> dict[str, Any]:
    first, others = links(message)[:1], links(message)[1:]  # one has a place of its own
    parts = (
        head(message.text, TEXT_MAX),
        head(details(message), DETAILS_MAX),
        *(line for label, url in others if len(line := f"{label}: {url}") <= LINK_MAX),
        tail(message, OUTPUT_MAX),
    )
    content = {
        "title": head(message.title, TITLE_MAX),
        "message": "\n\n".join(filter(None, parts)) or message.title[:TITLE_MAX],  # empty, it would be refused
        "priority": PRIORITIES[message.priority],
        "timestamp": message.at // 1000,
    }
    for label, url in first:
        content |= {"url": url, "url_title": label}
    return content
