"""Predicting a split and counting its pixels: validation each epoch, and the full reading at the end.

Owns what is predicted and kept. Scores come from `metrics.py`, the preparation from `batches.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchbird import metrics
from benchbird.backend import autocast
from benchbird.batches import ResidentSplit
from benchbird.data.prepared import PreparedSplit
from benchbird.durable import write_durably
from benchbird.errors import Diverged, ProtocolViolation
from benchbird.protocol import Protocol
from benchbird.records import Counts, Scores


@dataclass(frozen=True)
class Prediction:
    """What a model said of one split, image by image in the order of their names.

    Attributes:
        sample_ids: N names.
        recording_ids: N names.
        counts: int64 `(N, 4)`, TP, FP, FN, TN at protocol size.
        native_counts: int64 `(N, 4)` at native size.
        histogram: int64 `(N, 2, 64)`, logits of pixels without and with bird (`metrics.logit_histogram`).
        packed: uint8 `(N, ⌈S·S/8⌉)`, the prediction at protocol size, one bit a pixel, rows first.
    """

    sample_ids: tuple[str, ...]
    recording_ids: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    native_counts: npt.NDArray[np.int64]
    histogram: npt.NDArray[np.int64]
    packed: npt.NDArray[np.uint8]

    def scores(self) -> Scores:
        """Every score of this prediction."""
        return metrics.scores(self.counts, self.native_counts)


def validate(model: nn.Module, split: ResidentSplit, protocol: Protocol) -> Counts:
    """Pooled counts at protocol size, with one synchronisation of the device.

    Raises:
        Diverged: a logit is not a finite number.
        ProtocolViolation: the model's output breaks the contract.
    """
    summed = torch.zeros(4, dtype=torch.int64, device=split.device)
    finite = torch.ones((), dtype=torch.bool, device=split.device)
    for index, logits in _predict(model, split, protocol):
        summed += metrics.pixel_counts(logits, split.references(index), protocol.logit_threshold).sum(0)
        finite &= torch.isfinite(logits).all()
    if not bool(finite):
        raise Diverged("the model's logits on the validation split are not all finite numbers")
    return metrics.total(summed.cpu().numpy())


def predict_split(model: nn.Module, split: PreparedSplit, protocol: Protocol, device: torch.device) -> Prediction:
    """Predict a whole split and keep what later readings need.

    Raises:
        Diverged: a logit is not a finite number.
        ProtocolViolation: the model's output breaks the contract.
    """
    resident = ResidentSplit(split, protocol, device)
    counts, native, histograms, packed = [], [], [], []
    for index, logits in _predict(model, resident, protocol):
        if not bool(torch.isfinite(logits).all()):
            raise Diverged(f"the model's logits on the {split.name} split are not all finite numbers")
        reference = resident.references(index)
        counts.append(metrics.pixel_counts(logits, reference, protocol.logit_threshold).cpu())
        histograms.append(metrics.logit_histogram(logits, reference).cpu())
        predicted = (logits > protocol.logit_threshold).flatten(1).cpu().numpy()
        packed.append(np.packbits(predicted, axis=1))
        for position, one in zip(index.tolist(), logits, strict=True):
            native.append(_native_counts(one, split.native_mask(position), protocol.logit_threshold))
    return Prediction(
        sample_ids=split.sample_ids,
        recording_ids=split.recording_ids,
        counts=torch.cat(counts).numpy(),
        native_counts=torch.cat(native).numpy(),
        histogram=torch.cat(histograms).numpy(),
        packed=np.concatenate(packed),
    )


def write_predictions(path: Path, test: Prediction, val: Prediction) -> None:
    """Write the compact predictions file: test in full, validation without its pixels.

    A compressed numpy archive of plain arrays (no pickle): `sample_ids`, `recording_ids`, `counts`,
    `native_counts`, `histogram`, `packed`, `borders`, and `val_counts`, `val_native_counts`,
    `val_histogram` for choosing a threshold later.
    """
    import io

    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        sample_ids=np.array(test.sample_ids, dtype=np.str_),
        recording_ids=np.array(test.recording_ids, dtype=np.str_),
        counts=test.counts,
        native_counts=test.native_counts,
        histogram=test.histogram.astype(np.uint32),
        packed=test.packed,
        borders=metrics.histogram_borders(),
        val_counts=val.counts,
        val_native_counts=val.native_counts,
        val_histogram=val.histogram.astype(np.uint32),
    )
    write_durably(path, stream.getvalue())


def read_predictions(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a predictions file, by name."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def check_logits(logits: object, images: torch.Tensor) -> torch.Tensor:
    """The model's output, float32 `(N, 1, H, W)`.

    Raises:
        ProtocolViolation: it is something else.
    """
    expected = (images.shape[0], 1, *images.shape[2:])
    if not isinstance(logits, torch.Tensor):
        raise ProtocolViolation(f"the model returned {type(logits).__name__}, expected a tensor of logits {expected}")
    if tuple(logits.shape) != expected:
        raise ProtocolViolation(f"the model returned shape {tuple(logits.shape)}, expected logits {expected}")
    if not logits.is_floating_point():
        raise ProtocolViolation(f"the model returned {logits.dtype}, expected float32 logits")
    return logits.float()


def _predict(model: nn.Module, split: ResidentSplit, protocol: Protocol) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Positions `(B,)` and logits `(B, 1, S, S)`, batch by batch in order, in `eval()`."""
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(split), protocol.batch_size):
            index = torch.arange(start, min(start + protocol.batch_size, len(split)), device=split.device)
            images = split.pictures(index)
            with torch.inference_mode(), autocast(protocol, split.device):
                logits = check_logits(model(images), images)
            yield index, logits
    finally:
        model.train(was_training)


def _native_counts(logits: torch.Tensor, mask: npt.NDArray[np.bool_], threshold: float) -> torch.Tensor:
    """Counts `(1, 4)` of one image, its logits `(1, S, S)` enlarged bilinearly to the mask's size."""
    reference = torch.from_numpy(mask).to(logits.device)[None, None]  # (1, 1, H, W)
    with torch.inference_mode():
        enlarged = nn.functional.interpolate(
            logits[None], size=reference.shape[2:], mode="bilinear", align_corners=False
        )
        return metrics.pixel_counts(enlarged, reference, threshold).cpu()
