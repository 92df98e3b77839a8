"""What a run is going to do: its data with their identity, its study, its trials and how far each is.

Owns the decisions before anything is trained. Reads names and hashes of files, never pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchbird.config.benchmark import BenchmarkConfig
from benchbird.config.choices import SegmenterChoice
from benchbird.contract import AnySample, DatasetSpec
from benchbird.data.contents import SampleIdentity, identify_splits
from benchbird.data.identity import data_digest
from benchbird.data.subset import check_leaks, draw_subset
from benchbird.errors import BenchbirdError, PluginError
from benchbird.protocol import Protocol, study_digest
from benchbird.records import SPLITS, SegmenterIdentity, TrialRecord
from benchbird.registry import Registry
from benchbird.results import RECORD_FILE, ResultsStore, read_record
from benchbird.training import steps_per_epoch
from benchbird.trial import CURVE_FILE

TrialState = Literal["new", "started", "ended"]


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """The samples of a study.

    Attributes:
        dataset: name of the data set.
        splits: split name → samples, sorted by id.
        identities: split name → what identifies each sample.
        digest: the data digest.
        leaks: recordings in more than one split, let through by `data.allow_leaks`.
        notices: what the user should know, such as a subset that is smaller than asked for.
    """

    dataset: str
    splits: Mapping[str, tuple[AnySample, ...]]
    identities: Mapping[str, tuple[SampleIdentity, ...]]
    digest: str
    leaks: int
    notices: tuple[str, ...]

    def n_recordings(self, split: str) -> int:
        """Distinct recordings in a split."""
        return len({sample.recording_id for sample in self.splits[split]})


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """One trial of a run.

    Attributes:
        segmenter: which.
        seed: of the trial.
        folder: where it is written.
        state: `new`, `started` (has a checkpoint's traces) or `ended` (has a record).
        epochs_done: of a started one.
        record: of an ended one.
    """

    segmenter: SegmenterIdentity
    seed: int
    folder: Path
    state: TrialState
    epochs_done: int = 0
    record: TrialRecord | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run, decided.

    Attributes:
        config: the benchmark as it will run.
        data: its samples.
        study: the study's digest.
        trials: seeds one after another, each with all segmenters, so that early results compare.
        plugin_files: plugins that the user named, absolute.
        results: the results root.
    """

    config: BenchmarkConfig
    data: StudyData
    study: str
    trials: tuple[PlannedTrial, ...]
    plugin_files: tuple[Path, ...]
    results: Path

    @property
    def protocol(self) -> Protocol:
        """The recipe of the study."""
        return self.config.protocol

    @property
    def study_folder(self) -> Path:
        """Where the study's trials lie."""
        return self.results / self.config.name / self.study

    @property
    def unended(self) -> tuple[PlannedTrial, ...]:
        """The trials that are left to run."""
        return tuple(trial for trial in self.trials if trial.state != "ended")

    @property
    def segmenters(self) -> tuple[SegmenterIdentity, ...]:
        """The distinct segmenters of the trials, in the benchmark's order."""
        return tuple({trial.segmenter.label: trial.segmenter for trial in self.trials}.values())

    @property
    def steps(self) -> int:
        """Optimiser steps of one whole trial with gradients."""
        return self.protocol.epochs * steps_per_epoch(len(self.data.splits["train"]), self.protocol)


def find_data(config: BenchmarkConfig, dataset: DatasetSpec, cache: Path) -> StudyData:
    """Find the benchmark's samples, draw its subset, refuse leaks, and identify the contents.

    Raises:
        DataError: samples are missing, or recordings straddle splits and that isn't allowed.
    """
    data = config.data
    options = {
        "recording_pattern": data.recording_pattern,
        "sizes": None if data.sizes is None else data.sizes.model_dump(),
        "synthetic": dict(data.synthetic),
        **data.options,
    }
    found = _find(dataset, data.root, options)
    leaks = check_leaks(found, allow=data.allow_leaks)
    sizes = {} if data.sizes is None else data.sizes.model_dump()
    splits, shortages = draw_subset(found, sizes, data.subset_seed)
    notices = [str(shortage) for shortage in shortages]
    if leaks:
        notices.append(f"{leaks} recordings are in more than one split (data.allow_leaks): scores will flatter")
    identities = identify_splits(splits, cache)
    return StudyData(
        dataset=dataset.name,
        splits=splits,
        identities=identities,
        digest=data_digest(dataset.name, identities, leaks_allowed=leaks),
        leaks=leaks,
        notices=tuple(notices),
    )


def _find(dataset: DatasetSpec, root: Path | None, options: Mapping[str, Any]) -> dict[str, Sequence[AnySample]]:
    """What the data set finds, checked: a plugin's author may have got it wrong."""
    try:
        found = dict(dataset.find(root, options))
    except BenchbirdError:
        raise
    except Exception as error:
        raise PluginError(f"data set {dataset.name}: find failed: {type(error).__name__}: {error}") from error
    if set(found) != set(SPLITS):
        raise PluginError(
            f"data set {dataset.name}: find returned the splits {', '.join(sorted(map(str, found)))}; "
            f"expected {', '.join(SPLITS)}"
        )
    for name, samples in found.items():
        ids = [sample.sample_id for sample in samples]
        if repeated := sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []:
            raise PluginError(f"data set {dataset.name}: sample ids occur twice in {name}: {repeated[:5]}")
    return {name: found[name] for name in SPLITS}


def make_plan(
    config: BenchmarkConfig,
    choices: Sequence[SegmenterChoice],
    registry: Registry,
    data: StudyData,
    *,
    plugin_files: Sequence[Path],
    results: Path,
) -> Plan:
    """Lay out the trials and see how far each is."""
    study = study_digest(config.protocol.digest, data.digest)
    store = ResultsStore(results)
    segmenters = [identify_segmenter(choice, registry) for choice in choices]
    trials = [
        _look_at(store.trial_folder(config.name, study, segmenter, seed), segmenter, seed)
        for seed in config.seeds
        for segmenter in segmenters
    ]
    return Plan(
        config=config,
        data=data,
        study=study,
        trials=tuple(trials),
        plugin_files=tuple(path.resolve() for path in plugin_files),
        results=results,
    )


def identify_segmenter(choice: SegmenterChoice, registry: Registry) -> SegmenterIdentity:
    """The full identity of a benchmark's segmenter: its options and the source it is built from."""
    offer = registry.segmenters[choice.name]
    spec = offer.spec
    changed = {name: value for name, value in choice.options.items() if value != spec.options[name].default}
    pretraining = str(choice.options[spec.pretraining]) if spec.pretraining else "none"
    return SegmenterIdentity(
        name=choice.name,
        label=choice.label,
        options=dict(choice.options),
        non_default_options=changed,
        plugin=offer.plugin.provenance,
        source_sha256=offer.plugin.source_sha256,
        pretraining=pretraining,
    )


def _look_at(folder: Path, segmenter: SegmenterIdentity, seed: int) -> PlannedTrial:
    if (folder / RECORD_FILE).exists():
        record = read_record(folder / RECORD_FILE)
        return PlannedTrial(segmenter=segmenter, seed=seed, folder=folder, state="ended", record=record)
    epochs = _epochs_in_curve(folder / CURVE_FILE)
    state: TrialState = "started" if epochs else "new"
    return PlannedTrial(segmenter=segmenter, seed=seed, folder=folder, state=state, epochs_done=epochs)


def _epochs_in_curve(path: Path) -> int:
    try:
        return sum(1 for line in path.read_text().splitlines() if json.loads(line)["epoch"] > 0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
