import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.plain_text import plain_text, without_controls
from tests.record_factory import MALICIOUS_NAMES


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("atrous_segnet", "atrous_segnet"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("\x9b2Jcleared", "cleared"),
        ("two\r\nlines\tand\u2028more", "two lines and more"),
        ("\u202eexe", "exe"),
        ("\ud800lone", "lone"),
        ("  é 鳥 🐦 ", "é 鳥 🐦"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert plain_text(text) == shown


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert plain_text("x" * 10_000_000, 5) == "xxxx…"
    assert plain_text("x" * 5, 5) == "xxxxx"


@settings(max_examples=300, deadline=None, database=None)
@given(st.text(max_size=80) | st.sampled_from(MALICIOUS_NAMES), st.none() | st.integers(1, 40))
def test_nothing_hidden_remains_and_twice_is_once(text: str, limit: int | None) -> None:
    shown = plain_text(text, limit)
    assert all(unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in shown)
    assert plain_text(shown, limit) == shown
    assert limit is None or len(shown) <= limit


def test_lines_and_spaces_stay_where_only_a_terminal_would_obey_the_rest() -> None:
    text = "a  b:\n  \x1b[31mred\x1b[0m\n\ttab \x9b2J\u202eexe"
    assert without_controls(text) == "a  b:\n  red\ntab exe"
