"""The made-up trials are what they promise: others' tests stand on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbird.definitions import DEFINITIONS, whole
from benchbird.index import Index
from benchbird.metrics import logit_histogram
from benchbird.predictions import contradictions, read_predictions
from benchbird.readings import read_trial
from benchbird.results import find_records
from tests import predictions_factory
from tests.predictions_factory import IMAGES, MadeUpImages, make_predictions, write_study, write_trial


@pytest.mark.parametrize("level", [0.05, 0.3, 0.7, 0.97])
@pytest.mark.parametrize(
    "images", [IMAGES, MadeUpImages(seed=7, n_recordings=3, images_per_recording=5, image_size=13, without_bird=2)]
)
def test_no_array_contradicts_another(images: MadeUpImages, level: float) -> None:
    assert list(contradictions(make_predictions(level, images=images))) == []
    assert list(contradictions(make_predictions(level, images=images, has_last=False))) == []


@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_the_level_is_the_mean_iou(level: float) -> None:
    found = [
        DEFINITIONS["iou_pooled"].evaluate(one, whole(one))[0]
        for one in (make_predictions(level, seed=seed) for seed in range(20))
    ]
    assert np.mean(found) == pytest.approx(level, abs=0.01)
    assert 0.005 < np.std(found) < 0.02


def test_masks_are_the_data_s_and_predictions_the_trial_s() -> None:
    first, other = make_predictions(0.7, name="unet"), make_predictions(0.7, name="threshold", seed=3)
    assert np.array_equal(first.reference, other.reference)
    assert not np.array_equal(first.predicted, other.predicted)
    assert not np.array_equal(first.reference, make_predictions(images=replace(IMAGES, seed=1)).reference)
    assert np.array_equal(first.predicted, make_predictions(0.7, name="unet").predicted)


def test_every_score_is_defined() -> None:
    predictions = make_predictions()
    scores = {name: float(one.evaluate(predictions, whole(predictions))[0]) for name, one in DEFINITIONS.items()}
    assert all(0 <= value <= 1 for value in scores.values()), scores


def test_the_histogram_is_that_of_metrics() -> None:
    import torch

    rng = np.random.default_rng(0)
    logits = (rng.integers(-40, 41, (3, 1, 8, 8)) / 4).astype(np.float32)  # on borders and beyond the outer ones
    reference = rng.random((3, 1, 8, 8)) < 0.3
    ours = predictions_factory._histogram(logits[:, 0], reference[:, 0])
    assert np.array_equal(ours, logit_histogram(torch.from_numpy(logits), torch.from_numpy(reference)).numpy())


def test_a_study_is_read_like_a_real_one(tmp_path: Path) -> None:
    images = MadeUpImages(attributes={"site": ("pond", "wood")})
    folder = write_study(tmp_path, {"unet": 0.7, "threshold": 0.5}, seeds=(0, 4), images=images)
    scan = find_records(folder)
    assert (len(scan.found), scan.faults, scan.unended) == (4, (), ())
    for found in scan.found:
        assert set(read_trial(found, ("iou_pooled", "iou_native"), Index(None))) == {"iou_pooled", "iou_native"}
    sites = [one["site"] for one in read_predictions(scan.found[0].path.parent / "predictions.npz").attributes]
    assert sites[:4] == ["pond", "pond", "wood", "wood"]


def test_a_trial_without_gradients(tmp_path: Path) -> None:
    folder = write_trial(tmp_path, "threshold", has_last=False, profile="full")
    [found] = find_records(folder).found
    assert (found.record.last_epoch, found.record.best_epoch, found.record.profile) == (None, None, "full")
