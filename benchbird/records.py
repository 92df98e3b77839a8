"""The frozen values that a trial leaves, and the schema's number.

Owns names, units and meaning. It neither reads nor writes files (`results.py`), nor computes scores
(`metrics.py`). What a leaderboard is made of is in `standings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 2

Status = Literal["done", "diverged", "failed", "timeout", "out_of_memory", "protocol_violation"]
"""How an ended trial ended. An interrupted trial has no record."""

SPLITS = ("train", "val", "test")

LATER = {"left_out_where_none": True}
"""Of a field that records of this schema haven't had from the start: without a value they are spelt as before."""


@dataclass(frozen=True)
class Counts:
    """Pixels by prediction and reference; sums of any number of images."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one split, each in [0, 1] or None where it is undefined (see `undefined`).

    Attributes:
        iou_pooled: ΣTP / Σ(TP+FP+FN) over all images at protocol size. The headline.
        iou_native: the same at each image's native size, logits enlarged bilinearly.
        iou_image_mean: mean of TP/(TP+FP+FN) over the images whose reference has any bird.
        iou_batch_mean: mean of pooled IoU over consecutive batches of 16 in name order.
        miou_two_class: mean of pooled foreground IoU and pooled background IoU.
        miou_two_class_batch_mean: mean of `miou_two_class` over consecutive batches of 8 in name order.
        dice: 2ΣTP / Σ(2TP+FP+FN), pooled; equals F1 on pixels.
        precision: ΣTP / Σ(TP+FP), pooled.
        recall: ΣTP / Σ(TP+FN), pooled.
        n_images: images in the split.
        n_ref_empty: images whose reference has no bird.
        ref_empty_false_positive_share: share of those with any false positive pixel.
        undefined: score name → why it is None.
    """

    iou_pooled: float | None
    iou_native: float | None
    iou_image_mean: float | None
    iou_batch_mean: float | None
    miou_two_class: float | None
    miou_two_class_batch_mean: float | None
    dice: float | None
    precision: float | None
    recall: float | None
    n_images: int
    n_ref_empty: int
    ref_empty_false_positive_share: float | None
    undefined: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """Scores of the selected weights on the split they were selected on and on the held-out one."""

    val: Scores
    test: Scores


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Inference throughput in steady state.

    Attributes:
        batch_size: images per forward pass.
        images_per_s: images divided by the median time of a pass.
    """

    batch_size: int
    images_per_s: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of one forward pass of one image, in milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a trial cost on its machine.

    Attributes:
        train_images_per_s: training images per second in steady state; None without gradients.
        inference: throughput by batch size, `eval()`, inputs already on the device.
        latency_ms: percentiles at batch 1.
        peak_memory_bytes: of the device's allocator on CUDA, else of the trial's process.
        parameters: number of parameters, trainable or not.
        gflop: 10⁹ FLOP (2 × multiply-adds) of one image's forward pass; None where it can't be counted.
    """

    train_images_per_s: float | None
    inference: tuple[Throughput, ...]
    latency_ms: Latency
    peak_memory_bytes: int
    parameters: int
    gflop: float | None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The machine and software of a trial, fit to be published: no path, user or host name.

    Attributes:
        machine: a label its owner gave, or None.
        device: `cpu`, `cuda` or `mps`.
        cpu: processor model.
        cores: processors this process may use.
        threads: threads torch computed with.
        memory_bytes: main memory.
        accelerator: GPU model, or None.
        accelerator_memory_bytes: its memory, or None.
        os: operating system and architecture.
        python: version.
        packages: package name → version, those that can change a score or a timing.
    """

    machine: str | None
    device: str
    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    accelerator: str | None
    accelerator_memory_bytes: int | None
    os: str
    python: str
    packages: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class SegmenterIdentity:
    """Which segmenter, exactly.

    Attributes:
        name: the spec's name.
        label: the name in the leaderboard, unique in a benchmark.
        options: every option with its value.
        non_default_options: those that differ from the plugin's defaults.
        plugin: where it came from: `distribution version` of an entry point, or the file's name.
        source_sha256: of the plugin's source file.
        pretraining: value of the option that states it; `none` where there is none.
    """

    name: str
    label: str
    options: Mapping[str, Any]
    non_default_options: Mapping[str, Any]
    plugin: str
    source_sha256: str
    pretraining: str


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Which part of a cross-validation a study is.

    Attributes:
        number: of this fold, counted from 1; 0 for all of them pooled.
        of: folds in all.
        pool_digest: the same for every fold of one cross-validation, and for no other.
    """

    number: int
    of: int
    pool_digest: str


@dataclass(frozen=True, kw_only=True)
class DataSummary:
    """The data of a study.

    Attributes:
        name: the data set's name.
        digest: identity of samples, splits and contents.
        content_sha256: of the prepared pixels of all splits, for generated sets too.
        n_train: samples of the training split.
        n_val: samples of the validation split.
        n_test: samples of the test split.
        n_recordings_test: recordings of the test split.
        leaks_allowed: recordings that straddle splits, let through by `data.allow_leaks`.
        ceiling_iou_native: `iou_native` on test of an oracle that holds the exact mask, shrunk to
            protocol size, cut at one half and enlarged again.
        fold: of a cross-validation, or None.
        picture_frames: frames of the transform that a training picture shows, the median; None where unknown, and
            in records of before there were recordings.
    """

    name: str
    digest: str
    content_sha256: str
    n_train: int
    n_val: int
    n_test: int
    n_recordings_test: int
    leaks_allowed: int
    ceiling_iou_native: float | None
    fold: Fold | None = None
    picture_frames: int | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, kw_only=True)
class TrialKey:
    """Which trial: a segmenter and a seed within a study."""

    segmenter: SegmenterIdentity
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What an ended trial leaves, immutable, fit to be published.

    Attributes:
        schema: `SCHEMA_VERSION` of the writer.
        status: how it ended.
        reason: one sentence, empty for `done`.
        segmenter: which segmenter.
        seed: of this trial.
        initialisation_seed: what the weights were drawn from; another than `seed` only in a noise budget,
            and such a record is never ranked.
        benchmark: name of the benchmark.
        profile: name of the profile, `full` for none.
        study: the study's digest.
        protocol: `Protocol.as_dict()` with its `digest`.
        data: see `DataSummary`.
        best_epoch: the selected epoch, counted from 1; None without gradients or without an end.
        scores: of the selected weights, None unless done.
        last_epoch: scores of the last epoch's weights; None without gradients.
        predictions_file: relative to the record's folder, or None.
        weights_file: relative to the record's folder, or None.
        files: name → SHA-256 of every file that the trial left beside its record.
        timing: None unless done.
        environment: where it ran.
        started_at: UTC, ISO 8601.
        duration_s: wall-clock seconds, summed over attempts.
        attempts: how many times it was started.
    """

    schema: int
    status: Status
    reason: str
    segmenter: SegmenterIdentity
    seed: int
    initialisation_seed: int
    benchmark: str
    profile: str
    study: str
    protocol: Mapping[str, Any]
    data: DataSummary
    best_epoch: int | None
    scores: SplitScores | None
    last_epoch: SplitScores | None
    predictions_file: str | None
    weights_file: str | None
    files: Mapping[str, str]
    timing: Timing | None
    environment: Environment
    started_at: str
    duration_s: float
    attempts: int
