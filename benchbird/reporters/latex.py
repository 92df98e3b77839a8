"""The leaderboard as a LaTeX table with booktabs rules, ready to be put into a paper.

Owns LaTeX's escaping: text from outside can neither run a command nor break the compilation.
"""

from __future__ import annotations

import re

from benchbird.contract import ReporterSpec, hookimpl
from benchbird.reporters.columns import cells, columns, facts, failures, headline, notes, verdict_lines
from benchbird.standings import Leaderboard

BENCHBIRD_API = 1

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # \textquotedbl is undefined in the default encoding
    "`": r"\textasciigrave{}",
    # In braces, so that two of them don't become a quote or dash, and `[` no optional argument.
    "'": "{'}",
    "-": "{-}",
    "[": "{[}",
    "]": "{]}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Σ": r"$\Sigma$",
    "µ": r"\textmu{}",
    "−": "$-$",
    "–": "--",
    "…": r"\ldots{}",
    "†": r"$\dagger$",
    "ʳ": r"\textsuperscript{r}",
    "ˢ": r"\textsuperscript{s}",
    **{digit: rf"\textsuperscript{{{number}}}" for number, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}
_PLAIN = re.compile(r"[A-Za-z0-9 !()*+,./:;=?@ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ]")
"""What every LaTeX with every font sets as it stands."""


def render(leaderboard: Leaderboard) -> str:
    """A `table` environment; its caption states the metric, the seeds and the data."""
    name, rest = headline(leaderboard)
    metric, *further = notes(leaderboard)
    caption = " ".join(escape(sentence) for sentence in (f"{name}, {rest}", *facts(leaderboard), metric))
    below = [escape(line) for line in further]
    if verdict := verdict_lines(leaderboard):
        below.insert(0, " ".join(escape(sentence) for sentence in verdict))
    if leaderboard.failed:
        fates = "; ".join(f"{escape(label)}, {escape(fate)}" for label, fate in failures(leaderboard))
        below.insert(0, f"Failed trials: {fates}.")
    label = re.sub(r"[^a-z0-9]+", "-", f"benchbird {leaderboard.benchmark} {leaderboard.profile}".lower())
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs} and \usepackage{graphicx}.",
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{label.strip('-')}}}",
            # Shrunk where it is wider than the page, never enlarged.
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            _tabular(leaderboard) + "%",
            "}",
            r"\par\smallskip",
            r"{\footnotesize\raggedright",
            *(line + r"\par" for line in below),
            "}",
            r"\end{table}",
            "",
        ]
    )


def _tabular(leaderboard: Leaderboard) -> str:
    headings, rows = cells(leaderboard)
    if not rows:
        return "No segmenter has a score."
    import pandas

    # Styler escapes cells but neither headings nor captions: everything is escaped here, and by it nothing.
    frame = pandas.DataFrame(
        [[escape(text) for text in row] for row in rows], columns=[escape(text) for text in headings]
    )
    alignment = "".join("r" if column.is_number else "l" for column in columns(leaderboard))
    return str(frame.style.hide(axis="index").to_latex(column_format=alignment, hrules=True)).rstrip()


def escape(text: str) -> str:
    """`text`, of one line, so that LaTeX sets exactly its characters.

    A character that LaTeX's default fonts lack stands as its code point, `[U+03B2]`: lossless, and the
    document compiles.
    """
    return "".join(_escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    if character in _COMMANDS:
        return _COMMANDS[character]
    if _PLAIN.fullmatch(character):
        return character
    return f"{{[}}U+{ord(character):04X}{{]}}"


@hookimpl
def benchbird_reporters() -> list[ReporterSpec]:
    """The LaTeX reporter."""
    return [ReporterSpec(name="latex", suffix=".tex", render=render, summary="a booktabs table for a paper")]
