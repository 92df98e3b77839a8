"""What a run is going to do: its data with their identity, its study, its trials and how far each is.

Owns the decisions before anything is trained. Reads names and hashes of files, never pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchbird.config.benchmark import BenchmarkConfig
from benchbird.config.choices import SegmenterChoice
from benchbird.errors import ResultsError
from benchbird.protocol import Protocol, study_digest
from benchbird.records import SegmenterIdentity, TrialRecord
from benchbird.registry import Registry
from benchbird.results import RECORD_FILE, ResultsStore, read_record
from benchbird.study_data import StudyData
from benchbird.training import steps_per_epoch
from benchbird.trial_folder import epochs_in_curve

TrialState = Literal["new", "started", "ended"]


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
        failed: the record that it has and is to be run again in spite of, None for none.
        initialisation_seed: what the weights are drawn from; None for `seed`.
    """

    segmenter: SegmenterIdentity
    seed: int
    folder: Path
    state: TrialState
    epochs_done: int = 0
    record: TrialRecord | None = None
    failed: TrialRecord | None = None
    initialisation_seed: int | None = None


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
    trials = _look_at_all(
        (store.trial_folder(config.name, study, segmenter, seed), segmenter, seed)
        for seed in config.seeds
        for segmenter in segmenters
    )
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


def _look_at_all(places: Iterable[tuple[Path, SegmenterIdentity, int]]) -> list[PlannedTrial]:
    """Every trial; what is wrong with any of them in one error."""
    trials, unusable = [], []
    for folder, segmenter, seed in places:
        try:
            trials.append(look_at(folder, segmenter, seed))
        except ResultsError as error:
            unusable.append(str(error))
    if unusable:
        raise ResultsError(
            "\n".join(
                [
                    "some trials can't be looked at:",
                    *(f"  {reason}" for reason in unusable),
                    "mend that, or move the folder of such a trial away, and it is run again",
                ]
            )
        )
    return trials


def look_at(folder: Path, segmenter: SegmenterIdentity, seed: int) -> PlannedTrial:
    """The trial that lies, or will lie, in `folder`, and how far it is.

    Raises:
        ResultsError: it has a record that can't be read, or can't be looked into.
    """
    try:
        has_ended = (folder / RECORD_FILE).exists()
    except OSError as error:
        raise ResultsError(f"{folder}: could not be looked into: {error.strerror or error}") from error
    if has_ended:
        record = read_record(folder / RECORD_FILE)
        return PlannedTrial(segmenter=segmenter, seed=seed, folder=folder, state="ended", record=record)
    epochs = epochs_in_curve(folder)
    state: TrialState = "started" if epochs else "new"
    return PlannedTrial(segmenter=segmenter, seed=seed, folder=folder, state=state, epochs_done=epochs)
