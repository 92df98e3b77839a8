"""What is said of two tracks side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.leaderboard import rank
from benchbird.results import trial_hash
from benchbird.standings import Comparison, Leaderboard
from benchbird.tracks import Tracks, compare_tracks
from benchbird.tracks_report import tracks_document, tracks_text
from benchbird.tuning import RateChoice
from tests.record_factory import make_record, make_segmenter

LABELS = "abcd"
RATES: dict[str, float | None] = dict.fromkeys(LABELS, 1e-3)


def board(
    scores: dict[str, float], *, better: tuple[tuple[str, str], ...] = (), tied: tuple[str, ...] = ()
) -> Leaderboard:
    """A leaderboard with these scores; `better` pairs are separable, `tied` ones (`ab`) tested and not."""
    leaderboard = rank([make_record(make_segmenter(label), iou=score) for label, score in scores.items()])
    return replace(
        leaderboard,
        comparisons=(
            *(_comparison(first, second, True) for first, second in better),
            *(_comparison(pair[0], pair[1], False) for pair in tied),
        ),
    )


def _comparison(first: str, second: str, is_separable: bool) -> Comparison:
    return Comparison(
        first=first, second=second, difference=0.1, low=0.0, high=0.2, p_value=0.01, p_adjusted=0.02,
        is_separable=is_separable, probability=0.9, n_seeds=3, n_recordings=9, detectable=0.05,
        covers="seeds and recordings", reason="",
    )  # fmt: skip


def tracks(fixed: Leaderboard, tuned: Leaderboard, rates: dict[str, float | None] = RATES) -> Tracks:
    choices = {}
    for label, rate in rates.items():
        version = trial_hash(make_segmenter(label))
        validation = {1e-4: 0.1, 1e-3: 0.2, 1e-2: None}
        choices[label, version] = RateChoice(label=label, version=version, validation=validation, rate=rate)
    return compare_tracks(fixed, tuned, choices, seed=1000, fixed_rate=1e-3)


def test_one_order_in_both() -> None:
    scores = {"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2}
    found = tracks(
        board(scores, better=(("a", "b"),)), board({one: two + 0.1 for one, two in scores.items()}, tied=("ab",))
    )
    assert found.order_holds is True
    assert found.kendall_tau == pytest.approx(1)
    assert [row.label for row in found.rows] == list("abcd")
    assert [row.change for row in found.rows] == pytest.approx([0.1] * 4)
    assert found.no_longer_separable == (("a", "b"),)
    text = tracks_text(found, "iou_pooled")
    assert "The order holds: all 4 networks" in text
    assert "Separable in the fixed track alone, the better one first: a and b." in text
    assert "+0.100" in text


def test_a_reversal_that_counts_is_named() -> None:
    fixed = board({"a": 0.5, "b": 0.4, "c": 0.3}, better=(("a", "b"), ("a", "c")))
    tuned = board({"a": 0.5, "b": 0.6, "c": 0.3}, better=(("b", "a"), ("a", "c")))
    found = tracks(fixed, tuned)
    assert found.order_holds is False
    assert found.reversed_pairs == (("a", "b"),)
    assert [(row.label, row.fixed_place, row.tuned_place) for row in found.rows[:3]] == [
        ("b", 2, 1),
        ("a", 1, 2),
        ("c", 3, 3),
    ]
    text = tracks_text(found, "iou_pooled")
    assert "2 of 3 networks change their place (Kendall's τ 0.33)" in text
    assert "Reversed, and separable in both: a and b" in text


def test_a_reversal_within_the_noise_is_none() -> None:
    found = tracks(board({"a": 0.5, "b": 0.4}, tied=("ab",)), board({"a": 0.4, "b": 0.5}, better=(("b", "a"),)))
    assert found.reversed_pairs == ()
    assert found.newly_separable == (("b", "a"),)
    assert "No pair that is separable in both tracks is reversed." in tracks_text(found, "iou_pooled")


def test_without_a_test_nothing_is_claimed() -> None:
    found = tracks(board({"a": 0.5, "b": 0.4}), board({"a": 0.4, "b": 0.5}))
    assert not found.is_tested
    assert "whether places differ by more than noise is open" in tracks_text(found, "iou_pooled")


def test_floors_and_networks_of_one_track_have_no_place() -> None:
    found = tracks(
        board({"a": 0.5, "b": 0.4, "threshold": 0.45}),
        board({"b": 0.3, "a": 0.2, "threshold": 0.45}),
    )
    assert {row.label: (row.fixed_place, row.tuned_place) for row in found.rows} == {
        "b": (2, 1), "a": (1, 2), "c": (None, None), "d": (None, None),
    }  # fmt: skip


def test_rates_at_the_edge_and_none_are_told() -> None:
    found = tracks(board({"a": 0.5, "b": 0.4}), board({"a": 0.5, "b": 0.4}), {**RATES, "a": 1e-4, "b": 1e-2, "c": None})
    assert [row.is_at_edge for row in found.rows] == [True, True, False, False]
    text = tracks_text(found, "iou_pooled")
    assert "0.0001 (edge)" in text and "0.01 (edge)" in text
    assert "No rate has a score on validation: c." in text
    document = tracks_document(found)
    assert document["rows"][0]["validation"][2] == {"lr": 1e-2, "score": None}
    assert document["order_holds"] is True


def test_other_seeds_or_another_version_have_no_place_and_no_change() -> None:
    fixed = board({"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.2})
    tuned = board({"a": 0.5, "b": 0.4, "c": 0.3, "d": 0.1})
    more = tuple(replace(row, seeds=(0, 1)) if row.label == "a" else row for row in fixed.rows)
    other = tuple(replace(row, trial_hash="0" * 8) if row.label == "b" else row for row in more)
    found = tracks(replace(fixed, rows=other), tuned)
    assert {row.label: (row.fixed_place, row.change is None) for row in found.rows} == {
        "a": (None, True), "b": (None, True), "c": (1, False), "d": (2, False),
    }  # fmt: skip
    text = tracks_text(found, "iou_pooled")
    assert "Of other seeds in either track, so without place and change: a." in text
    assert "Not in both tracks in one version: b." in text
    assert "−0.100" in text


def test_where_nothing_is_ranked_no_order_holds() -> None:
    fixed = replace(board({"a": 0.5, "b": 0.4}), unranked="Nothing is ranked: leaks.")
    found = tracks(fixed, board({"a": 0.4, "b": 0.5}))
    assert found.order_holds is None and not found.is_tested
    text = tracks_text(found, "iou_pooled")
    assert "Nothing is ranked: leaks." in text and "order" not in text


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_kendalls_tau_counts_pairs(first: list[int], second: list[int]) -> None:
    def scores(order: list[int]) -> dict[str, float]:
        return {label: 0.2 + 0.1 * place for label, place in zip(LABELS, order, strict=True)}

    pairs = [(one, two) for one in range(4) for two in range(one)]
    agreeing = sum((first[one] < first[two]) == (second[one] < second[two]) for one, two in pairs)
    found = tracks(board(scores(first)), board(scores(second)))
    assert found.kendall_tau == pytest.approx((2 * agreeing - 6) / 6)
    assert found.order_holds is (first == second)
