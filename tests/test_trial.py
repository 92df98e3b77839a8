"""A trial in this process: the order of its steps, what it leaves, what it makes of failures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchbird import timing, trial
from benchbird.data.prepared import PreparedSplit, load_split
from benchbird.records import TrialRecord
from benchbird.results import RECORD_FILE
from benchbird.trial import TrialRequest, read_attempt, reopen_trial, run_trial
from tests.small_bench import Bench, make_bench
from tests.study_factory import make_requests, make_small_plan


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")


@pytest.fixture
def requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[TrialRequest, ...]:
    # In this process the flags would outlive the test.
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.01)
    return make_requests(bench, make_small_plan(bench))


@pytest.fixture(autouse=True)
def _restore_flags() -> Any:
    yield
    torch.use_deterministic_algorithms(False)


def ignore(_event: Mapping[str, Any]) -> None:
    """Nobody listens."""


def watch_splits(monkeypatch: pytest.MonkeyPatch, story: list[str]) -> None:
    """Write down each split that a trial reads."""

    def watched(folder: Path) -> PreparedSplit:
        split = load_split(folder)
        story.append(split.name)
        return split

    monkeypatch.setattr(trial, "load_split", watched)


def test_the_test_split_is_read_once_after_everything_is_decided(
    requests: tuple[TrialRequest, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[str] = []
    watch_splits(monkeypatch, story)
    run_trial(requests[0], lambda event: story.append(str(event["event"])))
    assert story == ["train", "val", "epoch", "epoch", "epoch", "testing", "val", "test", "timing"]


def test_calibration_sees_the_training_split_alone(
    requests: tuple[TrialRequest, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    watch_splits(monkeypatch, seen)
    record = run_trial(requests[1], ignore)
    assert seen == ["train", "val", "test"]
    assert record.status == "done"
    assert record.best_epoch is None
    assert record.timing is not None
    assert record.timing.train_images_per_s is None


def test_stored_weights_are_those_of_the_best_epoch(requests: tuple[TrialRequest, ...]) -> None:
    request = requests[0]
    record = run_trial(request, ignore)
    assert record.scores is not None
    assert record.best_epoch is not None
    curve = [json.loads(line) for line in (request.folder / "curve.jsonl").read_text().splitlines()]
    best = max(curve, key=lambda line: (line["val_iou_pooled"], -line["epoch"]))
    assert record.best_epoch == best["epoch"]
    assert record.scores.val.iou_pooled == best["val_iou_pooled"]
    assert set(load_file(request.folder / "weights.safetensors"))
    assert not (request.folder / "checkpoint").exists()
    assert not (request.folder / "status.json").exists()


def test_an_interrupt_leaves_a_status_and_a_checkpoint_and_no_record(requests: tuple[TrialRequest, ...]) -> None:
    request = requests[0]

    def interrupt(event: Mapping[str, Any]) -> None:
        if event.get("epoch") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(request, interrupt)
    assert not (request.folder / RECORD_FILE).exists()
    known = json.loads((request.folder / "status.json").read_text())
    assert (known["status"], known["epochs"], known["attempts"]) == ("interrupted", 3, 1)
    seen: list[int] = []
    record = run_trial(request, lambda event: seen.append(event["epoch"]) if "epoch" in event else None)
    assert seen == [3]
    assert record.attempts == 2


@pytest.mark.parametrize("moment", ["_write_status", "add_record", "_remove_traces"])
def test_an_interrupt_at_the_very_beginning_or_end_is_told_too(
    requests: tuple[TrialRequest, ...], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Once, before anything else is done in that function."""
    request, real = requests[1], getattr(trial, moment)

    def interrupted(*arguments: Any) -> None:
        monkeypatch.setattr(trial, moment, real)
        raise KeyboardInterrupt

    monkeypatch.setattr(trial, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_trial(request, ignore)
    if moment == "_remove_traces":
        assert (request.folder / RECORD_FILE).exists()
        assert not (request.folder / "status.json").exists()
    else:
        assert not (request.folder / RECORD_FILE).exists()
        assert json.loads((request.folder / "status.json").read_text())["status"] == "interrupted"
        assert run_trial(request, ignore).attempts == 2


def test_a_reopened_trial_counts_its_attempts_on(requests: tuple[TrialRequest, ...]) -> None:
    request = requests[1]
    record = run_trial(request, ignore)
    reopen_trial(request.folder, record)
    assert not (request.folder / RECORD_FILE).exists()
    assert read_attempt(request.folder).attempts == 1
    again: TrialRecord = run_trial(request, ignore)
    assert again.attempts == 2
    assert again.scores == record.scores


def test_a_segmenter_whose_source_changed_since_the_plan_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = bench.folder / "mine.py"
    source = (
        "from torch import nn\nfrom benchbird import SegmenterSpec, hookimpl\nBENCHBIRD_API = 1\n"
        "@hookimpl\ndef benchbird_segmenters():\n"
        "    return [SegmenterSpec(name='mine', build=lambda: nn.Conv2d(3, 1, 1))]\n"
    )
    plugin.write_text(source)
    request = make_requests(bench, make_small_plan(bench, "segmenters=[mine]", plugins=(plugin,)))[0]
    plugin.write_text(source + "# another byte\n")
    record = run_trial(request, ignore)
    assert record.status == "failed"
    assert "mine.py changed while the run was under way" in record.reason
