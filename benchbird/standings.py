"""The frozen values that a leaderboard is made of: estimates, comparisons, rows.

Owns names, units and meaning. Who stands where is decided in `leaderboard.py`, shown by the reporters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchbird.records import Status


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score over seeds, with the interval that its design can carry.

    Attributes:
        mean: over seeds; None where no seed has the score.
        sd: standard deviation over seeds (n − 1); None for fewer than two.
        n: seeds with the score.
        low: lower end of the 95 % interval, or None.
        high: upper end.
        covers: what the interval covers: `seeds and recordings`, `recordings`, `seeds` or `nothing`.
        reason: why there is no interval, or what it leaves out; empty otherwise.
    """

    mean: float | None
    sd: float | None
    n: int
    low: float | None = None
    high: float | None = None
    covers: str = "nothing"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two segmenters on the same seeds and recordings; differences are `first` minus `second`.

    Attributes:
        first: label of the one that is better on the common seeds.
        second: label of the other.
        difference: of the means over the common seeds.
        low: lower end of the 95 % interval of this one difference, or None.
        high: upper end.
        p_value: two-sided, of this pair alone; None where the design carries none.
        p_adjusted: after Holm's correction for all pairs of the leaderboard.
        is_separable: `p_adjusted` is below 0.05, and seeds and recordings are both accounted for.
        probability: that `first` scores higher on a random recording with a random seed, ties half.
        n_seeds: common seeds.
        n_recordings: test recordings.
        detectable: smallest true gap that this design calls separable four times in five; None if unknown.
        covers: as in `Estimate`.
        reason: as in `Estimate`.
    """

    first: str
    second: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    is_separable: bool
    probability: float | None
    n_seeds: int
    n_recordings: int
    detectable: float | None
    covers: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One ranked segmenter; scores in [0, 1] over its finished seeds, speeds as medians over them.

    Attributes:
        rank: counted from 1; equal scores share it. 0 where the leaderboard ranks nothing.
        rank_low: best rank that the comparisons leave open, or None without them.
        rank_high: worst rank that they leave open.
        letters: segmenters that share a letter are not separable; empty where there is no verdict.
        is_floor: whether it learns nothing by gradients: what a network must beat.
        is_above_floor: whether it beats every floor of the leaderboard; None where there is none.
        score: the score that the leaderboard ranks by, on test.
        label: its name in the leaderboard.
        segmenter: the spec's name.
        trial_hash: the eight hex digits in the names of its trials' folders.
        options: those that differ from the plugin's defaults.
        pretraining: `none` where there is none.
        seeds: of the finished trials, ascending.
        iou_pooled: on test, like the five that follow.
        iou_native: see `Scores`.
        iou_image_mean: see `Scores`.
        dice: see `Scores`.
        iou_val_threshold: IoU pooled at the threshold that is best on validation.
        last_iou_pooled: IoU pooled of the last epoch's weights.
        val_iou_pooled: on validation, where the weights were selected: not a result.
        train_images_per_s: see `Timing`; this and what follows was measured on `machine`.
        inference_images_per_s: at the leaderboard's `inference_batch_size`.
        latency_p50_ms: median time of one image, in milliseconds.
        parameters: number of parameters.
        gflop: see `Timing`.
        machine: one of the leaderboard's `machines`. Speeds of two machines are never compared.
    """

    rank: int
    label: str
    segmenter: str
    trial_hash: str
    options: Mapping[str, Any]
    pretraining: str
    seeds: tuple[int, ...]
    score: Estimate
    iou_pooled: Estimate
    iou_native: Estimate
    iou_image_mean: Estimate
    dice: Estimate
    iou_val_threshold: Estimate
    last_iou_pooled: Estimate
    val_iou_pooled: Estimate
    train_images_per_s: float | None
    inference_images_per_s: float | None
    latency_p50_ms: float | None
    parameters: int | None
    gflop: float | None
    machine: str
    rank_low: int | None = None
    rank_high: int | None = None
    letters: str = ""
    is_floor: bool = False
    is_above_floor: bool | None = None


@dataclass(frozen=True, kw_only=True)
class FailedTrial:
    """A trial that ended without a score."""

    label: str
    seed: int
    status: Status
    reason: str


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """A ranking of one study, derived from its records.

    Attributes:
        benchmark: its name.
        profile: profile name(s) of the records.
        dataset: name of the data set.
        study: digest.
        protocol_digest: digest of the protocol.
        data_digest: digest of the data.
        protocol: as in the records.
        n_train: samples of the training split.
        n_val: samples of the validation split.
        n_test: samples of the test split.
        n_recordings_test: recordings in the test split.
        leaks_allowed: recordings in more than one split.
        ceiling_iou_native: see `DataSummary`.
        folds: of the cross-validation that was pooled; 0 for none.
        metric: name of the score that `Row.score` holds and that ranks.
        unranked: why nothing is ranked; empty where it is.
        comparisons: every pair of rows that has common seeds.
        detectable_difference: median of the comparisons' `detectable`, or None.
        verdict: what can be said of the ranking, a sentence each.
        inference_batch_size: batch size of the rows' `inference_images_per_s`.
        machines: descriptions of the machines, most frequent first.
        rows: best first.
        failed: trials without a score.
        superseded: trials left out because a newer version of their label exists.
    """

    benchmark: str
    profile: str
    dataset: str
    study: str
    protocol_digest: str
    data_digest: str
    protocol: Mapping[str, Any]
    n_train: int
    n_val: int
    n_test: int
    n_recordings_test: int
    leaks_allowed: int
    ceiling_iou_native: float | None
    inference_batch_size: int
    machines: tuple[str, ...]
    rows: tuple[Row, ...]
    failed: tuple[FailedTrial, ...]
    superseded: int
    metric: str = "iou_pooled"
    unranked: str = ""
    folds: int = 0
    comparisons: tuple[Comparison, ...] = ()
    detectable_difference: float | None = None
    verdict: tuple[str, ...] = ()
