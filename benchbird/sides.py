"""What A and B of a comparison are: from the words on the command line to records.

Owns the rule: a path that exists is a folder or a benchmark's YAML, anything else a segmenter's label.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchbird.errors import ResultsError
from benchbird.plain_text import plain_text
from benchbird.results import FoundRecord
from benchbird.studies import StudyChoice, select_study


@dataclass(frozen=True)
class FoundSide:
    """The records that A or B means.

    Attributes:
        found: of one study, of one label where a label was given.
        notices: lines for stderr: other studies there, trials not ended, records left out.
    """

    found: tuple[FoundRecord, ...]
    notices: tuple[str, ...]


def find_side(text: str, *, within: Path, results: Path, digest: str | None, option: str) -> FoundSide:
    """The records that `text` means.

    Args:
        text: a path (results root, benchmark, study, segmenter version or trial, or a benchmark's YAML), else a
            label of the study that `within` gives.
        within: where labels are looked up; as `text`, but no label.
        results: the results root that a YAML's name is looked up in.
        digest: the first hex digits of the study's digest, or None for the newest finished one.
        option: the option that `digest` comes from, for messages.

    Raises:
        ResultsError: no such path and no such label, nothing readable there, or a digest that fits none or
            several studies.
        ConfigError: the YAML can't be used.
    """
    # Unlike Path.exists, this takes a label too long for a file's name for what it is.
    if os.path.exists(text):
        choice = select_study(Path(text), results=results, digest=digest, option=option)
        return FoundSide(choice.study.found, choice.notices)
    if not within.exists():
        raise ResultsError(
            f"{plain_text(text, 200)}: no such folder or YAML; as a segmenter's label it would be looked up in "
            f"{within}, which isn't there either: --in TARGET says where"
        )
    choice = select_study(within, results=results, digest=digest, option=option)
    return FoundSide(_of_label(text, choice, within), choice.notices)


def _of_label(label: str, choice: StudyChoice, within: Path) -> tuple[FoundRecord, ...]:
    found = tuple(one for one in choice.study.found if one.record.segmenter.label == label)
    if found:
        return found
    labels = sorted({record.segmenter.label for record in choice.study.records})
    there = ", ".join(plain_text(one, 60) for one in labels)
    raise ResultsError(
        f"{plain_text(label, 200)}: no such folder or YAML, and no segmenter of that label in study "
        f"{choice.study.digest} of {within}; there are: {there}. --in TARGET looks elsewhere"
    )
