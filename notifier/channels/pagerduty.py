"""PagerDuty, by its Events API v2: an incident there opens, is acknowledged and ends with ours."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import aiohttp

from notifier import outgoing
from notifier.channels.text import head, links, printable, tail
from notifier.message import Message
from rules.times import rfc3339

Action = Literal["trigger", "acknowledge", "resolve"]

KEY_MAX: Final = 255
SUMMARY_MAX: Final = 1_024
TEXT_MAX: Final = 4_000
DETAIL_MAX: Final = 1_000
#: What nobody would ever end, a test and a lateness, ends at once; so a test shows both.
ACTIONS: Final[Mapping[str, tuple[Action, ...]]] = {
    "incident.acknowledged": ("acknowledge",),
    "incident.resolved": ("resolve",),
    "heartbeat.late": ("trigger", "resolve"),
    "test": ("trigger", "resolve"),
}
SEVERITIES: Final = ("info",) * 4 + ("warning",) * 2 + ("error",) * 2 + ("critical",) * 3  # by our priority


class PagerDuty:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        url, status = settings["url"] + "/v2/enqueue", ""
        for action in ACTIONS.get(message.event, ("trigger",)):
            event = compose(message, action) | {"routing_key": settings["routing_key"]}
            answer = await outgoing.post_json(self._session, url, event)
            status = outgoing.accepted(answer, breaks="routing_key" in str(answer.json().get("errors")))
        return status


def compose(message: Message, action: Action) -> dict[str, Any]:
    """The event but for its routing key. A repeat is harmless: PagerDuty knows the incident by its `dedup_key`."""
    event: dict[str, Any] = {"event_action": action, "dedup_key": message.thread[:KEY_MAX]}
    if action != "trigger":
        return event
    about = {"Text": head(message.text, TEXT_MAX), "Output": tail(message, TEXT_MAX)}
    about |= {head(label, DETAIL_MAX): head(value, DETAIL_MAX) for label, value in message.details}
    return event | {
        "payload": {
            "summary": head(message.title, SUMMARY_MAX),
            "source": _source(message),
            "severity": SEVERITIES[message.priority],
            "timestamp": rfc3339(message.at),
            "custom_details": {label: value for label, value in about.items() if value},
        },
        "client": "flatline",
        **({"client_url": message.url} if message.url else {}),
        "links": [{"href": url, "text": label} for label, url in links(message)],
    }


def _source(message: Message) -> str:
    """Whose incident it is; a fleet's too, as far as the message knows."""
    owner = message.payload.get("heartbeat") or message.payload.get("fleet") or {}
    return printable(str(owner.get("name") or "flatline"))[:SUMMARY_MAX]
