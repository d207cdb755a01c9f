"""From what a form sends to what the API takes, so that both are judged by the same models and the same checks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from console.dashboard.words import UNITS
from console.reading import checked, faults_of

M = TypeVar("M", bound=BaseModel)
Form = Mapping[str, list[str]]

DIGITS_MAX: Final = 12  # of a number that is typed


def value(form: Form, name: str) -> str:
    """As it was typed."""
    return form.get(name, [""])[0]


def text(form: Form, name: str) -> str:
    return value(form, name).strip()


def optional(form: Form, name: str) -> str | None:
    return text(form, name) or None


def number(form: Form, name: str) -> int | str | None:
    """What is no number goes on as it is, and the model says what it must be."""
    typed = text(form, name)
    is_number = len(typed) <= DIGITS_MAX and typed.isascii() and typed.isdigit()
    return int(typed) if is_number else typed or None


def seconds(form: Form, name: str) -> int | str | None:
    """A number and its unit."""
    amount = number(form, name)
    return amount * UNITS.get(text(form, f"{name}_unit"), 1) if isinstance(amount, int) else amount


def words(form: Form, name: str) -> list[str]:
    """One to a line or between commas."""
    parts = text(form, name).replace("\n", ",").split(",")
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def ticked(form: Form, name: str) -> bool:
    return name in form


def several(form: Form, name: str) -> list[str]:
    return list(dict.fromkeys(form.get(name, [])))


def judged(model: type[M], raw: Mapping[str, Any]) -> tuple[M | None, dict[str, str]]:
    """The model, or for each field what is wrong with it."""
    faults = faults_of(model, dict(raw))
    return (None, faults) if faults else (checked(model, dict(raw)), {})


def heartbeat(form: Form) -> dict[str, Any]:
    """The settings form; a field that it has not is not changed."""
    readers: dict[str, Callable[[Form, str], Any]] = {
        "name": text, "slug": optional, "period": seconds, "grace": seconds, "timezone": text,
        "early": seconds, "misses": number, "recover_after": number, "max_runtime": seconds,
        "remind_every": seconds, "rate_limit": number, "priority": number, "tags": words, "failure_words": lines,
        "success_words": lines, "start_words": lines, "unmatched": text, "durability": optional, "policy": optional,
        "runbook_url": optional, "alert_text": prose, "recovery_text": prose,
    }  # fmt: skip
    raw = {name: read(form, name) for name, read in readers.items() if name in form}
    if "rhythm" in form:  # a period or a schedule, and the form has the fields of both
        raw["schedule"] = prose(form, "schedule") if text(form, "rhythm") == "schedule" else None
    raw |= {name: ticked(form, name) for name in several(form, "switches") if name in SWITCHES}
    if "told" in form:
        raw["channels"] = None if text(form, "told") == "all" else several(form, "channels")
    return raw


def lines(form: Form, name: str) -> list[str]:
    """One to a line: their spaces and commas count."""
    rows = value(form, name).replace("\r\n", "\n").split("\n")
    return list(dict.fromkeys(row for row in rows if row.strip()))


def prose(form: Form, name: str) -> str:
    return value(form, name).replace("\r\n", "\n").strip()


SWITCHES: Final[Sequence[str]] = ("post_only", "warn_late", "resume_on_ping")
