"""Tables of scores: each figure is that of its part of the predictions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbird.definitions import DEFINITIONS, whole
from benchbird.errors import ResultsError, UsageError
from benchbird.events import edge_errors, summarise_edges
from benchbird.index import Index
from benchbird.predictions import read_predictions
from benchbird.results import find_records
from benchbird.score_tables import Trial, by_stratum, curve, done_trials, edges, every_score
from tests.predictions_factory import PREDICTIONS_FILE, MadeUpImages, some_images, write_study, write_trial
from tests.record_factory import make_record, make_segmenter

IMAGES = MadeUpImages(
    n_recordings=10,
    image_size=24,
    without_bird=1,
    attributes={
        "snr_db": ("-12", "-3", "0", "4.9", "5", "12"),
        "weather": ("rain", "rain+wind"),
        "seconds": ("2",),
        "sample_rate": ("16000",),
    },
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_study(folder, {"unet": 0.7, "atrous": 0.5}, seeds=(0, 1), images=IMAGES)
    return folder


@pytest.fixture
def trials(root: Path) -> dict[str, list[Trial]]:
    return done_trials(find_records(root).found)


def test_trials_by_label_and_seed(trials: dict[str, list[Trial]]) -> None:
    assert {label: [one.record.seed for one in those] for label, those in trials.items()} == {
        "atrous": [0, 1], "unet": [0, 1],
    }  # fmt: skip


def test_every_score_is_the_mean_over_seeds(trials: dict[str, list[Trial]]) -> None:
    rows = every_score(trials, Index(None))
    assert [row.name for row in rows] == list(DEFINITIONS)
    for row in rows:
        assert (row.n_images, row.n_recordings) == (20, 10)
        for label, those in trials.items():
            opened = [one.predictions() for one in those]
            scores = [float(DEFINITIONS[row.name].evaluate(one, whole(one))[0]) for one in opened]
            assert row.estimates[label].mean == pytest.approx(np.mean(scores), abs=1e-12)
            assert row.estimates[label].covers == "seeds and recordings"


def test_strata_are_scored_apart_and_add_up(trials: dict[str, list[Trial]]) -> None:
    rows = by_stratum(trials, "snr_db", "iou_pooled")
    assert [row.name for row in rows] == ["−15 to −10 dB", "−5 to 0 dB", "0 to 5 dB", "5 to 10 dB", "10 to 15 dB"]
    assert sum(row.n_images for row in rows) == IMAGES.n_test
    assert sum(row.n_recordings for row in rows) == IMAGES.n_recordings
    opened = [one.predictions() for one in trials["unet"]]
    inside = [place for place, one in enumerate(opened[0].attributes) if one["snr_db"] in ("0", "4.9")]
    parts = [some_images(one, inside) for one in opened]
    expected = np.mean([float(DEFINITIONS["iou_pooled"].evaluate(one, whole(one))[0]) for one in parts])
    assert rows[2].estimates["unet"].mean == pytest.approx(expected, abs=1e-12)
    assert rows[2].n_images == len(inside)


def test_by_recording_there_are_as_many_rows(trials: dict[str, list[Trial]]) -> None:
    rows = by_stratum(trials, "recording", "dice")
    assert [(row.n_images, row.n_recordings) for row in rows] == [(2, 1)] * 10
    for row in rows:
        assert row.estimates["unet"].low is None
        assert row.estimates["unet"].covers == "nothing"
        assert row.estimates["unet"].reason == "Test recordings: 1; an interval needs at least 5."


def test_a_stratum_without_bird_has_no_recall(trials: dict[str, list[Trial]]) -> None:
    row = by_stratum(trials, "mask_size", "recall")[0]
    assert (row.name, row.estimates["unet"].mean, row.estimates["unet"].n) == ("no bird", None, 0)


def test_overlapping_categories(trials: dict[str, list[Trial]]) -> None:
    assert {row.name: row.n_images for row in by_stratum(trials, "weather", "dice")} == {"rain": 20, "wind": 10}


def test_an_unknown_column(trials: dict[str, list[Trial]]) -> None:
    with pytest.raises(UsageError, match="expected one of recording, mask_size, snr_db, weather"):
        by_stratum(trials, "site", "dice")


def test_the_curve_passes_through_the_score(trials: dict[str, list[Trial]]) -> None:
    shown = curve(trials)
    assert shown.thresholds[31] == 0
    pooled = every_score(trials, Index(None))[0]
    for label in trials:
        assert shown.test[label][31] == pytest.approx(pooled.estimates[label].mean)
        assert shown.val[label].shape == (63,)
        assert len(shown.chosen[label]) == 2
        assert set(shown.chosen[label]) <= set(shown.thresholds.tolist())


def test_without_validation_images_no_threshold_was_chosen(
    trials: dict[str, list[Trial]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of pooled folds, which have no validation images in common."""
    one = replace(trials["unet"][0].predictions(), val_histogram=np.zeros((0, 2, 64), dtype=np.int64))
    monkeypatch.setattr(Trial, "predictions", lambda _: one)
    shown = curve(trials)
    assert shown.chosen == {"atrous": (), "unet": ()}
    assert np.isnan(shown.val["unet"]).all()
    assert shown.test["unet"][31] > 0


def test_edges_are_those_of_all_seeds(trials: dict[str, list[Trial]]) -> None:
    rows = {row.edge: row.errors for row in edges(trials)}
    assert list(rows) == ["onset_ms", "offset_ms", "low_hz", "high_hz"]
    errors = []
    for one in (trial.predictions() for trial in trials["unet"]):
        errors += [edge_errors(*one.masks(place), one.attributes[place]) for place in range(len(one))]
    expected = summarise_edges(errors).low_hz
    found = rows["low_hz"]["unet"]
    assert found[0] == expected.n_events > 0
    assert found[1:] == pytest.approx((expected.mean_absolute, expected.bias))


def test_edges_without_a_scale(tmp_path: Path) -> None:
    write_trial(tmp_path, images=MadeUpImages(image_size=16, n_recordings=3))
    assert {row.errors["unet"] for row in edges(done_trials(find_records(tmp_path).found))} == {(0, None, None)}


def test_nothing_is_done_or_two_studies(root: Path, tmp_path: Path) -> None:
    one = find_records(root).found[0]
    failed = make_record(make_segmenter("x"), status="failed", reason="boom")
    with pytest.raises(ResultsError, match="no trial is done"):
        done_trials([type(one)(one.path, failed)])
    write_trial(tmp_path, images=MadeUpImages(seed=5, image_size=16))
    with pytest.raises(ResultsError, match="2 studies"):
        done_trials([one, *find_records(tmp_path).found])


def test_trials_on_other_recordings_or_images_are_refused(tmp_path: Path) -> None:
    """Records that say they are of one study, predictions that say otherwise."""
    data = IMAGES.summary()
    write_trial(tmp_path, seed=0, images=IMAGES, data=data)
    write_trial(tmp_path, seed=1, images=MadeUpImages(n_recordings=7, image_size=24), data=data)
    trials = done_trials(find_records(tmp_path).found)
    with pytest.raises(ResultsError, match="unet seed 0 and unet seed 1 were tested on other recordings"):
        every_score(trials, Index(None))
    with pytest.raises(ResultsError, match="tested on other images"):
        by_stratum(trials, "recording", "dice")


def test_another_file_than_the_record_s_is_refused(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    files = sorted((tmp_path / "copy").rglob(PREDICTIONS_FILE))
    shutil.copy(files[0], files[1])
    read_predictions(files[1])
    trials = done_trials(find_records(tmp_path / "copy").found)
    for read in (lambda: by_stratum(trials, "recording", "dice"), lambda: curve(trials), lambda: edges(trials)):
        with pytest.raises(ResultsError, match="not the file that the record states"):
            read()
