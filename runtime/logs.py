"""Logs: one line per unit of work on stderr, a fixed event name with key-values, as JSON or as text for people.

Ping URLs are secrets, so nothing logs them on purpose; whatever slips through (an exception's text, a library's
message) is masked in the finished line, traceback included. Each role calls `configure` once, before anything else.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime

import orjson

MASK = "***"

# What a secret looks like in text. All bounded: a hostile line must not cost quadratic time.
SECRETS = re.compile(
    r"""
    (?<![0-9a-f]) [0-9a-f]{8} (?:-?[0-9a-f]{4}){3} -? [0-9a-f]{12} (?![0-9a-f])  # a token; some clients drop the dashes
    | (?<=whsec_) [A-Za-z0-9+/=_-]{1,512}                                        # a webhook's signing secret
    | (?<=://) [^\s"]{1,512} (?=@)                                               # user and password of a URL
    | (?<=bearer\ ) [^\s"]{1,512}                                                # an API key in a header
    | (?<=token=) [^\s"&]{1,512}                                                 # a sign-in link
    """,
    re.VERBOSE | re.IGNORECASE,
)


def log(
    logger: logging.Logger, level: int, event: str, /, error: BaseException | None = None, **fields: object
) -> None:
    """Log `event`, a fixed name in snake_case, with its key-values; `error` adds its traceback as one field."""
    logger.log(level, event, exc_info=error, extra={"fields": fields})


def configure(level: str, fmt: str) -> None:
    """Send every logger of the process to stderr. `fmt` is json, text, or auto: text if stderr is a terminal."""
    text = fmt == "text" or (fmt == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextLines() if text else JsonLines())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old.formatter, _Lines)]:
        root.removeHandler(old)  # only our own: a second call replaces the first and leaves a test's capture alone
    root.addHandler(handler)
    root.setLevel(level.upper())
    # uvicorn tells of each step of starting and stopping; our roles log their own one line for that.
    logging.getLogger("uvicorn").setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
    # When a line cannot be written, logging would print the raw, unmasked record instead.
    logging.raiseExceptions = False


def mask(text: str) -> str:
    """Hide everything in `text` that looks like one of our secrets."""
    return SECRETS.sub(MASK, text)


class _Lines(logging.Formatter):
    """What both shapes share: the record's parts in order."""

    def parts(self, record: logging.LogRecord) -> dict[str, object]:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "time": time,
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            **getattr(record, "fields", {}),
        }

    def traceback(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


class JsonLines(_Lines):
    """One JSON object per line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        parts = self.parts(record)
        if traceback := self.traceback(record):
            parts["traceback"] = traceback
        try:
            line = orjson.dumps(parts, default=str, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:  # half a surrogate pair, or an integer beyond 64 bits
            line = json.dumps({key: str(value) for key, value in parts.items()}).encode()
        return mask(line.decode())


class TextLines(_Lines):
    """`time LEVEL event key=value …`, the traceback below it, for people."""

    def format(self, record: logging.LogRecord) -> str:
        parts = self.parts(record)
        head = f"{parts.pop('time')} {str(parts.pop('level')).upper():7} {parts.pop('event')}"
        parts.pop("logger")
        line = " ".join([head, *(f"{key}={_word(str(value))}" for key, value in parts.items())])
        return mask("\n".join(filter(None, [line, self.traceback(record)])))


def _word(value: str) -> str:
    """Quote what would blur the line or forge another."""
    return value if value.isprintable() and value and not set(value) & set(' "=') else json.dumps(value)
