"""How trials learned: the curve that each leaves, ended or under way.

Owns the reading of curves for looking at; anyone may have written them, so that what makes no sense is left out. What
a curve must say if its record is true is for `curve_checks.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchbird.results import CURVE_FILE, FoundRecord
from benchbird.trial_states import TrialState

MOST_BYTES = 8 * 2**20
MOST_EPOCHS = 10_000

_Number = float | None


@dataclass(frozen=True, kw_only=True)
class TrialCurve:
    """One trial's training.

    Attributes:
        label: of its segmenter.
        name: of the trial: `seed 0`, with its fold or its state where that must be said.
        epochs: counted from 1.
        loss: training loss of each epoch; None where it wasn't finite.
        val_iou: validation IoU pooled of each epoch; None where it was undefined.
        best_epoch: the selected one; None where none is selected yet.
    """

    label: str
    name: str
    epochs: tuple[int, ...]
    loss: tuple[float | None, ...]
    val_iou: tuple[float | None, ...]
    best_epoch: int | None


def trial_curves(found: Sequence[FoundRecord], unended: Iterable[TrialState]) -> tuple[TrialCurve, ...]:
    """The curves that there are, by label, and in the order given.

    Args:
        found: ended trials; of pooled ones, the curve of each fold.
        unended: trials without a record.
    """
    curves = []
    for one in found:
        for number, part in enumerate(one.folds or (one,), start=1):
            fold = f" fold {number}" if one.folds else ""
            ending = "" if part.record.status == "done" else f", {part.record.status.replace('_', ' ')}"
            name = f"seed {part.record.seed}{fold}{ending}"
            curves.append(_read(part.path.parent, part.record.segmenter.label, name, part.record.best_epoch))
    curves += [_read(one.folder, one.label, f"seed {one.seed}, {one.state}", None) for one in unended]
    return tuple(sorted((curve for curve in curves if curve is not None), key=lambda curve: curve.label))


def _read(folder: Path, label: str, name: str, best_epoch: int | None) -> TrialCurve | None:
    lines = list(_lines(folder / CURVE_FILE))
    if not lines:
        return None
    epochs, loss, val_iou = zip(*lines, strict=True)
    return TrialCurve(label=label, name=name, epochs=epochs, loss=loss, val_iou=val_iou, best_epoch=best_epoch)


def _lines(path: Path) -> Iterable[tuple[int, _Number, _Number]]:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            return
        content = path.read_bytes().decode()
    except (OSError, ValueError):
        return
    last = 0
    for line in content.splitlines()[:MOST_EPOCHS]:
        try:
            values = json.loads(line)
            epoch, loss, score = values["epoch"], _number(values["train_loss"]), _number(values["val_iou_pooled"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # half a line of a trial under way, or damage
        if type(epoch) is not int or epoch <= last:
            return
        last = epoch
        yield epoch, loss, score if score is None or 0 <= score <= 1 else None


def _number(value: object) -> _Number:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None  # type: ignore[arg-type]
