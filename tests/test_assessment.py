"""Hand-made trials of known spread: what may be said of them, and what mustn't."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from benchbird.assessment import (
    ALPHA,
    Assessment,
    Contender,
    assess,
    common_seeds,
    difference_between,
    estimate,
    holm_adjusted,
    probability_between,
)
from benchbird.readings import Reading
from benchbird.statistics.crossed import crossed_interval
from benchbird.statistics.multiple import holm

Cells = npt.NDArray[np.float64]


def reading(cells: Sequence[float] | Cells) -> Reading:
    """Of a score that is the mean of its recordings' scores."""
    alone = np.array(cells, dtype=np.float64)
    n = len(alone)
    left_out = (alone.sum() - alone) / (n - 1) if n > 1 else np.full(1, math.nan)
    names = tuple(f"recording {place}" for place in range(n))
    return Reading(score=float(alone.mean()), left_out=left_out, alone=alone, sizes=np.ones(n), recordings=names)


def contender(label: str, cells: Mapping[int, Sequence[float] | Cells]) -> Contender:
    readings = {seed: reading(row) for seed, row in cells.items()}
    return Contender(label=label, scores={seed: one.score for seed, one in readings.items()}, readings=readings)


def noisy(label: str, level: float, *, seeds: int = 4, recordings: int = 20, sd: float = 0.01) -> Contender:
    """Recordings as hard for everyone, and luck of this label alone; the mean is `level`, whatever the luck."""
    hardness = np.random.default_rng(0).normal(size=recordings) * 0.05
    rng = np.random.default_rng(list(label.encode()))
    luck = sd * (rng.normal(size=(seeds, recordings)) + rng.normal(size=(seeds, 1)))
    cells = level + (hardness - hardness.mean()) + (luck - luck.mean())
    return contender(label, dict(enumerate(cells)))


def pair(assessment: Assessment, first: str, second: str) -> bool:
    """Whether the two are separable, in this order."""
    found = [one for one in assessment.comparisons if {one.first, one.second} == {first, second}]
    assert len(found) == 1
    assert found[0].first == first
    return found[0].is_separable


def test_an_estimate_is_the_mean_with_the_crossed_interval() -> None:
    one = noisy("a", 0.6, seeds=3, recordings=8)
    found = estimate(one)
    scores = [one.readings[seed].score for seed in range(3)]
    assert found.mean == pytest.approx(np.mean(np.array(scores)))
    assert found.sd == pytest.approx(np.std(np.array(scores), ddof=1))
    expected = crossed_interval(
        np.array(scores), np.stack([one.readings[seed].left_out for seed in range(3)]), weights=np.ones(8)
    )
    assert (found.low, found.high) == (expected.low, expected.high)
    assert (found.n, found.covers, found.reason) == (3, "seeds and recordings", "")


def test_all_pairs_at_once_are_one_pair_after_another() -> None:
    """Whatever some have: other seeds, a score that is undefined, no readings, a recording that can't be left out."""
    rng = np.random.default_rng(3)
    whole = [noisy(label, 0.5 + 0.02 * place) for place, label in enumerate("abcd")]
    fewer = noisy("e", 0.55, seeds=3)
    unread = Contender(label="f", scores=noisy("f", 0.6).scores, readings={})
    undefined = noisy("g", 0.6)
    undefined = replace(undefined, scores={**undefined.scores, 1: None})
    odd = noisy("h", 0.65)
    odd.readings[2].left_out[4] = math.nan
    odd.readings[2].alone[4] = math.nan
    other_sizes = noisy("i", 0.52)
    for read in other_sizes.readings.values():
        read.sizes[:] = rng.lognormal(3, 1, 20)
    everyone = [*whole, fewer, unread, undefined, odd, other_sizes]
    by_label = {one.label: one for one in everyone}
    comparisons = assess(everyone).comparisons
    assert len(comparisons) == 36
    assert {one.covers for one in comparisons} == {"seeds and recordings", "seeds"}
    for found in comparisons:
        first, second = by_label[found.first], by_label[found.second]
        alone = difference_between(first, second)
        assert (found.difference, found.low, found.high, found.p_value) == (
            alone.mean,
            alone.low,
            alone.high,
            alone.p_value,
        )
        assert (found.covers, found.reason, found.n_seeds) == (alone.covers, alone.reason, alone.n_seeds)
        assert found.probability == probability_between(first, second)


def test_clearly_apart() -> None:
    found = assess([noisy("b", 0.5), noisy("a", 0.7)])
    assert pair(found, "a", "b")
    assert found.letters == {"a": "a", "b": "b"}
    assert found.ranks == {"a": (1, 1), "b": (2, 2)}
    (one,) = found.comparisons
    assert one.difference == pytest.approx(0.2, abs=0.03)
    assert one.low is not None and one.high is not None and one.low < one.difference < one.high
    assert (one.probability, one.n_seeds, one.n_recordings) == (1.0, 4, 20)
    assert found.detectable == one.detectable
    assert len(found.verdict) == 1
    assert found.verdict[0].startswith("a is better than b on 20 recordings with 4 seeds (")


def test_not_apart() -> None:
    found = assess([noisy("a", 0.6, sd=0.05), noisy("b", 0.6, sd=0.05)])
    (one,) = found.comparisons
    assert not one.is_separable
    assert set(found.letters.values()) == {"a"}
    assert set(found.ranks.values()) == {(1, 2)}
    assert "are not separable on 20 recordings with 4 seeds" in found.verdict[0]
    assert one.low is not None and one.high is not None and one.low < 0 < one.high


def test_letters_of_ties_that_are_not_transitive() -> None:
    """The middle one can't be told from either, but they can from one another."""
    found = assess([noisy(label, level, sd=0.01) for label, level in (("low", 0.58), ("mid", 0.6), ("top", 0.62))])
    assert [(one.first, one.second, one.is_separable) for one in found.comparisons] == [
        ("top", "mid", False), ("top", "low", True), ("mid", "low", False),
    ]  # fmt: skip
    assert found.letters == {"top": "a", "mid": "ab", "low": "b"}
    assert found.ranks == {"top": (1, 2), "mid": (1, 3), "low": (2, 3)}


def test_lower_is_better() -> None:
    found = assess([noisy("a", 0.7), noisy("b", 0.5)], higher_is_better=False)
    assert pair(found, "b", "a")
    assert found.letters == {"b": "a", "a": "b"}
    assert found.comparisons[0].difference < 0
    assert found.verdict[0].startswith("b is better than a")
    assert "(−" in found.verdict[0]


def test_who_is_better_is_decided_on_common_seeds() -> None:
    """On all its seeds `a` is better, but not on those that both have; a verdict must not turn that round."""
    a, b = noisy("a", 0.6, seeds=3, sd=0.002), noisy("b", 0.65, seeds=3, sd=0.002)
    lucky = contender("a", {**{seed: a.readings[seed].alone for seed in range(3)}, 9: np.full(20, 0.99)})
    found = assess([lucky, b])
    assert found.estimates["a"].mean is not None and found.estimates["b"].mean is not None
    assert found.estimates["a"].mean > found.estimates["b"].mean
    (one,) = found.comparisons
    assert (one.first, one.second, one.n_seeds, one.is_separable) == ("b", "a", 3, True)
    assert one.difference > 0
    assert one.probability is not None and one.probability > 0.5
    assert found.verdict[0].startswith("b is better than a on 20 recordings with 3 seeds")
    # Ranked by all of its seeds, `a` stands first: only the letters say that they differ.
    assert found.letters == {"a": "a", "b": "b"}
    assert found.ranks == {"a": (2, 2), "b": (1, 1)}
    many = [noisy(label, 0.3) for label in "cdefg"]
    assert any(one.startswith("b is better than a ") for one in assess([lucky, b, *many]).verdict)


def test_one_seed_has_no_verdict() -> None:
    found = assess([noisy("a", 0.7, seeds=1), noisy("b", 0.5, seeds=1)])
    assert (found.letters, found.ranks, found.detectable) == ({}, {}, None)
    (one,) = found.comparisons
    assert (one.covers, one.is_separable, one.n_seeds) == ("recordings", False, 1)
    assert one.p_value is not None
    assert found.estimates["a"].covers == "recordings"
    (said,) = found.verdict
    assert said.startswith("No verdict: with one seed nobody knows")


def test_one_seed_in_common_of_several() -> None:
    first, other = noisy("a", 0.7), noisy("b", 0.6)
    last = max(first.scores)
    second = Contender(
        label="b",
        scores={seed + last: score for seed, score in other.scores.items()},
        readings={seed + last: reading for seed, reading in other.readings.items()},
    )
    found = assess([first, second])
    assert found.letters == {}
    assert found.verdict[0].startswith("No verdict: with one seed")


def test_one_seed_of_one_segmenter_leaves_the_others_their_verdict() -> None:
    first, second, third = noisy("a", 0.7), noisy("b", 0.6), noisy("c", 0.5, seeds=1)
    alone, found = assess([first, second]), assess([first, second, third])
    assert set(found.letters) == {"a", "b"}
    assert found.comparisons == alone.comparisons
    assert found.ranks == {}
    assert found.verdict[-1] == "c has one seed and is compared with nobody; run it with the seeds of the others."


@pytest.mark.parametrize("recordings", [1, 2, 4])
def test_too_few_recordings(recordings: int) -> None:
    found = assess([noisy("a", 0.7, recordings=recordings), noisy("b", 0.5, recordings=recordings)])
    assert {(one.covers, one.low) for one in found.estimates.values()} == {("nothing", None)}
    assert found.letters == {}
    assert not found.comparisons[0].is_separable
    there = "is 1" if recordings == 1 else f"are {recordings}"
    assert found.verdict == (f"No verdict: it takes at least 5 test recordings (there {there}).",)


def test_no_seed_in_common() -> None:
    a, b = noisy("a", 0.7), noisy("b", 0.6)
    moved = contender("b", {seed + 10: one.alone for seed, one in b.readings.items()})
    found = assess([a, moved])
    assert (found.comparisons, found.letters) == ((), {})
    assert found.verdict == (
        "No verdict: no two segmenters have a seed in common; run all of them with the same --seeds.",
    )
    partly = assess([a, moved, noisy("c", 0.5)])
    assert len(partly.comparisons) == 1
    assert partly.letters == {}
    assert partly.verdict[0].startswith("No verdict: some segmenters have no seed in common")


def test_predictions_of_one_trial_are_missing() -> None:
    a, b = noisy("a", 0.7), noisy("b", 0.5)
    partly = Contender(label="a", scores=a.scores, readings={seed: a.readings[seed] for seed in (0, 1, 2)})
    found = assess([partly, b])
    assert (found.estimates["a"].covers, found.estimates["b"].covers) == ("seeds", "seeds and recordings")
    assert found.estimates["a"].reason.startswith("A predictions file is missing: ")
    (one,) = found.comparisons
    assert (one.covers, one.is_separable, found.letters) == ("seeds", False, {})
    assert found.verdict == (
        "No verdict. A predictions file is missing: what other recordings would give is left out.",
    )


def test_a_score_that_hangs_on_one_recording() -> None:
    """Without the only recording that has bird the score is undefined: no spread over recordings."""
    undefined = {seed: 0.6 + seed / 100 for seed in range(3)}
    readings = {
        seed: Reading(
            score=score,
            left_out=np.array([math.nan, *[score] * 7]),
            alone=np.array([score, *[math.nan] * 7]),
            sizes=np.ones(8),
            recordings=tuple("abcdefgh"),
        )
        for seed, score in undefined.items()
    }
    found = estimate(Contender(label="a", scores=undefined, readings=readings))
    assert found.covers == "seeds"
    assert found.reason.startswith("The score is undefined without one of the recordings: ")


def test_a_score_that_is_undefined() -> None:
    nothing = Contender(label="n", scores={0: None, 1: None}, readings={})
    found = assess([nothing, noisy("a", 0.5), noisy("b", 0.7)])
    assert (found.estimates["n"].mean, found.estimates["n"].n) == (None, 0)
    assert found.estimates["n"].reason == "no seed has this score"
    assert "n" not in found.letters
    assert found.letters == {"b": "a", "a": "b"}
    a = noisy("a", 0.6, seeds=3)
    partly = Contender(label="a", scores={**a.scores, 7: None}, readings={**a.readings, 7: a.readings[0]})
    assert estimate(partly).n == 3
    assert common_seeds(partly, partly) == (0, 1, 2)


def test_alone_or_absent() -> None:
    assert assess([noisy("a", 0.6)]).verdict == ()
    assert assess([noisy("a", 0.6)]).letters == {}
    assert assess([]).estimates == {}


def test_the_same_trials_twice_differ_by_nothing() -> None:
    one = noisy("a", 0.6)
    other = Contender(label="b", scores=one.scores, readings=one.readings)
    found = assess([one, other])
    assert found.comparisons[0].difference == 0
    assert found.letters == {"a": "a", "b": "a"}
    assert found.verdict == (
        "a and b are not separable on 20 recordings with 4 seeds: their scores are the same everywhere.",
    )


def test_the_order_of_contenders_changes_nothing() -> None:
    several = [noisy(label, 0.5 + 0.01 * place) for place, label in enumerate("abcdefg")]
    assert assess(several) == assess(several[::-1])


def test_p_values_are_adjusted_together() -> None:
    several = [noisy(label, 0.6, sd=0.02) for label in "abcd"]
    found = assess(several)
    known = [one.p_value for one in found.comparisons if one.p_value is not None]
    assert len(known) == 6
    assert [one.p_adjusted for one in found.comparisons] == holm(known)
    assert all(one.is_separable == (one.p_adjusted < ALPHA) for one in found.comparisons if one.p_adjusted is not None)


def test_a_pair_without_a_p_value_is_no_member_of_the_family() -> None:
    assert holm_adjusted([0.01, None, 0.02]) == [0.02, None, 0.02]
    assert holm_adjusted([None]) == [None]


def test_probability_over_seeds_and_recordings() -> None:
    a = contender("a", {0: [0.5, 0.6], 1: [0.5, 0.9]})
    b = contender("b", {0: [0.4, 0.6], 1: [0.6, 0.1]})
    assert probability_between(a, b) == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert probability_between(a, contender("c", {5: [1.0, 1.0]})) is None


def test_a_difference_is_paired() -> None:
    """What is hard for both cancels: its interval is far narrower than those of the two."""
    a, b = noisy("a", 0.6, sd=0.001), noisy("b", 0.61, sd=0.001)
    difference = difference_between(b, a)
    assert difference.standard_error is not None
    wide = estimate(a)
    assert wide.high is not None and wide.low is not None
    assert difference.standard_error < 0.1 * (wide.high - wide.low)
