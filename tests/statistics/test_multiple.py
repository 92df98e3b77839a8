"""Adjusted p-values, letters and ranks by hand and by their defining property."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.statistics.multiple import compact_letters, holm, rank_intervals

BoolArray = npt.NDArray[np.bool_]


def separable_pairs(count: int, *pairs: tuple[int, int]) -> BoolArray:
    matrix = np.zeros((count, count), dtype=bool)
    for first, second in pairs:
        matrix[first, second] = matrix[second, first] = True
    return matrix


@st.composite
def symmetric(draw: st.DrawFn) -> BoolArray:
    count = draw(st.integers(1, 9))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return separable_pairs(count, *chosen)


def test_holm_worked_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, the last raised to 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_stepwise_rule_rejects(p_values: list[float], alpha: float) -> None:
    adjusted = holm(p_values)
    rejected, going = set(), True
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        going = going and p_values[index] * (len(p_values) - step) <= alpha
        if going:
            rejected.add(index)
    assert {index for index, value in enumerate(adjusted) if value <= alpha} == rejected
    assert all(value >= p for value, p in zip(adjusted, p_values, strict=True))


@pytest.mark.parametrize("bad", [[0.5, math.nan], [-0.1], [1.1]])
def test_p_values_lie_between_0_and_1(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm(bad)


@pytest.mark.parametrize(
    ("separable", "letters"),
    [
        (separable_pairs(1), ["a"]),
        (separable_pairs(3), ["a", "a", "a"]),
        (separable_pairs(3, (0, 1), (0, 2), (1, 2)), ["a", "b", "c"]),
        (separable_pairs(3, (0, 2)), ["a", "ab", "b"]),
        (separable_pairs(4, (0, 2), (0, 3), (1, 3)), ["a", "ab", "bc", "c"]),
        # The best is separable from the second, which varies little, but not from the third, which varies much.
        (separable_pairs(3, (0, 1)), ["a", "b", "ab"]),
        (separable_pairs(3, (1, 2)), ["ab", "a", "b"]),
        (separable_pairs(4, (0, 1), (2, 3)), ["ab", "cd", "ac", "bd"]),
    ],
)
def test_letters_worked_by_hand(separable: BoolArray, letters: list[str]) -> None:
    assert compact_letters(separable) == letters


@given(symmetric())
def test_two_items_share_a_letter_exactly_where_they_are_not_separable(separable: BoolArray) -> None:
    letters = compact_letters(separable)
    assert "a" in letters[0]
    for i, mine in enumerate(letters):
        assert mine == "".join(sorted(mine))
        for j, theirs in enumerate(letters):
            assert bool(set(mine) & set(theirs)) == (not separable[i, j])


@given(symmetric())
def test_no_letter_is_held_by_holders_of_another_alone(separable: BoolArray) -> None:
    letters = compact_letters(separable)
    holders = [{i for i, mine in enumerate(letters) if name in mine} for name in sorted(set("".join(letters)))]
    assert not any(one < other for one in holders for other in holders)
    assert len({frozenset(one) for one in holders}) == len(holders)


def test_beyond_the_alphabet_letters_double_and_are_parted_by_commas() -> None:
    letters = compact_letters(~np.eye(28, dtype=bool))
    assert letters[:2] == ["a", "b"]
    assert letters[25:] == ["z", "aa", "ab"]
    cycle = separable_pairs(60, *((i, j) for i in range(60) for j in range(i + 2, 60)))
    assert compact_letters(cycle)[26] == "z,aa"
    assert compact_letters(np.zeros((0, 0), dtype=bool)) == []


def test_rank_intervals_worked_by_hand() -> None:
    better = np.zeros((4, 4), dtype=bool)
    better[0, 2] = better[0, 3] = better[1, 3] = True
    assert rank_intervals(better) == [(1, 2), (1, 3), (2, 4), (3, 4)]
    assert rank_intervals(np.zeros((3, 3), dtype=bool)) == [(1, 3)] * 3
    assert rank_intervals(np.triu(np.ones((3, 3), dtype=bool), 1)) == [(1, 1), (2, 2), (3, 3)]
    assert rank_intervals(np.zeros((0, 0), dtype=bool)) == []


@given(symmetric())
def test_an_order_that_keeps_to_all_pairs_lies_within_the_ranks(separable: BoolArray) -> None:
    better = np.triu(separable)  # the given order is one that keeps to all pairs
    for item, (best, worst) in enumerate(rank_intervals(better)):
        assert 1 <= best <= item + 1 <= worst <= len(separable)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 3), dtype=bool), "square matrix of bool"),
        (np.zeros((2, 2)), "square matrix of bool"),
        (np.eye(2, dtype=bool), "diagonal"),
    ],
)
def test_matrices_are_square_bool_and_false_on_the_diagonal(matrix: BoolArray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compact_letters(matrix)
    with pytest.raises(ValueError, match=message):
        rank_intervals(matrix)


def test_contradictions_are_refused() -> None:
    one_way = np.array([[False, True], [False, False]])
    with pytest.raises(ValueError, match="symmetric"):
        compact_letters(one_way)
    with pytest.raises(ValueError, match="each better than the other"):
        rank_intervals(one_way | one_way.T)
