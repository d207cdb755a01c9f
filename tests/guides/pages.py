"""The guides as what they are: text with blocks of lines to paste. A block that runs is named: ```sh run=create."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.system.processes import ROOT

GUIDES: Final = ROOT / "docs" / "guides"
BLOCK: Final = re.compile(r"^```(?P<info>[^\n]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

#: What stands in all pages for the reader's own.
PING_URL: Final = "https://flatline.example.org/ping/3f1c9a52-6b0e-4d27-9c41-0a7be2d5f816"


def pages() -> list[Path]:
    return sorted(GUIDES.glob("*.md"))


def blocks(page: Path) -> dict[str, str]:
    """Info string -> text, in the order of the page."""
    return {found["info"]: found["text"] for found in BLOCK.finditer(page.read_text())}


def block(page: str, name: str, instead: Mapping[str, object] | None = None) -> str:
    """One named block of a page, with the reader's own put in."""
    (text,) = (text for info, text in blocks(GUIDES / page).items() if f"run={name}" in info.split())
    return put_in(text, instead or {})


def put_in(text: str, instead: Mapping[str, object]) -> str:
    """Each text to replace must be there: a page that was changed must not pass because nothing was put in."""
    for old, new in instead.items():
        assert old in text, f"{old} is not in this block"
        text = text.replace(old, str(new))
    return text


def job(line: str) -> str:
    """The command of a crontab's line."""
    return line.strip().split(maxsplit=5)[5]
