"""Scores against independent computations, hand-worked cases, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.functional.classification import binary_jaccard_index

from benchbird import metrics
from benchbird.records import Counts


def predictions(seed: int, n_images: int = 5, side: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n_images, 1, side, side, generator=generator) * 3
    reference = torch.rand(n_images, 1, side, side, generator=generator) < 0.3
    reference[seed % n_images] = False  # one image without bird
    return logits, reference


def counts_of(logits: torch.Tensor, reference: torch.Tensor) -> metrics.CountArray:
    return metrics.pixel_counts(logits, reference, 0.0).numpy()


def test_a_two_by_two_image_worked_by_hand() -> None:
    logits = torch.tensor([[[[2.0, -1.0], [0.5, -3.0]]]])
    reference = torch.tensor([[[[True, True], [False, False]]]])
    counts = counts_of(logits, reference)
    assert counts.tolist() == [[1, 1, 1, 1]]
    scores = metrics.scores(counts, counts)
    assert scores.iou_pooled == pytest.approx(1 / 3)
    assert scores.dice == pytest.approx(1 / 2)
    assert scores.precision == scores.recall == pytest.approx(1 / 2)
    assert scores.miou_two_class == pytest.approx(1 / 3)


def test_a_logit_at_the_threshold_is_not_bird() -> None:
    logits = torch.tensor([[[[0.0, 1e-7]]]])
    assert counts_of(logits, torch.ones(1, 1, 1, 2, dtype=torch.bool)).tolist() == [[1, 0, 1, 0]]


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_pooled_scores_equal_scikit_learn_and_torchmetrics(seed: int) -> None:
    logits, reference = predictions(seed)
    counts = counts_of(logits, reference)
    scores = metrics.scores(counts, counts)
    predicted = (logits > 0).flatten().numpy()
    actual = reference.flatten().numpy()
    assert scores.iou_pooled == pytest.approx(jaccard_score(actual, predicted), abs=1e-12)
    assert scores.dice == pytest.approx(f1_score(actual, predicted), abs=1e-12)
    assert scores.precision == pytest.approx(precision_score(actual, predicted), abs=1e-12)
    assert scores.recall == pytest.approx(recall_score(actual, predicted), abs=1e-12)
    two_class = jaccard_score(actual, predicted, average="macro")
    assert scores.miou_two_class == pytest.approx(two_class, abs=1e-12)
    assert scores.iou_pooled == pytest.approx(float(binary_jaccard_index(logits > 0, reference.long())), abs=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_image_mean_leaves_out_images_without_bird_in_the_reference(seed: int) -> None:
    logits, reference = predictions(seed)
    with_bird = [i for i in range(len(reference)) if reference[i].any()]
    expected = np.mean(
        [jaccard_score(reference[i].flatten(), (logits[i] > 0).flatten(), zero_division=0) for i in with_bird]
    )
    counts = counts_of(logits, reference)
    scores = metrics.scores(counts, counts)
    assert scores.iou_image_mean == pytest.approx(expected, abs=1e-12)
    assert scores.n_ref_empty == len(reference) - len(with_bird)


def test_batch_mean_is_the_mean_over_batches_of_16_and_not_pooled() -> None:
    logits, reference = predictions(3, n_images=40)
    counts = counts_of(logits, reference)
    expected = np.mean(
        [jaccard_score(reference[s : s + 16].flatten(), (logits[s : s + 16] > 0).flatten()) for s in (0, 16, 32)]
    )
    scores = metrics.scores(counts, counts)
    assert scores.iou_batch_mean == pytest.approx(expected, abs=1e-12)
    assert scores.iou_batch_mean != scores.iou_pooled


def test_two_class_batch_mean_is_the_mean_over_batches_of_8_of_both_classes() -> None:
    """As scikit-learn's macro average, where a class that occurs nowhere in a batch counts 0."""
    logits, reference = predictions(3, n_images=20)
    logits[8:16], reference[8:16] = -1.0, False
    logits[16:], reference[16:] = 1.0, True
    counts = counts_of(logits, reference)
    expected = [
        jaccard_score(
            reference[start : start + 8].flatten(),
            (logits[start : start + 8] > 0).flatten(),
            average="macro",
            labels=[False, True],
            zero_division=0,
        )
        for start in (0, 8, 16)
    ]
    assert expected[1:] == [0.5, 0.5]
    scores = metrics.scores(counts, counts)
    assert scores.miou_two_class_batch_mean == pytest.approx(np.mean(expected), abs=1e-12)
    assert metrics.scores(counts[:0], counts[:0]).miou_two_class_batch_mean is None


@given(st.integers(0, 10_000), st.integers(1, 7), st.randoms())
@settings(max_examples=25, deadline=None)
def test_scores_but_the_batch_mean_do_not_depend_on_batches_or_order(seed: int, batch: int, random: object) -> None:
    logits, reference = predictions(seed, n_images=7)
    whole = counts_of(logits, reference)
    pieces = [counts_of(logits[s : s + batch], reference[s : s + batch]) for s in range(0, 7, batch)]
    assert np.array_equal(np.concatenate(pieces), whole)
    shuffled = whole.copy()
    np.random.default_rng(seed).shuffle(shuffled)
    first, second = metrics.scores(whole, whole), metrics.scores(shuffled, shuffled)
    for name in ("iou_pooled", "iou_native", "dice", "precision", "recall", "miou_two_class"):
        assert getattr(first, name) == getattr(second, name)
    assert first.iou_image_mean == pytest.approx(second.iou_image_mean, abs=1e-15)


def test_images_without_bird_are_scored_apart() -> None:
    counts = np.array([[5, 0, 0, 5], [0, 0, 0, 10], [0, 3, 0, 7]], dtype=np.int64)
    scores = metrics.scores(counts, counts)
    assert scores.n_ref_empty == 2
    assert scores.ref_empty_false_positive_share == 0.5
    assert scores.iou_image_mean == 1.0
    assert scores.iou_pooled == pytest.approx(5 / 8)


def test_what_is_undefined_is_none_with_a_reason() -> None:
    counts = np.array([[0, 0, 0, 10]], dtype=np.int64)
    scores = metrics.scores(counts, counts)
    assert scores.iou_pooled is None
    assert scores.dice is None
    assert set(scores.undefined) == {
        "iou_pooled", "iou_native", "iou_image_mean", "dice", "precision", "recall", "miou_two_class",
    }  # fmt: skip
    assert scores.iou_batch_mean == 0.0


def test_dice_and_iou_obey_their_identity() -> None:
    logits, reference = predictions(11)
    counts = counts_of(logits, reference)
    scores = metrics.scores(counts, counts)
    assert scores.dice is not None
    assert scores.iou_pooled == pytest.approx(scores.dice / (2 - scores.dice))


def test_histogram_agrees_with_numpy_and_holds_the_counts_at_zero() -> None:
    logits, reference = predictions(5)
    logits[0, 0, 0, :3] = torch.tensor([0.0, 0.25, -100.0])
    histogram = metrics.logit_histogram(logits, reference).numpy()
    assert histogram.shape == (5, 2, 64)
    borders = metrics.histogram_borders()
    for image in range(5):
        for bird in (0, 1):
            values = logits[image][reference[image] == bool(bird)].numpy()
            expected = np.bincount(np.searchsorted(borders, values, side="left"), minlength=64)
            assert np.array_equal(histogram[image, bird], expected)
    upper = histogram[:, :, 32:].sum(2)
    counts = counts_of(logits, reference)
    assert np.array_equal(upper[:, 1], counts[:, 0])
    assert np.array_equal(upper[:, 0], counts[:, 1])


def test_total_sums_images() -> None:
    assert metrics.total([[1, 2, 3, 4], [10, 20, 30, 40]]) == Counts(11, 22, 33, 44)
    assert Counts(1, 2, 3, 4) + Counts(1, 1, 1, 1) == Counts(2, 3, 4, 5)
