"""Gotify, and Notifly, which speaks the same: a push to phones."""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson

from notifier import outgoing
from notifier.message import Message

OUTPUT_MAX: Final = 1_000  # characters of the job's output: about what a phone shows


class Gotify:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        body = {"title": message.title, "message": _text(message), "priority": message.priority}
        headers = {
            "content-type": "application/json",
            "X-Gotify-Key": settings["token"],  # each of the two servers knows only its own name of it
            "X-Notifly-Key": settings["token"],
        }
        url = settings["url"].rstrip("/") + "/message"
        answer = await outgoing.post(self._session, url, orjson.dumps(body), headers)
        return outgoing.accepted(answer)


def _text(message: Message) -> str:
    """What is known and the tail of the output; never empty, which the server would refuse."""
    output = message.output.decode(errors="replace").strip()[-OUTPUT_MAX:]
    return "\n\n".join(filter(None, (message.plain.strip(), output))) or message.title
