"""Whether two results differ beyond the noise, on made-up trials and through the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchbird.comparison_report import render_comparison, sentence
from benchbird.definitions import DEFINITIONS
from benchbird.index import Index
from benchbird.protocol import study_digest
from benchbird.results import find_records
from benchbird.scored_study import difference_of_tests, read_scored_study, why_apart
from benchbird.studies import select_study
from tests.comparison_factory import (
    OTHER_PROTOCOL,
    SEEDS,
    Said,
    after,
    compare_command,
    compared,
    first_study,
    one_match,
)
from tests.predictions_factory import IMAGES, MadeUpImages, make_predictions, write_study
from tests.record_factory import make_record
from tests.test_pooling import write_folds


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Said]:
    return compare_command(capsys, tmp_path / "cache")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return first_study(tmp_path)


# Verdicts


def test_a_regression_is_found(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    worse = after(tmp_path, {"unet": 0.70, "atrous_segnet": 0.60})
    comparison = compared(before, worse)
    atrous, unet = comparison.matches
    assert (atrous.outcome, unet.outcome) == ("regression", "no difference")
    assert comparison.regressions == (atrous,)
    assert atrous.difference == pytest.approx(-0.08, abs=0.02)
    assert atrous.low is not None and atrous.high is not None and atrous.difference is not None
    assert atrous.low < atrous.difference < atrous.high < 0
    assert (atrous.n_recordings, atrous.covers, atrous.seeds_before) == (12, "seeds and recordings", SEEDS)
    assert atrous.probability is not None and atrous.probability < 0.1

    told = run(before, worse)
    assert told.code == 0
    assert "- atrous_segnet: a regression of " in told.out
    assert "- unet: no difference beyond the noise (" in told.out
    assert "points would be seen four times in five)." in told.out
    assert told.err == ""
    failed = run(before, worse, "--fail-on-regression")
    assert (failed.code, failed.out) == (1, told.out)
    assert failed.err == "--fail-on-regression: worse beyond the noise: atrous_segnet\n"


def test_what_is_within_the_noise_is_none(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    same = after(tmp_path, {"unet": 0.70, "atrous_segnet": 0.68})
    told = run(before, same, "--fail-on-regression")
    assert (told.code, told.err) == (0, "")
    assert told.out.count("no difference beyond the noise") == 2


def test_an_improvement_is_no_failure(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    better = after(tmp_path, {"unet": 0.76, "atrous_segnet": 0.68})
    told = run(before, better, "--fail-on-regression")
    assert (told.code, told.err) == (0, "")
    assert "- unet: better by " in told.out


def test_lower_may_be_better(tmp_path: Path) -> None:
    assert not DEFINITIONS["calibration_error"].higher_is_better
    first = write_study(tmp_path / "before", {"unet": 0.7, "threshold": 0.2}, seeds=SEEDS)
    threshold, unet = compared(first, after(tmp_path, {"unet": 0.2, "threshold": 0.7}), "calibration_error").matches
    assert unet.difference is not None and threshold.difference is not None
    assert unet.difference > 0 > threshold.difference
    assert (unet.outcome, threshold.outcome) == ("regression", "improvement")


def test_the_more_segmenters_the_higher_the_bar(before: Path, tmp_path: Path) -> None:
    atrous, unet = compared(before, after(tmp_path, {"unet": 0.69, "atrous_segnet": 0.60})).matches
    assert atrous.p_value is not None and unet.p_value is not None
    assert atrous.p_adjusted == pytest.approx(2 * atrous.p_value)
    assert unet.p_adjusted == pytest.approx(unet.p_value)


def test_a_result_does_not_differ_from_itself(before: Path, run: Callable[..., Said]) -> None:
    told = run(before, before, "--fail-on-regression")
    assert (told.code, told.err) == (0, "A and B are the same trials\n")
    assert "unet: no difference beyond the noise (0.0 points, 0.0 to 0.0" in told.out
    assert "- nothing differs in protocol and data" in told.out


def test_an_interval_without_zero_that_holm_does_not_confirm(before: Path, tmp_path: Path) -> None:
    match = compared(before, after(tmp_path, {"unet": 0.70, "atrous_segnet": 0.68})).matches[0]
    assert "after Holm" not in sentence(replace(match, p_value=0.3, p_adjusted=0.6))
    assert "; p = 0.080 after Holm; a change of" in sentence(replace(match, p_value=0.04, p_adjusted=0.08))


# What can't be told


def test_one_seed_is_no_verdict(tmp_path: Path, run: Callable[..., Said]) -> None:
    first = write_study(tmp_path / "before", {"unet": 0.7}, seeds=(0,))
    second = after(tmp_path, {"unet": 0.5}, seeds=(0, 1))
    match = one_match(first, second)
    assert (match.outcome, match.covers, match.seeds_after) == ("undecided", "recordings", (0,))
    assert match.p_adjusted is None
    told = run(first, second, "--fail-on-regression")
    assert told.code == 0
    assert "points, −" in told.out
    assert "over recordings alone; with one seed nobody knows" in told.out
    assert told.err == "--fail-on-regression: nothing can be told of unet\n"


def test_no_common_seed_is_no_verdict(tmp_path: Path, run: Callable[..., Said]) -> None:
    first = write_study(tmp_path / "before", {"unet": 0.7}, seeds=(0, 1))
    second = after(tmp_path, {"unet": 0.5}, seeds=(2, 3))
    match = one_match(first, second)
    assert (match.outcome, match.difference, match.mean_before) == ("undecided", None, None)
    told = run(first, second, "--fail-on-regression")
    assert told.code == 0
    assert (
        "unet: can't tell: no seed in common (A has 0, 1; B has 2, 3), so run both with the same --seeds." in told.out
    )


def test_a_segmenter_that_never_finished(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    other = after(tmp_path, {"unet": 0.7})
    for found in find_records(other).found:
        record = make_record(
            found.record.segmenter,
            seed=found.record.seed,
            status="diverged",
            reason="the loss became NaN",
            protocol=replace(OTHER_PROTOCOL, image_size=IMAGES.image_size),
            data=found.record.data,
        )
        (found.path).write_bytes(_bytes_of(record))
    told = run(before, other, "--fail-on-regression")
    assert told.code == 0
    assert "- unet: can't tell: no seed has this score in B." in told.out
    assert "Without a score in B: **unet** seed 0, diverged: the loss became NaN" in told.out
    assert "Only in A: **atrous_segnet**." in told.out


def _bytes_of(record: Any) -> bytes:
    from benchbird.record_json import record_bytes

    return record_bytes(record)


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (MadeUpImages(n_recordings=11), "other test images"),
        (MadeUpImages(seed=1), "the same names of test images, but other masks"),
        (MadeUpImages(image_size=40), "the same test images at 32 and at 40 pixels"),
    ],
)
def test_other_test_data_are_no_regression(
    images: MadeUpImages, why: str, before: Path, tmp_path: Path, run: Callable[..., Said]
) -> None:
    other = after(tmp_path, {"unet": 0.5}, images=images)
    comparison = compared(before, other)
    [match] = comparison.matches
    assert comparison.other_test_data.startswith(why)
    assert (match.outcome, match.probability, match.p_adjusted) == ("undecided", None, None)
    assert match.low is not None and match.high is not None and match.high < 0
    told = run(before, other, "--fail-on-regression")
    assert told.code == 0
    assert f"the test data differ ({why}" in told.err
    assert "none is called a regression" in told.err
    assert "- data.digest: " in told.out


def test_another_size_is_the_same_test_for_a_score_at_native_size() -> None:
    first, smaller = make_predictions(), replace(make_predictions(0.5), image_size=16)
    assert "at 32 and at 16 pixels" in difference_of_tests(first, smaller, "iou_pooled")
    assert difference_of_tests(first, smaller, "iou_native") == ""
    other = make_predictions(images=MadeUpImages(seed=1))
    assert "other masks" in difference_of_tests(first, other, "iou_native")


def test_the_same_images_of_other_recordings_are_no_pair() -> None:
    first = make_predictions()
    other = replace(first, recording_ids=first.recording_ids[::-1])
    assert "of other recordings" in difference_of_tests(first, other, "iou_pooled")


def test_other_test_data_count_all_seeds(before: Path, tmp_path: Path) -> None:
    other = after(tmp_path, {"unet": 0.5}, images=MadeUpImages(seed=1), seeds=(4, 5, 6))
    match = one_match(before, other)
    assert (match.seeds_before, match.seeds_after) == (SEEDS, (4, 5, 6))
    assert " 5/3 |" in render_comparison(compared(before, other))


def test_other_training_data_are_still_a_pair(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    more = replace(IMAGES.summary(), n_train=4000, digest="e" * 12, content_sha256="e" * 64)
    worse = after(tmp_path, {"unet": 0.6, "atrous_segnet": 0.68}, data=more)
    told = run(before, worse, "--fail-on-regression")
    assert told.code == 1
    assert "- data.n_train: 400 → 4000" in told.out
    assert "the test masks are the same, but not all of the data" in told.err


def test_without_predictions_the_seeds_alone_speak(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    worse = after(tmp_path, {"unet": 0.5, "atrous_segnet": 0.5})
    for file in (tmp_path / "after").rglob("predictions.npz"):
        file.unlink()
    match = compared(before, worse).matches[0]
    assert (match.outcome, match.covers, match.n_recordings) == ("undecided", "seeds", 0)
    told = run(before, worse, "--fail-on-regression")
    assert told.code == 0
    assert "over seeds alone; predictions files are missing" in told.out


def test_without_predictions_another_data_digest_is_another_test(before: Path, tmp_path: Path) -> None:
    other = after(tmp_path, {"unet": 0.5}, images=MadeUpImages(seed=1))
    for file in (tmp_path / "after").rglob("predictions.npz"):
        file.unlink()
    assert "data digests differ" in compared(before, other).other_test_data


def test_a_score_that_nothing_tells_is_an_error(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    other = after(tmp_path, {"unet": 0.5})
    for file in (tmp_path / "after").rglob("predictions.npz"):
        file.unlink()
    told = run(before, other, "--metric", "boundary_iou")
    assert (told.code, told.out) == (1, "")
    assert "--metric boundary_iou: unet seed 0" in told.err


def test_leaks_are_no_verdict(before: Path, tmp_path: Path) -> None:
    leaky = replace(IMAGES.summary(), leaks_allowed=2)
    [match, _] = compared(before, after(tmp_path, {"unet": 0.5, "atrous_segnet": 0.5}, data=leaky)).matches
    assert match.outcome == "undecided"
    assert "more than one split" in match.reason


def test_a_recording_that_decides_whether_there_is_a_score(tmp_path: Path) -> None:
    # All birds are in one recording: without it there is nothing to find.
    images = MadeUpImages(n_recordings=6, images_per_recording=1, without_bird=5)
    first = write_study(tmp_path / "before", {"unet": 0.7}, images=images)
    match = one_match(first, after(tmp_path, {"unet": 0.6}, images=images), "recall")
    assert (match.outcome, match.covers) == ("undecided", "seeds")
    assert "undefined without one of the recordings" in match.reason


def test_a_score_that_one_trial_alone_cant_tell_is_an_error_that_names_it(
    before: Path, tmp_path: Path, run: Callable[..., Said]
) -> None:
    other = after(tmp_path, {"unet": 0.5})
    next(other.glob("unet-*/seed-3/predictions.npz")).unlink()
    told = run(before, other, "--metric", "boundary_iou")
    assert (told.code, told.out) == (1, "")
    assert f"--metric boundary_iou: unet seed 3 of study {other.name}: no predictions file" in told.err


def test_a_score_that_records_state_as_undefined_is_no_error(tmp_path: Path) -> None:
    images = MadeUpImages(n_recordings=3, images_per_recording=1, without_bird=3)
    first = write_study(tmp_path / "before", {"unet": 0.7}, images=images)
    second = after(tmp_path, {"unet": 0.6}, images=images)
    for file in tmp_path.rglob("predictions.npz"):
        file.unlink()
    match = one_match(first, second, "recall")
    assert (match.outcome, match.difference) == ("undecided", None)
    assert match.reason == "no seed has this score in A"


@pytest.mark.parametrize("with_predictions", [True, False])
def test_cross_validations_of_two_pools_in_one_folder_are_other_test_data(
    tmp_path: Path, run: Callable[..., Said], with_predictions: bool
) -> None:
    root = tmp_path / "results"
    for seed in (0, 1, 2):
        write_folds(root, "unet", 0.7, seed)
        write_folds(root, "unet", 0.5, seed, pool_letter="q")
    if not with_predictions:
        for file in root.rglob("predictions.npz"):
            file.unlink()
    studies = {one.digest: one for one in (select_study(root, results=root, digest=d).study for d in pools(root))}
    one, other = studies
    told = run(root, root, "--digest-a", one, "--digest-b", other, "--fail-on-regression")
    assert told.code == 0, told.err
    assert "A and B are the same trials" not in told.err
    if with_predictions:
        assert "the test data differ (other test images)" in told.err
    same = run(root, root, "--digest-a", one, "--digest-b", one)
    assert same.code == 0
    assert "A and B are the same trials" in same.err
    assert "the test data differ" not in same.err


def test_paths_alone_say_nothing_of_the_test_data(tmp_path: Path) -> None:
    for letter in "pq":
        write_folds(tmp_path, "unet", 0.7, pool_letter=letter)
    (first,), (second,) = (select_study(tmp_path, results=tmp_path, digest=one).study.found for one in pools(tmp_path))
    one = read_scored_study([first], "iou_pooled", Index(None))
    other = read_scored_study([replace(second, path=first.path)], "iou_pooled", Index(None))
    assert why_apart(one, other, "iou_pooled") == "other test images"


def pools(root: Path) -> list[str]:
    protocol = str(find_records(root).found[0].record.protocol["digest"])
    return [study_digest(protocol, letter * 12) for letter in "pq"]
