"""Forms with rows, such as the steps of a policy: the n-th row's fields are named ``steps-<n>-wait``.

Buttons that add, remove and move rows send the whole form and get it back as it then is, with and without scripts.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from console.dashboard.forms import Form

ROWS_MAX: Final = 100
#: What a new row holds until something is typed: a row is there as long as one of its fields is.
EMPTY: Final[Mapping[str, list[str]]] = {"row": [""]}


def rows_of(form: Form, name: str) -> list[Form]:
    """In their order, by the bare names of their fields."""
    found: dict[int, dict[str, list[str]]] = {}
    for key, values in form.items():
        if field := re.fullmatch(rf"{re.escape(name)}-([0-9]{{1,3}})-([a-z_]+)", key):
            found.setdefault(int(field[1]), {})[field[2]] = values
    rows: list[Form] = [found[number] for number in sorted(found)]
    return rows[:ROWS_MAX]


def with_rows(form: Form, name: str, rows: Sequence[Form]) -> Form:
    """The form with these rows in place of its own."""
    rest = {key: values for key, values in form.items() if not key.startswith(f"{name}-")}
    numbered = {f"{name}-{i}-{field}": values for i, row in enumerate(rows) for field, values in row.items()}
    return {**rest, **numbered}


def rearranged(form: Form, order: str) -> Form:
    """`order`: what the button says, such as ``add steps``, ``remove steps 2`` or ``up steps 2``; others do nothing."""
    found = re.fullmatch(r"(add|remove|up) ([a-z]+)(?: ([0-9]{1,3}))?", order)
    if found is None:
        return form
    verb, name, number = found.groups()
    rows, at = rows_of(form, name), int(number or 0)
    match verb:
        case "add" if len(rows) < ROWS_MAX:
            rows.append(EMPTY)
        case "remove":
            del rows[at : at + 1]
        case "up" if 0 < at < len(rows):
            rows[at - 1], rows[at] = rows[at], rows[at - 1]
    return with_rows(form, name, rows)


def is_blank(row: Form) -> bool:
    """Nothing was typed or chosen; a unit is always chosen."""
    return not any(any(values) for field, values in row.items() if not field.endswith("_unit"))
