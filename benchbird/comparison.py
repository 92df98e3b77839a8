"""Whether two results differ beyond the noise: every segmenter of one side against its match on the other.

Owns who is matched with whom and what else is said of the two. What a difference may be called is decided in
`matches.py`; the words are `comparison_report.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchbird.changes import Change, environment_changes, segmenter_changes, study_changes
from benchbird.definitions import DEFINITIONS, HEADLINE
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.matches import Match, find_matches
from benchbird.plain_text import plain_text
from benchbird.results import FoundRecord
from benchbird.scored_study import ScoredStudy, read_scored_study, why_apart
from benchbird.standings import FailedTrial


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two results.

    Attributes:
        benchmark: name(s) in the records.
        profile: profile name(s).
        dataset: name of the data set.
        study: digest.
        labels: its segmenters, ascending.
        unmatched: those without a match on the other side.
        failed: trials without a score.
        superseded: trials left out because a newer version of their label exists.
    """

    benchmark: str
    profile: str
    dataset: str
    study: str
    labels: tuple[str, ...]
    unmatched: tuple[str, ...]
    failed: tuple[FailedTrial, ...]
    superseded: int


@dataclass(frozen=True, kw_only=True)
class StudyComparison:
    """Two results against each other.

    Attributes:
        metric: name of the score.
        before: A.
        after: B.
        other_test_data: why the two were not tested on the same; empty where they were.
        matches: in the order of A's labels.
        changes: what differs in protocol and data.
        environment: what differs in the machines.
    """

    metric: str
    before: Side
    after: Side
    other_test_data: str
    matches: tuple[Match, ...]
    changes: tuple[Change, ...]
    environment: tuple[Change, ...]

    @property
    def regressions(self) -> tuple[Match, ...]:
        """The matches that got worse beyond the noise."""
        return tuple(match for match in self.matches if match.outcome == "regression")


def compare(
    before: Sequence[FoundRecord], after: Sequence[FoundRecord], index: Index, metric: str = HEADLINE
) -> StudyComparison:
    """Compare two results, segmenter by segmenter.

    Args:
        before: records of one study, with their files.
        after: records of one study, the same or another.
        index: where readings are remembered.
        metric: name of a score in `definitions.DEFINITIONS`.

    Raises:
        ResultsError: no segmenter to compare, records of several studies or of a noise budget on one side,
            damaged predictions, or a score that neither records nor predictions tell.
    """
    first, second = read_scored_study(before, metric, index), read_scored_study(after, metric, index)
    pairs = _pairs(first, second)
    apart = why_apart(first, second, metric)
    return StudyComparison(
        metric=metric,
        before=_side(first, {one for one, _ in pairs}),
        after=_side(second, {other for _, other in pairs}),
        other_test_data=apart,
        matches=_matches(first, second, pairs, apart, metric),
        changes=study_changes(first.records, second.records),
        environment=environment_changes(first.records, second.records),
    )


def _pairs(first: ScoredStudy, second: ScoredStudy) -> list[tuple[str, str]]:
    """Labels that are matched: the same ones, or the only ones."""
    labels, others = sorted(first.contenders), sorted(second.contenders)
    if len(labels) == len(others) == 1:
        return [(labels[0], others[0])]
    if common := [(label, label) for label in labels if label in second.contenders]:
        return common
    shown = [", ".join(plain_text(label, 60) for label in some) for some in (labels, others)]
    raise ResultsError(
        f"no segmenter is in both: A has {shown[0]}; B has {shown[1]}; "
        "name one segmenter on each side, by its folder or by its label with --in, to compare two of other labels"
    )


def _matches(
    first: ScoredStudy, second: ScoredStudy, pairs: Sequence[tuple[str, str]], apart: str, metric: str
) -> tuple[Match, ...]:
    matches = find_matches(
        [(first.contenders[one], second.contenders[other]) for one, other in pairs],
        apart=apart,
        withheld=_why_withheld(first, second, apart),
        higher_is_better=DEFINITIONS[metric].higher_is_better,
    )
    return tuple(
        replace(match, changes=segmenter_changes(first.newest(match.before), second.newest(match.after)))
        for match in matches
    )


def _why_withheld(first: ScoredStudy, second: ScoredStudy, apart: str) -> str:
    """Why no difference of these two may be called anything, a clause; empty where it may."""
    if apart:
        return "the test data differ, so this compares data as much as segmenters"
    if any(study.records[0].data.leaks_allowed for study in (first, second)):
        return "recordings are in more than one split, so the test is on what was trained on"
    return ""


def _side(study: ScoredStudy, matched: set[str]) -> Side:
    records = study.records

    def joined(names: set[str]) -> str:
        return ", ".join(sorted(names))

    return Side(
        benchmark=joined({record.benchmark for record in records}),
        profile=joined({record.profile for record in records}),
        dataset=records[0].data.name,
        study=records[0].study,
        labels=tuple(sorted(study.contenders)),
        unmatched=tuple(sorted(study.contenders.keys() - matched)),
        failed=tuple(
            FailedTrial(label=record.segmenter.label, seed=record.seed, status=record.status, reason=record.reason)
            for record in records
            if record.status != "done"
        ),
        superseded=study.superseded,
    )
