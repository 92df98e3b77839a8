"""What a trial's curve must say if its record is true: as many epochs, the selected one, its validation score.

Owns the reading of a curve that someone else may have written. The selection itself is `training.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchbird.findings import Finding, failed, notice
from benchbird.records import SplitScores, TrialRecord
from benchbird.results import CURVE_FILE, RECORD_FILE

MAX_CURVE_BYTES = 64 * 2**20

AGREEMENT = 1e-12
"""A score of the curve and the same one of the record differ by no more: both divide the same integers."""

_SCORES = ("iou_pooled", "iou_batch_mean")
"""What the curve knows of each epoch, as `val_<name>`."""

EpochScores = dict[str, float | None]


def curve_findings(record: TrialRecord, folder: Path) -> Iterator[Finding]:
    """Compare the curve with the record of a done trial; a trial without gradients has none."""
    if record.best_epoch is None:
        return
    if CURVE_FILE not in record.files:
        yield failed(RECORD_FILE, f"files.{CURVE_FILE}", "not named, and a trial with a best_epoch has a curve")
        return
    path = folder / CURVE_FILE
    if path.is_symlink() or not path.is_file():
        return  # said already, with the hashes
    try:
        epochs = read_curve(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        yield failed(CURVE_FILE, f"files.{CURVE_FILE}", f"not a whole curve: {type(error).__name__}: {error}")
        return
    if len(epochs) != record.protocol.get("epochs"):
        yield failed(
            CURVE_FILE, "epoch", f"there are {len(epochs)} epochs, the protocol says {record.protocol.get('epochs')}"
        )
    yield from _selection_findings(record, epochs)


def read_curve(path: Path) -> list[EpochScores]:
    """Validation scores of each epoch, from 1 on.

    Raises:
        ValueError: too large, no JSON, an epoch out of order, or a score outside 0 … 1.
        KeyError, TypeError: a line has no epoch or lacks a score.
        OSError: the file can't be read.
    """
    if path.stat().st_size > MAX_CURVE_BYTES:
        raise ValueError(f"larger than {MAX_CURVE_BYTES} bytes, which no curve is")
    epochs: list[EpochScores] = []
    for number, line in enumerate(path.read_bytes().decode().splitlines(), start=1):
        values = json.loads(line)
        if values["epoch"] != number:
            raise ValueError(f"line {number} is epoch {values['epoch']}, expected {number}")
        scores = {name: values[f"val_{name}"] for name in _SCORES}
        for name, score in scores.items():
            if score is not None and not (isinstance(score, float | int) and 0 <= score <= 1):
                raise ValueError(f"line {number}: val_{name} is {str(score)[:40]}, expected a number from 0 to 1")
        epochs.append(scores)
    if not epochs:
        raise ValueError("empty")
    return epochs


def _selection_findings(record: TrialRecord, epochs: Sequence[EpochScores]) -> Iterator[Finding]:
    score = "iou_batch_mean" if record.protocol.get("selection") == "best_val_iou_batch_mean" else "iou_pooled"
    if record.protocol.get("selection") == "last_epoch":
        selected = len(epochs)
    else:
        selected = _first_best([epoch[score] for epoch in epochs])
    if record.best_epoch != selected:
        yield failed(RECORD_FILE, "best_epoch", f"the record says {record.best_epoch}, the curve gives {selected}")
        return
    yield from _score_findings(record, "scores", record.scores, score, epochs[selected - 1])
    yield from _score_findings(record, "last_epoch", record.last_epoch, score, epochs[-1])


def _first_best(scores: Sequence[float | None]) -> int:
    """The epoch, from 1 on, that training selects: the first of the best; the first where none has a score."""
    known = [(score, -index) for index, score in enumerate(scores) if score is not None]
    return 1 - max(known)[1] if known else 1


def _score_findings(
    record: TrialRecord, where: str, scores: SplitScores | None, name: str, epoch: EpochScores
) -> Iterator[Finding]:
    if scores is None:
        return
    said, curve = getattr(scores.val, name), epoch[name]
    if (said is None) != (curve is None) or (said is not None and abs(said - (curve or 0.0)) > AGREEMENT):
        what = f"the record says {said}, the curve {curve}"
        # Only a deterministic protocol promises the same logits twice from the same weights.
        tell = failed if record.protocol.get("deterministic") is True else notice
        yield tell(RECORD_FILE, f"{where}.val.{name}", what)
