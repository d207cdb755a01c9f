import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels.text import LINK_MAX, fenced, head, links, markup, octets, printable, tail, units
from tests.notifier.messages import message

TEXTS = st.text(st.characters() | st.sampled_from("<>&`😀ё\r\n\t\x00\u202e\ud800"), max_size=200)


@given(text=TEXTS, size=st.integers(1, 60), length=st.sampled_from([units, octets, len]))
def test_whatever_is_cut_fits_and_is_the_beginning(text: str, size: int, length: object) -> None:
    assert callable(length)
    cut = head(text, size + 8, length=length)

    assert length(cut) <= size + 8
    assert cut == printable(text).strip() or printable(text).strip().startswith(cut.removesuffix("…"))


@given(text=TEXTS, size=st.integers(8, 60))
def test_what_is_escaped_is_cut_between_signs(text: str, size: int) -> None:
    cut = head(text, size, markup)

    assert units(cut) <= size
    assert not re.search("[<>]|&(?!lt;|gt;|amp;)", cut)
    assert printable(text).strip().startswith(unescape(cut).removesuffix("…"))


@given(output=st.binary(max_size=200), size=st.integers(8, 60))
def test_of_an_output_the_end_is_kept(output: bytes, size: int) -> None:
    whole = printable(output.decode(errors="replace")).strip()
    cut = tail(message(output=output), size)

    assert units(cut) <= size
    assert cut == whole or (cut.startswith("…") and whole.endswith(cut[1:]))


@given(text=TEXTS)
def test_no_fence_ends_within_its_text(text: str) -> None:
    assert "``" not in fenced(text)
    assert fenced(text).replace("\u200b", "") == text.replace("\u200b", "")


@given(text=TEXTS)
def test_what_is_printable_has_no_controls_and_can_be_encoded(text: str) -> None:
    shown = printable(text)

    assert shown.encode().decode() == shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)


@pytest.mark.parametrize(
    ("url", "runbook_url", "labels"),
    [
        ("https://a.example/", "https://b.example/", ["Incident", "Runbook"]),
        ("", "https://b.example/", ["Runbook"]),
        ("https://a.example/", "https://b.example/".ljust(LINK_MAX + 1, "x"), ["Incident"]),
        ("", "", []),
    ],
)
def test_links_are_those_that_every_service_takes(url: str, runbook_url: str, labels: list[str]) -> None:
    assert [label for label, _ in links(message(url=url, runbook_url=runbook_url))] == labels
