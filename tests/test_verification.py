"""Real results pass; whatever is altered, swapped, cut or missing is named with its file and field."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchbird.errors import ResultsError
from benchbird.findings import Finding
from benchbird.results import read_record
from benchbird.verification import TrialReport, verify
from tests.finished_bench import copy_trial, reseal_files, rewrite_record, trial_folder
from tests.record_factory import make_record
from tests.small_bench import Bench

MUTATED = ("record.json", "predictions.npz", "weights.safetensors", "curve.jsonl")


@pytest.fixture
def trial(finished: Bench, tmp_path: Path) -> Path:
    """A copy of a finished trial with gradients."""
    return copy_trial(finished, "atrous_segnet", tmp_path)


@pytest.fixture
def results(finished: Bench, tmp_path: Path) -> Path:
    """A copy of all finished trials."""
    return Path(shutil.copytree(finished.results, tmp_path / "results"))


def only(folder: Path) -> TrialReport:
    (report,) = verify(folder).trials
    return report


def failures(report: TrialReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity == "failed"]


def shown(report: TrialReport) -> str:
    return "\n".join(map(str, report.findings))


def test_a_fresh_run_is_sound_at_every_level(finished: Bench) -> None:
    folder = trial_folder(finished.results, "threshold")
    levels = [finished.results, *list(folder.parents)[2::-1], folder]
    counts = []
    for level in levels:
        verification = verify(level)
        assert all(trial.findings == () for trial in verification.trials), list(map(shown, verification.trials))
        assert verification.is_sound(allow_missing=False)
        counts.append(len(verification.trials))
    assert counts == [6, 6, 6, 2, 1]
    assert verify(finished.results).summary == "6 trials: 6 ok"


def test_a_hundred_changed_bytes_are_each_named(trial: Path) -> None:
    chance = random.Random(20261124)
    for _ in range(100):
        path = trial / chance.choice(MUTATED)
        content = path.read_bytes()
        offset = chance.randrange(len(content))
        other = (content[offset] + chance.randrange(1, 256)) % 256
        path.write_bytes(content[:offset] + bytes([other]) + content[offset + 1 :])
        report = only(trial)
        where = f"{path.name} at {offset}: {content[offset]} became {other}: {shown(report)}"
        assert report.status == "failed", where
        named = [finding for finding in failures(report) if finding.file == path.name]
        if path.name == "record.json":
            assert any(finding.field or re.search(r"line \d+", finding.what) for finding in named), where
        else:
            assert any(finding.field == f"files.{path.name}" for finding in named), where
        path.write_bytes(content)
    assert only(trial).findings == ()


@pytest.mark.parametrize("name", MUTATED)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_cut_file_is_named(trial: Path, name: str, share: float) -> None:
    path = trial / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    report = only(trial)
    assert report.status == "failed"
    assert {finding.file for finding in failures(report)} == {name}


@pytest.mark.parametrize("name", MUTATED)
def test_a_link_is_refused_even_to_the_same_bytes(trial: Path, tmp_path: Path, name: str) -> None:
    (trial / name).rename(tmp_path / "elsewhere")
    (trial / name).symlink_to(tmp_path / "elsewhere")
    (finding,) = failures(only(trial))
    assert finding.file == name
    assert "link" in finding.what


def test_a_folder_or_a_pipe_in_place_of_a_file_is_refused_without_reading(trial: Path) -> None:
    (trial / "weights.safetensors").unlink()
    os.mkfifo(trial / "weights.safetensors")
    (trial / "predictions.npz").unlink()
    (trial / "predictions.npz").mkdir()
    assert [finding.file for finding in failures(only(trial))] == ["predictions.npz", "weights.safetensors"]


@pytest.mark.parametrize("name", ["predictions.npz", "weights.safetensors", "curve.jsonl"])
def test_a_missing_file_makes_a_trial_incomplete(trial: Path, name: str) -> None:
    (trial / name).unlink()
    verification = verify(trial)
    assert verification.trials[0].status == "incomplete"
    assert verification.summary == "1 trial: 0 ok, 1 incomplete"
    assert not verification.is_sound(allow_missing=False)
    assert verification.is_sound(allow_missing=True)
    assert f"{name}: files.{name}: not there" in shown(verification.trials[0])


def test_a_file_more_is_a_notice(trial: Path) -> None:
    (trial / "notes.md").write_text("mine")
    report = only(trial)
    assert report.status == "ok"
    assert shown(report) == "notes.md: no file of this trial"


def test_predictions_of_two_trials_swapped_are_named_in_both(results: Path) -> None:
    first, second = (trial_folder(results, "atrous_segnet", seed) / "predictions.npz" for seed in (0, 1))
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    broken = [report for report in verify(results).trials if report.status == "failed"]
    assert [report.folder.name for report in broken] == ["seed-0", "seed-1"]
    for report in broken:
        assert "predictions.npz: files.predictions.npz: the record says SHA-256" in shown(report)
        assert "record.json: scores.test.iou_pooled: the record says" in shown(report)


def test_swapped_predictions_are_named_even_where_the_record_states_their_hash(results: Path) -> None:
    first, second = (trial_folder(results, "atrous_segnet", seed) for seed in (0, 1))
    shutil.copy(second / "predictions.npz", first)
    reseal_files(first)
    fields = {finding.field for finding in failures(only(first))}
    assert "scores.test.iou_pooled" in fields
    assert "files.predictions.npz" not in fields


@pytest.mark.parametrize("where", ["scores", "last_epoch"])
@pytest.mark.parametrize("split", ["test", "val"])
def test_a_score_altered_with_a_new_seal_is_recomputed(trial: Path, where: str, split: str) -> None:
    scores = getattr(read_record(trial / "record.json"), where)
    better = replace(getattr(scores, split), iou_native=0.987654321, n_ref_empty=3)
    rewrite_record(trial, **{where: replace(scores, **{split: better})})
    found = shown(only(trial))
    before = getattr(scores, split).iou_native
    assert (
        f"record.json: {where}.{split}.iou_native: the record says 0.987654321, the predictions give {before}" in found
    )
    assert f"record.json: {where}.{split}.n_ref_empty: the record says 3, the predictions give" in found


def test_a_score_altered_by_the_last_bit_is_recomputed(trial: Path) -> None:
    scores = read_record(trial / "record.json").scores
    assert scores is not None and scores.test.dice is not None
    near = replace(scores.test, dice=float(np.nextafter(scores.test.dice, 1)))
    rewrite_record(trial, scores=replace(scores, test=near))
    (finding,) = failures(only(trial))
    assert finding.field == "scores.test.dice"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda record: {"last_epoch": None}, "last_epoch"),
        (lambda record: {"best_epoch": 3 - record.best_epoch % 2}, "best_epoch"),
        (lambda record: {"predictions_file": None}, "predictions_file"),
        (lambda record: {"weights_file": None}, "weights_file"),
        (lambda record: {"data": replace(record.data, n_test=9)}, "data.n_test"),
        (lambda record: {"data": replace(record.data, n_recordings_test=9)}, "data.n_recordings_test"),
        (lambda record: {"seed": 7}, "seed"),
        (lambda record: {"files": {k: v for k, v in record.files.items() if k != "curve.jsonl"}}, "files.curve.jsonl"),
    ],
)
def test_other_fields_altered_with_a_new_seal(
    trial: Path, change: Callable[..., dict[str, object]], field: str
) -> None:
    rewrite_record(trial, **change(read_record(trial / "record.json")))
    assert field in {finding.field for finding in failures(only(trial))}


def test_a_record_spelled_otherwise_is_named_by_its_line(trial: Path) -> None:
    path = trial / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"attempts": 1', b'"attempts":  1'))
    (finding,) = failures(only(trial))
    assert re.fullmatch(r"record.json: line \d+: not as benchbird writes it: found .*, expected .*", str(finding))


def rewrite_arrays(folder: Path, **changes: np.ndarray) -> None:
    with np.load(folder / "predictions.npz") as archive:
        arrays = {**archive, **changes}
    np.savez_compressed(folder / "predictions.npz", **arrays)
    reseal_files(folder)


def test_arrays_that_contradict_one_another_are_named(trial: Path) -> None:
    with np.load(trial / "predictions.npz") as archive:
        predicted = archive["predicted"].copy()
    predicted[0, 0] ^= 1
    rewrite_arrays(trial, predicted=predicted)
    (finding,) = failures(only(trial))
    assert finding.file == "predictions.npz"
    assert "predicted: other predicted pixels than in counts" in finding.what


def test_a_histogram_that_tells_other_counts_is_named(trial: Path) -> None:
    with np.load(trial / "predictions.npz") as archive:
        histogram = archive["histogram"].copy()
    # The same pixels with the other sign: every total stays, tuned threshold and calibration would not.
    rewrite_arrays(trial, histogram=histogram[..., ::-1])
    (finding,) = failures(only(trial))
    assert str(finding) == "predictions.npz: histogram: gives other counts at the protocol's threshold"


def test_weights_that_are_no_tensors_are_named_even_where_the_record_states_their_hash(trial: Path) -> None:
    (trial / "weights.safetensors").write_bytes(b"not tensors")
    reseal_files(trial)
    (finding,) = failures(only(trial))
    assert str(finding).startswith("weights.safetensors: files.weights.safetensors: no whole safetensors file")


def test_a_trial_on_other_data_is_told_from_its_study(results: Path) -> None:
    odd = trial_folder(results, "patterned", 1)
    with np.load(odd / "predictions.npz") as archive:
        ids, recordings = archive["sample_ids"].astype("U40"), archive["recording_ids"].copy()
    ids[-1] = f"{ids[-1]}x"
    rewrite_arrays(odd, sample_ids=ids, recording_ids=np.roll(recordings, 1))
    record = read_record(odd / "record.json")
    rewrite_record(odd, data=replace(record.data, content_sha256="0" * 64))
    verification = verify(results)
    assert [report.folder.name for report in verification.trials if report.status == "failed"] == ["seed-1"]
    (report,) = (report for report in verification.trials if report.status == "failed")
    assert {(finding.file, finding.field) for finding in failures(report)} == {
        ("record.json", "data.content_sha256"),
        ("predictions.npz", "sample_ids"),
        ("predictions.npz", "recording_ids"),
    }
    assert "than in most trials of the study, such as small" in shown(report)


def test_a_record_that_cant_be_read_counts_and_leaves_the_others_alone(results: Path) -> None:
    torn = trial_folder(results, "threshold", 0) / "record.json"
    torn.write_bytes(torn.read_bytes()[:700])
    verification = verify(results)
    assert verification.summary == "6 trials: 5 ok, 1 failed"
    (report,) = (report for report in verification.trials if report.status == "failed")
    assert report.found is None
    assert shown(report).startswith("record.json: not whole JSON at line ")


def test_an_altered_field_is_named_where_the_record_cant_be_read_for_it(trial: Path) -> None:
    path = trial / "record.json"
    path.write_bytes(re.sub(rb'"duration_s": [^,]+', b'"duration_s": 1e99', path.read_bytes()))
    (finding,) = failures(only(trial))
    assert (finding.file, finding.field) == ("record.json", "duration_s")
    path.write_bytes(path.read_bytes().replace(b'"attempts"', b'"attempt\xff"'))
    (finding,) = failures(only(trial))
    assert re.fullmatch(r"line \d+", finding.field)


def test_a_trial_that_failed_needs_its_record_alone(tmp_path: Path) -> None:
    from benchbird.results import add_record

    add_record(tmp_path / "seed-0", make_record(status="diverged", reason="the loss became NaN"))
    assert only(tmp_path).status == "ok"


def test_nothing_to_verify_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such folder"):
        verify(tmp_path / "absent")
    (tmp_path / "published").mkdir()
    with pytest.raises(ResultsError, match=r"no trial has ended here.*published$"):
        verify(tmp_path)
    (tmp_path / "seed-0").mkdir()
    with pytest.raises(ResultsError, match="no trial has ended here"):
        verify(tmp_path)


def test_trials_under_way_are_counted_apart(finished: Bench, results: Path) -> None:
    (trial_folder(results, "threshold", 0) / "record.json").unlink()
    verification = verify(results)
    assert (len(verification.trials), verification.unended) == (5, 1)
