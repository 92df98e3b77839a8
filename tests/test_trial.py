"""A trial in this process: the order of its steps, what it leaves, what it makes of failures."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchbird import claims, timing, trial, trial_folder
from benchbird.claims import Watch
from benchbird.data.prepared import PreparedSplit, load_split
from benchbird.errors import ClaimLost, DiskRefused
from benchbird.records import TrialRecord
from benchbird.results import RECORD_FILE
from benchbird.trial import TrialRequest, run_trial
from benchbird.trial_folder import read_attempt, reopen_trial
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


@pytest.mark.parametrize(
    ("module", "moment"),
    [(trial, "write_status"), (trial_folder, "add_record"), (trial_folder, "remove_traces")],
)
def test_an_interrupt_at_the_very_beginning_or_end_is_told_too(
    requests: tuple[TrialRequest, ...], monkeypatch: pytest.MonkeyPatch, module: ModuleType, moment: str
) -> None:
    """Once, before anything else is done in that function."""
    request, real = requests[1], getattr(module, moment)

    def interrupted(*arguments: Any) -> None:
        monkeypatch.setattr(module, moment, real)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_trial(request, ignore)
    if moment == "remove_traces":
        assert (request.folder / RECORD_FILE).exists()
        assert not (request.folder / "status.json").exists()
    else:
        assert not (request.folder / RECORD_FILE).exists()
        assert json.loads((request.folder / "status.json").read_text())["status"] == "interrupted"
        assert run_trial(request, ignore).attempts == 2


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["state-0.safetensors", "weights.safetensors", "predictions.npz", "record.json"])
def test_a_full_disk_fails_no_trial_and_keeps_its_checkpoint(
    requests: tuple[TrialRequest, ...], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Only large files may be refused: a record of a failure would fit, and with it the epochs would go."""
    request, sync = requests[0], os.fsync
    events: list[Mapping[str, Any]] = []

    def full(descriptor: int) -> None:
        if name in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr("benchbird.durable.os.fsync", full)
        with pytest.raises(DiskRefused):
            run_trial(request, events.append)
    refused = events[-1]
    assert refused["event"] == "disk_refused" and f"{name}: could not write" in refused["reason"]
    assert not (request.folder / RECORD_FILE).exists()
    assert json.loads((request.folder / "status.json").read_text())["status"] == "interrupted"
    epochs = [event["epoch"] for event in events if event["event"] == "epoch"]
    again: list[Mapping[str, Any]] = []
    assert run_trial(request, again.append).status == "done"
    assert [event["epoch"] for event in again if event["event"] == "epoch"] == [
        number for number in (1, 2, 3) if number not in epochs
    ]


@pytest.mark.parametrize("moment", ["epoch", "testing", "timing"])
def test_a_trial_that_another_run_took_over_writes_nothing_more(
    requests: tuple[TrialRequest, ...], moment: str
) -> None:
    request = requests[0]
    held = claims.claim(request.folder, Watch())
    assert held is not None
    request = replace(request, ticket=held.ticket)
    left: dict[str, bytes] = {}

    def lose(event: Mapping[str, Any]) -> None:
        if event["event"] == moment and not left:
            held.path.unlink()
            with claims.claim(request.folder, Watch()) or pytest.fail("free"):
                left.update(files_in(request.folder))

    with pytest.raises(ClaimLost, match="another run has taken this trial over"):
        run_trial(request, lose)
    assert left and {name: content for name, content in left.items() if "claim" not in name} == files_in(request.folder)
    held.release()


@pytest.mark.parametrize(
    "status",
    [
        '{"started_at": "yesterday", "attempts": 1, "duration_s": 1.0}',
        '{"started_at": "2026-01-01T00:00:00+00:00", "attempts": Infinity, "duration_s": 1.0}',
        '{"started_at": "2026-01-01T00:00:00+00:00", "attempts": -1, "duration_s": 1.0}',
        '{"started_at": "2026-01-01T00:00:00+00:00", "attempts": 1, "duration_s": NaN}',
        '{"started_at": "2026-01-01T00:00:00+00:00", "attempts": 1, "duration_s": 1e300}',
        '{"started_at": 5, "attempts": 1, "duration_s": 1.0}',
        "[" * 100_000,
        "null",
        "",
    ],
)
def test_a_status_that_cannot_be_is_no_obstacle(requests: tuple[TrialRequest, ...], status: str) -> None:
    request = requests[1]
    request.folder.mkdir(parents=True)
    (request.folder / "status.json").write_text(status)
    assert read_attempt(request.folder).attempts == 0
    assert run_trial(request, ignore).attempts == 1


def test_a_lost_checkpoint_is_said(requests: tuple[TrialRequest, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    request = requests[0]

    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_trial(request, stop)
    shutil.rmtree(request.folder / "checkpoint")
    events: list[Mapping[str, Any]] = []
    run_trial(request, events.append)
    assert events[0] == {
        "event": "notice", "text": "checkpoint: gone, though epochs were done; starting from the beginning"
    }  # fmt: skip


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
