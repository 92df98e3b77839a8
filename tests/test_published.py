import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchbird.errors import ResultsError
from benchbird.published import (
    LATEX_COMMENT,
    MARKDOWN_COMMENT,
    CommentStyle,
    block_name,
    place_between_markers,
)
from tests.record_factory import MALICIOUS_NAMES

NAME = "birdsound/cpu"
BEGIN, END = (MARKDOWN_COMMENT.marker(NAME, edge) for edge in ("begin", "end"))


def test_markers() -> None:
    assert BEGIN == "<!-- benchbird:leaderboard birdsound/cpu begin -->"
    assert LATEX_COMMENT.marker(NAME, "end") == "% benchbird:leaderboard birdsound/cpu end"


def test_appended_after_an_empty_line_where_there_are_no_markers() -> None:
    placed = place_between_markers("# Report\n\nText.\n", NAME, "| a |\n", MARKDOWN_COMMENT)
    assert placed == f"# Report\n\nText.\n\n{BEGIN}\n\n| a |\n\n{END}\n"
    assert place_between_markers("no newline", NAME, "t", LATEX_COMMENT).startswith("no newline\n\n% bench")
    assert place_between_markers("", NAME, "t", LATEX_COMMENT).startswith("% benchbird")


def test_replaced_between_markers_and_nowhere_else() -> None:
    before, after = "a  \n\tb\r\n\x0c\u2028", "\n\n trailing \x00 no newline"
    document = f"{before}\n  {BEGIN}\t\nold\nold\n{END}{after}"
    placed = place_between_markers(document, NAME, "new", MARKDOWN_COMMENT)
    assert placed == f"{before}\n{BEGIN}\n\nnew\n\n{END}{after}"


@pytest.mark.parametrize("after", ["", "\r\n", "\r\nx\n"])
def test_the_end_markers_own_line_end_stays(after: str) -> None:
    placed = place_between_markers(f"{BEGIN}\n{END}{after}", NAME, "new", MARKDOWN_COMMENT)
    assert placed == f"{BEGIN}\n\nnew\n\n{END}{after}"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_newlines_of_the_document_are_kept(newline: str) -> None:
    document = newline.join(["# Title", "", "text", ""])
    placed = place_between_markers(document, NAME, "a\nb\n", MARKDOWN_COMMENT)
    assert placed.startswith(document)
    assert placed.replace(newline, "").isprintable()
    assert place_between_markers(placed, NAME, "a\nb\n", MARKDOWN_COMMENT) == placed
    assert place_between_markers(placed, NAME, "c\n", MARKDOWN_COMMENT).count(newline) == placed.count(newline) - 1


def test_several_benchmarks_live_in_one_file() -> None:
    one = place_between_markers("intro\n", "birdsound/cpu", "1", MARKDOWN_COMMENT)
    two = place_between_markers(one, "birdsound/full", "2", MARKDOWN_COMMENT)
    changed = place_between_markers(two, "birdsound/cpu", "3", MARKDOWN_COMMENT)
    assert changed == two.replace("\n1\n", "\n3\n")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([BEGIN, "x"], "begin on line 1 and end on no line"),
        (["x", END], "begin on no line and end on line 2"),
        ([END, BEGIN], "begin on line 2 and end on line 1"),
        ([BEGIN, BEGIN, END], "begin on lines 1, 2"),
        ([BEGIN, END, "", BEGIN, END], "begin on lines 1, 4 and end on lines 2, 5"),
        ([BEGIN, "<!-- benchbird:leaderboard other/full begin -->", END], "line 2: another block's"),
    ],
)
def test_broken_markers_are_an_error_that_names_lines(lines: list[str], expected: str) -> None:
    with pytest.raises(ResultsError, match=expected):
        place_between_markers("\n".join(lines), NAME, "t", MARKDOWN_COMMENT)


def test_a_block_with_a_marker_in_it_is_refused() -> None:
    with pytest.raises(ResultsError, match="holds a marker"):
        place_between_markers("", NAME, f"a\n{END}\n", MARKDOWN_COMMENT)


def test_names_cannot_end_a_comment() -> None:
    assert block_name("birdsound", "cpu", "synthetic") == "birdsound/cpu/synthetic"
    for name in MALICIOUS_NAMES:
        made = block_name(name, name, name)
        assert "--" not in made
        assert made.isascii()
        assert made.isprintable()
        assert not set(made) & set("<> \\%")


DOCUMENTS = st.lists(
    st.sampled_from(["text", "", " ", "\n", "\r\n", "\r", "\x0c", "\u2028", "\udcff", BEGIN, END, "% x"]),
    max_size=12,
).map("".join)


@settings(max_examples=400, deadline=None, database=None)
@given(DOCUMENTS, st.text(max_size=30), st.sampled_from([MARKDOWN_COMMENT, LATEX_COMMENT]))
def test_placing_twice_is_placing_once(document: str, block: str, style: CommentStyle) -> None:
    assume("benchbird" not in block)
    try:
        once = place_between_markers(document, NAME, block, style)
    except ResultsError:
        assert BEGIN in document or END in document
        return
    assert place_between_markers(once, NAME, block, style) == once
    other = place_between_markers(once, NAME, "other", style)
    assert place_between_markers(other, NAME, block, style) == once
    if style.marker(NAME, "begin") not in document:
        assert once.startswith(document)
