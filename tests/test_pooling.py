"""The folds of a cross-validation as one study: every recording once, nothing of its own invented."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbird import metrics
from benchbird.environment import describe_machine
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.pooling import open_predictions, pool, with_scores
from benchbird.predictions import Predictions, read_predictions, write_predictions
from benchbird.protocol import study_digest
from benchbird.ranking import rank_study
from benchbird.records import Fold
from benchbird.results import FoundRecord, add_record, find_records, read_record
from benchbird.studies import pooled_study, select_study
from tests.finished_bench import reseal_files, rewrite_record
from tests.predictions_factory import PREDICTIONS_FILE, MadeUpImages, record_of, write_trial
from tests.record_factory import CPU, GPU, make_timing

FOLDS = 3
POOL = "p" * 12


def fold_images(number: int) -> MadeUpImages:
    return MadeUpImages(seed=number, n_recordings=3, image_size=16)


def write_folds(
    root: Path,
    label: str,
    level: float,
    seed: int = 0,
    numbers: tuple[int, ...] = (1, 2, 3),
    pool_letter: str = "p",
    **trial: Any,
) -> None:
    """A trial in each fold; recordings and samples of fold n have names of their own, in another pool others."""
    for number in numbers:
        images = fold_images(number + 10 * ord(pool_letter))
        data = replace(images.summary(), fold=Fold(number=number, of=FOLDS, pool_digest=pool_letter * 12))
        folder = write_trial(root, label, level=level, seed=seed, images=images, data=data, **trial)
        rename(folder, f"{pool_letter}{9 - number}")


def rename(folder: Path, prefix: str) -> None:
    """Give a trial's test images and recordings other names, its record none the wiser."""
    predictions = renamed(read_predictions(folder / PREDICTIONS_FILE), prefix)
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


def fold_of(root: Path, label: str, number: int) -> FoundRecord:
    (found,) = (
        one
        for one in parts(root)
        if one.record.segmenter.label == label and one.record.data.fold and one.record.data.fold.number == number
    )
    return found


def pooled_trials(found: Sequence[FoundRecord], folder: Path) -> list[FoundRecord]:
    return [with_scores(one) for one in pool(found, folder).trials]


def test_pooled_scores_are_those_of_all_test_images_together(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7)
    folder = tmp_path / "birdsound"
    made = pool(parts(tmp_path), folder)
    assert (made.incomplete, made.faults) == (0, ())
    assert made.trials[0].record.scores is None, "nothing but records is read until a study was chosen"
    (pooled,) = map(with_scores, made.trials)
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
    (pooled,) = pooled_trials(parts(tmp_path), tmp_path)
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
    pooled = pooled_trials(parts(tmp_path), tmp_path)
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
    (pooled,) = pooled_trials(parts(tmp_path), tmp_path)
    assert pooled.record.status == "diverged"
    assert pooled.record.reason == "fold 2: the loss became nan"


def test_a_fold_without_its_predictions_can_not_be_pooled(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    (parts(tmp_path)[2].path.parent / PREDICTIONS_FILE).unlink()
    (pooled,) = pooled_trials(parts(tmp_path), tmp_path)
    assert pooled.record.status == "failed"
    assert "predictions" in pooled.record.reason


def test_a_copied_fold_counts_once(tmp_path: Path) -> None:
    write_folds(tmp_path / "a", "unet", 0.75)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found = [*parts(tmp_path / "a"), *parts(tmp_path / "b")]
    (pooled,) = pooled_trials(found, tmp_path)
    assert len(pooled.folds) == FOLDS


def test_the_factory_agrees_with_the_record(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7, numbers=(1,))
    (one,) = parts(tmp_path)
    predictions = read_predictions(one.path.parent / PREDICTIONS_FILE)
    assert record_of(predictions, one.record, one.record.files).scores == read_record(one.path).scores


def test_two_pools_under_one_benchmark_are_two_studies_with_paths_of_their_own(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.7)
    write_folds(tmp_path, "unet", 0.6, pool_letter="q")
    protocol = str(parts(tmp_path)[0].record.protocol["digest"])
    digests = [study_digest(protocol, letter * 12) for letter in "pq"]
    one, other = (select_study(tmp_path, results=tmp_path, digest=digest).study for digest in digests)
    assert one.found[0].path != other.found[0].path
    for study in (one, other):
        relative = study.found[0].path.relative_to(tmp_path / "birdsound")
        assert relative.parts[0] == study.digest and relative.name == "record.json"


Break = Callable[[Path], None]


def damage(folder: Path) -> None:
    path = folder / PREDICTIONS_FILE
    path.write_bytes(path.read_bytes()[:100])
    reseal_files(folder)


def enlarge(folder: Path) -> None:
    """Predictions of another image size, sound in themselves."""
    images = MadeUpImages(n_recordings=3, image_size=32)
    other = write_trial(folder / "other", "unet", images=images)
    shutil.copy(other / PREDICTIONS_FILE, folder)
    shutil.rmtree(folder / "other")
    reseal_files(folder)


def share(folder: Path, names: str) -> None:
    """Take these names from the predictions of fold 1."""
    predictions = read_predictions(folder / PREDICTIONS_FILE)
    first = fold_of(folder.parents[3], "unet", 1)
    stolen = getattr(read_predictions(first.path.with_name(PREDICTIONS_FILE)), names)
    write_predictions(folder / PREDICTIONS_FILE, replace(predictions, **{names: stolen}))
    reseal_files(folder)


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (damage, "predictions.npz: not a whole archive"),
        (enlarge, "predictions.npz: masks of 32 pixels, the protocol's have 16"),
        (lambda folder: share(folder, "sample_ids"), "predictions.npz: image p8_"),
        (lambda folder: share(folder, "recording_ids"), "predictions.npz: recording p8_"),
    ],
)
def test_a_bad_fold_file_fails_its_own_trial_and_nothing_else(tmp_path: Path, breaks: Break, said: str) -> None:
    write_folds(tmp_path, "unet", 0.75)
    write_folds(tmp_path, "threshold", 0.4)
    other = write_trial(tmp_path, "unet", level=0.6, started_at="2026-01-01T10:00:00+00:00")
    bad = fold_of(tmp_path, "unet", 2).path.parent
    breaks(bad)
    choice = select_study(tmp_path / "birdsound", results=tmp_path)
    broken, whole = sorted(choice.study.found, key=lambda one: one.record.status, reverse=True)
    assert (whole.record.segmenter.label, whole.record.status) == ("threshold", "done")
    assert (broken.record.segmenter.label, broken.record.status) == ("unet", "failed")
    assert broken.record.reason.startswith("fold 2: ") and said in broken.record.reason
    assert str(tmp_path) not in broken.record.reason
    ranking = rank_study(choice.study.found, Index(None))
    assert [row.label for row in ranking.leaderboard.rows] == ["threshold"]
    assert [one.reason for one in ranking.leaderboard.failed] == [broken.record.reason]
    assert len(pooled_study(tmp_path / "birdsound", bad.parents[1]).found) == 2
    with pytest.raises(ResultsError, match="fold 2: "):
        open_predictions(broken)
    alone = select_study(tmp_path, results=tmp_path, digest=other.parents[1].name).study
    assert [row.label for row in rank_study(alone.found, Index(None)).leaderboard.rows] == ["unet"]


def test_predictions_of_a_study_that_was_not_chosen_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folds(tmp_path, "unet", 0.75)
    other = write_trial(tmp_path, "unet", level=0.6)
    monkeypatch.setattr("benchbird.pooling.read_predictions", lambda path: pytest.fail(f"{path} was opened"))
    study = select_study(tmp_path, results=tmp_path, digest=other.parents[1].name).study
    assert study.folder == other.parents[1]


def with_fold(one: FoundRecord, **changes: Any) -> FoundRecord:
    fold = one.record.data.fold
    assert fold is not None
    return replace(one, record=replace(one.record, data=replace(one.record.data, fold=replace(fold, **changes))))


def test_fold_numbers_must_be_one_to_their_number(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    first, second, third = parts(tmp_path)
    for number in (0, 4):
        made = pool([first, second, with_fold(third, number=number)], tmp_path)
        assert (made.trials, made.incomplete) == ((), 0)
        assert made.faults == (f"unet seed 0: there is a record of fold {number} of 3, so its folds can't be pooled",)
    made = pool([first, second, with_fold(third, of=4)], tmp_path)
    assert made.trials == ()
    assert "that there are 3 and that there are 4 folds" in made.faults[0]


def test_folds_that_contradict_one_another_are_said_and_leave_the_others_alone(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    write_folds(tmp_path, "forged", 0.9)
    third = fold_of(tmp_path, "forged", 3)
    rewrite_record(third.path.parent, data=with_fold(third, of=4).record.data)
    choice = select_study(tmp_path, results=tmp_path)
    assert [one.record.segmenter.label for one in choice.study.found] == ["unet"]
    assert any(line.startswith("left out: forged seed 0: its records say") for line in choice.notices)


def test_speeds_are_those_of_the_machine_that_most_folds_ran_on(tmp_path: Path) -> None:
    for number, (environment, speed) in enumerate([(GPU, 900.0), (CPU, 100.0), (CPU, 110.0)], start=1):
        timing = make_timing(speed)
        write_folds(tmp_path, "unet", 0.7, numbers=(number,), environment=environment, timing=timing)
    (pooled,) = pooled_trials(parts(tmp_path), tmp_path)
    assert pooled.record.environment == CPU
    assert pooled.record.timing is not None
    assert pooled.record.timing.train_images_per_s == 105.0
    (row,) = rank_study([pooled], Index(None)).leaderboard.rows
    assert (row.train_images_per_s, row.machine) == (105.0, describe_machine(CPU))


def test_a_label_that_is_a_path_stays_below_the_folder(tmp_path: Path) -> None:
    write_folds(tmp_path, "unet", 0.75)
    foreign = [
        replace(one, record=replace(one.record, segmenter=replace(one.record.segmenter, label="/etc/x")))
        for one in parts(tmp_path)
    ]
    (pooled,) = pool(foreign, tmp_path).trials
    assert pooled.path.parents[3] == tmp_path
