"""The short form of the simulation: intervals cover, and equal segmenters are seldom told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchbird.statistics.crossed import crossed_interval
from benchbird.statistics.difference import paired_difference
from benchbird.statistics.jackknife import mean_squares
from tests.performance.coverage import (
    MEAN_LEVEL,
    Cell,
    _student_half_width,
    pooled,
    simulate_counts,
    simulate_coverage,
    simulate_rejections,
)

RUNS = 600


def least(share: float) -> float:
    """What a share of at least this exceeds in all but one of 10 000 simulations of this length."""
    return float(stats.binom.ppf(1e-4, RUNS, share) / RUNS)


def most(share: float) -> float:
    return float(stats.binom.isf(1e-4, RUNS, share) / RUNS)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_crossed_intervals_cover_what_they_say(seeds: int) -> None:
    found = simulate_coverage(Cell(seeds=seeds), RUNS, np.random.default_rng(seeds))
    assert least(0.93) <= found.crossed <= most(0.97)
    assert found.seeds_student < least(0.93)
    assert found.seeds_bootstrap < least(0.93)
    assert found.images < least(0.93)


def test_three_seeds_as_noisy_as_the_recordings_cover() -> None:
    cell = Cell(seeds=3)
    for seed_sd in (cell.recordings_se, cell.recordings_se * np.sqrt(3)):
        found = simulate_coverage(replace(cell, seed_sd=seed_sd), RUNS, np.random.default_rng(0))
        assert found.crossed >= least(0.92)


@pytest.mark.parametrize("recordings", [5, 8])
def test_few_recordings_still_cover(recordings: int) -> None:
    found = simulate_coverage(Cell(seeds=3, recordings=recordings), RUNS, np.random.default_rng(0))
    assert found.crossed >= least(0.925)


@pytest.mark.parametrize("segmenters", [3, 5])
def test_equal_segmenters_are_seldom_separable(segmenters: int) -> None:
    """With seed noise of 0.03 a Satterthwaite t on 3 seeds finds a false pair in 9 and 13 % of the runs."""
    cell = Cell(seeds=3, seed_sd=0.03, segmenter_sd=0.05)
    found = simulate_rejections(cell, segmenters, RUNS, np.random.default_rng(0))
    assert found.banerjee <= most(0.05)
    assert found.satterthwaite > 0.05


def test_a_gap_of_three_hundredths_is_seen_where_seeds_vary_little() -> None:
    found = simulate_rejections(Cell(seeds=5, seed_sd=0.008), 2, RUNS, np.random.default_rng(0), gap=0.03)
    assert found.banerjee >= least(0.8)


def test_the_simulated_truth_is_known() -> None:
    cell = Cell(seeds=2, recordings=20)
    intersection, union = simulate_counts(cell, 2, 2000, np.random.default_rng(0), gap=0.1)
    scores, _ = pooled(intersection.sum(-1), union.sum(-1))  # (runs, 2, R)
    error = 4 * scores.mean(-1).std(0) / np.sqrt(2000)
    assert np.abs(scores.mean((0, 2)) - [MEAN_LEVEL + 0.1, MEAN_LEVEL]) == pytest.approx(np.zeros(2), abs=max(error))
    quiet = replace(cell, seed_sd=0.0, interaction_sd=1e-9)
    intersection, union = simulate_counts(quiet, 1, 4000, np.random.default_rng(1))
    scores, _ = pooled(intersection.sum(-1), union.sum(-1))
    assert scores[:, 0, 0].std() == pytest.approx(quiet.recordings_se, rel=0.06)


def test_the_simulation_goes_through_the_library() -> None:
    intersection, union = simulate_counts(Cell(seeds=3, recordings=9), 2, 4, np.random.default_rng(0))
    scores, left_out = pooled(intersection.sum(-1), union.sum(-1))
    half = _student_half_width(mean_squares(scores, left_out), 8)
    for run in range(4):
        found = crossed_interval(scores[run, 0], left_out[run, 0])
        assert found.high == pytest.approx(scores[run, 0].mean() + half[run, 0])
        pair = paired_difference(scores[run, 0], scores[run, 1], left_out[run, 0], left_out[run, 1])
        assert pair.mean == pytest.approx(float((scores[run, 0] - scores[run, 1]).mean()))
