"""All pairs at once against one pair after another: the same to the last bit, or as near as is said."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.statistics import pairs as module
from benchbird.statistics.difference import Difference, paired_difference, probability_of_beating
from benchbird.statistics.pairs import detectable_differences, paired_differences, probabilities_of_beating
from benchbird.statistics.planning import detectable_difference
from benchbird.statistics.spread import Spread
from benchbird.statistics.student import FloatArray
from tests.statistics.crossed_designs import means_of, random_cells


def design(seed: int, segmenters: int, seeds: int, recordings: int) -> tuple[FloatArray, FloatArray]:
    """Scores `(K, R)` and `(K, R, C)`; the first two are alike everywhere, the third is a constant above them."""
    cells = [random_cells(seed + number, seeds, recordings) for number in range(segmenters)]
    cells[1:3] = [cells[0], cells[0] + 0.1][: segmenters - 1]
    scores, left_out = zip(*map(means_of, cells), strict=True)
    return np.stack(scores), np.stack(left_out)


def fields(difference: Difference) -> list[object]:
    """For a comparison in which NaN is NaN."""
    return ["nan" if isinstance(value, float) and math.isnan(value) else value for value in vars(difference).values()]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 11), st.integers(2, 30), st.booleans(), st.booleans())
def test_differences_are_those_of_one_pair_after_another(
    seed: int, segmenters: int, seeds: int, recordings: int, has_weights: bool, in_small_parts: bool
) -> None:
    scores, left_out = design(seed, segmenters, seeds, recordings)
    weights = np.random.default_rng(seed).lognormal(3, 1, (segmenters, recordings)) if has_weights else None
    pairs = [(b, a) if (a + b) % 3 else (a, b) for a, b in combinations(range(segmenters), 2)]
    with pytest.MonkeyPatch.context() as patch:
        if in_small_parts:
            patch.setattr(module, "_NUMBERS_AT_ONCE", 2 * seeds * recordings)
        found = paired_differences(scores, left_out, pairs, 0.9, weights)
    expected = [
        paired_difference(
            *(scores[a], scores[b], left_out[a], left_out[b]), 0.9, None if weights is None else weights[a]
        )
        for a, b in pairs
    ]
    assert list(map(fields, found)) == list(map(fields, expected))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12), st.floats(0, 1))
def test_probabilities_are_those_of_one_pair_after_another(
    seed: int, segmenters: int, seeds: int, recordings: int, undefined: float
) -> None:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 4, (segmenters, seeds, recordings)) / 3
    cells[rng.random(cells.shape) < undefined] = np.nan
    pairs = list(combinations(range(segmenters), 2))
    assert probabilities_of_beating(cells, pairs) == [probability_of_beating(cells[a], cells[b]) for a, b in pairs]


def test_no_pairs() -> None:
    assert paired_differences([], [], []) == []
    assert probabilities_of_beating([], []) == []
    assert detectable_differences([]) == []


def test_what_one_pair_refuses_is_refused() -> None:
    scores, left_out = design(0, 3, 2, 8)
    with pytest.raises(ValueError, match="level"):
        paired_differences(scores, left_out, [(0, 1)], 1.0)
    with pytest.raises(ValueError, match="finite numbers"):
        paired_differences(scores, np.where(left_out == left_out[1, 1, 2], np.nan, left_out), [(0, 2)])
    with pytest.raises(ValueError, match="weights"):
        paired_differences(scores, left_out, [(0, 1)], weights=np.zeros((3, 8)))


def differences(seeds: int, recordings_df: float, count: int) -> list[Difference]:
    """With every share of the two parts, from one alone to the other; one without any variance."""
    scores, left_out = design(0, 3, seeds, 8)
    template = paired_difference(scores[0], scores[2], left_out[0], left_out[2])
    shares = np.concatenate([[0.0, 1.0, 1e-9, 1 - 1e-9], np.random.default_rng(0).random(count - 5)])
    spreads = [
        Spread(seeds=1e-4 * share, recordings=1e-4 * (1 - share), seeds_df=seeds - 1, recordings_df=recordings_df)
        for share in shares.tolist()
    ]
    none = Spread(seeds=0.0, recordings=0.0, seeds_df=seeds - 1, recordings_df=recordings_df)
    return [Difference(**{**vars(template), "spread": spread}) for spread in (*spreads, none)]


@pytest.mark.parametrize(("seeds", "recordings_df"), [(10, 33.3), (5, 9.0), (10, 4.0)])
def test_many_gaps_are_those_that_are_solved_for_one_by_one(
    seeds: int, recordings_df: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = differences(seeds, recordings_df, 40)
    monkeypatch.setattr(module, "FEW_PAIRS", 10)
    found = detectable_differences(many, 0.05 / 780)
    expected = [detectable_difference(one, 0.05 / 780) for one in many]
    assert found == pytest.approx(expected, rel=1e-10, abs=0)
    assert found != expected, "the series wasn't used"
    assert found[-1] == 0


@pytest.mark.parametrize(("seeds", "few"), [(2, 10), (3, 10), (10, 100)])
def test_few_gaps_and_those_without_a_series_are_solved_for_exactly(
    seeds: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = differences(seeds, 9.0, 12)
    monkeypatch.setattr(module, "FEW_PAIRS", few)
    alpha = 0.05 / 4950
    assert detectable_differences(some, alpha, 0.9) == [detectable_difference(one, alpha, 0.9) for one in some]
    nothing = Difference(**{**vars(some[0]), "spread": None})
    assert detectable_differences([nothing, some[0]])[0] is None
