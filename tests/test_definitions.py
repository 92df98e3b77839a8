"""Every definition against an oracle that shares no code with it, on whole predictions and on parts of them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_score, recall_score

from benchbird import metrics
from benchbird.boundaries import boundary_counts
from benchbird.definitions import (
    DEFINITIONS,
    bin_probabilities,
    each_recording,
    threshold_counts,
    threshold_curve,
    validation_threshold,
    whole,
)
from benchbird.events import event_counts
from benchbird.predictions import Predictions
from tests.predictions_factory import MadeUpImages, make_predictions, random_predictions, some_images

BATCH_MEANS = ("iou_batch_mean", "miou_two_class_batch_mean")

Members = Sequence[int]
"""Places of the images that count, each as often as it does."""


def _pixels(predictions: Predictions, members: Members) -> tuple[list[bool], list[bool]]:
    masks = [predictions.masks(index) for index in members]
    predicted = [bool(value) for one, _ in masks for value in one.flat]
    actual = [bool(value) for _, one in masks for value in one.flat]
    return actual, predicted


def _on_pixels(score: Callable[..., float], needs: str) -> Callable[[Predictions, Members], float]:
    def oracle(predictions: Predictions, members: Members) -> float:
        actual, predicted = _pixels(predictions, members)
        there = {"either": any(actual) or any(predicted), "predicted": any(predicted), "actual": any(actual)}
        return float(score(actual, predicted, zero_division=0)) if there[needs] else math.nan

    return oracle


def _native(predictions: Predictions, members: Members) -> float:
    tp, fp, fn = (sum(int(predictions.test.native[index, kind]) for index in members) for kind in range(3))
    return tp / (tp + fp + fn) if tp + fp + fn else math.nan


def _image_mean(predictions: Predictions, members: Members) -> float:
    scores = []
    for index in members:
        predicted, actual = predictions.masks(index)
        if actual.any():
            scores.append((predicted & actual).sum() / (predicted | actual).sum())
    return sum(scores) / len(scores) if scores else math.nan


def _of_classes(actual: Sequence[bool], predicted: Sequence[bool], empty: float) -> float:
    scores = []
    for label in (False, True):
        both = [one == label and other == label for one, other in zip(actual, predicted, strict=True)]
        either = [one == label or other == label for one, other in zip(actual, predicted, strict=True)]
        scores.append(sum(both) / sum(either) if any(either) else empty)
    return sum(scores) / 2


def _two_class(predictions: Predictions, members: Members) -> float:
    return _of_classes(*_pixels(predictions, members), empty=math.nan)


def _batch_mean(size: int, of_classes: bool) -> Callable[[Predictions, Members], float]:
    """Batches keep their places in name order, whoever is left out; one without any image isn't there."""

    def oracle(predictions: Predictions, members: Members) -> float:
        scores = []
        for start in range(0, len(predictions), size):
            own = [index for index in members if start <= index < start + size]
            if own:
                actual, predicted = _pixels(predictions, own)
                both = jaccard_score(actual, predicted, zero_division=0)
                scores.append(_of_classes(actual, predicted, empty=0.0) if of_classes else both)
        return sum(scores) / len(scores) if scores else math.nan

    return oracle


def _curve(histogram: npt.NDArray[np.int64], border: int) -> float:
    """IoU of pixels in the bins above a border, by a loop."""
    tp = sum(int(histogram[1, one]) for one in range(64) if one > border)
    fp = sum(int(histogram[0, one]) for one in range(64) if one > border)
    fn = sum(int(histogram[1, one]) for one in range(64) if one <= border)
    return tp / (tp + fp + fn) if tp + fp + fn else math.nan


def _tuned(predictions: Predictions, members: Members) -> float:
    on_val = [_curve(predictions.val_histogram.sum(0), border) for border in range(63)]
    if all(map(math.isnan, on_val)):
        return math.nan
    best = max(value for value in on_val if not math.isnan(value))
    places = [border for border in range(63) if on_val[border] == best]
    nearest = min(places, key=lambda border: (abs(border - 31), border))
    return _curve(predictions.histogram[list(members)].sum(0), nearest)


def _average_precision(predictions: Predictions, members: Members) -> float:
    histogram = predictions.histogram[list(members)].sum(0)
    if not histogram[1].any():
        return math.nan
    bins = np.tile(np.arange(64), 2)
    actual = np.repeat([False, True], 64)
    return float(average_precision_score(actual, bins, sample_weight=histogram.ravel()))


def _calibration(predictions: Predictions, members: Members) -> float:
    error = pixels = 0.0
    for one in range(64):
        other, bird = (sum(int(predictions.histogram[index, kind, one]) for index in members) for kind in (0, 1))
        middle = (one - 31) * 0.25 - 0.125
        if other + bird:
            error += (other + bird) * abs(bird / (other + bird) - 1 / (1 + math.exp(-middle)))
            pixels += other + bird
    return error / pixels if pixels else math.nan


def _divided(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _boundary(predictions: Predictions, members: Members) -> float:
    found = [boundary_counts(*predictions.masks(index)) for index in members]
    return _divided(sum(one[0] for one in found), sum(one[1] for one in found))


def _events(place: int, kind: str) -> Callable[[Predictions, Members], float]:
    def oracle(predictions: Predictions, members: Members) -> float:
        found = [event_counts(*predictions.masks(index)) for index in members]
        matched = sum(one.matched[place] for one in found)
        predicted, reference = sum(one.predicted for one in found), sum(one.reference for one in found)
        return {
            "precision": _divided(matched, predicted),
            "recall": _divided(matched, reference),
            "f1": _divided(2 * matched, predicted + reference),
        }[kind]

    return oracle


ORACLES: dict[str, Callable[[Predictions, Members], float]] = {
    "iou_pooled": _on_pixels(jaccard_score, "either"),
    "iou_native": _native,
    "iou_image_mean": _image_mean,
    "iou_batch_mean": _batch_mean(16, of_classes=False),
    "miou_two_class": _two_class,
    "miou_two_class_batch_mean": _batch_mean(8, of_classes=True),
    "dice": _on_pixels(f1_score, "either"),
    "precision": _on_pixels(precision_score, "predicted"),
    "recall": _on_pixels(recall_score, "actual"),
    "iou_val_threshold": _tuned,
    "average_precision": _average_precision,
    "calibration_error": _calibration,
    "boundary_iou": _boundary,
    **{
        f"event_{kind}_{percent}": _events(place, kind)
        for place, percent in enumerate((30, 50))
        for kind in ("precision", "recall", "f1")
    },
}

NOISE = {
    "noise": random_predictions(1, n_images=21, image_size=9),
    "sparse": random_predictions(2, n_images=18, image_size=7, bird=0.02),
    "one image": random_predictions(3, n_images=1),
    "bars": make_predictions(images=MadeUpImages(n_recordings=9, without_bird=3, image_size=20)),
}


def _scores(predictions: Predictions, name: str) -> float:
    return float(DEFINITIONS[name].evaluate(predictions, whole(predictions))[0])


def test_every_definition_has_an_oracle() -> None:
    assert set(ORACLES) == set(DEFINITIONS)
    assert all(name == one.name and one.meaning.endswith(".") for name, one in DEFINITIONS.items())
    assert [name for name, one in DEFINITIONS.items() if not one.higher_is_better] == ["calibration_error"]


@pytest.mark.parametrize("predictions", NOISE.values(), ids=NOISE)
@pytest.mark.parametrize("name", DEFINITIONS)
def test_on_all_images(name: str, predictions: Predictions) -> None:
    expected = ORACLES[name](predictions, range(len(predictions)))
    assert _scores(predictions, name) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", DEFINITIONS)
@given(st.integers(0, 1000), st.data())
@settings(max_examples=15, deadline=None, database=None)
def test_whole_weights_are_images_that_occur_so_often(name: str, seed: int, data: st.DataObject) -> None:
    predictions = random_predictions(seed, n_images=20, image_size=5)
    times = data.draw(st.lists(st.integers(0, 3), min_size=20, max_size=20))
    members = [index for index, often in enumerate(times) for _ in range(often)]
    found = DEFINITIONS[name].evaluate(predictions, np.array([times, [1] * 20], dtype=np.float64))
    expected = ORACLES[name](predictions, members) if members else math.nan
    assert found.tolist() == pytest.approx(
        [expected, ORACLES[name](predictions, range(20))], abs=1e-12, nan_ok=True
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - set(BATCH_MEANS)))
def test_without_a_recording_is_a_file_without_its_images(name: str) -> None:
    predictions = random_predictions(5, n_images=20, n_recordings=6)
    recordings, alone = each_recording(predictions)
    left_out = DEFINITIONS[name].evaluate(predictions, 1 - alone)
    for recording, found in zip(recordings, left_out.tolist(), strict=True):
        kept = [index for index, one in enumerate(predictions.recording_ids) if one != recording]
        assert found == pytest.approx(_scores(some_images(predictions, kept), name), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", BATCH_MEANS)
def test_without_a_recording_batches_keep_their_places(name: str) -> None:
    """A file without the images would fill up its batches from behind, and that is another number."""
    predictions = random_predictions(5, n_images=20, n_recordings=6)
    recordings, alone = each_recording(predictions)
    left_out = DEFINITIONS[name].evaluate(predictions, 1 - alone).tolist()
    moved_up = []
    for recording, found in zip(recordings, left_out, strict=True):
        kept = [index for index, one in enumerate(predictions.recording_ids) if one != recording]
        assert found == pytest.approx(ORACLES[name](predictions, kept), abs=1e-12)
        moved_up.append(_scores(some_images(predictions, kept), name))
    assert left_out != pytest.approx(moved_up, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(DEFINITIONS) - set(BATCH_MEANS)))
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None, database=None)
def test_the_order_of_images_changes_nothing(name: str, seed: int, shuffled: random.Random) -> None:
    predictions = random_predictions(seed, n_images=9)
    order = list(range(9))
    shuffled.shuffle(order)
    expected = _scores(predictions, name)
    # Images are averaged as floats, whose sum may differ in the last digit; all else is exact.
    tolerance = 1e-15 if name == "iou_image_mean" else 0
    assert _scores(some_images(predictions, order), name) == pytest.approx(
        expected, rel=0, abs=tolerance, nan_ok=True
    )  # fmt: skip


@given(
    st.integers(0, 10_000), st.integers(1, 18), st.integers(1, 9), st.sampled_from([0.0, 0.05, 0.5, 1.0])
)  # fmt: skip
@settings(max_examples=40, deadline=None, database=None)
def test_scores_are_fractions_or_undefined(seed: int, n_images: int, size: int, bird: float) -> None:
    predictions = random_predictions(seed, n_images=n_images, image_size=size, bird=bird)
    _, alone = each_recording(predictions)
    for name, definition in DEFINITIONS.items():
        found = definition.evaluate(predictions, np.concatenate([whole(predictions), alone, 1 - alone]))
        assert found.shape == (1 + 2 * len(alone),)
        assert (np.isnan(found) | ((found >= 0) & (found <= 1))).all(), name


@given(st.integers(0, 10_000), st.integers(1, 18), st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=30, deadline=None, database=None)
def test_the_same_as_a_record_states(seed: int, n_images: int, bird: float) -> None:
    predictions = random_predictions(seed, n_images=n_images, bird=bird)
    stated = metrics.scores(predictions.test.protocol, predictions.test.native)
    compared = [name for name in DEFINITIONS if hasattr(stated, name)]
    assert len(compared) == 9
    for name in compared:
        said = getattr(stated, name)
        assert _scores(predictions, name) == pytest.approx(
            math.nan if said is None else said, abs=1e-12, nan_ok=True
        )  # fmt: skip


def test_the_same_as_two_libraries() -> None:
    import segmentation_models_pytorch.metrics as smp
    import torch
    from torchmetrics.functional.classification import binary_jaccard_index

    predictions = some_images(NOISE["noise"], range(1, 20))  # every image has bird
    actual, predicted = (torch.tensor(one) for one in _pixels(predictions, range(len(predictions))))
    assert _scores(predictions, "iou_pooled") == pytest.approx(
        float(binary_jaccard_index(predicted.int(), actual.int())), abs=1e-6
    )
    counts = [torch.from_numpy(predictions.test.protocol[:, [kind]]) for kind in range(4)]
    for name, score, reduction in (
        ("iou_pooled", smp.iou_score, "micro"),
        ("iou_image_mean", smp.iou_score, "micro-imagewise"),
        ("dice", smp.f1_score, "micro"),
        ("precision", smp.precision, "micro"),
        ("recall", smp.recall, "micro"),
    ):
        assert _scores(predictions, name) == pytest.approx(float(score(*counts, reduction=reduction)), abs=1e-6), name


def test_native_counts_alone_make_the_native_score() -> None:
    predictions = NOISE["noise"]
    tripled = _with_native(predictions, 3)
    for name in DEFINITIONS:
        # As a share nothing changes at three times the size; of all others the native counts are no part.
        assert _scores(tripled, name) == _scores(predictions, name)
    swapped = _with_native(predictions, 1, swap=True)
    changed = [name for name in DEFINITIONS if _scores(swapped, name) != _scores(predictions, name)]
    assert changed == ["iou_native"]


def _with_native(predictions: Predictions, factor: int, *, swap: bool = False) -> Predictions:
    native = predictions.test.native[:, [3, 1, 2, 0]] if swap else predictions.test.native
    return replace(predictions, test=replace(predictions.test, native=factor * native))


def test_the_counts_at_the_border_0_are_the_counts() -> None:
    predictions = NOISE["noise"]
    assert np.array_equal(threshold_counts(predictions.histogram)[:, 31], predictions.test.protocol)
    borders, _, on_test = threshold_curve(predictions)
    assert (borders[31], on_test[31]) == (0.0, _scores(predictions, "iou_pooled"))


def _with_val(bird: dict[int, int], other: dict[int, int]) -> Predictions:
    """Predictions whose validation pixels lie in these bins."""
    histogram = np.zeros((1, 2, 64), dtype=np.int64)
    for kind, bins in enumerate((other, bird)):
        for place, pixels in bins.items():
            histogram[0, kind, place] = pixels
    return replace(NOISE["noise"], val_histogram=histogram)


@pytest.mark.parametrize(
    ("bird", "other", "border"),
    [
        ({40: 5}, {20: 5}, 31),  # everything from 20 to 39 parts them: the nearest to 0
        ({40: 5}, {35: 5}, 35),
        ({20: 5}, {10: 5}, 19),
        ({33: 4, 29: 4}, {31: 4}, 28),  # all found with four too many beats none too many with half
        ({}, {10: 5}, 9),  # no bird: 0 where anything is predicted, undefined above
    ],
)
def test_the_threshold_that_is_best_on_validation(bird: dict[int, int], other: dict[int, int], border: int) -> None:
    assert validation_threshold(_with_val(bird, other)) == border


def test_without_validation_images_there_is_no_threshold() -> None:
    predictions = replace(NOISE["noise"], val_histogram=np.zeros((0, 2, 64), dtype=np.int64))
    assert validation_threshold(predictions) is None
    assert math.isnan(_scores(predictions, "iou_val_threshold"))


def test_probabilities_of_the_bins() -> None:
    found = bin_probabilities()
    assert found.shape == (64,)
    assert found[31] == pytest.approx(1 / (1 + math.exp(0.125)))
    assert found[::-1] == pytest.approx(1 - found)
    assert (np.diff(found) > 0).all()


def test_recordings_of_some_images() -> None:
    predictions = random_predictions(5, n_images=6, n_recordings=3)
    recordings, weights = each_recording(predictions)
    assert recordings == tuple(sorted(set(predictions.recording_ids)))
    assert (weights.sum(0) == 1).all()
    only = np.array(predictions.recording_ids) == recordings[1]
    assert each_recording(predictions, only)[0] == (recordings[1],)
    assert each_recording(predictions, only)[1].tolist() == [only.astype(float).tolist()]
    first = np.arange(6) == 0  # of its recording's images the others don't count
    assert each_recording(predictions, first)[1].tolist() == [first.astype(float).tolist()]
    assert len(set(predictions.recording_ids)) < 6
