"""The folds of a cross-validation as one study: every recording once, nothing of its own invented."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbird import metrics
from benchbird.index import Index
from benchbird.pooling import open_predictions, pool
from benchbird.predictions import Predictions, read_predictions, write_predictions
from benchbird.protocol import study_digest
from benchbird.ranking import rank_study
from benchbird.records import Fold
from benchbird.results import FoundRecord, add_record, find_records, read_record
from benchbird.studies import select_study
from tests.finished_bench import reseal_files
from tests.predictions_factory import PREDICTIONS_FILE, MadeUpImages, record_of, write_trial

FOLDS = 3
POOL = "p" * 12


def fold_images(number: int) -> MadeUpImages:
    return MadeUpImages(seed=number, n_recordings=3, image_size=16)


def write_folds(root: Path, label: str, level: float, seed: int = 0, numbers: tuple[int, ...] = (1, 2, 3)) -> None:
    """A trial in each fold; recordings and samples of fold n have names of their own."""
    for number in numbers:
        images = fold_images(number)
        data = replace(images.summary(), fold=Fold(number=number, of=FOLDS, pool_digest=POOL))
        folder = write_trial(root, label, level=level, seed=seed, images=images, data=data)
        predictions = renamed(read_predictions(folder / PREDICTIONS_FILE), f"{9 - number}")
        write_predictions(folder / PREDICTIONS_FILE, predictions)
        reseal_files(folder)


def renamed(predictions: Predictions, prefix: str) -> Predictions:
    return replace(
        predictions,
        sample_ids=tuple(f"{prefix}_{name}" for name in predictions.sample_ids),
        recording_ids=tuple(f"{prefix}_{name}" for name in predictions.recording_ids),
    )


def parts(root: Path) -> list[FoundRecord]:
    found = find_records(root).found
    return sorted(found, key=lambda one: one.record.data.fold.number if one.record.data.fold else 0)


def test_pooled_scores_are_those_of_all_test_images_together(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7)
    (pooled,), incomplete = pool(parts(tmp_path), tmp_path / "birdsound")
    assert incomplete == 0
    alone = [read_predictions(one.path.parent / PREDICTIONS_FILE) for one in parts(tmp_path)]
    summed = sum(one.test.protocol.sum(0) for one in alone)
    assert pooled.record.scores is not None
    assert pooled.record.scores.test.iou_pooled == pytest.approx(summed[0] / summed[:3].sum(), abs=1e-15)
    assert pooled.record.scores.test.n_images == sum(map(len, alone)) == 18
    assert pooled.record.last_epoch is not None
    assert pooled.record.data.n_recordings_test == 9
    assert pooled.record.data.digest == POOL
    assert pooled.record.study == study_digest(str(pooled.record.protocol["digest"]), POOL)


def test_pooled_predictions_are_in_the_order_of_names_with_everything_in_its_place(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7)
    (pooled,), _ = pool(parts(tmp_path), tmp_path)
    together = open_predictions(pooled)
    assert list(together.sample_ids) == sorted(together.sample_ids)
    for one in (read_predictions(part.path.parent / PREDICTIONS_FILE) for part in parts(tmp_path)):
        for index, name in enumerate(one.sample_ids):
            place = together.sample_ids.index(name)
            assert together.recording_ids[place] == one.recording_ids[index]
            assert np.array_equal(together.test.protocol[place], one.test.protocol[index])
            assert np.array_equal(together.histogram[place], one.histogram[index])
            for mine, theirs in zip(together.masks(place), one.masks(index), strict=True):
                assert np.array_equal(mine, theirs)
    scores = metrics.scores(together.test.protocol, together.test.native)
    assert pooled.record.scores is not None
    assert pooled.record.scores.test == scores


def test_no_threshold_is_tuned_on_recordings_that_are_tested(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7)
    pooled, _ = pool(parts(tmp_path), tmp_path)
    (row,) = rank_study(pooled, Index(None)).leaderboard.rows
    assert row.iou_val_threshold.mean is None
    assert row.score.low is not None
    assert row.score.covers == "recordings"


def test_a_benchmark_folder_with_all_folds_is_one_study(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_folds(tmp_path, "unet", 0.75, seed)
        write_folds(tmp_path, "threshold", 0.4, seed)
    study = select_study(tmp_path / "birdsound", results=tmp_path).study
    assert study.unended == 0
    leaderboard = rank_study(study.found, Index(None)).leaderboard
    assert leaderboard.folds == FOLDS
    assert [row.label for row in leaderboard.rows] == ["unet", "threshold"]
    assert [row.score.n for row in leaderboard.rows] == [2, 2]
    assert leaderboard.rows[0].score.covers == "seeds and recordings"
    assert leaderboard.n_recordings_test == 9


def test_a_trial_that_lacks_a_fold_is_left_out_and_counted(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    write_folds(tmp_path, "late", 0.5, numbers=(1, 3))
    choice = select_study(tmp_path, results=tmp_path)
    assert [one.record.segmenter.label for one in choice.study.found] == ["unet"]
    assert choice.study.unended == 1
    assert any("unfinished" in notice for notice in choice.notices)


def test_folds_without_a_whole_trial_stay_studies_of_their_own(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75, numbers=(1, 2))
    study = select_study(tmp_path, results=tmp_path).study
    assert len(study.found) == 1
    assert rank_study(study.found, Index(None)).leaderboard.folds == 0


def test_a_fold_that_failed_fails_the_whole_and_says_which(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    second = parts(tmp_path)[1]
    broken = replace(
        second.record, status="diverged", reason="the loss became nan", scores=None, last_epoch=None, timing=None,
        predictions_file=None, weights_file=None, best_epoch=None, files={},
    )  # fmt: skip
    add_record(second.path.parent, broken, replace=True)
    (pooled,), _ = pool(parts(tmp_path), tmp_path)
    assert pooled.record.status == "diverged"
    assert pooled.record.reason == "fold 2: the loss became nan"


def test_a_fold_without_its_predictions_can_not_be_pooled(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    (parts(tmp_path)[2].path.parent / PREDICTIONS_FILE).unlink()
    (pooled,), _ = pool(parts(tmp_path), tmp_path)
    assert pooled.record.status == "failed"
    assert "predictions" in pooled.record.reason


def test_a_copied_fold_counts_once(tmp_path: Path) -> None:
    write_folds(tmp_path / "a", "unet", 0.75)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found = [*parts(tmp_path / "a"), *parts(tmp_path / "b")]
    (pooled,), _ = pool(found, tmp_path)
    assert len(pooled.folds) == FOLDS


def test_the_factory_agrees_with_the_record(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7, numbers=(1,))
    (one,) = parts(tmp_path)
    predictions = read_predictions(one.path.parent / PREDICTIONS_FILE)
    assert record_of(predictions, one.record, one.record.files).scores == read_record(one.path).scores
