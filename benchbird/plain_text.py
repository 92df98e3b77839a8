"""Text from outside made fit to show: names and reasons come from records and plugins that nobody checked.

Owns what may reach a terminal or a document at all. Escaping for one format is the reporters' work.
"""

from __future__ import annotations

import re
import unicodedata

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # window titles, links
    r"|\x1b[ -/]*[0-~]"  # the rest
)
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Control, format (turns writing round), surrogate, private, unassigned; line and paragraph separators."""


def plain_text(text: str, limit: int | None = None) -> str:
    """`text` on one line: no control or invisible characters, runs of space as one, cut at `limit`.

    A cut is marked by `…`; the result is never longer than `limit` characters.
    """
    if limit is not None:
        # Cut first: a name of a megabyte costs no more than a short one.
        text = text[: 4 * limit + 64]
    # Nearly every name and number is such a text, and looking at each character takes ten times as long.
    if not (text.isascii() and text.isprintable()):
        spaced = re.sub(r"[\s\x1c-\x1f\x85\u2028\u2029]+", " ", _ANSI.sub("", text))
        text = "".join(character for character in spaced if unicodedata.category(character) not in _HIDDEN)
    shown = re.sub(" +", " ", text).strip()
    if limit is not None and len(shown) > limit:
        return shown[: limit - 1].rstrip() + "…"
    return shown


def without_controls(text: str) -> str:
    """`text` with its lines and spaces as they are, but nothing in it that a terminal would obey."""
    lines = _ANSI.sub("", text).split("\n")
    return "\n".join("".join(char for char in line if unicodedata.category(char) not in _HIDDEN) for line in lines)
