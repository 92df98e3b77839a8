"""Student's t and its sums against scipy.stats and limiting cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from benchbird.statistics import student

variances = st.tuples(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0)).map(np.array)
freedoms = st.tuples(st.integers(1, 30), st.integers(4, 200)).map(lambda pair: np.array(pair, dtype=float))
tails = st.floats(1e-6, 0.9)


@given(st.floats(1, 1e4), tails)
def test_the_quantile_is_that_of_scipy_stats(df: float, tail: float) -> None:
    assert student.quantile(df, tail) == pytest.approx(stats.t.isf(tail / 2, df), rel=1e-6)


def test_satterthwaite_of_two_equal_parts_adds_their_degrees_of_freedom() -> None:
    assert student.satterthwaite(np.array([2.0, 2.0]), np.array([4.0, 4.0])) == pytest.approx(8)
    assert student.satterthwaite(np.array([3.0, 0.0]), np.array([4.0, 9.0])) == pytest.approx(4)
    assert student.satterthwaite(np.array([1.0, 2.0]), np.array([2.0, 8.0])) == pytest.approx(9)


def test_banerjees_half_width_of_one_part_is_students() -> None:
    found = student.banerjee_half_width(np.array([0.04, 0.0]), np.array([3.0, 50.0]), 0.05)
    assert found == pytest.approx(0.2 * stats.t.isf(0.025, 3))


@given(variances, freedoms, tails)
def test_banerjees_critical_value_lies_between_those_of_the_parts(
    parts: student.FloatArray, df: student.FloatArray, tail: float
) -> None:
    critical = student.banerjee_half_width(parts, df, tail) / np.sqrt(parts.sum())
    own = student.quantile(df, tail)
    assert own.min() * (1 - 1e-9) <= critical <= own.max() * (1 + 1e-9)


@given(variances, freedoms, st.floats(1e-12, 0.999))
def test_the_p_value_is_the_tail_of_its_own_half_width(
    parts: student.FloatArray, df: student.FloatArray, tail: float
) -> None:
    half = float(student.banerjee_half_width(parts, df, tail))
    assert student.banerjee_p_value(half, parts, df) == pytest.approx(tail, rel=1e-4)


@given(
    st.lists(st.tuples(st.floats(0, 10), variances, freedoms, st.sampled_from([None, 0, 1])), min_size=1, max_size=5)
)
def test_several_p_values_are_those_of_a_plain_bisection(
    cases: list[tuple[float, student.FloatArray, student.FloatArray, int | None]],
) -> None:
    def one(distance: float, parts: student.FloatArray, df: student.FloatArray, absent: int | None) -> float:
        if absent is not None:
            there = 1 - absent
            return float(2 * special.stdtr(df[there], -distance / math.sqrt(parts[there])))
        low, high = math.log(student.SMALLEST_P), 0.0
        for _ in range(64):
            middle = (low + high) / 2
            reaches = float(student.banerjee_half_width(parts, df, math.exp(middle))) > distance
            low, high = (middle, high) if reaches else (low, middle)
        return math.exp(high)

    parts, df = np.stack([case[1] for case in cases], axis=1), np.stack([case[2] for case in cases], axis=1)
    for place, (*_, absent) in enumerate(cases):
        if absent is not None:
            parts[absent, place] = 0.0
    found = student.banerjee_p_values(np.array([case[0] for case in cases]), parts, df)
    assert found.tolist() == [one(*case) for case in cases]


def test_the_p_value_is_1_at_0_and_tiny_far_away() -> None:
    parts, df = np.array([1.0, 1.0]), np.array([2.0, 39.0])
    assert student.banerjee_p_value(0.0, parts, df) == pytest.approx(1)
    assert 0 < student.banerjee_p_value(1e6, parts, df) < 1e-10


@pytest.mark.parametrize("df", [2.0, 4.0, 37.5])
@pytest.mark.parametrize("gap", [0.0, 0.5, 2.0, 6.0])
def test_power_is_the_non_central_t_of_scipy_stats(df: float, gap: float) -> None:
    for parts, freedom in ([0.25, 0.0], [df, math.inf]), ([0.0, 0.25], [3.0, df]):
        found = student.power(gap, np.array(parts), np.array(freedom), 0.05)
        assert found == pytest.approx(stats.nct.sf(stats.t.isf(0.025, df), df, gap / 0.5), abs=5e-4)


@given(variances, freedoms, st.floats(0.5, 0.99), st.sampled_from([0.05, 0.01, 0.05 / 78]))
def test_the_gap_of_a_power_has_that_power(
    parts: student.FloatArray, df: student.FloatArray, chance: float, alpha: float
) -> None:
    gap = student.gap_of_power(chance, parts, df, alpha)
    assert student.power(gap, parts, df, alpha) == pytest.approx(chance, abs=1e-4)


def test_power_of_two_parts_is_that_of_drawn_mean_squares() -> None:
    rng = np.random.default_rng(0)
    parts, df = np.array([0.5, 1.0]), np.array([3.0, 20.0])
    drawn = parts[:, None] * rng.chisquare(df[:, None], (2, 200_000)) / df[:, None]
    gap = rng.normal(4.0, np.sqrt(1.5), 200_000)
    seen = (gap > student.banerjee_half_width(drawn, df[:, None], 0.05)).mean()
    assert student.power(4.0, parts, df, 0.05) == pytest.approx(seen, abs=0.005)


@given(variances, freedoms, st.floats(1e-4, 0.5))
def test_less_variance_never_needs_a_wider_interval(
    parts: student.FloatArray, df: student.FloatArray, tail: float
) -> None:
    for lessened in (parts * [0.5, 1.0], parts * [1.0, 0.5]):
        assert student.banerjee_half_width(lessened, df, tail) < student.banerjee_half_width(parts, df, tail)


def test_without_variance_any_gap_is_seen() -> None:
    none = np.zeros(2)
    assert student.power(1e-9, none, np.ones(2), 0.05) == 1
    assert student.power(0.0, none, np.ones(2), 0.05) == 0
    assert student.gap_of_power(0.8, none, np.ones(2), 0.05) == 0
