"""The one pass over the predictions, against the definitions and tables that others use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbird.predictions import read_predictions
from benchbird.report.gallery import GROUPS, chosen_images, error_map, exhibits, mask_picture
from benchbird.report.images import ImageScores, image_scores
from benchbird.results import find_records
from benchbird.score_tables import by_stratum, curve, done_trials
from tests.predictions_factory import MadeUpImages, write_study, write_trial

IMAGES = MadeUpImages(without_bird=3, attributes={"snr_db": ["-2", "3", "8"], "noise": ["rain", "wind", "rain+wind"]})
LEVELS = {"unet": 0.7, "atrous_segnet": 0.6, "floor": 0.3}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("results"), LEVELS, seeds=(0, 1), images=IMAGES)


@pytest.fixture(scope="module")
def scores(study: Path) -> ImageScores:
    found = image_scores(done_trials(find_records(study).found))
    assert found is not None
    return found


def test_an_image_s_iou_is_the_mean_over_seeds(study: Path, scores: ImageScores) -> None:
    ious = []
    for path in sorted(study.glob("unet-*/seed-*/predictions.npz")):
        predictions = read_predictions(path)
        of_seed = []
        for index in range(len(predictions)):
            predicted, reference = predictions.masks(index)
            union = (predicted | reference).sum()
            of_seed.append((predicted & reference).sum() / union if union else np.nan)
        ious.append(of_seed)
    known = ~np.isnan(ious).all(axis=0)
    np.testing.assert_array_equal(np.isnan(scores.iou["unet"]), ~known)
    np.testing.assert_allclose(scores.iou["unet"][known], np.nanmean(np.array(ious)[:, known], axis=0))
    assert scores.has_bird.sum() == IMAGES.n_test - 3


def test_strata_and_thresholds_are_those_of_the_score_tables(study: Path, scores: ImageScores) -> None:
    trials = done_trials(find_records(study).found)
    assert [one.column for one in scores.strata][:2] == ["snr_db", "mask_size"]
    for one in scores.strata:
        expected = {row.name: row for row in by_stratum(trials, one.column, "iou_pooled")}
        assert {row.name for row in one.rows} <= set(expected) and len(one.rows) >= 2
        for row in one.rows:
            assert row == expected[row.name]
    expected_curve = curve(trials)
    for label in LEVELS:
        np.testing.assert_allclose(scores.thresholds.test[label], expected_curve.test[label], equal_nan=True)
        assert scores.thresholds.chosen[label] == expected_curve.chosen[label]


def test_what_is_missed_and_what_is_wrong_are_told_apart(study: Path, scores: ImageScores) -> None:
    false = missed = 0
    for path in study.glob("floor-*/seed-*/predictions.npz"):
        counts = read_predictions(path).test.protocol
        false, missed = false + counts[:, 1].sum(), missed + counts[:, 2].sum()
    assert scores.missed_share["floor"] == pytest.approx(missed / (false + missed))


def test_trials_on_other_images_have_no_common_page(tmp_path: Path) -> None:
    write_trial(tmp_path, "unet", images=IMAGES)
    other = MadeUpImages(seed=1, without_bird=3)
    write_trial(tmp_path, "atrous_segnet", images=other, data=IMAGES.summary())
    assert image_scores(done_trials(find_records(tmp_path).found)) is None


def test_the_gallery_shows_extremes_and_none_twice(scores: ImageScores) -> None:
    networks = ["unet", "atrous_segnet"]
    chosen = chosen_images(scores, networks, 9)
    assert len(chosen) == 9 and len({place for _, place in chosen}) == 9
    mean = np.nan_to_num(np.stack([scores.iou[label] for label in networks])).mean(0)
    with_bird = np.flatnonzero(scores.has_bird)
    first = {group: next(place for found, place in chosen if found == group) for group in dict(chosen)}
    assert first["worst"] == with_bird[mean[with_bird].argmin()]
    assert first["best"] == with_bird[mean[with_bird].argmax()]
    for group, place in chosen:
        assert scores.has_bird[place] == (group != "false alarm")
    assert [group for group, _ in chosen] == sorted(dict(chosen), key=list(GROUPS).index) or len(chosen) == 9
    assert chosen_images(scores, networks, 0) == [] and chosen_images(scores, [], 5) == []
    assert len(chosen_images(scores, ["unet"], 1000)) <= IMAGES.n_test


def test_pictures_say_what_the_masks_say(study: Path, scores: ImageScores) -> None:
    import base64
    import io

    from PIL import Image

    predictions = read_predictions(next(study.glob("unet-*/seed-0/predictions.npz")))
    predicted, reference = predictions.masks(2)

    def pixels(uri: str) -> np.ndarray:
        kind, _, content = uri.partition(",")
        assert kind == "data:image/png;base64"
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))

    drawn = pixels(error_map(predicted, reference))
    # The page's filter keeps red alone: above one half is the prediction.
    np.testing.assert_array_equal(drawn[..., 0] > 127, predicted)
    np.testing.assert_array_equal((drawn == 255).all(-1), predicted & reference)
    np.testing.assert_array_equal(drawn[..., 2] > 200, reference & ~predicted | predicted & reference)
    np.testing.assert_array_equal((pixels(mask_picture(reference)) == 255).all(-1), reference)


def test_what_does_not_fit_into_the_page_is_counted(
    study: Path, scores: ImageScores, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = {"unet": read_predictions(next(study.glob("unet-*/seed-0/predictions.npz")))}
    chosen = chosen_images(scores, ["unet"], 8)
    images = np.random.default_rng(0).integers(0, 255, (len(scores.sample_ids), 3, 32, 32), dtype=np.uint8)
    every, none = exhibits(scores, chosen, predictions, lambda place: images[place])
    assert (len(every), none) == (8, 0)
    assert [panel.title for panel in every[0].panels] == ["input", "mask", "unet"]
    size = sum(len(panel.picture) for one in every for panel in one.panels)
    monkeypatch.setattr("benchbird.report.gallery.MOST_BYTES", size // 2)
    some, left_out = exhibits(scores, chosen, predictions, lambda place: images[place])
    assert 0 < len(some) < 8 and len(some) + left_out == 8
