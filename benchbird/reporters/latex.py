"""The leaderboard as a LaTeX table with booktabs rules and decimals below one another, ready to be put into a paper.

Owns LaTeX's escaping: text from outside can neither run a command nor break the compilation. Numbers stand in the `S`
columns of siunitx, 2 or 3; what follows one (`± 0.012`, a mark) is text to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

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


_NUMBER = re.compile(r"(?P<sign>[-−]?)(?P<whole>[0-9]+)(?P<decimals>\.[0-9]+)?")
"""What a cell of a column of numbers begins with."""

_COVERS = {
    "seeds and recordings": "new seeds and new test recordings",
    "recordings": "new test recordings, for these weights",
    "seeds": "new seeds, on these test recordings",
}

PACKAGES = ("booktabs", "graphicx", "siunitx")
"""What a document must load."""


def render(leaderboard: Leaderboard) -> str:
    """A `table` environment; its caption states the metric, the seeds, the test images and what the interval is."""
    name, rest = headline(leaderboard)
    metric, *further = notes(leaderboard)
    sentences = (f"{name}, {rest}", *facts(leaderboard), metric, *_basis(leaderboard))
    caption = " ".join(map(escape, sentences))
    below = [escape(line) for line in further]
    if verdict := verdict_lines(leaderboard):
        below.insert(0, " ".join(escape(sentence) for sentence in verdict))
    if leaderboard.failed:
        fates = "; ".join(f"{escape(label)}, {escape(fate)}" for label, fate in failures(leaderboard))
        below.insert(0, f"Failed trials: {fates}.")
    packages = [rf"\usepackage{{{package}}}" for package in PACKAGES]
    label = re.sub(r"[^a-z0-9]+", "-", f"benchbird {leaderboard.benchmark} {leaderboard.profile}".lower())
    return "\n".join(
        [
            f"% Needs {', '.join(packages[:-1])} and {packages[-1]}.",
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


def _basis(leaderboard: Leaderboard) -> Iterator[str]:
    """On how much the scores rest, and what their intervals cover: a sentence each."""
    counts = sorted({row.score.n for row in leaderboard.rows})
    if not counts:
        return
    seeds = f"{counts[0]} seed{'s' if counts[0] != 1 else ''}"
    if len(counts) > 1:
        seeds = f"{counts[0]} to {counts[-1]} seeds"
    images, recordings = leaderboard.n_test, leaderboard.n_recordings_test
    yield (
        f"n is {seeds}, tested on {images} image{'s' if images != 1 else ''} of {recordings} "
        f"recording{'s' if recordings != 1 else ''}."
    )
    covers = {row.score.covers for row in leaderboard.rows if row.score.low is not None}
    words = [words for key, words in _COVERS.items() if key in covers]
    yield f"The 95 % interval is of the mean, over {'; or over '.join(words)}." if words else "There is no interval."


def _tabular(leaderboard: Leaderboard) -> str:
    headings, rows = cells(leaderboard)
    if not rows:
        return "No segmenter has a score."
    import pandas

    are_numbers = [column.is_number for column in columns(leaderboard)]
    # Styler escapes cells but neither headings nor captions: everything is escaped here, and by it nothing.
    frame = pandas.DataFrame(
        [[_cell(text) if is_number else escape(text) for text, is_number in zip(row, are_numbers, strict=True)]
         for row in rows],
        columns=[escape(text) for text in headings],
    )  # fmt: skip
    places = [_place([row[place] for row in rows]) if is_number else "l" for place, is_number in enumerate(are_numbers)]
    style = frame.style.hide(axis="index")
    return str(style.to_latex(column_format="".join(places), hrules=True, siunitx=True)).rstrip()


def _cell(text: str) -> str:
    """A cell of an `S` column: a number alone, with text behind it, or text alone, in braces."""
    found = _NUMBER.match(text)
    if found is None:
        return f"{{{escape(text)}}}"
    number, rest = found.group().replace("−", "-"), text[found.end() :]
    return f"{number} {{{_behind(rest)}}}" if rest else number


def _behind(rest: str) -> str:
    # An escaped space, since siunitx drops one at the beginning.
    return rf"\ {escape(rest[1:])}" if rest.startswith(" ") else escape(rest)


def _place(texts: Sequence[str]) -> str:
    """The `S` column with room for these texts: digits on both sides of the point, and what stands behind."""
    found = [one for one in map(_NUMBER.match, texts) if one is not None]
    if not found:
        return "c"
    sign = "-" if any(one["sign"] for one in found) else ""
    whole = max(len(one["whole"]) for one in found)
    decimals = max(len(one["decimals"] or ".") - 1 for one in found)
    size = f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
    longest = max((one.string[one.end() :] for one in found), key=len)
    # Marks stand at their numbers, not in a column of their own.
    room = f",table-space-text-post={{{_behind(longest)}}},table-align-text-post=false" if longest else ""
    return f"S[table-format={size}{room}]"


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
