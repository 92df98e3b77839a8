"""A noise budget: which trainings it takes, and how far each kind of repetition moves a segmenter's score.

Owns the kinds, where their trials lie and the numbers made of their records. It trains nothing
(`runner.py`) and prints nothing (`commands/noise.py`).
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchbird.plan import Plan, PlannedTrial, look_at
from benchbird.records import SegmenterIdentity, TrialRecord
from benchbird.results import CURVE_FILE, NOISE_FOLDER
from benchbird.trial_folder import WEIGHTS_FILE

Kind = Literal["repeat", "initialisation", "order", "both"]

KINDS: tuple[Kind, ...] = ("repeat", "initialisation", "order", "both")
"""What differs within a kind: nothing; the first weights; the batches' order with whatever else an epoch draws,
such as dropout; both, as between ordinary seeds."""

TAIL = 0.025
"""Probability beyond each end of the interval of a standard deviation."""


@dataclass(frozen=True, kw_only=True)
class Variation:
    """One training of a segmenter within a budget.

    Attributes:
        kind: what differs from the base seed's own training.
        number: within its kind, from 1.
        seed: of the order of batches, and of whatever else an epoch draws.
        initialisation_seed: of the first weights.
    """

    kind: Kind
    number: int
    seed: int
    initialisation_seed: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.number}"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The trainings of a noise budget.

    Attributes:
        plan: as a run's, its trials those of the budget.
        variations: what each of the plan's trials is, in the same order.
        seed: the base seed.
    """

    plan: Plan
    variations: tuple[Variation, ...]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How far one kind moves a segmenter's scores.

    Attributes:
        kind: what differs between the trainings.
        test: `iou_pooled` on test of each training that has one, in [0, 1].
        val: the same on the validation split; the score that chose the weights.
    """

    kind: Kind
    test: tuple[float, ...]
    val: tuple[float, ...]

    @property
    def test_sd(self) -> float | None:
        """Standard deviation (n - 1) of `test`; None below two trainings."""
        return deviation(self.test)

    @property
    def val_sd(self) -> float | None:
        """Standard deviation (n - 1) of `val`; None below two trainings."""
        return deviation(self.val)

    @property
    def test_sd_interval(self) -> tuple[float, float] | None:
        """95 % interval of `test_sd`; None without an sd above 0."""
        return deviation_interval(self.test_sd, len(self.test)) if self.test_sd else None


@dataclass(frozen=True, kw_only=True)
class SegmenterNoise:
    """What a budget says of one segmenter.

    Attributes:
        segmenter: which.
        moved: one entry a kind, in the order of `KINDS`.
        repeats_identical: whether all repeats left the same weights, bit for bit; None below two that are done.
        epoch_sd: standard deviation of the validation `iou_pooled` over the last quarter of a training's
            epochs, root mean square over the trainings; None where that quarter is less than two epochs.
        epochs: how many epochs that quarter has.
        failed: the trainings that aren't done, with their records.
    """

    segmenter: SegmenterIdentity
    moved: tuple[Moved, ...]
    repeats_identical: bool | None
    epoch_sd: float | None
    epochs: int
    failed: tuple[tuple[Variation, TrialRecord], ...]


def variations(seed: int, repeats: int) -> tuple[Variation, ...]:
    """The trainings of a budget for one segmenter: one of each kind, then the next of each.

    Args:
        seed: base seed s. `repeat` is (s, s) each time, as (order, initialisation); `initialisation` r is
            (s, s + r), `order` r is (s + r, s), `both` r is (s + r, s + r).
        repeats: of each kind, >= 2.
    """

    def one(kind: Kind, number: int) -> Variation:
        order = seed + number if kind in ("order", "both") else seed
        first = seed + number if kind in ("initialisation", "both") else seed
        return Variation(kind=kind, number=number, seed=order, initialisation_seed=first)

    return tuple(one(kind, number) for number in range(1, repeats + 1) for kind in KINDS)


def plan_noise(plan: Plan, seed: int, repeats: int) -> Budget:
    """The budget of a plan's segmenters, and how far each of its trainings is.

    Args:
        plan: of an ordinary run, with one trial a segmenter.
        seed: base seed.
        repeats: of each kind, >= 2.

    Raises:
        ResultsError: a record of the budget can't be read.
    """
    laid_out = [(variation, trial) for variation in variations(seed, repeats) for trial in plan.trials]
    trials = tuple(_vary(trial, variation, seed) for variation, trial in laid_out)
    return Budget(plan=replace(plan, trials=trials), variations=tuple(one for one, _ in laid_out), seed=seed)


def _vary(trial: PlannedTrial, variation: Variation, base: int) -> PlannedTrial:
    version = trial.folder.parent
    # The base seed is part of the path: another one's budget is other trainings.
    folder = version.parent / NOISE_FOLDER / version.name / f"base-{base}" / str(variation)
    found = look_at(folder, trial.segmenter, variation.seed)
    return replace(found, initialisation_seed=variation.initialisation_seed)


def summarize(budget: Budget, records: Sequence[TrialRecord]) -> tuple[SegmenterNoise, ...]:
    """What the ended trainings say, by segmenter.

    Args:
        budget: what was run.
        records: one for each of the plan's trials, in the plan's order.
    """
    ended = list(zip(budget.variations, budget.plan.trials, records, strict=True))
    return tuple(
        _summarize_one(segmenter, [one for one in ended if one[1].segmenter == segmenter])
        for segmenter in budget.plan.segmenters
    )


def _summarize_one(
    segmenter: SegmenterIdentity, ended: Sequence[tuple[Variation, PlannedTrial, TrialRecord]]
) -> SegmenterNoise:
    done = [(variation, trial, record) for variation, trial, record in ended if record.status == "done"]
    weights = [record.files.get(WEIGHTS_FILE) for variation, _, record in done if variation.kind == "repeat"]
    curves = [last_quarter(trial.folder / CURVE_FILE) for _, trial, _ in done]
    deviations = [sd for sd in map(deviation, curves) if sd is not None]
    by_variation = {variation: record for variation, _, record in done}
    return SegmenterNoise(
        segmenter=segmenter,
        moved=tuple(_moved(kind, by_variation) for kind in KINDS),
        repeats_identical=None if len(weights) < 2 else None not in weights and len(set(weights)) == 1,
        epoch_sd=math.sqrt(statistics.fmean(sd**2 for sd in deviations)) if deviations else None,
        epochs=max(map(len, curves), default=0),
        failed=tuple((variation, record) for variation, _, record in ended if record.status != "done"),
    )


def _moved(kind: Kind, done: Mapping[Variation, TrialRecord]) -> Moved:
    """The scores of a kind; the base seed's own training (the first repeat) is a draw of every kind."""
    scores = [
        record.scores
        for variation, record in done.items()
        if record.scores is not None
        and (variation.kind == kind or (variation.kind == "repeat" and variation.number == 1))
    ]
    test = [one.test.iou_pooled for one in scores]
    val = [one.val.iou_pooled for one in scores]
    return Moved(
        kind=kind,
        test=tuple(score for score in test if score is not None),
        val=tuple(score for score in val if score is not None),
    )


def last_quarter(path: Path) -> tuple[float, ...]:
    """Validation `iou_pooled` of the last quarter of a curve's epochs, rounded up; empty if it can't be read.

    Args:
        path: of a trial's `curve.jsonl`.
    """
    try:
        epochs = [json.loads(line)["val_iou_pooled"] for line in path.read_text().splitlines()]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    last = epochs[len(epochs) - math.ceil(len(epochs) / 4) :]
    return tuple(float(score) for score in last if isinstance(score, int | float))


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation with n - 1; exactly 0.0 for equal values, None below two."""
    return statistics.stdev(values) if len(values) > 1 else None


def deviation_interval(sd: float, n: int) -> tuple[float, float]:
    """95 % interval of a standard deviation by chi-square, for values that are normally distributed.

    Args:
        sd: standard deviation (n - 1), > 0.
        n: values it is of, >= 2.

    Returns:
        Lower and upper end, in the unit of `sd`.
    """
    from scipy.special import chdtri  # scipy.stats takes a second to import

    low, high = (sd * math.sqrt((n - 1) / float(chdtri(n - 1, tail))) for tail in (TAIL, 1 - TAIL))
    return low, high


def machines(records: Sequence[TrialRecord]) -> int:
    """How many machines or sets of software versions trained; above 1 the spread is not the seeds' alone."""
    seen = (record.environment for record in records)
    return len({(one.device, one.cpu, one.accelerator, one.threads, *sorted(one.packages.items())) for one in seen})
