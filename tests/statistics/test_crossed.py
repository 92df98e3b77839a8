"""Intervals and components against scipy.stats, ANOVA by hand and limiting cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchbird.statistics.crossed import components, crossed_interval, seed_interval
from benchbird.statistics.jackknife import MIN_RECORDINGS
from benchbird.statistics.spread import Spread
from benchbird.statistics.student import FloatArray
from tests.statistics.crossed_designs import means_of, orthogonal_cells, random_cells, ratios_of


def anova(cells: FloatArray) -> tuple[float, float, float]:
    """Mean squares of seeds, recordings and the rest, by the textbook's sums of squares."""
    n_seeds, n_recordings = cells.shape
    by_seed, by_recording = cells.mean(1, keepdims=True), cells.mean(0, keepdims=True)
    rest = cells - by_seed - by_recording + cells.mean()
    return (
        n_recordings * float(((by_seed - cells.mean()) ** 2).sum()) / (n_seeds - 1),
        n_seeds * float(((by_recording - cells.mean()) ** 2).sum()) / (n_recordings - 1),
        float((rest**2).sum()) / (n_seeds - 1) / (n_recordings - 1),
    )


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8, unique=True), st.floats(0.5, 0.999))
def test_the_seed_interval_is_that_of_scipy_stats(thousandths: list[int], level: float) -> None:
    scores = np.array(thousandths) / 1000
    found = seed_interval(scores, level)
    low, high = stats.t.interval(level, len(scores) - 1, scores.mean(), stats.sem(scores))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.degrees_of_freedom == pytest.approx(len(scores) - 1)
    assert (found.covers, found.n_seeds, found.n_recordings) == ("seeds", len(scores), 0)
    assert "other recordings" in found.reason


def test_one_seed_alone_has_no_interval() -> None:
    found = seed_interval([0.7])
    assert (found.mean, found.low, found.high, found.standard_error) == (0.7, None, None, None)
    assert found.covers == "nothing"
    assert "One seed" in found.reason


def test_without_scores_by_recording_the_seeds_are_covered() -> None:
    assert crossed_interval([0.6, 0.7, 0.8], None) == seed_interval([0.6, 0.7, 0.8])


def test_identical_scores_have_an_interval_of_no_width() -> None:
    found = seed_interval([0.1, 0.1, 0.1])
    assert (found.low, found.high, found.standard_error) == (found.mean, found.mean, 0.0)
    assert found.degrees_of_freedom is None


@pytest.mark.parametrize("seed", range(4))
def test_a_balanced_design_has_the_variance_and_freedom_of_its_anova(seed: int) -> None:
    cells = random_cells(seed, 5, 12)
    of_seeds, of_recordings, rest = anova(cells)
    assert of_seeds > rest  # otherwise the lower bound of the seeds' part acts
    assert of_recordings > rest
    found = crossed_interval(*means_of(cells))
    seeds, recordings = of_seeds / 12 / 5, (of_recordings - rest) / (5 * 12)
    df = (seeds + recordings) ** 2 / (seeds**2 / 4 + recordings**2 / 11)
    half = float(stats.t.isf(0.025, df)) * math.sqrt(seeds + recordings)
    assert found.standard_error == pytest.approx(math.sqrt(seeds + recordings))
    assert found.degrees_of_freedom == pytest.approx(df)
    assert (found.low, found.high) == pytest.approx((cells.mean() - half, cells.mean() + half))
    assert (found.covers, found.reason) == ("seeds and recordings", "")
    assert (found.n_seeds, found.n_recordings) == (5, 12)


def test_components_of_an_orthogonal_design_are_known() -> None:
    found = components(*means_of(orthogonal_cells(0.03, 0.2, 0.01)))
    rest = 0.01**2 * 24 / 15  # sum of squares over (R - 1)(C - 1)
    assert found.interaction == pytest.approx(rest / 6)
    assert found.seeds == pytest.approx(0.03**2 * 4 / 3 - rest / 6)
    assert found.recordings == pytest.approx(0.2**2 / 5 - rest / 24)


@given(st.integers(0, 500))
def test_components_are_those_of_the_anova_cut_off_at_0(seed: int) -> None:
    cells = random_cells(seed, 3, 7)
    of_seeds, of_recordings, rest = anova(cells)
    found = components(*means_of(cells))
    assert found.seeds == pytest.approx(max(of_seeds - rest, 0) / 7, abs=1e-15)
    assert found.recordings == pytest.approx(max(of_recordings - rest, 0) / 21, abs=1e-15)
    assert found.interaction == pytest.approx(rest / 7, abs=1e-15)


def test_components_are_right_on_average() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        seeds, recordings = rng.normal(0, 0.04, (6, 1)), rng.normal(0, 0.2, (1, 16))
        one = components(*means_of(seeds + recordings + rng.normal(0, 0.05, (6, 16))))
        found.append((one.seeds, one.recordings, one.interaction))
    expected = np.array([0.04**2, 0.2**2 / 16, 0.05**2 / 16])
    assert np.mean(found, axis=0) == pytest.approx(expected, rel=0.06)


def test_components_of_one_seed_can_not_tell_recordings_from_interaction() -> None:
    cells = random_cells(0, 1, 9)
    found = components(*means_of(cells))
    assert found.recordings == pytest.approx(cells.var(ddof=1) / 9)
    assert math.isnan(found.seeds)
    assert math.isnan(found.interaction)
    with pytest.raises(ValueError, match="at least 2"):
        components([0.5, 0.6], [[math.nan], [math.nan]])


def test_one_seed_has_students_interval_over_recordings() -> None:
    cells = random_cells(7, 1, 11)
    found = crossed_interval(*means_of(cells))
    expected = stats.t.interval(0.95, 10, cells.mean(), stats.sem(cells[0]))
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.degrees_of_freedom == pytest.approx(10)
    assert found.covers == "recordings"
    assert "another seed" in found.reason


def test_six_crops_of_two_recordings_carry_no_interval() -> None:
    found = crossed_interval(*means_of(random_cells(0, 5, 2)))
    assert (found.low, found.high, found.standard_error, found.covers) == (None, None, None, "nothing")
    assert found.reason == f"Test recordings: 2; an interval needs at least {MIN_RECORDINGS}."
    assert found.n_recordings == 2


def test_the_only_recording_may_leave_nothing_behind() -> None:
    assert crossed_interval([0.5, 0.6], [[math.nan], [math.nan]]).covers == "nothing"
    assert crossed_interval(*means_of(random_cells(0, 3, MIN_RECORDINGS))).low is not None


def test_a_segmenter_without_chance_has_the_recordings_interval() -> None:
    """Every seed of a threshold scores the same: only the recordings vary."""
    cells = np.repeat(random_cells(3, 1, 10), 4, axis=0)
    found, alone = crossed_interval(*means_of(cells)), crossed_interval(*means_of(cells[:1]))
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert found.degrees_of_freedom == pytest.approx(9)
    assert found.covers == "seeds and recordings"


def test_equal_scores_everywhere_have_no_error() -> None:
    found = crossed_interval(*means_of(np.full((3, 8), 0.1)))
    assert (found.low, found.high, found.standard_error) == (found.mean, found.mean, 0.0)


def test_weights_lessen_the_degrees_of_freedom_of_recordings() -> None:
    rng = np.random.default_rng(1)
    union = rng.lognormal(8, 1.2, 12)
    design = ratios_of(union * rng.uniform(0.4, 0.9, (1, 12)), np.broadcast_to(union, (1, 12)))
    plain, equal = crossed_interval(*design), crossed_interval(*design, weights=np.full(12, 7.0))
    weighted = crossed_interval(*design, weights=union)
    assert equal == plain
    assert weighted.degrees_of_freedom == pytest.approx(union.sum() ** 2 / (union**2).sum() - 1)
    assert weighted.standard_error == plain.standard_error
    one_giant = crossed_interval(*design, weights=[1e9, *np.ones(11)])
    assert one_giant.degrees_of_freedom == pytest.approx(1)


@given(st.integers(0, 100), st.permutations(range(4)), st.permutations(range(6)))
def test_the_order_of_seeds_and_recordings_does_not_matter(seed: int, rows: list[int], columns: list[int]) -> None:
    cells = random_cells(seed, 4, 6)
    found = crossed_interval(*means_of(cells[rows][:, columns]))
    expected = crossed_interval(*means_of(cells))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@given(st.integers(0, 100), st.floats(0.01, 100))
def test_an_interval_scales_with_the_score(seed: int, factor: float) -> None:
    scores, left_out = means_of(random_cells(seed, 4, 6))
    found, expected = crossed_interval(factor * scores, factor * left_out), crossed_interval(scores, left_out)
    assert (found.low, found.high) == pytest.approx((factor * (expected.low or 0), factor * (expected.high or 0)))


def test_a_spread_without_variance_has_no_degrees_of_freedom() -> None:
    assert Spread(seeds=0.0, recordings=0.0).satterthwaite is None
    assert Spread(seeds=0.0, recordings=4.0, recordings_df=7).satterthwaite == pytest.approx(7)
    assert Spread(seeds=0.0, recordings=4.0, recordings_df=7).standard_error == 2


@pytest.mark.parametrize(
    ("scores", "left_out", "weights", "message"),
    [
        ([[0.5]], np.ones((1, 5)), None, r"scores: .*shape \(1, 1\)"),
        ([], np.ones((0, 5)), None, "scores: "),
        ([0.5, math.nan], np.ones((2, 5)), None, "scores: expected finite"),
        ([0.5, 0.6], np.ones((3, 5)), None, r"left_out: expected shape \(2, C\)"),
        ([0.5, 0.6], np.ones(2), None, "left_out: expected shape"),
        ([0.5, 0.6], np.ones((2, 0)), None, "at least one recording"),
        ([0.5, 0.6], np.where(np.eye(2, 5), math.inf, 0.5), None, r"found inf at \[0, 0\]"),
        ([0.5, 0.6], np.ones((2, 5)), [1.0, 2.0], "weights: expected one per recording"),
        ([0.5, 0.6], np.ones((2, 5)), [1.0, 2.0, 0.0, 1.0, 1.0], "weights: expected finite numbers above 0"),
    ],
)
def test_bad_input_is_refused(scores: object, left_out: FloatArray, weights: list[float] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crossed_interval(scores, left_out, weights=weights)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="level: expected a probability"):
        seed_interval([0.5, 0.6], level)
