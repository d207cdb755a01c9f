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
    details=(("Last ping", "2023-11-14 21:08:20 UTC"), ("Period", "1 h")),
    url="https://flatline.example.org/incidents/0123456789ab-1700000000000",
    runbook_url="https://wiki.example.org/backup?a=1&b=2",
)

#: What a stranger may call a heartbeat or print, hoping that a service takes it for markup or a mention.
HOSTILE = (
    "<!channel> <@U1> @everyone <@&1> @here <b>b</b> <script>x</script> &amp; ``` `x` *b* _i_ [x](http://evil.example)"
    " \"quote' \\ | {{x}} \x1b[31m \x00 \x85 \u202egpj.exe"
)


def hostile(size: int = 0) -> Message:
    """Each part of a message so; `size`: characters of each, at least."""
    text = HOSTILE + HOSTILE * (size // len(HOSTILE))
    return message(
        title=text,
        text=text + "\r\n\r\nBcc: eve@example.org",
        details=((HOSTILE, text), ("Tags", text)),
        output=(text + "\n" + text).encode() + b"\xff",
        payload={"heartbeat": {"name": text}},
    )


def message(**changes: Any) -> Message:
    return replace(_MESSAGE, **changes)
