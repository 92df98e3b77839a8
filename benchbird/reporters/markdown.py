"""The leaderboard as a Markdown table (GitHub's dialect), readable in a terminal too.

Owns Markdown's escaping: no name can forge a cell, a link or an HTML tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from benchbird.contract import ReporterSpec, hookimpl
from benchbird.reporters.columns import cells, columns, facts, failures, headline, notes, verdict_lines
from benchbird.standings import Leaderboard

BENCHBIRD_API = 1

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
"""Entities where dialects disagree about a backslash."""


_MARKUP = re.compile(r"(?i)[\\`*\[\]~$_&<>|]|://|www\.")
"""What `escape` changes; nearly every cell has nothing of it."""


def render(leaderboard: Leaderboard) -> str:
    """Title, table, failed trials, notes."""
    name, rest = headline(leaderboard)
    title = [f"**{escape(name)}**, {escape(rest)}", *map(escape, facts(leaderboard))]
    blocks = ["\n".join(title), _table(leaderboard)]
    if verdict := verdict_lines(leaderboard):
        blocks.append("\n".join(["Verdict:", "", *(f"- {escape_line(sentence)}" for sentence in verdict)]))
    if leaderboard.failed:
        # Bold first: a label such as `# x` would open a block of its own after the bullet.
        lines = [f"- **{escape(label)}**, {escape(fate)}" for label, fate in failures(leaderboard)]
        blocks.append("\n".join(["Failed trials:", "", *lines]))
    blocks.append("\n".join(map(escape, notes(leaderboard))))
    return "\n\n".join(blocks) + "\n"


def _table(leaderboard: Leaderboard) -> str:
    headings, rows = cells(leaderboard)
    if not rows:
        return "No segmenter has a score."
    return table(headings, rows, [column.is_number for column in columns(leaderboard)])


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], are_numbers: Sequence[bool] | None = None) -> str:
    """A pipe table of texts of one line that nobody has escaped yet; numbers stand to the right.

    Args:
        headings: of the columns.
        rows: one text a column each, at least one row.
        are_numbers: which columns hold numbers; None for all but the first.
    """
    from tabulate import tabulate

    numbers = [index > 0 for index in range(len(headings))] if are_numbers is None else are_numbers
    # Headings go in as a row: as `headers` each would be padded by two, and the table too wide to read.
    rule, *lines = tabulate(
        [_escaped(headings), *map(_escaped, rows)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if is_number else "left" for is_number in numbers],
    ).splitlines()
    return "\n".join([lines[0], rule, *lines[1:]])


def _escaped(texts: Iterable[str]) -> list[str]:
    return [escape(text) for text in texts]


def escape(text: str) -> str:
    """`text`, of one line, so that Markdown shows exactly its characters."""
    if not _MARKUP.search(text):
        return text
    text = re.sub(r"[\\`*\[\]~$]", r"\\\g<0>", text)
    # Within a word an underscore is no markup, and a backslash would only be in the way.
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    # Bare addresses become links by themselves.
    text = re.sub(r"(?i)(?<=:)//|(?<=www)\.", r"\\\g<0>", text)
    return re.sub("[&<>|]", lambda match: _ENTITIES[match.group()], text)


def escape_line(text: str) -> str:
    """`escape` for what begins a line or a list's entry: it begins no heading, list or rule of its own."""
    return re.sub(r"^(?=[#+\-=])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])", r"\\", escape(text))


@hookimpl
def benchbird_reporters() -> list[ReporterSpec]:
    """The Markdown reporter."""
    return [ReporterSpec(name="markdown", suffix=".md", render=render, summary="a table for a README")]
