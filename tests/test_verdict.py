"""The sentences of a verdict, word for word."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from benchbird.assessment import Contender, assess, difference_between
from benchbird.standings import Comparison
from benchbird.statistics.difference import Difference, paired_difference
from benchbird.verdict import p_text, points, verdict
from tests.test_assessment import contender, noisy

DIFFERENCE = Difference(
    mean=0.01,
    low=-0.01,
    high=0.03,
    standard_error=0.01,
    degrees_of_freedom=9.0,
    p_value=0.3,
    covers="seeds and recordings",
    reason="",
    n_seeds=3,
    n_recordings=12,
    seed_variance=math.nan,
    recording_covariance=math.nan,
)


def comparison(**changed: object) -> Comparison:
    values = {
        "first": "unet",
        "second": "atrous",
        "difference": 0.0123,
        "low": -0.0104,
        "high": 0.035,
        "p_value": 0.3,
        "p_adjusted": 0.6,
        "is_separable": False,
        "probability": 0.6,
        "n_seeds": 3,
        "n_recordings": 12,
        "detectable": 0.0415,
        "covers": "seeds and recordings",
        "reason": "",
    }
    return Comparison(**{**values, **changed})  # type: ignore[arg-type]


def said(one: Comparison, difference: Difference = DIFFERENCE) -> str:
    labels = [one.first, one.second]
    (sentence,) = verdict(labels, [one], [difference], is_decided=True, alpha=0.05)
    return sentence


def test_separable() -> None:
    assert said(comparison(is_separable=True, low=0.0012, p_adjusted=0.0312)) == (
        "unet is better than atrous on 12 recordings with 3 seeds "
        "(1.2 points, 95 % interval 0.1 to 3.5, unet scores higher on 60 % of recordings; p = 0.031 after Holm)."
    )


def test_not_separable() -> None:
    assert said(comparison()).startswith(
        "unet and atrous are not separable on 12 recordings with 3 seeds "
        "(1.2 points, 95 % interval −1.0 to 3.5, unet scores higher on 60 % of recordings); "
        "a gap of 4.2 points would be, four times in five; "
    )


UNEVEN = 0.5 + np.linspace(-0.1, 0.12, 8)


def test_what_would_decide() -> None:
    lucky = difference_between(noisy("a", 0.61, sd=0.01), noisy("b", 0.6, sd=0.01))
    assert re.search(r"; about \d+ seeds would decide 2 points\.$", said(comparison(), lucky))
    hard = difference_between(
        contender("a", {0: UNEVEN, 1: UNEVEN + 0.001}), contender("b", {0: [0.5] * 8, 1: [0.5] * 8})
    )
    assert re.search(
        r"; more seeds alone would not decide 2 points, about \d+ recordings would\.$", said(comparison(), hard)
    )
    sure = paired_difference([0.5, 0.5001], [0.4, 0.4], [[0.5] * 8, [0.5001] * 8], [[0.4] * 8] * 2)
    assert said(comparison(), sure).endswith("; these seeds are enough to decide 2 points.")
    assert said(comparison()).endswith("; neither more seeds nor more recordings alone would decide 2 points.")


def test_more_than_five_are_compared_with_the_best() -> None:
    six = assess([noisy(label, 0.5 + place / 20) for place, label in enumerate("abcdef")])
    assert len(six.verdict) == 5
    assert all(sentence.startswith("f is better than ") for sentence in six.verdict)
    five = assess([noisy(label, 0.5 + place / 20) for place, label in enumerate("abcde")])
    assert [sentence.partition(" on ")[0] for sentence in five.verdict] == [
        f"{better} is better than {worse}" for better, worse in ("ed", "dc", "cb", "ba")
    ]  # fmt: skip


def test_up_to_five_every_pair_that_is_not_separable_is_told() -> None:
    three = assess([noisy(label, 0.6 + place / 1000, sd=0.05) for place, label in enumerate("abc")])
    assert [sentence.partition(" are not")[0] for sentence in three.verdict] == ["c and b", "c and a", "b and a"]


def test_names_from_outside_stay_on_their_line() -> None:
    sentence = said(comparison(first="a\nb", second="x" * 500))
    assert sentence.startswith("a b and xxx")
    assert "\n" not in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0123, "1.2"), (-0.0123, "−1.2"), (-0.0004, "0.0"), (0.0, "0.0"), (1.0, "100.0")],
)
def test_points(fraction: float, text: str) -> None:
    assert points(fraction) == text


def test_p_values() -> None:
    assert [p_text(p) for p in (None, 0.0, 0.00099, 0.001, 0.04999)] == [
        "p unknown", "p below 0.001", "p below 0.001", "p = 0.001", "p = 0.050",
    ]  # fmt: skip


def cases() -> dict[str, list[Contender]]:
    a, b, c = noisy("a", 0.7), noisy("b", 0.5), noisy("c", 0.51, sd=0.05)
    return {
        "clear": [a, b],
        "close": [b, c],
        "six": [noisy(label, 0.6) for label in "abcdef"],
        "same": [a, Contender(label="x", scores=a.scores, readings=a.readings)],
        "one seed": [noisy("a", 0.7, seeds=1), noisy("b", 0.6, seeds=1)],
        "one recording": [noisy("a", 0.7, recordings=1), noisy("b", 0.6, recordings=1)],
        "one of each": [noisy("a", 0.7, seeds=1, recordings=1), noisy("b", 0.6, seeds=1, recordings=1)],
        "no common seed": [a, contender("z", {9: [0.5] * 20})],
        "records alone": [Contender(label=one.label, scores=one.scores, readings={}) for one in (a, b)],
        "one record alone": [Contender(label=one, scores={0: 0.5}, readings={}) for one in "ab"],
        "the same gap in every seed": [
            Contender(label=one, scores={0: 0.5 + gap, 1: 0.6 + gap}, readings={})
            for one, gap in (("a", 0), ("b", 0.1))
        ],
        "two seeds": [noisy("a", 0.7, seeds=2), noisy("b", 0.6, seeds=2)],
    }


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize("contenders", cases().values(), ids=cases())
def test_sentences_read_well(contenders: list[Contender], higher_is_better: bool) -> None:
    found = assess(contenders, higher_is_better=higher_is_better).verdict
    assert found
    for sentence in found:
        assert sentence.endswith(".")
        assert not re.search(r"\.\.|;\.|  |\b1 (seeds|recordings)|-\d|−0\.0\b|None|nan|inf\b|\(\)", sentence), sentence
        assert sentence.count("(") == sentence.count(")")


def test_one_of_each() -> None:
    assert assess(cases()["one of each"]).verdict == (
        "No verdict: it takes at least 5 test recordings (there is 1) and at least 2 common seeds, better 3 or more "
        "(--seeds 0,1,2).",
    )
