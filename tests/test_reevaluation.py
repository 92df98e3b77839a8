"""A finished trial's weights predict again, in a child process, what they predicted; anything else is said."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchbird.data.prepared import load_split
from benchbird.errors import ConfigError, ResultsError
from benchbird.evaluation import Prediction
from benchbird.foreign_weights import describe_weights_fault
from benchbird.plan import Plan
from benchbird.predictions import read_predictions
from benchbird.records import Fold
from benchbird.reevaluation import ReevaluationRequest, reevaluate, reevaluate_trial
from benchbird.reproduction import Sources, compare, reproduce
from benchbird.restoration import misfits, read_weights, request_model
from benchbird.results import FoundRecord
from benchbird.runner import prepare
from tests.finished_bench import copy_trial, found_trial, reseal_files, rewrite_record, trial_folder
from tests.small_bench import Bench
from tests.study_factory import make_small_plan

LABELS = ("atrous_segnet", "threshold", "patterned")


@pytest.fixture(scope="module")
def plan(finished: Bench) -> Plan:
    return make_small_plan(finished, plugins=(finished.folder / "mine.py",))


@pytest.fixture(scope="module")
def splits(finished: Bench, plan: Plan) -> Mapping[str, Path]:
    prepared, _ = prepare(plan, finished.folder / "cache")
    return {name: split.folder for name, split in prepared.splits.items()}


@pytest.fixture(autouse=True)
def _restore_flags() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def request_for(found: FoundRecord, plan: Plan, split: Path) -> ReevaluationRequest:
    model = request_model(found, plan.protocol, plugin_files=plan.plugin_files, device="cpu")
    return ReevaluationRequest(model=model, split=split)


def altered(request: ReevaluationRequest, **changes: Any) -> ReevaluationRequest:
    """The request for another model."""
    return replace(request, model=replace(request.model, **changes))


@pytest.mark.parametrize("label", LABELS)
def test_the_test_split_is_predicted_again_to_the_bit(
    finished: Bench, plan: Plan, splits: Mapping[str, Path], label: str
) -> None:
    found = found_trial(trial_folder(finished.results, label, seed=1))
    request = request_for(found, plan, splits["test"])
    assert pickle.loads(pickle.dumps(request)) == request
    assert request.model.threads == found.record.environment.threads
    again = reevaluate_trial(request)
    stored = read_predictions(found.path.parent / "predictions.npz")
    for first, second in (
        (stored.test.protocol, again.counts.protocol),
        (stored.test.native, again.counts.native),
        (stored.histogram, again.histogram),
        (stored.predicted, again.predicted),
        (stored.reference, again.reference),
    ):
        assert np.array_equal(first, second)
    assert found.record.scores is not None
    assert again.scores() == found.record.scores.test


def test_another_split_can_be_predicted(finished: Bench, plan: Plan, splits: Mapping[str, Path]) -> None:
    found = found_trial(trial_folder(finished.results, "atrous_segnet"))
    again = reevaluate_trial(request_for(found, plan, splits["val"]))
    assert found.record.scores is not None
    assert again.scores() == found.record.scores.val
    assert len(again.counts) == len(load_split(splits["val"]))


def test_the_child_reports_once_and_keeps_the_flags(finished: Bench, plan: Plan, splits: Mapping[str, Path]) -> None:
    found = found_trial(trial_folder(finished.results, "threshold"))
    events: list[Mapping[str, Any]] = []
    reevaluate(request_for(found, plan, splits["test"]), events.append)
    assert [event["event"] for event in events] == ["predicted"]


def fails(request: ReevaluationRequest) -> str:
    """The reason that the child reports, in this process for speed."""
    events: list[Mapping[str, Any]] = []
    reevaluate(request, events.append)
    (event,) = events
    assert event["event"] == "failed"
    return str(event["reason"])


@pytest.fixture
def copied(finished: Bench, tmp_path: Path) -> Path:
    return copy_trial(finished, "atrous_segnet", tmp_path)


def test_altered_weights_are_refused(copied: Path, plan: Plan, splits: Mapping[str, Path]) -> None:
    request = request_for(found_trial(copied), plan, splits["test"])
    path = copied / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    assert fails(request) == "weights.safetensors: its SHA-256 isn't the one that the record states"
    with pytest.raises(ResultsError, match=r"seed-0: could not predict again: weights.safetensors: its SHA-256"):
        reevaluate_trial(request)


def test_missing_and_linked_weights_are_refused(
    copied: Path, plan: Plan, splits: Mapping[str, Path], tmp_path: Path
) -> None:
    request = request_for(found_trial(copied), plan, splits["test"])
    request.model.weights.rename(tmp_path / "elsewhere")
    assert "weights.safetensors: not there" in fails(request)
    request.model.weights.symlink_to(tmp_path / "elsewhere")
    assert "weights.safetensors: not there" in fails(request)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor[:1].clone(), "found float32 (1,"),
        (lambda tensor: tensor.double(), "found float64"),
        (None, "missing"),
    ],
)
def test_weights_that_dont_fit_the_model_are_named(
    copied: Path, plan: Plan, splits: Mapping[str, Path], change: Any, said: str
) -> None:
    path = copied / "weights.safetensors"
    weights = load_file(path)
    name = next(name for name, tensor in weights.items() if tensor.dim() == 4)
    if change is None:
        del weights[name]
    else:
        weights[name] = change(weights[name])
    save_file(weights, path)
    reseal_files(copied)
    reason = fails(request_for(found_trial(copied), plan, splits["test"]))
    assert "doesn't fit the model that atrous_segnet builds here" in reason
    assert f"{name}: {said}" in reason


def test_a_plugin_that_changed_since_is_refused(finished: Bench, plan: Plan, splits: Mapping[str, Path]) -> None:
    found = found_trial(trial_folder(finished.results, "patterned"))
    other = replace(found.record.segmenter, source_sha256="f" * 64)
    reason = fails(altered(request_for(found, plan, splits["test"]), segmenter=other))
    assert "segmenter patterned: mine.py has another SHA-256 than the source that was trained, ffffffffffff" in reason
    gone = fails(altered(request_for(found, plan, splits["test"]), plugin_files=()))
    assert "segmenter patterned can't be loaded" in gone


def test_another_protocol_or_no_weights_are_refused_before_a_child_starts(finished: Bench, plan: Plan) -> None:
    found = found_trial(trial_folder(finished.results, "threshold"))
    other = replace(plan.protocol, logit_threshold=0.5)
    with pytest.raises(ResultsError, match=f"trained under protocol {plan.protocol.digest}, asked for {other.digest}"):
        request_model(found, other, plugin_files=(), device="cpu")
    with pytest.raises(ResultsError, match="left no weights"):
        without = replace(found, record=replace(found.record, weights_file=None))
        request_model(without, plan.protocol, plugin_files=(), device="cpu")


def test_a_child_that_dies_is_said(finished: Bench, plan: Plan, splits: Mapping[str, Path], tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    source = (finished.folder / "mine.py").read_text()
    plugin.write_text(
        source.replace("        pattern = self", "        import os\n        os._exit(7)\n        pattern = self")
    )
    from benchbird.durable import file_sha256

    found = found_trial(trial_folder(finished.results, "patterned"))
    segmenter = replace(found.record.segmenter, source_sha256=file_sha256(plugin))
    request = altered(request_for(found, plan, splits["test"]), segmenter=segmenter, plugin_files=(plugin,))
    with pytest.raises(ResultsError, match="its process ended with exit code 7"):
        reevaluate_trial(request)


def test_weights_are_read_by_content_alone(copied: Path) -> None:
    path = copied / "weights.safetensors"
    record = found_trial(copied).record
    assert read_weights(path, record.files[path.name]).keys() == load_file(path).keys()
    path.write_bytes(b"\x00")
    with pytest.raises(ResultsError, match="no whole safetensors file"):
        read_weights(path, reseal_files(copied).files[path.name])


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_that_could_run_code_are_refused_with_the_way_to_convert_them(
    copied: Path, tmp_path: Path, zipped: bool
) -> None:
    path, canary = copied / "weights.safetensors", tmp_path / "sung"
    torch.save({"layer.weight": Canary(canary)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ResultsError, match=r"looks like a file of torch\.save.*weights_only=True"):
        read_weights(path, reseal_files(copied).files[path.name])
    assert not canary.exists()


def test_the_advised_conversion_makes_what_is_expected(tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.ones(2)}, tmp_path / "weights.pt")
    command = describe_weights_fault(b"\x80\x02}q", "").partition("python -c ")[2]
    subprocess.run([sys.executable, "-c", command.strip('"')], cwd=tmp_path, check=True)
    assert load_file(tmp_path / "weights.safetensors")["layer.weight"].tolist() == [1.0, 1.0]


def test_misfits_name_every_tensor() -> None:
    expected = {"a": torch.zeros(2, 3), "b": torch.zeros(1), "c": torch.zeros(1)}
    found = {"a": torch.zeros(3, 2), "c": torch.zeros(1), "d": torch.zeros(1)}
    assert misfits(expected, expected) == []
    assert misfits(expected, found) == [
        "b: missing",
        "d: the model has no such tensor",
        "a: found float32 (3, 2), expected float32 (2, 3)",
    ]


def again_of(folder: Path) -> tuple[FoundRecord, Prediction]:
    """A second prediction that is equal to the stored one."""
    stored = read_predictions(folder / "predictions.npz")
    return found_trial(folder), Prediction(
        counts=stored.test, histogram=stored.histogram, predicted=stored.predicted, reference=stored.reference
    )


def test_differing_pixels_are_counted_and_scores_compared(copied: Path) -> None:
    found, again = again_of(copied)
    stored = read_predictions(copied / "predictions.npz")
    (same,) = compare(found.record, stored, again, 0.0)
    assert (same.severity, same.what) == ("notice", "re-evaluated: identical")

    predicted, counts = again.predicted.copy(), again.counts.protocol.copy()
    bird = int(np.unpackbits(again.reference[2])[0])
    before = int(np.unpackbits(predicted[2])[0])
    predicted[2, 0] ^= 0b1000_0000
    for position, sign in (((1 - before, bird), 1), ((before, bird), -1)):
        counts[2, {(1, 1): 0, (1, 0): 1, (0, 1): 2, (0, 0): 3}[position]] += sign
    other = replace(again, predicted=predicted, counts=replace(again.counts, protocol=counts))
    (within,) = compare(found.record, stored, other, 0.5)
    assert within.severity == "notice"
    assert within.what.startswith("re-evaluated: 1 of 2048 pixels differ, in 1 of 8 images; iou_pooled ")
    assert "iou_native +0.000000; within 0.5" in within.what
    (beyond,) = compare(found.record, stored, other, 0.0)
    assert beyond.severity == "failed"

    (elsewhere,) = compare(found.record, stored, replace(again, reference=~again.reference), 1.0)
    assert (elsewhere.severity, elsewhere.field) == ("failed", "reference")


def test_a_copy_of_the_folder_elsewhere_predicts_the_same(
    finished: Bench, plan: Plan, splits: Mapping[str, Path], tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(trial_folder(finished.results, "threshold"), tmp_path / "x" / "seed-0"))
    again = reevaluate_trial(request_for(found_trial(moved), plan, splits["test"]))
    assert np.array_equal(again.predicted, read_predictions(moved / "predictions.npz").predicted)


def sources_of(bench: Bench, benchmark: Path, *overrides: str) -> Sources:
    return Sources(
        benchmark=benchmark, profile=None, overrides=overrides, plugin_files=(), cache=bench.folder / "cache",
        device="cpu", tolerance=0.0,
    )  # fmt: skip


def said(findings: Mapping[Path, Any], folder: Path) -> str:
    (finding,) = findings[folder / "record.json"]
    return f"{finding.severity} {finding}"


def test_folds_that_the_data_dont_have_are_findings(finished: Bench, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    plain, beyond = copy_trial(finished, "threshold", tmp_path), copy_trial(finished, "threshold", tmp_path / "other")
    fold = Fold(number=9, of=9, pool_digest="0" * 12)
    rewrite_record(beyond, data=replace(found_trial(beyond).record.data, fold=fold))
    sources = sources_of(finished, finished.folder / "small.yaml", "data.folds=3")
    findings = reproduce([found_trial(plain), found_trial(beyond)], sources, lambda event: None)
    assert "data.fold is 9, and there are 3 folds" in said(findings, beyond)
    assert "data.folds makes 3 folds, and none is chosen" in said(findings, plain)
    assert said(findings, plain).startswith("failed record.json: data: small.yaml, profile full, has no data")


def test_a_profile_that_cant_be_used_leaves_the_others_alone(finished: Bench, tmp_path: Path) -> None:
    benchmark = finished.folder / "profiles.yaml"
    text = (finished.folder / "small.yaml").read_text()
    benchmark.write_text(text + "profiles:\n  gone: {data: {root: nowhere}}\n")
    (tmp_path / "other").mkdir()
    good, bad = copy_trial(finished, "threshold", tmp_path), copy_trial(finished, "threshold", tmp_path / "other")
    rewrite_record(bad, profile="gone")
    events: list[Mapping[str, Any]] = []
    sources = sources_of(finished, benchmark)
    findings = reproduce([found_trial(bad), found_trial(good)], sources, events.append)
    assert "no such folder" in said(findings, bad) and "profile gone" in said(findings, bad)
    assert said(findings, good) == "notice predictions.npz: predicted: re-evaluated: identical"
    assert [(event["number"], event["of"]) for event in events] == [(2, 2)]
    with pytest.raises(ConfigError, match="no such folder"):
        reproduce([found_trial(bad)], sources, events.append)
