"""Predicting a split and counting its pixels: validation each epoch, and the full reading at the end.

Owns what is predicted and kept. Scores come from `metrics.py`, the preparation from `batches.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchbird import metrics
from benchbird.backend import autocast
from benchbird.batches import ResidentSplit
from benchbird.data.prepared import PreparedSplit
from benchbird.errors import Diverged, ProtocolViolation
from benchbird.predictions import SplitCounts
from benchbird.protocol import Protocol
from benchbird.records import Scores


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """What a model said of one split, image by image in the order of their names.

    Attributes:
        counts: TP, FP, FN, TN at protocol size and at native size.
        histogram: int64 `(N, 2, 64)`, logits of pixels without and with bird (`metrics.logit_histogram`).
        predicted: uint8 `(N, ⌈S·S/8⌉)`, the prediction at protocol size, one bit a pixel, rows first.
        reference: the same of the masks.
    """

    counts: SplitCounts
    histogram: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.uint8]
    reference: npt.NDArray[np.uint8]

    def scores(self) -> Scores:
        """Every score of this prediction that counts alone tell."""
        return metrics.scores(self.counts.protocol, self.counts.native)


def validate(model: nn.Module, split: ResidentSplit, protocol: Protocol) -> npt.NDArray[np.int64]:
    """Counts of each image at protocol size, int64 `(N, 4)`, with one synchronisation of the device.

    Raises:
        Diverged: a logit is not a finite number.
        ProtocolViolation: the model's output breaks the contract.
    """
    counts = []
    finite = torch.ones((), dtype=torch.bool, device=split.device)
    for index, logits in _predict(model, split, protocol):
        counts.append(metrics.pixel_counts(logits, split.references(index), protocol.logit_threshold))
        finite &= torch.isfinite(logits).all()
    # One array for both, so that the device is waited for once: counts, then whether all was finite.
    found = torch.cat([*(one.flatten() for one in counts), finite.to(torch.int64)[None]]).cpu().numpy()
    if not found[-1]:
        raise Diverged("the model's logits on the validation split are not all finite numbers")
    return found[:-1].reshape(-1, 4)


def predict_split(model: nn.Module, split: PreparedSplit, protocol: Protocol, device: torch.device) -> Prediction:
    """Predict a whole split and keep what later readings need.

    Raises:
        Diverged: a logit is not a finite number.
        ProtocolViolation: the model's output breaks the contract.
    """
    resident = ResidentSplit(split, protocol, device)
    counts, native, histograms, predictions, references = [], [], [], [], []
    for index, logits in _predict(model, resident, protocol):
        if not bool(torch.isfinite(logits).all()):
            raise Diverged(f"the model's logits on the {split.name} split are not all finite numbers")
        reference = resident.references(index)
        counts.append(metrics.pixel_counts(logits, reference, protocol.logit_threshold).cpu())
        histograms.append(metrics.logit_histogram(logits, reference).cpu())
        predictions.append(_packed(logits > protocol.logit_threshold))
        references.append(_packed(reference))
        for position, one in zip(index.tolist(), logits, strict=True):
            native.append(_native_counts(one, split.native_mask(position), protocol.logit_threshold))
    return Prediction(
        counts=SplitCounts(protocol=torch.cat(counts).numpy(), native=torch.cat(native).numpy()),
        histogram=torch.cat(histograms).numpy(),
        predicted=np.concatenate(predictions),
        reference=np.concatenate(references),
    )


def _packed(pixels: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Bool `(B, 1, S, S)` as uint8 `(B, ⌈S·S/8⌉)`."""
    return np.packbits(pixels.flatten(1).cpu().numpy(), axis=1)


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
            images = split.pictures(_filled(index, protocol))
            with torch.inference_mode(), autocast(protocol, split.device):
                logits = check_logits(model(images), images)
            yield index, logits[: len(index)]
    finally:
        model.train(was_training)


def _filled(index: torch.Tensor, protocol: Protocol) -> torch.Tensor:
    """Positions of a whole batch: a compiled model would be compiled anew for the shape of an incomplete one.

    In `eval()` the logits of an image don't depend on its batch-mates, so the last image stands in.
    """
    missing = protocol.batch_size - len(index)
    return torch.cat([index, index[-1:].expand(missing)]) if protocol.compile and missing else index


def _native_counts(logits: torch.Tensor, mask: npt.NDArray[np.bool_], threshold: float) -> torch.Tensor:
    """Counts `(1, 4)` of one image, its logits `(1, S, S)` enlarged bilinearly to the mask's size."""
    reference = torch.from_numpy(mask).to(logits.device)[None, None]  # (1, 1, H, W)
    with torch.inference_mode():
        enlarged = nn.functional.interpolate(
            logits[None], size=reference.shape[2:], mode="bilinear", align_corners=False
        )
        return metrics.pixel_counts(enlarged, reference, threshold).cpu()
