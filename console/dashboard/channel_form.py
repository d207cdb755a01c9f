"""The forms of channels, drawn from the table of kinds: a new kind needs none of its own. No secret is ever shown."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from console.dashboard import forms
from console.dashboard.forms import Form
from console.errors import Invalid
from rules import limits
from rules.channels import KINDS, OFF, FieldType

PREFIX: Final = "settings."  # of the names of fields, as in the API's errors

#: As they are written; of all others the name itself.
WORDS: Final = {"url": "URL", "id": "ID"}

PRIORITIES: Final = (
    ("", "as the heartbeat says"),
    (OFF, "off: not told at all"),
    *((str(number), str(number)) for number in range(limits.PRIORITY_MIN, limits.PRIORITY_MAX + 1)),
)


def label(name: str) -> str:
    """What a field is called: ``chat_id`` is ``Chat ID``."""
    words = [WORDS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    return text[0].upper() + text[1:]


def fault(error: Invalid) -> dict[str, str]:
    """At its field, which is called there as its label says."""
    field = error.field or ""
    name = field.removeprefix(PREFIX)
    return {field: f"{label(name)}{str(error).removeprefix(field)}" if name != field else str(error)}


def values(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the form's fields show them; what is not set has its default, what is secret nothing."""
    found: dict[str, Any] = {}
    for field in KINDS[kind].fields:
        saved = settings.get(field.name)
        value: Any = field.default if saved is None else saved
        if value is None or field.type == "secret":
            value = ""
        elif field.type == "emails":
            value = "\n".join(value)
        elif field.type != "bool":
            value = str(value)
        found[PREFIX + field.name] = value
    return found


def typed(kind: str, form: Form) -> dict[str, Any]:
    """What was typed, to stand in the fields again; a secret has to be typed again."""
    found: dict[str, Any] = {"name": forms.value(form, "name")}
    for field in KINDS[kind].fields:
        name = PREFIX + field.name
        if field.type != "secret":
            found[name] = forms.ticked(form, name) if field.type == "bool" else forms.value(form, name)
    return found


def settings(kind: str, form: Form) -> dict[str, Any]:
    """What the API takes, unchecked."""
    return {field.name: READERS[field.type](form, PREFIX + field.name) for field in KINDS[kind].fields}


def _addresses(form: Form, name: str) -> list[str] | None:
    return forms.words(form, name) or None


READERS: Final[Mapping[FieldType, Callable[[Form, str], Any]]] = {
    "text": forms.optional,
    "url": forms.optional,
    "secret": forms.optional,
    "emails": _addresses,
    "bool": forms.ticked,
    "int": forms.number,
    "priority": forms.number,  # "off" goes on as it is
}
