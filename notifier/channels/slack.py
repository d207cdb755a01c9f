"""Slack, through an incoming webhook; Mattermost and Rocket.Chat take the same."""

import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from notifier import outgoing
from notifier.channels.text import details, fenced, head, links, markup, tail
from notifier.message import Message

TITLE_MAX: Final = 300
TEXT_MAX: Final = 3_000
DETAILS_MAX: Final = 1_000
OUTPUT_MAX: Final = 2_000
COLORS: Final = {"bad": "#c62828", "warning": "#f9a825", "good": "#2e7d32", "neutral": "#607d8b"}
#: Words of Slack by which the webhook itself is of no use any more, whatever the status.
BREAKING: Final = frozenset(
    {
        "account_inactive",
        "action_prohibited",
        "channel_is_archived",
        "channel_not_found",
        "invalid_token",
        "no_active_hooks",
        "no_service",
        "no_service_id",
        "no_team",
        "posting_to_general_channel_denied",
        "team_disabled",
        "user_not_found",
    }
)


class Slack:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        answer = await outgoing.post_json(self._session, settings["url"], compose(message))
        # Slack says "ok", or in one word what was wrong.
        word = answer.body.decode(errors="replace").strip()
        error = bool(re.fullmatch(r"[a-z]+(_[a-z]+)+", word))
        return outgoing.accepted(answer, failed=error, breaks=word in BREAKING)


def compose(message: Message) -> dict[str, Any]:
    """An attachment and not blocks: it has a colour, and other servers that take Slack's webhooks show it too.

    With &, < and > escaped nothing in it is a mention: <!channel> is only text.
    """
    title = head(message.title, TITLE_MAX, markup)
    output = tail(message, OUTPUT_MAX, lambda text: markup(fenced(text)))
    parts = (
        head(message.text, TEXT_MAX, markup),
        head(details(message), DETAILS_MAX, markup),
        f"```{output}```" if output else "",
        " · ".join(f"<{markup(url).replace('|', '%7C')}|{label}>" for label, url in links(message)),
    )
    attachment = {
        "color": COLORS[message.tone],
        "fallback": title,
        "title": title,
        "text": "\n\n".join(filter(None, parts)),
        "mrkdwn_in": ["text"],
        "ts": message.at // 1000,
    }
    return {"attachments": [attachment | ({"title_link": message.url} if message.url else {})]}
