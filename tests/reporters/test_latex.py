import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.leaderboard import rank
from benchbird.reporters.latex import _cell, _place, benchbird_reporters, escape, render
from benchbird.standings import Leaderboard
from tests.record_factory import make_record, make_segmenter

OWN_COMMANDS = {
    "begin", "end", "centering", "caption", "label", "resizebox", "ifdim", "width", "linewidth", "else", "fi",
    "toprule", "midrule", "bottomrule", "par", "smallskip", "footnotesize", "raggedright", "usepackage",
    "textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "char",
    "textasciigrave", "pm", "times", "Sigma", "ldots", "textsuperscript", "textmu",
}  # fmt: skip


def _require_valid(document: str, n_rows: int) -> None:
    """What a compilation would trip over, read as TeX reads it."""
    lines = document.splitlines()
    assert lines[0].startswith("% Needs")
    body = "\n".join(lines[1:])
    commands = re.findall(r"\\([A-Za-z]+|.)", body)
    assert {command for command in commands if command.isalpha()} <= OWN_COMMANDS
    assert {command for command in commands if not command.isalpha()} <= set("\\{}$&#%_ ")
    bare = re.sub(r"\\[A-Za-z]+|\\.", "", body)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert not set("#^~\\_") & set(bare)
    assert [line for line in bare.splitlines() if "%" in line.rstrip("%")] == []
    assert re.findall(r"\\(?:begin|end)\{\w+\}", body) == [
        r"\begin{table}", r"\begin{tabular}", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    rows = re.search(r"\\midrule\n(.*)\\bottomrule", body, re.DOTALL)
    assert rows is not None
    listed = rows.group(1).splitlines()
    assert len(listed) == n_rows
    for line in listed:
        assert len(re.findall(r"(?<!\\)&", line)) == 16
        assert re.match(r"\d", line)
        assert line.endswith(r" \\")
    assert re.fullmatch(r"[\x20-\x7e\nÀ-ÿ]*", document)


def test_the_realistic_table_is_valid(board: Leaderboard) -> None:
    document = render(board)
    _require_valid(document, n_rows=4)
    assert r"1 & atrous\_segnet & base\_channels=16 & none & 0.670 {\ $\pm$ 0.009} &" in document
    assert r"& 0.658 {--0.681\textsuperscript{s}} & 5 &" in document
    assert r"\label{tab:benchbird-birdsound-cpu}" in document
    assert r"120 {\textsuperscript{1}}" in document
    caption = re.search(r"\\caption\{(.*)\}\n", document)
    assert caption is not None
    assert "over n seeds" in caption.group(1)
    assert "n is 1 to 5 seeds, tested on 120 images of 118 recordings." in caption.group(1)
    assert "The 95 \\% interval is of the mean, over new seeds, on these test recordings." in caption.group(1)
    assert "Failed trials: deeplabv3, seed 1: out of memory" in document


def test_decimals_stand_below_one_another(board: Leaderboard) -> None:
    document = render(board)
    assert document.splitlines()[0].endswith(r"and \usepackage{siunitx}.")
    columns = re.search(r"\\begin\{tabular\}\{(.*)\}\n", document)
    assert columns is not None
    assert columns.group(1).count("S[") == 13 and columns.group(1).startswith("S[table-format=1]lllS[")
    # Room for 153702 images/s and the mark of the machine; for a score and what stands behind it.
    for size, behind in (("6", r"\textsuperscript{1}"), ("1.3", r"\ (1 seed)")):
        room = f"table-space-text-post={{{behind}}},table-align-text-post=false"
        assert f"S[table-format={size},{room}]" in columns.group(1)
    # What is no number is text to siunitx; headings too.
    assert "& {--} &" in document and "{IoU pooled} & {95 \\%} & {n}" in document


def test_a_negative_number_has_room_for_its_sign() -> None:
    assert _cell("−1.5 (x)") == r"-1.5 {\ (x)}" and _cell("–") == "{--}" and _cell("12") == "12"
    assert _place(["−1.5", "12.25", "–"]) == "S[table-format=-2.2]" and _place(["–"]) == "c"


def test_no_name_runs_a_command(malicious_boards: dict[str, Leaderboard]) -> None:
    for board in malicious_boards.values():
        _require_valid(render(board), n_rows=2)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("50 % & #1 a_b $x$ ^~", r"50 \% \& \#1 a\_b \$x\$ \textasciicircum{}\textasciitilde{}"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("--", "{-}{-}"),
        ("é β 🐦", "é {[}U+03B2{]} {[}U+1F426{]}"),
        ("a_b&c%$#{}~^\\", r"a\_b\&c\%\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("× ± – ²", r"$\times$ $\pm$ -- \textsuperscript{2}"),
    ],
)
def test_escaping(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@settings(max_examples=40, deadline=None, database=None)
@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_any_name_leaves_it_valid(name: str, reason: str) -> None:
    segmenter = make_segmenter(name, name="net", options={"o": name}, pretraining=name)
    records = [make_record(segmenter), make_record(segmenter, seed=1, status="failed", reason=reason)]
    _require_valid(render(rank(records)), n_rows=1)


def test_nothing_to_rank_is_said() -> None:
    assert "No segmenter has a score." in render(rank([make_record(status="failed", reason="x")]))


def test_the_plugin_offers_it() -> None:
    (spec,) = benchbird_reporters()
    assert (spec.name, spec.suffix) == ("latex", ".tex")
