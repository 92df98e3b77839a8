import re

from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.leaderboard import rank
from benchbird.reporters.markdown import benchbird_reporters, escape, escape_line, render
from benchbird.standings import Leaderboard
from tests.record_factory import make_record, make_segmenter

N_COLUMNS = 17


def _table(document: str) -> list[str]:
    return [line for line in document.splitlines() if line.startswith("|")]


def _require_intact(document: str, n_rows: int) -> None:
    table = _table(document)
    assert len(table) == n_rows + 2
    assert {line.count("|") for line in table} == {N_COLUMNS + 1}
    assert document.count("|") == (N_COLUMNS + 1) * len(table)
    assert "<" not in document
    assert ">" not in document
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b]", document)
    # Every bracket, backtick and star from outside is escaped; the bold labels are ours.
    ours = re.sub(r"\\[\\`*\[\]~$_/.]", "", document)
    assert not re.search(r"[`\[\]~$\\]", ours)
    assert ours.count("**") * 2 == ours.count("*")
    assert "://" not in document
    assert not re.search(r"www\.", document)


def test_the_realistic_table_is_whole_and_fits_a_terminal(board: Leaderboard) -> None:
    document = render(board)
    _require_intact(document, n_rows=4)
    assert max(map(len, _table(document))) <= 190
    assert len({len(line) for line in _table(document)}) == 1
    assert document.startswith("**birdsound**, profile cpu: 4 segmenters, 14 trials done, 3 failed.\n")
    assert "- **unet**, seeds 3, 4: diverged: the loss became NaN in epoch 2, step 41\n" in document
    assert "atrous_segnet" in document
    assert document.endswith(".\n")


def test_no_name_forges_anything(malicious_boards: dict[str, Leaderboard]) -> None:
    for board in malicious_boards.values():
        document = render(board)
        _require_intact(document, n_rows=2)
        assert len(document) < 8_000


def test_nothing_to_rank_is_said() -> None:
    document = render(rank([make_record(status="timeout", reason="over 60 s")]))
    assert "No segmenter has a score." in document
    assert "seed 0: timeout: over 60 s" in document


def test_underscores_within_words_stay_readable() -> None:
    assert escape("atrous_segnet_2") == "atrous_segnet_2"
    assert escape("_it_ __init__") == r"\_it\_ \_\_init\_\_"
    assert escape("a\\|b") == r"a\\&#124;b"


@settings(max_examples=100, deadline=None, database=None)
@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_any_name_leaves_the_table_intact(name: str, reason: str) -> None:
    segmenter = make_segmenter(name, name="net", options={"o": name}, pretraining=name)
    records = [make_record(segmenter), make_record(segmenter, seed=1, status="failed", reason=reason)]
    _require_intact(render(rank(records)), n_rows=1)


def test_the_plugin_offers_it() -> None:
    (spec,) = benchbird_reporters()
    assert (spec.name, spec.suffix) == ("markdown", ".md")


def test_no_name_opens_a_block_at_the_beginning_of_a_line() -> None:
    for name, shown in (
        ("# a", "\\# a"),
        ("- a", "\\- a"),
        ("+ a", "\\+ a"),
        ("1. a", "1\\. a"),
        ("12) a", "12\\) a"),
        ("=", "\\="),
        ("a # b - 1.", "a # b - 1."),
        ("3 seeds", "3 seeds"),
    ):
        assert escape_line(name) == shown
    assert escape_line("* a") == escape("* a") == "\\* a"
