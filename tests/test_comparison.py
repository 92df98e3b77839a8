"""Whether two results differ beyond the noise, on made-up trials and through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchbird.changes import environment_changes, segmenter_changes, study_changes
from benchbird.cli import main
from benchbird.comparison import StudyComparison, compare
from benchbird.comparison_report import comparison_document, render_comparison, sentence
from benchbird.definitions import DEFINITIONS
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.matches import Match
from benchbird.protocol import OptimizerSettings, study_digest
from benchbird.results import find_records
from benchbird.scored_study import difference_of_tests, read_scored_study, why_apart
from benchbird.studies import select_study
from tests.predictions_factory import IMAGES, MadeUpImages, make_predictions, write_study, write_trial
from tests.record_factory import GPU, MALICIOUS_NAMES, PROTOCOL, make_record, make_segmenter
from tests.test_pooling import write_folds

OTHER_PROTOCOL = replace(PROTOCOL, optimizer=OptimizerSettings(lr=1e-4))
SEEDS = (0, 1, 2, 3, 4)


def compared(before: Path, after: Path, metric: str = "iou_pooled") -> StudyComparison:
    return compare(find_records(before).found, find_records(after).found, Index(None), metric)


def one_match(before: Path, after: Path, metric: str = "iou_pooled") -> Match:
    [match] = compared(before, after, metric).matches
    return match


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Said]:
    """The command line in this process, with a cache of its own."""

    def run(*arguments: str | Path) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, arguments), "--cache", str(tmp_path / "cache")])
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return write_study(tmp_path / "before", {"unet": 0.70, "atrous_segnet": 0.68}, seeds=SEEDS)


def after(tmp_path: Path, levels: dict[str, float], **study: Any) -> Path:
    return write_study(tmp_path / "after", levels, **{"seeds": SEEDS, "protocol": OTHER_PROTOCOL, **study})


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


# Who is matched with whom


def test_one_segmenter_each_is_matched_whatever_its_label(tmp_path: Path, run: Callable[..., Said]) -> None:
    study = write_study(tmp_path / "results", {"unet": 0.7, "atrous_segnet": 0.6, "threshold": 0.3})
    for arguments in (
        ("unet", "atrous_segnet", "--in", study),
        ("unet", "atrous_segnet", "--results", tmp_path / "results"),
        (next(study.glob("unet-*")), next(study.glob("atrous_segnet-*"))),
    ):
        told = run(*arguments, "--fail-on-regression")
        assert told.code == 1
        assert "- unet → atrous_segnet: a regression of " in told.out
        assert "- segmenter **unet → atrous_segnet**, name: unet → atrous_segnet" in told.out
        assert "Only in" not in told.out


def test_no_common_label_lists_both_sides(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    told = run(before, after(tmp_path, {"deeplabv3": 0.5, "threshold": 0.2}))
    assert (told.code, told.out) == (1, "")
    assert "A has atrous_segnet, unet; B has deeplabv3, threshold" in told.err


def test_an_unknown_label_lists_those_there_are(before: Path, run: Callable[..., Said]) -> None:
    told = run("unet", "u-net", "--in", before)
    assert (told.code, told.out) == (1, "")
    assert "u-net: no such folder or YAML, and no segmenter of that label in study" in told.err
    assert "there are: atrous_segnet, unet" in told.err


def test_a_label_too_long_for_a_file_is_a_label(before: Path, run: Callable[..., Said]) -> None:
    assert "no segmenter of that label" in run("x" * 5000, "unet", "--in", before).err


def test_a_label_with_nowhere_to_look(tmp_path: Path, run: Callable[..., Said]) -> None:
    told = run("unet", "threshold", "--results", tmp_path / "absent")
    assert told.code == 1
    assert "--in TARGET says where" in told.err


def test_the_newest_study_of_several_is_taken_and_said(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    root = tmp_path / "mixed"
    old = write_study(root, {"unet": 0.5}, started_at="2026-01-01T00:00:00+00:00")
    new = write_study(root, {"unet": 0.7}, protocol=OTHER_PROTOCOL)
    told = run(before, root)
    assert told.code == 0
    assert f"study {new.name}" in told.out
    assert f"B: showing study {new.name}; others in {root} (--digest-b PREFIX):" in told.err
    chosen = run(before, root, "--digest-b", old.name[:6], "--fail-on-regression")
    assert chosen.code == 1
    assert "--digest-b 'ffff' fits no study" in run(before, root, "--digest-b", "ffff").err
    both = run("unet", "unet", "--in", root, "--digest-a", new.name, "--digest-b", old.name, "--fail-on-regression")
    assert both.code == 1


def test_the_newest_version_of_a_label_is_compared(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    after(tmp_path, {"unet": 0.5}, started_at="2026-01-01T00:00:00+00:00")
    newer = make_segmenter("unet", options={"base_channels": 16}, source="b")
    for seed in SEEDS:
        write_trial(tmp_path / "after", newer, level=0.7, seed=seed, protocol=OTHER_PROTOCOL)
    told = run(before, tmp_path / "after", "--fail-on-regression")
    assert told.code == 0
    assert "B: records of older versions of a segmenter left out: 5" in told.err
    assert "- segmenter **unet**, options.base_channels: 64 → 16" in told.out
    assert f"- segmenter **unet**, source_sha256: {'a' * 12} → {'b' * 12}\n" in told.out


def test_trials_of_a_noise_budget_are_refused(before: Path, tmp_path: Path) -> None:
    found = find_records(before).found
    drawn = [replace(one, record=replace(one.record, initialisation_seed=99)) for one in found]
    with pytest.raises(ResultsError, match="noise budget"):
        compare(found, drawn, Index(None))


def test_a_benchmark_s_yaml_stands_for_its_results(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    (tmp_path / "b.yaml").write_text("name: birdsound\nsegmenters: [unet]\n")
    told = run(tmp_path / "b.yaml", before, "--results", tmp_path / "before")
    assert (told.code, told.err) == (0, "A and B are the same trials\n")


# What differs


def test_protocol_and_data_are_compared_key_by_key() -> None:
    first, second = make_record(), make_record(protocol=OTHER_PROTOCOL, data=replace(make_record().data, n_val=81))
    changes = {change.key: (change.before, change.after) for change in study_changes([first], [second])}
    assert changes == {"protocol.optimizer.lr": (1e-3, 1e-4), "data.n_val": (80, 81)}
    assert study_changes([first], [first]) == ()


def test_a_key_of_one_side_alone_differs() -> None:
    first = make_record()
    second = replace(first, protocol={**first.protocol, "warmup": {"epochs": 3}, "compile": 0})
    found = [(change.key, change.before, change.after) for change in study_changes([first], [second])]
    assert found == [("protocol.compile", False, 0), ("protocol.warmup.epochs", None, 3)]


def test_only_what_can_change_numbers_is_listed_of_a_machine() -> None:
    first = make_record()
    newer = replace(GPU, packages={"torch": "2.15.0", "timm": "1.0"})
    found = {one.key: (one.before, one.after) for one in environment_changes([first], [make_record(environment=newer)])}
    assert found == {
        "environment.device": ("cpu", "cuda"),
        "environment.accelerator": (None, GPU.accelerator),
        "environment.packages.torch": ("2.14.1", "2.15.0"),
        "environment.packages.timm": (None, "1.0"),
    }
    mixed = environment_changes([first], [first, make_record(environment=GPU)])
    assert next(one.after for one in mixed if one.key == "environment.device") == ["cpu", "cuda"]


def test_a_segmenter_s_changes_leave_its_label_out() -> None:
    first = make_record(make_segmenter("a", name="unet", options={"encoder": "resnet18"}))
    second = make_record(make_segmenter("b", name="unet", options={"encoder": "resnet34"}, pretraining="imagenet"))
    found = [change.key for change in segmenter_changes(first, second)]
    assert found == ["options.encoder", "pretraining"]


# Output


def test_json_is_one_document(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    worse = after(tmp_path, {"unet": 0.6, "threshold": 0.2})
    document = json.loads(run(before, worse, "--json").out)
    [match] = document["matches"]
    assert (match["outcome"], match["before"], match["seeds_before"]) == ("regression", "unet", list(SEEDS))
    assert match["verdict"].startswith("unet: a regression of ")
    assert document["before"]["unmatched"] == ["atrous_segnet"]
    assert document["changes"] == [{"key": "protocol.optimizer.lr", "before": 0.001, "after": 0.0001}]
    assert document == json.loads(json.dumps(comparison_document(compared(before, worse))))


def test_an_unknown_metric_lists_those_there_are(before: Path, run: Callable[..., Said]) -> None:
    told = run(before, before, "--metric", "iou")
    assert told.code == 2
    assert "expected one of iou_pooled" in told.err


@pytest.mark.parametrize("name", MALICIOUS_NAMES)
def test_hostile_names_forge_nothing(name: str, before: Path) -> None:
    hostile = [
        replace(
            one,
            record=replace(
                one.record,
                segmenter=replace(
                    one.record.segmenter, label=name, plugin=name, options={name: name}, pretraining=name
                ),
                benchmark=name,
            ),
        )
        for one in find_records(next(before.glob("unet-*"))).found
    ]
    comparison = compare(find_records(next(before.glob("atrous*"))).found, hostile, Index(None))
    document = render_comparison(comparison)
    plain = render_comparison(compared(next(before.glob("atrous*")), next(before.glob("unet-*"))))
    assert document.isprintable() or all(line.isprintable() for line in document.split("\n"))
    rows = [line for line in document.split("\n") if line.startswith("|")]
    assert len(rows) == 3
    assert {line.count("|") for line in rows} == {12}
    assert "<" not in document and "](" not in document.replace("\\](", "")
    kinds = {"- segm", "- noth", "- atro", "**A** ", "**B** "}
    starts = [line[:6] for line in document.split("\n") if line.startswith(("-", "#", "**", "="))]
    assert {start for start in starts} <= kinds, starts
    assert document.count("\n\n") == plain.count("\n\n")
    assert "\n" not in sentence(comparison.matches[0])


def test_the_index_gives_the_same_answer(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    worse = after(tmp_path, {"unet": 0.6, "atrous_segnet": 0.68})
    first = run(before, worse)
    assert (tmp_path / "cache" / "index.sqlite").exists()
    assert run(before, worse) == first


def test_from_a_shell_without_torch(before: Path, tmp_path: Path) -> None:
    worse = after(tmp_path, {"unet": 0.5, "atrous_segnet": 0.68})
    done = subprocess.run(
        [sys.executable, "-m", "benchbird", "compare", before, worse, "--fail-on-regression"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUTF8": "1", "BENCHBIRD_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 1
    assert "- unet: a regression of " in done.stdout


def test_help_shows_an_example(run: Callable[..., Said]) -> None:
    assert "Example: benchbird compare before/results after/results" in run("--help").out
