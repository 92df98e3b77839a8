"""TensorBoard: every ended trial with its curves, parameters and scores, where BENCHBIRD_TENSORBOARD names a folder.

    BENCHBIRD_TENSORBOARD=runs benchbird run BENCHMARK.yaml
    tensorboard --logdir runs

Its own files beside the results, which never depend on them.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchbird import BenchbirdError, TrialRecord, hookimpl, summarise_trial

BENCHBIRD_API = 1

FOLDER = "BENCHBIRD_TENSORBOARD"

COMPARED = ("test/iou_pooled", "test/iou_native", "test/iou_image_mean", "val/iou_pooled", "timing/train_images_per_s")
"""The scores in the table of hyperparameters; the others are scalars."""

TOLD_APART_BY = (
    "label", "options.", "pretraining", "seed", "status", "study",
    "protocol.batch_size", "protocol.epochs", "protocol.image_size", "protocol.optimizer.",
)  # fmt: skip
"""The parameters in that table, by their beginning; all of them are in a text."""


@hookimpl
def benchbird_trial_finished(record: TrialRecord, folder: Path) -> None:
    """Write the trial's events below the folder that the environment names; without one, do nothing."""
    runs = os.environ.get(FOLDER)
    if not runs:
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError as error:
        raise BenchbirdError(
            f"{FOLDER} is set, but TensorBoard isn't installed: pip install 'benchbird[trackers]'"
        ) from error
    trial = summarise_trial(record, folder)
    told_apart = {name: value for name, value in trial.parameters.items() if name.startswith(TOLD_APART_BY)}
    compared = {name: trial.scores[name] for name in COMPARED if name in trial.scores}
    with SummaryWriter(str(Path(runs) / trial.name)) as writer:
        # As SummaryWriter.add_hparams, which would make a run of its own for them.
        for part in hparams(told_apart, compared):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(part)
        rows = [f"| {name} | `{value}` |" for name, value in trial.parameters.items()]
        writer.add_text("parameters", "\n".join(["| parameter | value |", "|---|---|", *rows]))
        for name, points in trial.curves.items():
            for epoch, value in points:
                writer.add_scalar(name, value, epoch)
        for name, value in trial.scores.items():
            writer.add_scalar(name, value, record.best_epoch or 0)
