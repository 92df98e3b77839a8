"""The hooks a plugin may implement: signatures and documentation, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from benchbird.contract import DatasetSpec, ReporterSpec, SegmenterSpec
    from benchbird.records import TrialRecord

hookspec = pluggy.HookspecMarker("benchbird")


@hookspec
def benchbird_segmenters() -> Iterable[SegmenterSpec]:  # type: ignore[empty-body]
    """Return the segmenters this plugin offers. Entry-point group `benchbird.segmenters`.

    Called once per process, before a benchmark's names are checked. It must be cheap: import torch and
    model libraries inside `build`, not here.
    """


@hookspec
def benchbird_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Return the data sets this plugin offers. Entry-point group `benchbird.datasets`."""


@hookspec
def benchbird_reporters() -> Iterable[ReporterSpec]:  # type: ignore[empty-body]
    """Return the report formats this plugin offers. Entry-point group `benchbird.reporters`."""


@hookspec
def benchbird_trial_finished(record: TrialRecord, folder: Path) -> None:
    """Observe a trial that has ended. Entry-point group `benchbird.observers`.

    Called in the run's own process after the record is safe on disk. An exception here is reported and
    changes nothing: the record stays as it is. `benchbird.summarise_trial(record, folder)` makes it flat.
    Standard output is the run's; what is written there would stand among the lines of `--json`.

    Args:
        record: of the trial, done or not.
        folder: the trial's, with its curve, log, weights and predictions; for reading only.
    """
