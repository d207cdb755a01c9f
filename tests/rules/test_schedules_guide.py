"""The tables of the guide are true."""

import re
from pathlib import Path
from typing import Final

import pytest

from rules.schedules import BadSchedule, check

GUIDE: Final = (Path(__file__).parents[2] / "docs" / "guides" / "schedules.md").read_text()


def schedules_of(heading: str) -> list[str]:
    """The first column of the table under a heading."""
    (section,) = re.findall(rf"^### {heading}$(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize("expression", [*schedules_of("As in a crontab"), *schedules_of("As in a systemd timer")])
def test_the_guide_shows_what_is_accepted(expression: str) -> None:
    check(expression, "Europe/Berlin")


@pytest.mark.parametrize("expression", schedules_of("What is refused"))
def test_the_guide_shows_what_is_refused(expression: str) -> None:
    with pytest.raises(BadSchedule):
        check(expression, "Europe/Berlin")


def test_the_guide_has_examples() -> None:
    assert [len(schedules_of(title)) for title in ("As in a crontab", "As in a systemd timer", "What is refused")] == [
        6, 6, 7,
    ]  # fmt: skip
