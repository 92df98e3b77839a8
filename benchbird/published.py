"""The published block: a table between two marker comments in someone's document.

Owns where the block is and that nothing else changes by a byte. What stands in it is the reporters',
reading and writing the file the command's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from benchbird.errors import ResultsError


@dataclass(frozen=True)
class CommentStyle:
    """How a document's language writes a comment of one line.

    Attributes:
        opening: what begins it.
        closing: what ends it, empty where the line's end does.
        spaced: whether a block is set off by empty lines, as Markdown's tables need.
    """

    opening: str
    closing: str
    spaced: bool

    def marker(self, name: str, edge: str) -> str:
        """The comment at one edge, `begin` or `end`, of the block of that name."""
        return f"{self.opening} benchbird:leaderboard {name} {edge}{self.closing}"


MARKDOWN_COMMENT = CommentStyle("<!--", " -->", spaced=True)
LATEX_COMMENT = CommentStyle("%", "", spaced=False)

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_ANY_MARKER = re.compile(r"(?:<!--|%) benchbird:leaderboard \S+ (?:begin|end)(?: -->)?")


def block_name(benchmark: str, profile: str, dataset: str, *, is_tuned: bool = False) -> str:
    """The name in the markers: benchmark, profile and data set, without anything that could end a comment.

    A tuned track has a block beside the fixed one's.
    """
    parts = (
        re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-")[:100] or "unnamed" for text in (benchmark, profile, dataset)
    )
    return "/".join([*parts, *(["tuned"] if is_tuned else [])])


def place_between_markers(document: str, name: str, block: str, style: CommentStyle) -> str:
    r"""`document` with `block` between the markers of `name`, appended where there are none.

    Everything outside the markers stays as it is; the block takes the document's newlines (`\n` where it
    has none yet). Placing the same block again changes nothing.

    Raises:
        ResultsError: a marker without its other half, twice, or around another block's; names the lines.
    """
    newline = _newline_of(document)
    lines: list[str] = _LINE.findall(document)
    begin, end = _find_markers(lines, name, style)
    inside = re.split(r"\r\n|\n|\r", block.strip("\r\n"))
    if any(_ANY_MARKER.fullmatch(line.strip()) for line in inside):
        raise ResultsError(f"the block {name} holds a marker itself, so it could not be found again")
    gap = [""] if style.spaced else []
    placed = [style.marker(name, "begin"), *gap, *inside, *gap, style.marker(name, "end")]
    if begin is None or end is None:
        return document + _separation(document, newline) + newline.join(placed) + newline
    # The end marker's own line end stays: it may be the last line and have none.
    line_end = lines[end][len(lines[end].rstrip("\r\n")) :]
    return "".join(lines[:begin]) + newline.join(placed) + line_end + "".join(lines[end + 1 :])


def _newline_of(document: str) -> str:
    found = re.search(r"\r\n|\n|\r", document)
    return found.group() if found else "\n"


def _separation(document: str, newline: str) -> str:
    """What makes the appended block stand after one empty line."""
    if not document:
        return ""
    return newline if document.endswith(("\n", "\r")) else newline * 2


def _find_markers(lines: list[str], name: str, style: CommentStyle) -> tuple[int | None, int | None]:
    """Indices of the lines of the two markers, or two Nones."""
    stripped = [line.strip() for line in lines]
    begins = [index for index, line in enumerate(stripped) if line == style.marker(name, "begin")]
    ends = [index for index, line in enumerate(stripped) if line == style.marker(name, "end")]
    if not begins and not ends:
        return None, None
    if len(begins) == 1 and len(ends) == 1 and begins[0] < ends[0]:
        for index in range(begins[0] + 1, ends[0]):
            if _ANY_MARKER.fullmatch(stripped[index]):
                raise ResultsError(
                    f"line {index + 1}: another block's marker between those of {name} "
                    f"(lines {begins[0] + 1} and {ends[0] + 1}); mend the markers, nothing was changed"
                )
        return begins[0], ends[0]
    raise ResultsError(
        f"markers of {name}: found begin on {_lines_text(begins)} and end on {_lines_text(ends)}, "
        "expected one begin before one end; mend or delete them, nothing was changed"
    )


def _lines_text(indices: list[int]) -> str:
    if not indices:
        return "no line"
    return ("line " if len(indices) == 1 else "lines ") + ", ".join(str(index + 1) for index in indices)
