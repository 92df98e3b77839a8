"""The tuned track of a benchmark: each network at the learning rate that suits it best on validation.

Owns the rule as it lies on disk, the choice of a rate, and the study that follows from it, in memory: the trials are
those of ordinary studies, one a rate, and nothing in them is changed. Running them is `tuned_run.py`'s.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbird.durable import write_json_durably
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.protocol import Tuning, canonical_digest, study_digest, tuned_protocol
from benchbird.record_json import started_moment
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord, find_records, trial_hash

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RULE_FILE = "tuning.json"
"""In the folder of the tuned track, which holds no trial of its own."""

MAX_RULE_BYTES = 2**16

RATE_OPTION = "lr"
"""The word for a chosen rate among a row's options."""


@dataclass(frozen=True, kw_only=True)
class TuningRule:
    """What a tuned track is made by: with the trials, all that its leaderboard follows from.

    Attributes:
        search: name of the benchmark, beside the track's own, whose trials choose.
        protocol: `Protocol.as_dict()` of the fixed track.
        data_digest: of the data of both tracks.
        tuning: the rates, and the seed that they are tried with.
    """

    search: str
    protocol: Mapping[str, Any]
    data_digest: str
    tuning: Tuning

    @property
    def tuned_protocol(self) -> dict[str, Any]:
        """The tuned track's protocol with its digest, as a record states one."""
        protocol = tuned_protocol(self.protocol, self.tuning)
        return {**protocol, "digest": canonical_digest(protocol)}

    @property
    def study(self) -> str:
        """The study digest of the tuned track."""
        return study_digest(self.tuned_protocol["digest"], self.data_digest)

    @property
    def fixed_rate(self) -> float:
        """The learning rate that all networks have in the fixed track."""
        return float(self.protocol["optimizer"]["lr"])

    def study_at(self, rate: float) -> str:
        """The study digest of the trials with one rate."""
        protocol = {**self.protocol, "optimizer": {**self.protocol["optimizer"], "lr": rate}}
        return study_digest(canonical_digest(protocol), self.data_digest)


@dataclass(frozen=True, kw_only=True)
class RateChoice:
    """The learning rate of one network.

    Attributes:
        label: of the network.
        version: `trial_hash` of it.
        validation: rate → score on validation, ascending; None for a trial that isn't done or has no score.
        rate: the chosen one; None where no trial has a score.
    """

    label: str
    version: str
    validation: Mapping[float, float | None]
    rate: float | None


@dataclass(frozen=True, kw_only=True)
class TunedTrack:
    """A tuned track as its trials are now.

    Attributes:
        rule: what it is made by.
        choices: of the networks whose search is complete, by label.
        found: its trials, with the tuned protocol; the files are those of the studies they were run in.
        fixed: the trials of the fixed track, as they are.
        waiting: networks whose search isn't complete, or that haven't been trained with their rate.
    """

    rule: TuningRule
    choices: tuple[RateChoice, ...]
    found: tuple[FoundRecord, ...]
    fixed: tuple[FoundRecord, ...]
    waiting: int


def write_rule(rule: TuningRule, benchmark_folder: Path) -> Path:
    """Write the rule into the folder of its track, below the benchmark's; that folder.

    Raises:
        DiskRefused: it can't be written.
    """
    folder = benchmark_folder / rule.study
    folder.mkdir(parents=True, exist_ok=True)
    write_json_durably(folder / RULE_FILE, {"version": 1, **asdict(rule)})
    return folder


def find_rules(folder: Path) -> tuple[Path, ...]:
    """The rule files of a results root, of a benchmark's folder or of a tuned track's own."""
    patterns = (RULE_FILE, f"*/{RULE_FILE}", f"*/*/{RULE_FILE}")
    return tuple(sorted(path for pattern in patterns for path in folder.glob(pattern)))


def read_track(path: Path, index: Index | None = None) -> TunedTrack:
    """The tuned track of a rule file.

    Args:
        path: of the file, `<results>/<benchmark>/<study>/tuning.json`.
        index: remembers which records have been checked.

    Raises:
        ResultsError: the file can't be read, isn't a rule, or lies in another track's folder.
    """
    rule = _read_rule(path)
    own = find_records(path.absolute().parents[1], index)
    search = find_records(path.absolute().parents[2] / rule.search, index)
    return make_track(rule, own.found, search.found)


def make_track(rule: TuningRule, own: Sequence[FoundRecord], search: Sequence[FoundRecord]) -> TunedTrack:
    """The tuned track of the trials that are there.

    Args:
        rule: what it is made by.
        own: trials of the benchmark, of any study.
        search: trials that choose, of any study.
    """
    found: list[FoundRecord] = []
    choices, waiting = _choices(rule, search)
    for choice, tried in choices:
        if choice.rate is None:
            # Said as failed trials of the track: somebody who asks for this row must learn why there is none.
            found += [_in_track(one, rule, None) for one in tried]
            continue
        trials = [
            one
            for one in _of_study(own, rule.study_at(choice.rate))
            if (one.record.segmenter.label, trial_hash(one.record.segmenter)) == (choice.label, choice.version)
        ]
        waiting += not trials
        found += [_in_track(one, rule, choice.rate) for one in trials]
    searched = {one.record.segmenter.label for one in search}
    fixed = _of_study(own, rule.study_at(rule.fixed_rate))
    found += [_in_track(one, rule, None) for one in fixed if _is_floor(one.record, searched, fixed)]
    found.sort(key=lambda one: one.path)
    return TunedTrack(
        rule=rule,
        choices=tuple(choice for choice, _ in choices),
        found=tuple(found),
        fixed=tuple(fixed),
        waiting=waiting,
    )


def best_rate(validation: Mapping[float, float | None]) -> float | None:
    """The rate with the best score, the smallest of equal ones; None where none has a score."""
    scored = {rate: score for rate, score in validation.items() if score is not None}
    return min(scored, key=lambda rate: (-scored[rate], rate)) if scored else None


def _choices(
    rule: TuningRule, search: Sequence[FoundRecord]
) -> tuple[list[tuple[RateChoice, tuple[FoundRecord, ...]]], int]:
    """What each network's search came to, with its trials, by label; and how many searches aren't complete."""
    rates = sorted(rule.tuning.learning_rates)
    versions: dict[str, dict[str, dict[float, FoundRecord]]] = defaultdict(lambda: defaultdict(dict))
    for rate in rates:
        for one in sorted(_of_study(search, rule.study_at(rate)), key=_started):
            if one.record.seed == rule.tuning.seed:
                segmenter = one.record.segmenter
                versions[segmenter.label][trial_hash(segmenter)][rate] = one
    choices, waiting = [], 0
    for label, by_version in sorted(versions.items()):
        version, tried = max(by_version.items(), key=lambda item: (max(map(_started, item[1].values())), item[0]))
        if len(tried) < len(rates):
            waiting += 1
            continue
        validation = {rate: _validation_score(tried[rate].record) for rate in rates}
        choice = RateChoice(label=label, version=version, validation=validation, rate=best_rate(validation))
        choices.append((choice, tuple(tried.values())))
    return choices, waiting


def _validation_score(record: TrialRecord) -> float | None:
    """The score that the protocol selects weights by, of the selected weights on validation; never one on test."""
    if record.scores is None:
        return None
    by_batch = record.protocol.get("selection") == "best_val_iou_batch_mean"
    return record.scores.val.iou_batch_mean if by_batch else record.scores.val.iou_pooled


def _is_floor(record: TrialRecord, searched: set[str], fixed: Sequence[FoundRecord]) -> bool:
    """Whether it is of a segmenter without gradients, which has no learning rate: it is in both tracks as it is."""
    label = record.segmenter.label
    done = [one.record for one in fixed if one.record.segmenter.label == label and one.record.status == "done"]
    return label not in searched and bool(done) and all(one.best_epoch is None for one in done)


def _in_track(one: FoundRecord, rule: TuningRule, rate: float | None) -> FoundRecord:
    """A trial as one of the tuned track: with its protocol, and the rate among its options."""
    segmenter = one.record.segmenter
    if rate is not None:
        segmenter = replace(segmenter, non_default_options={**segmenter.non_default_options, RATE_OPTION: rate})
    return replace(one, record=replace(one.record, protocol=rule.tuned_protocol, study=rule.study, segmenter=segmenter))


def _of_study(found: Sequence[FoundRecord], study: str) -> list[FoundRecord]:
    return [one for one in found if one.record.study == study]


def _started(one: FoundRecord) -> datetime:
    return started_moment(one.record)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[TuningRule]:
    from pydantic import TypeAdapter

    return TypeAdapter(TuningRule)


def _read_rule(path: Path) -> TuningRule:
    """A rule that someone else may have written; nothing in it is trusted.

    Raises:
        ResultsError: as `read_track`.
    """
    try:
        if path.is_symlink() or path.stat().st_size > MAX_RULE_BYTES:
            raise ValueError(f"found a link, or more than {MAX_RULE_BYTES} bytes")
        values = json.loads(path.read_bytes())
        if not isinstance(values, dict) or values.pop("version", None) != 1:
            raise ValueError("found no version 1")
        rule = _adapter().validate_python(values)
        study = rule.study  # this and the next need a sound protocol within
        rule.study_at(rule.fixed_rate)
        is_name = Path(rule.search).name == rule.search != ".."
    except OSError as error:
        raise ResultsError(f"{path}: could not be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ResultsError(
            f"{path}: no rule of a tuned track ({type(error).__name__}); `benchbird run` writes it anew"
        ) from error
    if study != path.absolute().parent.name or not is_name:
        raise ResultsError(
            f"{path}: states the rule of track {study}, which isn't this folder's; it was altered or moved, "
            "and `benchbird run` writes it anew"
        )
    return rule
