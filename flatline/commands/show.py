"""What people see: tables on a terminal, plain lines elsewhere. What strangers sent cannot move the cursor."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH: Final = 10_000  # columns: what is piped is not cut
CELL_MAX: Final = 300  # characters
MILLISECONDS: Final = re.compile(r"(?<=T\d\d:\d\d:\d\d)\.\d{3}Z$")  # of a time; --json has them
STYLES: Final = {"down": "bold red", "late": "yellow", "open": "bold red", "up": "green", "resolved": "green"}


def console() -> Console:
    """stdout; colours only on a terminal, and not with NO_COLOR."""
    is_terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        width=None if is_terminal else PIPED_WIDTH,
        color_system="auto" if is_terminal and not os.environ.get("NO_COLOR") else None,
        force_terminal=is_terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )


def rows(found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """A table of records."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.removesuffix("_at").replace("_", " ").upper(),
            no_wrap=column in {"id", "since"} or column.endswith("_at"),
        )
    for record in found:
        table.add_row(*(cell(_field(record, column)) for column in columns))
    return table


def record(found: Mapping[str, Any]) -> Table:
    """One record, a field a line; what is empty is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in found.items():
        if value not in (None, "", [], {}):
            table.add_row(Text(name, style="bold"), cell(value, limit=None))
    return table


def standing(found: Mapping[str, Any]) -> str:
    """What a heartbeat or a fleet is now, as one line."""
    until = f" until {_words(found['resume_at'])}" if found.get("resume_at") else ""
    return clean(f"{found['name']} is {found['status']}{until}")


def cell(value: object, *, limit: int | None = CELL_MAX) -> Text:
    """A value as text that cannot move the cursor."""
    text = clean(_words(value))
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + "…"
    return Text(text, style=STYLES.get(text, ""))


def clean(text: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def _field(found: Mapping[str, Any], column: str) -> object:
    if column == "of":  # an incident's heartbeat or fleet
        owner = found.get("heartbeat") or found.get("fleet") or {}
        return owner.get("name") or owner.get("id")
    if column == "steps":
        return len(found.get(column, ()))
    return found.get(column)


def _words(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return MILLISECONDS.sub("Z", value)
        case dict() if value and all(isinstance(each, int) for each in value.values()):
            return ", ".join(f"{number} {name}" for name, number in value.items())
        case list() if all(isinstance(each, str) for each in value):
            return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)
