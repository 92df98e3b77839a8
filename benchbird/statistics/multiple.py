"""Many comparisons at once: adjusted p-values, letters that group what isn't separable, and ranges of ranks."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    Rejecting what is at most alpha keeps the chance of any false rejection at alpha, however the tests hang
    together.

    Args:
        p_values: of all tests of the family, in [0, 1].

    Returns:
        In the given order, in [0, 1].

    Raises:
        ValueError: NaN or outside [0, 1].
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values: expected numbers in [0, 1], found {list(p_values)}")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in adjusted]


def compact_letters(separable: npt.ArrayLike) -> list[str]:
    """Letters of each item, such that two items share one exactly where they aren't separable.

    Insert and absorb (Piepho 2004, doi 10.1198/1061860043515): start with one letter for all; for each separable
    pair split every letter that both hold; drop a letter whose holders all hold another.

    Args:
        separable: bool `(K, K)`, symmetric, False on the diagonal; the items best first.

    Returns:
        One string per item, its letters in alphabetical order. "a" is among the best's. Beyond 26 letters come
        "aa", "ab", ...; then an item's letters are separated by commas.

    Raises:
        ValueError: not square, not symmetric, or an item separable from itself.
    """
    matrix = _checked_square(separable, "separable")
    if (matrix != matrix.T).any():
        raise ValueError("separable: expected a symmetric matrix")
    groups = [frozenset(range(len(matrix)))] if len(matrix) else []
    for first, second in np.argwhere(np.triu(matrix)).tolist():
        groups = _split(groups, first, second)
    ordered = sorted(sorted(group) for group in groups)
    names = [_letter(index) for index in range(len(ordered))]
    separator = "" if len(names) <= len(string.ascii_lowercase) else ","
    return [
        separator.join(name for name, group in zip(names, ordered, strict=True) if item in group)
        for item in range(len(matrix))
    ]


def rank_intervals(better: npt.ArrayLike) -> list[tuple[int, int]]:
    """Ranks that each item may have: from 1 + those separably better to K - those separably worse.

    Args:
        better: bool `(K, K)`; [i, j]: i is separably better than j.

    Returns:
        Best and worst rank of each item, in [1, K].

    Raises:
        ValueError: not square, an item better than itself, or two items each better than the other.
    """
    matrix = _checked_square(better, "better")
    if (matrix & matrix.T).any():
        raise ValueError("better: two items are each better than the other")
    above, below = matrix.sum(0).tolist(), matrix.sum(1).tolist()
    return [(1 + more, len(matrix) - fewer) for more, fewer in zip(above, below, strict=True)]


def _split(groups: list[frozenset[int]], first: int, second: int) -> list[frozenset[int]]:
    """Groups in which the two don't meet, none of them inside another."""
    both = [group for group in groups if first in group and second in group]
    kept = [group for group in groups if group not in both]
    for part in [group - {item} for group in both for item in (first, second)]:
        if not any(part <= other for other in kept):
            kept.append(part)  # none of `kept` lies inside it: none lay inside the group it came from
    return kept


def _letter(index: int) -> str:
    """0 is "a", 25 "z", 26 "aa", 27 "ab"."""
    more, last = divmod(index, len(string.ascii_lowercase))
    return (_letter(more - 1) if more else "") + string.ascii_lowercase[last]


def _checked_square(matrix: npt.ArrayLike, name: str) -> BoolArray:
    array = np.asarray(matrix)
    if array.size == 0:
        return np.zeros((0, 0), dtype=np.bool_)
    if array.dtype != np.bool_ or array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"{name}: expected a square matrix of bool, found {array.dtype} of shape {array.shape}")
    if array.diagonal().any():
        raise ValueError(f"{name}: expected False on the diagonal, an item can't differ from itself")
    return array
