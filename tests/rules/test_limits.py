import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.limits import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("backup", "backup"),
        ("  резервная копия ", "резервная копия"),
        ("a\r\nBcc: eve@example.org", "a Bcc: eve@example.org"),
        ("a\x00\x1b[31m\x7f\x85b", "a [31m b"),
        ("a\u2028b\u2029c", "a b c"),
        ("gpj.\u202eexe", "gpj. exe"),
        ("a\ud800b", "a b"),
        ("👩\u200d🔧", "👩\u200d🔧"),
        ("\n", ""),
    ],
)
def test_control_characters_become_a_space(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text(st.characters()))
def test_what_is_clean_is_one_encodable_line_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)

    assert len(cleaned.splitlines()) <= 1
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned
