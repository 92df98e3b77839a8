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
    "label", "pretraining", "seed", "status", "study",
    "protocol.batch_size", "protocol.epochs", "protocol.image_size", "protocol.optimizer.",
)  # fmt: skip
"""The parameters in that table, by their beginning, beside the options in one column; all of them are in a text."""

SEEN_FIRST = ("label", "options", "seed", "status")
"""What stands at the left; TensorBoard shows a few columns until more are asked for."""


@hookimpl
def benchbird_trial_finished(record: TrialRecord, folder: Path) -> None:
    """Write the trial's events below the folder that the environment names; without one, do nothing."""
    runs = os.environ.get(FOLDER)
    if not runs:
        return
    try:
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    except ImportError as error:
        raise BenchbirdError(
            f"{FOLDER} is set, but TensorBoard isn't installed: pip install 'benchbird[trackers]'"
        ) from error
    trial = summarise_trial(record, folder)
    told_apart = {name: value for name, value in trial.parameters.items() if name.startswith(TOLD_APART_BY)}
    options = [f"{name}={value}" for name, value in record.segmenter.options.items()]
    told_apart |= {"options": ", ".join(options) or "none", "seed": str(record.seed)}  # a number would be 0.0000
    # A trial that failed before and was run again lies in the same folder: what it left there counts no longer.
    with SummaryWriter(str(Path(runs) / trial.name), purge_step=0) as writer:
        # As SummaryWriter.add_hparams, which would make a run of its own for them. TensorBoard takes the columns of
        # all runs from any one of them: so each names the same ones, scores that it lacks too.
        columns, *values = hparams(told_apart, dict.fromkeys(COMPARED))  # type: ignore[no-untyped-call]
        stored = columns.value[0].metadata.plugin_data
        table = HParamsPluginData.FromString(stored.content)
        for column in table.experiment.hparam_infos:
            column.differs = column.name in SEEN_FIRST  # these are sorted before the others
        stored.content = table.SerializeToString()
        for part in (columns, *values):
            writer.file_writer.add_summary(part)
        # A bar or the end of a line, as in a reason, would end the cell.
        cells = {name: " ".join(str(value).split()).replace("|", "¦") for name, value in trial.parameters.items()}
        rows = [f"| {name} | `{cell}` |" for name, cell in cells.items()]
        writer.add_text("parameters", "\n".join(["| parameter | value |", "|---|---|", *rows]))
        for name, points in trial.curves.items():
            for epoch, value in points:
                writer.add_scalar(name, value, epoch)
        for name, value in trial.scores.items():
            writer.add_scalar(name, value, record.best_epoch or 0)
