import json
import logging
import subprocess
import sys

import pytest

from runtime.logs import JsonLines, TextLines, mask

TOKEN = "0f8fad5b-d9cb-469f-a165-70867728950e"


def _record(message: str = "ping_lost", error: BaseException | None = None, **fields: object) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("ingest.app", logging.WARNING, "app.py", 1, message, None, info)
    record.fields = fields
    return record


def _raised(message: str) -> Exception:
    try:
        raise ValueError(message)  # noqa: TRY301  only a raised one has a traceback
    except ValueError as error:
        return error


def test_a_json_line_is_an_event_with_its_fields() -> None:
    line = json.loads(JsonLines().format(_record(count=3, who="a b")))

    assert line.pop("time").endswith("Z")
    assert line == {"level": "warning", "event": "ping_lost", "logger": "ingest.app", "count": 3, "who": "a b"}


def test_a_text_line_quotes_what_could_forge_another() -> None:
    line = TextLines().format(_record(count=3, who='a b\nERROR "x"'))

    assert line.endswith(r' WARNING ping_lost count=3 who="a b\nERROR \"x\""')


def test_a_traceback_is_one_field() -> None:
    line = JsonLines().format(_record(error=_raised("odd")))

    assert "\n" not in line
    assert json.loads(line)["traceback"].endswith("ValueError: odd")
    assert TextLines().format(_record(error=_raised("odd"))).endswith("\nValueError: odd")


def test_a_value_that_json_cannot_hold_does_not_lose_the_line() -> None:
    assert json.loads(JsonLines().format(_record(text="\ud800", size=2**80)))["event"] == "ping_lost"


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        TOKEN.upper(),
        TOKEN.replace("-", ""),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "redis://user:pass/w@rd@db:6379/0",
        "Bearer abcdefgh",
        "http://127.0.0.1/login?token=abcdefgh",
    ],
)
def test_a_secret_is_masked_in_message_field_and_traceback(lines: logging.Formatter, secret: str) -> None:
    bare = secret.removeprefix("whsec_").removeprefix("Bearer ").rpartition("token=")[2]
    hidden = "pass" if "@" in bare else bare
    line = lines.format(_record(f"lost /ping/{secret} again", _raised(f"at {secret}"), url=f"x/{secret}"))

    assert hidden not in line
    assert line.count("***") == 3


def test_what_is_no_secret_stays() -> None:
    text = "redis://db:6379/0 sha=" + "a1" * 32 + " user@example.org 0f8fad5bd9cb"

    assert mask(text) == text


def test_a_hostile_line_is_masked_in_linear_time() -> None:
    mask("://" * 100_000 + "0f8fad5b-" * 50_000)


SCRIPT = """
import logging, sys
from runtime.logs import configure, log
configure("info", "auto")
configure("info", "auto")
log(logging.getLogger("sweeper"), logging.INFO, "swept", count=2)
logging.getLogger("uvicorn.error").info("noise")
logging.getLogger("uvicorn.error").error("trouble")
logging.getLogger("uvicorn.access").error("a ping url")
"""


def test_a_process_writes_each_event_once_and_no_access_log() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["swept", "trouble"]
