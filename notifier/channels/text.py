"""What senders share to fit a message into a service: bounded, printable, escaped."""

import re
from collections.abc import Callable
from html import escape
from typing import Final

from notifier.message import Message

SILENT_MAX: Final = 3  # priority up to which a message makes no sound: good news and tests
LINK_MAX: Final = 500  # characters; services refuse the whole message for a link that is too long for them
ELLIPSIS: Final = "…"
# All controls but tab and line feed, and the marks that would make a text read backwards.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def units(text: str) -> int:
    """Length as most services count it, in UTF-16; never less than in characters."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def octets(text: str) -> int:
    return len(text.encode(errors="replace"))


def printable(text: str) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def head(text: str, size: int, escaped: Callable[[str], str] = str, length: Callable[[str], int] = units) -> str:
    """The beginning of a text, escaped and then at most `size` long; cut before it is escaped, so nothing escapes."""
    return _cut(printable(text).strip(), size, escaped, length, lambda kept, n: kept[:n] + ELLIPSIS)


def tail(message: Message, size: int, escaped: Callable[[str], str] = str, length: Callable[[str], int] = units) -> str:
    """The end of the job's output, which is where the error stands; "" if there is none."""
    output = printable(message.output.decode(errors="replace")).strip()
    return _cut(output, size, escaped, length, lambda kept, n: ELLIPSIS + kept[len(kept) - n :])


def markup(text: str) -> str:
    """For Telegram's HTML between tags and for Slack: both know these three entities."""
    return escape(text, quote=False)


def links(message: Message) -> tuple[tuple[str, str], ...]:
    """Label and address of what is worth opening."""
    known = (("Incident", message.url), ("Runbook", message.runbook_url))
    return tuple((label, url) for label, url in known if url and len(url) <= LINK_MAX)


def details(message: Message) -> str:
    return "\n".join(f"{label}: {value}" for label, value in message.details)


def fenced(text: str) -> str:
    """For a block of code between ```: three backticks in a row would end it."""
    return text.replace("`", "`\u200b")


def _cut(
    text: str, size: int, escaped: Callable[[str], str], length: Callable[[str], int], cut: Callable[[str, int], str]
) -> str:
    whole = escaped(text)
    if length(whole) <= size:
        return whole
    low, high = 0, min(len(text), size)  # characters kept: the most that fit, by halves
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(escaped(cut(text, middle))) <= size else (low, middle - 1)
    return escaped(cut(text, low))
