"""The guides as a set: nothing in them that runs is left out of the tests."""

from pathlib import Path

import pytest

from tests.guides.pages import BLOCK, GUIDES, PING_URL, blocks, pages

SOURCES = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_that_runs_is_run_by_a_test(page: Path) -> None:
    for info in blocks(page):
        language, *attributes = info.split()
        name = next((item.removeprefix("run=") for item in attributes if item.startswith("run=")), None)
        assert name or language == "text", f"a block of {language} has no name"
        assert name is None or f'"{page.name}", "{name}"' in SOURCES, f"nobody runs {name}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_page_shows_any_other_ping_url(page: Path) -> None:
    text = page.read_text()

    assert text.count("https://flatline.example.org") == text.count(PING_URL)


def test_the_index_lists_every_page() -> None:
    index = (GUIDES / "README.md").read_text()

    assert [page.name for page in pages() if f"[{page.name}]({page.name})" not in index] == ["README.md"]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_guide_tells_what_to_paste_what_happens_and_how_to_try_it(page: Path) -> None:
    headings = [line for line in BLOCK.sub("", page.read_text()).splitlines() if line.startswith("## ")]

    assert headings == ["## Paste", "## When it fails", "## Try it"] or page.name == "README.md"
