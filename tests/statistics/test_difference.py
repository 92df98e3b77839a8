"""Differences against scipy's tests, and where they must say that nothing is known."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbird.statistics.crossed import Interval, crossed_interval, seed_interval
from benchbird.statistics.difference import (
    Difference,
    independent_difference,
    paired_difference,
    probability_of_beating,
)
from benchbird.statistics.student import FloatArray
from tests.statistics.crossed_designs import means_of, random_cells, ratios_of


def paired(cells_a: FloatArray, cells_b: FloatArray, level: float = 0.95) -> Difference:
    (scores_a, left_out_a), (scores_b, left_out_b) = means_of(cells_a), means_of(cells_b)
    return paired_difference(scores_a, scores_b, left_out_a, left_out_b, level)


@pytest.mark.parametrize("seed", range(5))
def test_one_seed_on_equal_recordings_is_the_paired_t_test(seed: int) -> None:
    a, b = random_cells(seed, 1, 12), random_cells(seed + 100, 1, 12)
    found, expected = paired(a, b), stats.ttest_1samp((a - b)[0], 0.0)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.degrees_of_freedom == pytest.approx(11)
    assert found.covers == "recordings"
    assert math.isnan(found.seed_variance)
    assert found.recording_covariance == pytest.approx((a - b).var(ddof=1) / 12)


@pytest.mark.parametrize("seed", range(5))
def test_seeds_alone_are_the_paired_t_test(seed: int) -> None:
    a, b = random_cells(seed, 6, 4).mean(1), random_cells(seed + 100, 6, 4).mean(1)
    found, expected = paired_difference(a, b, None, None), stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.covers, found.n_recordings) == ("seeds", 0)
    assert found.seed_variance == pytest.approx(np.var(a - b, ddof=1))
    assert math.isnan(found.recording_covariance)


def test_two_crossed_designs_worked_through() -> None:
    a, b = random_cells(1, 4, 9), random_cells(2, 4, 9)
    found, alone = paired(a, b), crossed_interval(*means_of(a - b))
    assert (found.mean, found.standard_error) == pytest.approx((alone.mean, alone.standard_error))
    assert found.degrees_of_freedom == pytest.approx(alone.degrees_of_freedom)
    seeds, recordings = found.seed_variance / 4, found.recording_covariance
    assert found.standard_error == pytest.approx(math.sqrt(seeds + recordings))
    half = math.sqrt(seeds * stats.t.isf(0.025, 3) ** 2 + recordings * stats.t.isf(0.025, 8) ** 2)
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half))
    assert (found.covers, found.reason, found.n_seeds, found.n_recordings) == ("seeds and recordings", "", 4, 9)


def test_what_both_find_hard_cancels() -> None:
    shared = np.random.default_rng(0).normal(0.6, 0.2, (1, 20))
    a, b = shared + random_cells(1, 3, 20) / 50, shared + random_cells(2, 3, 20) / 50
    separate = independent_difference(crossed_interval(*means_of(a)), crossed_interval(*means_of(b)))
    assert (paired(a, b).standard_error or 1) < 0.2 * (separate.standard_error or 0)


@given(st.integers(0, 300), st.floats(0.5, 0.999))
def test_the_interval_leaves_0_out_exactly_where_p_is_below_its_tail(seed: int, level: float) -> None:
    found = paired(random_cells(seed, 3, 8) + 0.05, random_cells(seed + 1000, 3, 8), level)
    assert found.low is not None and found.high is not None and found.p_value is not None
    if not math.isclose(found.p_value, 1 - level, rel_tol=1e-6):
        assert (found.low > 0 or found.high < 0) == (found.p_value < 1 - level)


@given(st.integers(0, 300))
def test_swapping_the_two_changes_the_sign_alone(seed: int) -> None:
    a, b = random_cells(seed, 3, 8), random_cells(seed + 1000, 3, 8)
    there, back = paired(a, b), paired(b, a)
    assert there.p_value == pytest.approx(back.p_value)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -(back.high or 0), -(back.low or 0)))


def test_sizes_of_recordings_lessen_the_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    union = np.broadcast_to(rng.lognormal(8, 1.2, 10), (3, 10))
    (a, without_a), (b, without_b) = (ratios_of(union * rng.uniform(0.4, 0.9, (3, 10)), union) for _ in range(2))
    plain = paired_difference(a, b, without_a, without_b)
    weighted = paired_difference(a, b, without_a, without_b, weights=union[0])
    assert weighted.standard_error == plain.standard_error
    assert (weighted.p_value or 0) > (plain.p_value or 1)


def test_a_segmenter_against_itself() -> None:
    cells = random_cells(0, 3, 8)
    found = paired(cells, cells)
    assert (found.mean, found.low, found.high, found.standard_error, found.p_value) == (0, 0, 0, 0, 1)
    assert found.degrees_of_freedom is None


def test_the_same_gap_everywhere_is_certain_on_enough_recordings() -> None:
    cells = random_cells(0, 3, 8)
    found = paired(cells + 0.1, cells)
    assert found.p_value == 0
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    few = paired(cells[:, :4] + 0.1, cells[:, :4])
    assert (few.p_value, few.low, few.covers) == (None, None, "nothing")


def test_seeds_that_agree_decide_nothing_without_recordings() -> None:
    found = paired_difference([0.7, 0.7, 0.7], [0.1, 0.1, 0.1], None, None)
    assert (found.p_value, found.low, found.covers) == (None, None, "nothing")
    assert "Every seed" in found.reason
    equal = paired_difference([0.1, 0.7, 0.3], [0.1, 0.7, 0.3], None, None)
    assert (equal.p_value, equal.low, equal.covers) == (1, 0, "seeds")


def test_seeds_that_agree_by_chance_are_not_certain() -> None:
    cells = random_cells(0, 3, 8)
    level = cells - cells.mean(1, keepdims=True)  # each seed's mean is 0, its recordings differ
    found = paired(level + 0.02, np.zeros((3, 8)))
    assert found.p_value is not None and found.p_value > 0


def test_one_seed_without_recordings_is_a_mean_alone() -> None:
    found = paired_difference([0.7], [0.6], None, None)
    assert found.mean == pytest.approx(0.1)
    assert (found.p_value, found.standard_error, found.covers) == (None, None, "nothing")
    assert "One seed" in found.reason


@pytest.mark.parametrize("seed", range(5))
def test_independent_seeds_are_welchs_test(seed: int) -> None:
    a, b = random_cells(seed, 4, 5).mean(1), random_cells(seed + 100, 7, 5).mean(1) * 2
    found = independent_difference(seed_interval(a), seed_interval(b), 0.9)
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.9)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.degrees_of_freedom == pytest.approx(expected.df)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert (found.covers, found.n_seeds) == ("seeds", 4)


def test_independent_recordings_are_welchs_test() -> None:
    a, b = random_cells(0, 1, 9), random_cells(1, 1, 14)
    found = independent_difference(crossed_interval(*means_of(a)), crossed_interval(*means_of(b)))
    assert found.p_value == pytest.approx(stats.ttest_ind(a[0], b[0], equal_var=False).pvalue)
    assert (found.covers, found.n_recordings) == ("recordings", 9)


def test_independent_crossed_means_add_their_variances() -> None:
    a, b = crossed_interval(*means_of(random_cells(0, 3, 9))), crossed_interval(*means_of(random_cells(1, 5, 14)))
    found = independent_difference(a, b)
    assert found.standard_error == pytest.approx(math.hypot(a.standard_error or 0, b.standard_error or 0))
    assert found.standard_error == pytest.approx(math.sqrt(found.seed_variance / 3 + found.recording_covariance))
    assert (found.covers, found.reason) == ("seeds and recordings", "")


def test_independent_means_cover_what_both_cover() -> None:
    cells = random_cells(0, 3, 9)
    both, recordings = crossed_interval(*means_of(cells)), crossed_interval(*means_of(cells[:1]))
    seeds, nothing = seed_interval(cells.mean(1)), seed_interval([0.5])
    for a, b, covers in [
        (both, recordings, "recordings"),
        (seeds, both, "seeds"),
        (recordings, seeds, "nothing"),
        (both, nothing, "nothing"),
        (nothing, nothing, "nothing"),
    ]:
        for found in (independent_difference(a, b), independent_difference(b, a)):
            assert found.covers == covers
            assert found.reason
            assert (found.p_value is None) == (covers == "nothing")


def test_an_interval_from_elsewhere_is_refused() -> None:
    foreign = Interval(
        mean=0.5, low=0.4, high=0.6, standard_error=0.05, degrees_of_freedom=4, covers="seeds", reason=""
    )
    with pytest.raises(ValueError, match="without spread"):
        independent_difference(foreign, seed_interval([0.5, 0.6]))


def test_probability_of_beating_counts_ties_half_and_leaves_gaps_out() -> None:
    a = [[0.9, 0.5, math.nan], [0.1, 0.6, 0.7]]
    b = [[0.8, 0.5, 0.2], [0.2, math.nan, 0.6]]
    assert probability_of_beating(a, b) == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert probability_of_beating([[math.nan]], [[1.0]]) is None


@given(st.integers(0, 100))
def test_probabilities_of_beating_add_up_to_1(seed: int) -> None:
    a, b = random_cells(seed, 3, 5).round(1), random_cells(seed + 500, 3, 5).round(1)
    assert (probability_of_beating(a, b) or 0) + (probability_of_beating(b, a) or 0) == pytest.approx(1)


def test_bad_input_is_refused() -> None:
    two = means_of(random_cells(0, 2, 6))
    with pytest.raises(ValueError, match="both segmenters or of neither"):
        paired_difference(two[0], two[0], two[1], None)
    with pytest.raises(ValueError, match="left_out: expected the same shape"):
        paired_difference(two[0], two[0], two[1], two[1][:, :5])
    with pytest.raises(ValueError, match="scores: expected the same shape"):
        paired_difference([0.5, 0.6], [0.5], None, None)
    with pytest.raises(ValueError, match="level"):
        paired_difference(two[0], two[0], two[1], two[1], 1.0)
    with pytest.raises(ValueError, match="cells: expected shape"):
        probability_of_beating([1.0], [1.0])
    with pytest.raises(ValueError, match="cells: expected the same shape"):
        probability_of_beating([[1.0]], [[1.0, 2.0]])


def test_reading_commands_load_no_heavy_library() -> None:
    modules = "crossed, difference, multiple, planning"
    check = f"import sys; from benchbird.statistics import {modules}; print([m for m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert not [name for name in ("'torch'", "'pandas'", "'scipy'") if name in found]
