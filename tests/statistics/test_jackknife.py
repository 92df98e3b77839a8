"""The jackknife's mean squares against a loop over pairs of seeds and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.statistics import jackknife
from tests.statistics.crossed_designs import means_of, random_cells, ratios_of

sizes = st.tuples(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 9))


@given(sizes)
def test_covariances_are_those_of_the_jackknife_taken_pair_by_pair(size: tuple[int, int, int]) -> None:
    _, n_seeds, n_recordings = size
    scores, left_out = means_of(random_cells(*size))
    squares = jackknife.mean_squares(scores, left_out)
    centred = left_out - left_out.mean(1, keepdims=True)
    pairs = (n_recordings - 1) / n_recordings * centred @ centred.T  # (R, R)
    others = [pairs[s, t] for s in range(n_seeds) for t in range(n_seeds) if s != t]
    assert squares.same_seed == pytest.approx(np.diag(pairs).mean(), rel=1e-9, abs=1e-15)
    assert squares.other_seed == pytest.approx(np.mean(others), rel=1e-9, abs=1e-15)
    assert squares.between_seeds == pytest.approx(np.var(scores, ddof=1))


def test_deviations_of_equal_recordings_are_their_share_of_the_mean() -> None:
    cells = random_cells(1, 3, 8)
    _, left_out = means_of(cells)
    z = jackknife.deviations(left_out)
    assert z == pytest.approx((cells - cells.mean(1, keepdims=True)) / 8)
    assert z.sum(1) == pytest.approx(np.zeros(3), abs=1e-12)


def test_the_closed_form_of_a_pooled_ratio_is_the_linearised_residual_with_leverage() -> None:
    rng = np.random.default_rng(2)
    union = rng.uniform(500, 5000, (1, 7))
    intersection = union * rng.uniform(0.3, 0.9, (1, 7))
    scores, left_out = ratios_of(intersection, union)
    residual = (intersection - scores[:, None] * union) / (union.sum() - union)
    assert scores[:, None] - left_out == pytest.approx(residual)


def test_leading_axes_are_runs_of_their_own() -> None:
    designs = [means_of(random_cells(seed, 4, 6)) for seed in range(3)]
    together = jackknife.mean_squares(np.stack([d[0] for d in designs]), np.stack([d[1] for d in designs]))
    alone = [jackknife.variance_parts(jackknife.mean_squares(*design)) for design in designs]
    assert jackknife.variance_parts(together) == pytest.approx(np.stack(alone, axis=1))


def test_the_parts_add_up_to_obuchowski_and_rockettes_variance() -> None:
    scores, left_out = means_of(random_cells(3, 5, 30))
    squares = jackknife.mean_squares(scores, left_out)
    assert squares.between_seeds > squares.same_seed - squares.other_seed > 0
    expected = (squares.between_seeds + 5 * squares.other_seed) / 5
    assert jackknife.variance_parts(squares).sum() == pytest.approx(float(expected))


def test_seeds_that_agree_by_chance_still_have_their_interaction() -> None:
    cells = random_cells(4, 3, 12)
    cells -= cells.mean(1, keepdims=True)  # every seed scores the same
    squares = jackknife.mean_squares(*means_of(cells))
    seeds, _ = jackknife.variance_parts(squares)
    assert squares.between_seeds == pytest.approx(0, abs=1e-30)
    assert seeds == pytest.approx((squares.same_seed - squares.other_seed) / 3)
    assert seeds > 0


def test_one_seed_has_the_recordings_variance_alone() -> None:
    cells = random_cells(5, 1, 10)
    seeds, recordings = jackknife.variance_parts(jackknife.mean_squares(*means_of(cells)))
    assert seeds == 0
    assert recordings == pytest.approx(cells.var(ddof=1) / 10)


def test_recordings_against_each_other_give_no_negative_variance() -> None:
    cells = np.array([[1.0, 0.0] * 3, [0.0, 1.0] * 3])
    squares = jackknife.mean_squares(*means_of(cells))
    assert squares.other_seed < 0
    assert jackknife.variance_parts(squares)[1] == 0


def test_effective_recordings() -> None:
    assert jackknife.effective_recordings(np.full(9, 3.0)) == pytest.approx(9)
    assert jackknife.effective_recordings(np.array([100.0, 1e-9, 1e-9])) == pytest.approx(1)
    assert jackknife.effective_recordings(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
