"""The protocol: everything that can change a score and is equal for every segmenter, and its digests.

Owns the values and their identity. It runs nothing; training, evaluation and timing obey it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

Resize = Literal["area", "bicubic"]
"""The rules by which image and mask come to protocol size, as `data/resize.py` carries them out."""

RESIZE_VERSIONS: dict[Resize, int] = {"area": 1, "bicubic": 1}
"""`area`: exact area average, image rounded half up to uint8, mask kept as area fraction in 255ths.
`bicubic`: Pillow's antialiased bicubic filter on 8-bit values, for image and mask alike."""

Rendering = Literal["published", "log", "pcen"]
Spectrum = Literal["mirrored", "half"]
"""How a recording becomes a picture, as `audio/renderings.py` carries it out."""

RENDERING_VERSIONS: dict[Rendering, int] = {"published": 1, "log": 1, "pcen": 1}

NORMALIZATION = {"mean": 0.5, "std": 0.5}
"""Pixels in [0, 1] become (x - mean) / std."""

SCORING_VERSION = 1
"""Counts at logit > threshold, at protocol size and (logits enlarged bilinearly) at native size."""

TRAINING_VERSION = 1
"""Order of a batch, seeding of an epoch and selection, as `training.py` does them."""

TUNING_VERSION = 1
"""A network's rate is the one with the best score on validation of the weights that the protocol selects, by the score
that it selects by; of equal ones the smallest. It is chosen with one seed that no result has."""

SEARCH_SUFFIX = "-search"
"""Behind a benchmark's name: the benchmark of the trials that choose its learning rates."""

DIGEST_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """The optimiser.

    Attributes:
        name: `adam`, `adamw` or `sgd` (momentum 0.9), with torch's defaults for what isn't named here.
        lr: learning rate, constant over training.
        weight_decay: L2 penalty, 0 for none.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Annotated[float, Gt(0), Lt(1e3)] = 1e-4
    weight_decay: Annotated[float, Ge(0), Lt(1e3)] = 0.0


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One recipe for all segmenters of a study.

    Attributes:
        rendering: how a recording becomes a picture (`audio/renderings.py`): `published`, the images as they are; `log`
            or `pcen`, rendered anew from the recordings.
        spectrum: `mirrored`, as published; `half`, from 0 Hz up, so that nothing is there twice.
        image_size: side in pixels of the square that image and mask are shrunk to.
        resize: `area`, the exact area average, the same bits on every machine; `bicubic`, AtrousSegNet's own
            way, the same bits with the same version of Pillow.
        batch_size: images in a training batch.
        last_batch: `drop` leaves out an incomplete last batch of an epoch for everyone; `keep` uses it.
        epochs: passes over the training split.
        optimizer: see `OptimizerSettings`.
        loss: `bce_with_logits`, averaged over pixels.
        mask_target: what the loss sees: `binary` (shrunk mask ≥ ½) or `fraction` (the shrunk mask itself,
            under `area` an area fraction). Scores always use `binary`.
        selection: `best_val_iou_pooled` keeps the weights of the first epoch with the best validation
            `iou_pooled`; `best_val_iou_batch_mean` the same with `iou_batch_mean`, as AtrousSegNet was
            trained; `last_epoch` keeps those of the last.
        logit_threshold: a pixel counts as bird where its logit is greater.
        precision: `fp32`, `tf32` (CUDA matrix products and convolutions) or `bf16` (autocast).
        channels_last: memory layout of model and batches.
        deterministic: refuse operations that don't repeat exactly on this device.
        compile: run the model through `torch.compile`; `cuda_graphs` lets CUDA graphs replay the result.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    rendering: Rendering = "published"
    spectrum: Spectrum = "mirrored"
    image_size: Annotated[int, Ge(16), Le(4096)] = 256
    resize: Resize = "area"
    batch_size: Annotated[int, Ge(1), Le(4096)] = 16
    last_batch: Literal["drop", "keep"] = "drop"
    epochs: Annotated[int, Ge(1), Le(100_000)] = 128
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    loss: Literal["bce_with_logits"] = "bce_with_logits"
    mask_target: Literal["binary", "fraction"] = "binary"
    selection: Literal["best_val_iou_pooled", "best_val_iou_batch_mean", "last_epoch"] = "best_val_iou_pooled"
    logit_threshold: Annotated[float, Gt(-1e3), Lt(1e3)] = 0.0
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    deterministic: bool = True
    compile: Literal[False, True, "cuda_graphs"] = False

    def as_dict(self) -> dict[str, Any]:
        """Every setting and every fixed rule's version, as JSON values: what the digest covers.

        The published images as they are go without saying: protocols from before there was a choice keep their digest.
        """
        settings = dataclasses.asdict(self)
        if self.uses_published_images:
            del settings["rendering"], settings["spectrum"]
        else:
            settings["rendering_version"] = RENDERING_VERSIONS[self.rendering]
        return {
            **settings,
            "normalization": dict(NORMALIZATION),
            "resize_version": RESIZE_VERSIONS[self.resize],
            "scoring_version": SCORING_VERSION,
            "training_version": TRAINING_VERSION,
        }

    @property
    def uses_published_images(self) -> bool:
        """Whether pictures are the data set's own, unchanged."""
        return self.rendering == "published" and self.spectrum == "mirrored"

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with anything in `as_dict`."""
        return canonical_digest(self.as_dict())


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How each network gets a learning rate of its own, by the same budget for all.

    Attributes:
        learning_rates: those that are tried, each with every network.
        seed: with which they are tried; none of the benchmark's, so that no result has the luck of the choice.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    learning_rates: Annotated[tuple[Annotated[float, Gt(0), Lt(1e3)], ...], Len(2, 20)]
    seed: Annotated[int, Ge(0), Lt(2**63)] = 1000


def tuned_protocol(protocol: Mapping[str, Any], tuning: Tuning) -> dict[str, Any]:
    """What the digest of a tuned track covers: `Protocol.as_dict()` with the rule in place of its learning rate."""
    optimizer = {name: value for name, value in protocol["optimizer"].items() if name != "lr"}
    rule = {
        "learning_rates": sorted(tuning.learning_rates),
        "seed": tuning.seed,
        "fixed_track": protocol["optimizer"]["lr"],
        "tuning_version": TUNING_VERSION,
    }
    return {**protocol, "optimizer": optimizer, "tuning": rule}


def canonical_digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, first twelve hex digits.

    Key order doesn't matter. NaN and infinity are refused with ValueError; keys must be text.
    """
    text = _CANONICAL.encode(value)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
"""Kept, since making one costs as much as encoding a field of a record."""


def study_digest(protocol_digest: str, data_digest: str) -> str:
    """Identity of a study: one protocol on one data set."""
    return hashlib.sha256(f"{protocol_digest}+{data_digest}".encode()).hexdigest()[:DIGEST_LENGTH]
