"""The tuned track of a benchmark: each network at the learning rate that suits it best on validation.

Owns the rule as it lies on disk, the choice of a rate, and the study that follows from it, in memory: the trials are
those of ordinary studies, one a rate, and nothing in them is changed. Running them is `tuned_run.py`'s.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchbird.durable import make_folder, write_json_durably
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.protocol import SEARCH_SUFFIX, Tuning, canonical_digest, study_digest, tuned_protocol
from benchbird.record_json import started_moment
from benchbird.records import TrialRecord
from benchbird.results import FoundRecord, RecordScan, find_records, read_plain_file, trial_hash

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RULE_FILE = "tuning.json"
"""In the folder of the tuned track, which holds no trial of its own."""

RATE = "learning rate"
"""The word for a chosen rate among a row's options; no option can be called so."""

ANSWERS = ("done", "diverged")
"""How a trial of the search may have ended: whatever else happened says nothing of the rate."""

Version = tuple[str, str]
"""Label and `trial_hash` of a network."""


@dataclass(frozen=True, kw_only=True)
class TuningRule:
    """What a tuned track is made by: with the trials, all that its leaderboard follows from.

    Attributes:
        protocol: `Protocol.as_dict()` of the fixed track.
        data_digest: of the data of both tracks.
        tuning: the rates, and the seed that they are tried with.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

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
        """The study digest of the tuned track; everything in the rule is in it."""
        return study_digest(self.tuned_protocol["digest"], self.data_digest)

    @property
    def rates(self) -> tuple[float, ...]:
        """Those that are tried, ascending."""
        return tuple(sorted(self.tuning.learning_rates))

    @property
    def fixed_rate(self) -> float:
        """The learning rate that all networks have in the fixed track."""
        return float(self.protocol["optimizer"]["lr"])

    def study_at(self, rate: float) -> str:
        """The study digest of the trials with one rate."""
        protocol = {**self.protocol, "optimizer": {**self.protocol["optimizer"], "lr": rate}}
        return study_digest(canonical_digest(protocol), self.data_digest)

    @property
    def studies(self) -> dict[str, float]:
        """Study digest → rate, of all trials that may have a part."""
        return {self.study_at(rate): rate for rate in {*self.rates, self.fixed_rate}}


@dataclass(frozen=True, kw_only=True)
class RateChoice:
    """The learning rate of one network.

    Attributes:
        label: of the network.
        version: `trial_hash` of it.
        validation: rate → score on validation, ascending; None for a trial that diverged or has no score.
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
        choices: label and version → the choice, of the networks whose search is complete.
        found: its trials, with the tuned protocol; the files are those of the studies they were run in.
        fixed: the trials of the fixed track, as they are.
        waiting: why networks aren't as far as the fixed track, a sentence each.
        faults: a sentence for each record that had to be left out.
    """

    rule: TuningRule
    choices: Mapping[Version, RateChoice]
    found: tuple[FoundRecord, ...]
    fixed: tuple[FoundRecord, ...]
    waiting: tuple[str, ...]
    faults: tuple[str, ...]


def write_rule(rule: TuningRule, benchmark_folder: Path) -> Path:
    """Write the rule into the folder of its track, below the benchmark's; that folder.

    Raises:
        DiskRefused: it can't be written.
    """
    folder = make_folder(benchmark_folder / rule.study)
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
    return find_track(_read_rule(path), path.absolute().parent.parent, index)


def find_track(rule: TuningRule, benchmark: Path, index: Index | None = None) -> TunedTrack:
    """The tuned track of a rule.

    Args:
        rule: what it is made by.
        benchmark: the benchmark's folder; the trials that choose lie beside it.
        index: remembers which records have been checked.
    """
    search = benchmark.absolute().parent / f"{benchmark.absolute().name}{SEARCH_SUFFIX}"
    return make_track(rule, _scan(benchmark, rule, index), _scan(search, rule, index))


def _scan(benchmark: Path, rule: TuningRule, index: Index | None) -> RecordScan:
    """The trials of the rule's studies below a benchmark's folder; nothing else is looked at."""
    scans = [find_records(benchmark / study, index) for study in rule.studies if (benchmark / study).is_dir()]
    return RecordScan(
        tuple(one for scan in scans for one in scan.found),
        tuple(one for scan in scans for one in scan.faults),
        tuple(one for scan in scans for one in scan.unended),
    )


def make_track(rule: TuningRule, own: RecordScan, search: RecordScan) -> TunedTrack:
    """The tuned track of the trials that are there.

    Args:
        rule: what it is made by.
        own: trials of the benchmark.
        search: trials that choose.
    """
    # With the search's seed a rate has the luck that it was chosen for; such a trial is no result of either track.
    ranked = [one for one in own.found if one.record.seed != rule.tuning.seed and one.record.study in rule.studies]
    tried, faults = _tried(rule, search.found, ranked)
    choices = _choices(rule, tried)
    fixed = [one for one in ranked if one.record.study == rule.study_at(rule.fixed_rate)]
    floors = _floors(fixed, {label for label, _ in tried})
    found = [_in_track(one, rule, None) for one in fixed if one.record.segmenter.label in floors]
    for one in ranked:
        choice = choices.get(_version(one.record))
        if choice is not None and choice.rate == rule.studies[one.record.study]:
            found.append(_in_track(one, rule, choice.rate))
    for version, choice in choices.items():
        if choice.rate is None:  # somebody who asks for this row must learn why there is none
            found.append(_without_rate(tried[version][rule.rates[0]], rule))
    return TunedTrack(
        rule=rule,
        choices=choices,
        found=tuple(sorted(found, key=lambda one: one.path)),
        fixed=tuple(fixed),
        waiting=tuple(_waiting(rule, choices, tried, ranked, floors)),
        faults=(*map(str, (*own.faults, *search.faults)), *faults),
    )


def best_rate(validation: Mapping[float, float | None]) -> float | None:
    """The rate with the best score, the smallest of equal ones; None where none has a score."""
    scored = {rate: score for rate, score in validation.items() if score is not None}
    return min(scored, key=lambda rate: (-scored[rate], rate)) if scored else None


Tried = Mapping[Version, Mapping[float, FoundRecord]]
"""Network → rate → the trial of the search."""


def _tried(rule: TuningRule, search: Sequence[FoundRecord], ranked: Sequence[FoundRecord]) -> tuple[Tried, list[str]]:
    """The trials that count for the choice, and a sentence for each that should and can't."""
    contents = {one.record.data.content_sha256 for one in ranked}
    tried: dict[Version, dict[float, FoundRecord]] = defaultdict(dict)
    faults = []
    for one in sorted(search, key=_started):
        record = one.record
        is_own = record.seed == rule.tuning.seed == record.initialisation_seed
        if not is_own or record.study not in rule.studies or rule.studies[record.study] not in rule.rates:
            continue
        if contents and record.data.content_sha256 not in contents:
            faults.append(f"{one.path}: chose by other pixels than the track's trials have")
            continue
        tried[_version(record)][rule.studies[record.study]] = one
    return tried, faults


def _choices(rule: TuningRule, tried: Tried) -> dict[Version, RateChoice]:
    choices = {}
    for (label, version), trials in sorted(tried.items()):
        if all(rate in trials and trials[rate].record.status in ANSWERS for rate in rule.rates):
            validation = {rate: _validation_score(trials[rate].record) for rate in rule.rates}
            choices[label, version] = RateChoice(
                label=label, version=version, validation=validation, rate=best_rate(validation)
            )
    return choices


def _validation_score(record: TrialRecord) -> float | None:
    """The score that the protocol selects weights by, of the selected weights on validation; never one on test."""
    if record.scores is None:
        return None
    by_batch = record.protocol.get("selection") == "best_val_iou_batch_mean"
    return record.scores.val.iou_batch_mean if by_batch else record.scores.val.iou_pooled


def _floors(fixed: Sequence[FoundRecord], searched: Iterable[str]) -> set[str]:
    """Labels of segmenters without gradients, which have no learning rate: they are in both tracks as they are."""
    done: dict[str, list[TrialRecord]] = defaultdict(list)
    for one in fixed:
        if one.record.status == "done":
            done[one.record.segmenter.label].append(one.record)
    return {label for label, records in done.items() if all(one.best_epoch is None for one in records)} - set(searched)


def _waiting(
    rule: TuningRule,
    choices: Mapping[Version, RateChoice],
    tried: Tried,
    ranked: Sequence[FoundRecord],
    floors: set[str],
) -> Iterable[str]:
    """What each network still lacks, by label; of a label with several versions the newest counts."""
    trials = [*(one for by_rate in tried.values() for one in by_rate.values()), *ranked]
    newest = {one.record.segmenter.label: _version(one.record) for one in sorted(trials, key=_started)}
    fixed = rule.study_at(rule.fixed_rate)
    for label, version in sorted(newest.items()):
        if label in floors:
            continue
        if version not in choices:
            yield f"{label} has no learning rate yet: {_why_no_choice(rule, tried.get(version, {}))}"
            continue
        rate = choices[version].rate
        own = [one.record for one in ranked if _version(one.record) == version]
        wanted = {one.seed for one in own if one.study == fixed}
        there = {one.seed for one in own if rate is not None and one.study == rule.study_at(rate)}
        if rate is not None and (not there or wanted - there):
            yield f"{label} has {len(there)} of {max(len(wanted), 1)} trials with its learning rate, {rate:g}"


def _why_no_choice(rule: TuningRule, trials: Mapping[float, FoundRecord]) -> str:
    for rate, one in sorted(trials.items()):
        if one.record.status not in ANSWERS:
            status = one.record.status.replace("_", " ")
            return f"its trial with {rate:g} ended as {status}, and `--retry-failed` runs it again"
    return f"{len(trials)} of {len(rule.rates)} have been tried"


def _in_track(one: FoundRecord, rule: TuningRule, rate: float | None) -> FoundRecord:
    """A trial as one of the tuned track: with its protocol, and the rate among its options."""
    segmenter = one.record.segmenter
    if rate is not None:
        segmenter = replace(segmenter, non_default_options={**segmenter.non_default_options, RATE: rate})
    return replace(one, record=replace(one.record, protocol=rule.tuned_protocol, study=rule.study, segmenter=segmenter))


def _without_rate(one: FoundRecord, rule: TuningRule) -> FoundRecord:
    """The failed trial of a network that none of the rates suits."""
    listed = ", ".join(f"{rate:g}" for rate in rule.rates)
    reason = f"no learning rate of {listed} has a score on validation"
    failed = replace(
        one.record, status="diverged", reason=reason, scores=None, last_epoch=None, timing=None, best_epoch=None
    )
    return _in_track(replace(one, record=failed), rule, None)


def _version(record: TrialRecord) -> Version:
    return record.segmenter.label, trial_hash(record.segmenter)


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
        values = json.loads(read_plain_file(path))
        if not isinstance(values, dict) or values.pop("version", None) != 1:
            raise ValueError("found no version 1")
        rule = _adapter().validate_python(values)
        study = rule.study  # this and the next need a sound protocol within
        _ = rule.studies
    except OSError as error:
        raise ResultsError(f"{path}: could not be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ResultsError(
            f"{path}: no rule of a tuned track ({type(error).__name__}); `benchbird run` writes it anew"
        ) from error
    if study != path.absolute().parent.name:
        raise ResultsError(
            f"{path}: states the rule of track {study}, which isn't this folder's; it was altered or moved, "
            "and `benchbird run` writes it anew"
        )
    return rule
