"""From the records of a study and the predictions beside them to its leaderboard, by way of the index.

Owns the composition: what is read, what is remembered, what is said of trials whose predictions can't be read.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchbird.assessment import ASSESSMENT_VERSION, Contender, Evaluation, assess, estimate
from benchbird.definitions import DEFINITIONS, HEADLINE
from benchbird.errors import ResultsError, UsageError
from benchbird.index import Index
from benchbird.leaderboard import BESIDE, RECORDED, SHOWN_BESIDE, by_label, rank, recorded
from benchbird.pooling import has_predictions
from benchbird.readings import (
    READING_VERSION,
    predictions_key,
    read_trial,
    require_same_recordings,
    require_stated_files,
)
from benchbird.record_json import json_value
from benchbird.records import SplitScores, TrialRecord
from benchbird.results import FoundRecord
from benchbird.standings import Leaderboard

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True)
class Ranking:
    """A leaderboard, and what could not be read for it.

    Attributes:
        leaderboard: of the study.
        notices: lines for stderr: trials without predictions, which leave their segmenter without an
            interval over recordings.
    """

    leaderboard: Leaderboard
    notices: tuple[str, ...]


def rank_study(found: Sequence[FoundRecord], index: Index, metric: str = HEADLINE) -> Ranking:
    """Rank the records of one study with everything that their predictions tell.

    Args:
        found: records of one study with their paths.
        index: where answers are remembered.
        metric: name of a score in `definitions.DEFINITIONS`.

    Raises:
        ResultsError: as `leaderboard.rank`; predictions that are damaged or contradict their record; a score
            that no record and no predictions file tells.
    """
    # By identity: records hold mappings, so they have no hash, and copies of one trial are equal.
    places = {id(one.record): one for one in found}
    notices: list[str] = []

    def evaluate(done: Sequence[TrialRecord], name: str) -> Evaluation:
        present = [record for record in done if has_predictions(places[id(record)])]
        notices.extend(_notices(done, present, name))
        key = _evaluation_key(done, present, name)
        known = _decode(index.get(key))
        if known is not None:
            # Whoever has no answer yet hashes each file before it is read.
            for record in present:
                require_stated_files(places[id(record)])
            return known
        evaluation = _evaluate(done, present, places, name, index)
        index.put(key, json.dumps(json_value(evaluation), allow_nan=False).encode())
        return evaluation

    leaderboard = rank([one.record for one in found], metric, evaluate)
    return Ranking(leaderboard, tuple(notices))


def require_metric(name: str) -> None:
    """Check the name of a score.

    Raises:
        UsageError: there is none of that name; lists those that there are.
    """
    if name not in DEFINITIONS:
        raise UsageError(f"--metric {name!r}: expected one of {', '.join(DEFINITIONS)}")


def _notices(done: Sequence[TrialRecord], present: Sequence[TrialRecord], metric: str) -> list[str]:
    missing = len(done) - len(present)
    if not missing:
        return []
    trials = "1 trial has" if missing == 1 else f"{missing} trials have"
    if metric not in RECORDED:
        raise ResultsError(f"--metric {metric}: {trials} no predictions file, and no record states this score")
    whose = "its" if missing == 1 else "their"
    return [f"{trials} no predictions file, so that {whose} intervals and comparisons can't cover recordings"]


def _evaluation_key(done: Sequence[TrialRecord], present: Sequence[TrialRecord], metric: str) -> str:
    there = set(map(id, present))
    trials = [
        [
            one.segmenter.label,
            one.seed,
            predictions_key(one),
            id(one) in there,
            [_facts(scores) for scores in (one.scores, one.last_epoch)],
        ]
        for one in done
    ]
    versions = [ASSESSMENT_VERSION, READING_VERSION, metric, list(BESIDE)]
    # Not as JSON: writing out seventy numbers a trial would take longer than all else that a known study needs.
    # The format of version 2 doesn't depend on which objects happen to be shared.
    return f"evaluation/{hashlib.sha256(marshal.dumps([versions, trials], 2)).hexdigest()}"


def _facts(scores: SplitScores | None) -> list[dict[str, Any]]:
    if scores is None:
        return []
    return [{**vars(one), "undefined": dict(one.undefined)} for one in (scores.val, scores.test)]


def _evaluate(
    done: Sequence[TrialRecord],
    present: Sequence[TrialRecord],
    places: Mapping[int, FoundRecord],
    metric: str,
    index: Index,
) -> Evaluation:
    metrics = tuple(dict.fromkeys((metric, *SHOWN_BESIDE)))
    readings = {(one.segmenter.label, one.seed): read_trial(places[id(one)], metrics, index) for one in present}
    require_same_recordings({trial: reading[metric] for trial, reading in readings.items()})

    def contender(label: str, trials: Sequence[TrialRecord], name: str) -> Contender:
        read = {one.seed: readings.get((label, one.seed), {}).get(name) for one in trials}
        known = {seed: reading for seed, reading in read.items() if reading is not None}
        scores = {one.seed: known[one.seed].score if one.seed in known else recorded(one, name) for one in trials}
        return Contender(label=label, scores=scores, readings=known)

    def contenders(name: str) -> list[Contender]:
        return [contender(label, trials, name) for label, trials in by_label(done).items()]

    assessment = assess(contenders(metric), higher_is_better=DEFINITIONS[metric].higher_is_better)
    return Evaluation(
        assessment=assessment,
        beside={
            name: assessment.estimates if name == metric else {one.label: estimate(one) for one in contenders(name)}
            for name in BESIDE
        },
    )


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Evaluation]:
    from pydantic import TypeAdapter

    return TypeAdapter(Evaluation)


def _decode(content: bytes | None) -> Evaluation | None:
    if content is None:
        return None
    try:
        return _adapter().validate_json(content)
    except ValueError:
        return None  # a damaged answer is worked out anew
