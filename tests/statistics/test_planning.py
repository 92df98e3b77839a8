"""Plans against each other, against closed forms and against simulated differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbird.statistics import planning, student
from benchbird.statistics.crossed import crossed_interval
from benchbird.statistics.difference import Difference, independent_difference, paired_difference
from tests.performance.coverage import Cell, simulate_rejections
from tests.statistics.crossed_designs import means_of, random_cells


def difference(seed: int, seeds: int = 4, recordings: int = 12) -> Difference:
    (a, without_a), (b, without_b) = (means_of(random_cells(one, seeds, recordings) / 4) for one in (seed, seed + 1000))
    return paired_difference(a, b, without_a, without_b)


def of_seeds(seed: int, seeds: int = 4) -> Difference:
    a, b = random_cells(seed, seeds, 6).mean(1), random_cells(seed + 1, seeds, 6).mean(1)
    return paired_difference(a, b, None, None)


def test_the_gap_that_seeds_alone_detect_is_that_of_the_non_central_t() -> None:
    found = of_seeds(0)
    gap = planning.detectable_difference(found, 0.01, 0.9)
    assert gap is not None and found.standard_error is not None
    reached = stats.nct.sf(stats.t.isf(0.005, 3), 3, gap / found.standard_error)
    assert reached == pytest.approx(0.9, abs=1e-4)


def test_seeds_needed_are_those_of_the_paired_t_test_counted_upwards() -> None:
    found = of_seeds(0)
    gap, sd = math.sqrt(found.seed_variance) * 0.9, math.sqrt(found.seed_variance)
    counted = next(
        count
        for count in range(2, 100)
        if stats.nct.sf(stats.t.isf(0.025, count - 1), count - 1, gap / sd * math.sqrt(count)) >= 0.8
    )
    assert planning.seeds_needed(found, gap) == counted
    assert planning.seeds_needed(found, -gap) == counted


@given(st.integers(0, 200), st.sampled_from([0.05, 0.001]), st.sampled_from([0.5, 0.8, 0.95]))
def test_the_detectable_gap_needs_no_more_than_there_is(seed: int, alpha: float, power: float) -> None:
    found = difference(seed)
    gap = planning.detectable_difference(found, alpha, power)
    assert gap is not None
    needed = planning.seeds_needed(found, gap * 1.001, alpha, power)
    assert needed is not None and needed <= 4
    more = planning.recordings_needed(found, gap * 1.001, alpha, power)
    assert more is not None and more <= 12
    before = planning.seeds_needed(found, gap * 0.999, alpha, power)
    assert before is None or before > 4
    fewer = planning.recordings_needed(found, gap * 0.999, alpha, power)
    assert fewer is None or fewer > 12


@pytest.mark.parametrize("seed", range(4))
def test_the_answer_is_the_least_that_decides(seed: int) -> None:
    found = difference(seed)
    gap = 0.8 * (planning.detectable_difference(found) or 0)
    seeds = planning.seeds_needed(found, gap)
    if seeds is not None:
        assert found.spread is not None

        def reached(count: int) -> float:
            variances = np.array([found.seed_variance / count, found.recording_covariance])
            return student.power(gap, variances, np.array([count - 1.0, 11.0]), 0.05)

        assert reached(seeds) >= 0.8 > reached(seeds - 1)


def test_no_number_of_seeds_decides_what_the_recordings_hide() -> None:
    found = difference(0)
    hidden = math.sqrt(found.recording_covariance)
    assert hidden > 0
    assert planning.seeds_needed(found, hidden) is None
    assert planning.seeds_needed(found, 5 * hidden) is not None
    assert planning.seeds_needed(found, 5 * hidden, most=1) is None
    recordings = planning.recordings_needed(found, 5 * hidden)
    assert recordings is None or recordings >= 5


def test_no_number_of_recordings_decides_what_the_seeds_hide() -> None:
    found = difference(0, seeds=3)
    seeds_error = math.sqrt((found.seed_variance - found.interaction_variance) / 3)
    assert seeds_error > 0
    assert planning.recordings_needed(found, seeds_error) is None


def test_more_recordings_lessen_the_interaction_too() -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 8, 40))
    (a, without_a), (b, without_b) = means_of(noise[0]), means_of(noise[1])
    found = paired_difference(a, b, without_a, without_b)
    assert found.interaction_variance == pytest.approx(2 * 0.05**2 / 40, rel=0.2)
    gap = 0.6 * (planning.detectable_difference(found) or 0)
    assert 60 < (planning.recordings_needed(found, gap) or 0) < 400


def test_what_is_not_known_gives_no_plan() -> None:
    one_seed = difference(0, seeds=1)
    assert planning.seeds_needed(one_seed, 1.0) is None
    assert planning.recordings_needed(one_seed, 1.0) == 5
    assert planning.recordings_needed(of_seeds(0), 1.0) is None
    nothing = difference(0, recordings=3)
    assert planning.detectable_difference(nothing) is None
    assert planning.seeds_needed(nothing, 1.0) is None
    assert planning.recordings_needed(nothing, 1.0) is None


def test_equal_segmenters_see_any_gap() -> None:
    (scores, left_out) = means_of(random_cells(0, 3, 8))
    same = paired_difference(scores, scores, left_out, left_out)
    assert planning.detectable_difference(same) == 0
    assert planning.seeds_needed(same, 1e-6) == 2


def test_independent_means_can_be_planned_with() -> None:
    a, b = (crossed_interval(*means_of(random_cells(one, 4, 12))) for one in (0, 1))
    found = independent_difference(a, b)
    gap = planning.detectable_difference(found)
    assert gap is not None
    assert planning.seeds_needed(found, gap * 1.001) in (2, 3, 4)


def test_the_forecast_is_the_power_that_is_simulated() -> None:
    """Also of two parts, where the critical value is estimated with the variances."""
    found = simulate_rejections(Cell(seeds=5, segmenter_sd=0.02), 2, 1000, np.random.default_rng(0), gap=0.04)
    assert found.banerjee == pytest.approx(found.planned, abs=0.06)


@pytest.mark.parametrize(
    ("alpha", "power", "gap"), [(0.0, 0.8, 0.1), (0.05, 1.0, 0.1), (0.05, 0.4, 0.1), (0.05, 0.8, 0.0)]
)
def test_bad_input_is_refused(alpha: float, power: float, gap: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        planning.seeds_needed(difference(0), gap, alpha, power)
    with pytest.raises(ValueError, match="expected"):
        planning.recordings_needed(difference(0), gap, alpha, power)
