"""A message to send, for tests that do not care which."""

from dataclasses import replace
from typing import Any

from notifier.message import Message

_MESSAGE = Message(
    id="incident-0123456789ab-1700000000000-opened",
    event="incident.opened",
    at=1_700_000_000_000,
    title="Резервная копия молчит",
    text="No ping for 1 h 5 min.",
    priority=9,
    output=b"",
    thread="0123456789ab-1700000000000",
    payload={"event": "incident.opened", "id": "0123456789ab-1700000000000", "heartbeat": {"name": "Копия"}},
)


def message(**changes: Any) -> Message:
    return replace(_MESSAGE, **changes)
