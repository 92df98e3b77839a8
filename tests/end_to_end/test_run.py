"""The main job through the real command line: from a YAML to records and a table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import f1_score, jaccard_score

from tests.small_bench import Bench, outcome

PLUGIN = '''\
"""A segmenter of three lines, as its author would write it."""
import torch
from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class OneConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 5, padding=2)

    def forward(self, images):
        {body}
        return self.layer(images)


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="one_convolution", build=OneConvolution)]
'''


def test_a_run_leaves_whole_records_and_prints_the_table_and_runs_nothing_twice(bench: Bench) -> None:
    first = bench.run()
    assert first.returncode == 0, first.stderr
    assert "profile full" in first.stderr
    assert "atrous_segnet" in first.stdout
    assert "threshold" in first.stdout
    assert "resolution ceiling" in first.stdout
    records = bench.records()
    assert [path.parent.name for path in records] == ["seed-0", "seed-0"]
    times = [path.stat().st_mtime_ns for path in records]
    for path in records:
        check_record(path, bench)

    second = bench.run()
    assert second.returncode == 0
    assert second.stdout == first.stdout
    assert "0 to run" in second.stderr
    assert [path.stat().st_mtime_ns for path in bench.records()] == times
    again = bench.call("leaderboard", "small.yaml")
    assert again.stdout == first.stdout


def check_record(path: Path, bench: Bench) -> None:
    """The record's scores follow from its predictions and the mask files, computed independently."""
    text = path.read_text()
    record = json.loads(text)
    assert record["status"] == "done"
    assert "NaN" not in text
    for private in (str(bench.folder), str(Path.home()), "tmp/"):
        assert private not in text
    has_gradients = record["segmenter"]["name"] != "threshold"
    assert (record["best_epoch"] is not None) == has_gradients
    assert (record["timing"]["train_images_per_s"] is not None) == has_gradients
    assert {one["batch_size"] for one in record["timing"]["inference"]} == {1, 16}
    assert sorted(child.name for child in path.parent.iterdir()) == sorted(
        ["log.txt", "predictions.npz", "record.json", "weights.safetensors"]
        + (["curve.jsonl"] if has_gradients else [])
    )
    with np.load(path.parent / record["predictions_file"], allow_pickle=False) as saved:
        predicted = np.unpackbits(saved["predicted"], axis=1, count=256).astype(bool).ravel()
        names = saved["sample_ids"].tolist()
    masks = [Image.open(bench.folder / "birds" / "Test" / "Masks" / f"{name}.png") for name in names]
    # 24×40 is no multiple of 16: box weights by hand, through a common multiple of both grids.
    actual = np.concatenate([area_fraction(np.asarray(mask) > 0, 16).ravel() >= 0.5 for mask in masks])
    scores = record["scores"]["test"]
    assert scores["iou_pooled"] == pytest.approx(jaccard_score(actual, predicted), abs=1e-12)
    assert scores["dice"] == pytest.approx(f1_score(actual, predicted), abs=1e-12)


def area_fraction(mask: np.ndarray, size: int) -> np.ndarray:
    height, width = mask.shape
    fine = mask.repeat(size, axis=0).repeat(size, axis=1)
    fraction: np.ndarray = fine.reshape(size, height, size, width).mean(axis=(1, 3))
    return fraction


def test_a_dry_run_prints_the_plan_and_writes_no_result(bench: Bench) -> None:
    done = bench.run("--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = outcome(done)
    assert [trial["state"] for trial in plan["trials"]] == ["new", "new"]
    assert plan["estimate_s"] > 0
    assert plan["data"]["n_train"] == 13
    assert plan["steps"] == 9
    assert not bench.results.exists()


def test_a_foreign_plugin_given_by_file_is_ranked_with_the_others(bench: Bench) -> None:
    plugin = bench.folder / "mine.py"
    plugin.write_text(PLUGIN.format(body=""))
    done = bench.run("--plugin", "mine.py", "--set", "segmenters=[one_convolution, threshold]", "--json")
    assert done.returncode == 0, done.stderr
    document = outcome(done)
    assert {trial["label"] for trial in document["trials"]} == {"one_convolution", "threshold"}
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in events[:2]] == ["plan", "trial_started"]
    assert {"epoch", "testing", "timing", "trial_ended"} <= {one["event"] for one in events}
    assert all(one["status"] == "done" and one["test"]["iou_pooled"] is not None for one in events
               if one["event"] == "trial_ended")  # fmt: skip
    report = bench.folder / document["report"]
    assert report.name == "report.html" and "Checked when this page was made" in report.read_text()
    record = next(json.loads(path.read_text()) for path in bench.records() if "one_conv" in str(path))
    assert record["segmenter"]["plugin"] == "mine.py"

    plugin.write_text(PLUGIN.format(body="images = images * 1.0"))
    again = bench.run("--plugin", "mine.py", "--set", "segmenters=[one_convolution, threshold]", "--json")
    assert again.returncode == 0, again.stderr
    assert len(bench.records()) == 3, "one changed byte in a plugin is another trial"
    assert "1 ended, 1 to run" in again.stderr


def test_one_failing_trial_leaves_the_others_alone_and_is_retried_only_when_told(bench: Bench) -> None:
    plugin = bench.folder / "mine.py"
    body = 'import pathlib\n        if pathlib.Path("broken").exists(): raise ValueError("no such /home/x/file")'
    plugin.write_text(PLUGIN.format(body=body))
    (bench.folder / "broken").touch()
    chosen = ("--plugin", "mine.py", "--set", "segmenters=[one_convolution, threshold]")
    failed = bench.run(*chosen)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "no such file" in failed.stdout, "the reason is in the table, without a path"
    assert "threshold" in failed.stdout
    (bench.folder / "broken").unlink()
    unchanged = bench.run(*chosen)
    assert unchanged.returncode == 1
    assert "--retry-failed" in unchanged.stderr
    mended = bench.run(*chosen, "--retry-failed")
    assert mended.returncode == 0, mended.stderr
    attempts = {record["segmenter"]["name"]: record["attempts"]
                for record in (json.loads(path.read_text()) for path in bench.records())}  # fmt: skip
    assert attempts == {"one_convolution": 2, "threshold": 1}


@pytest.mark.slow  # the fault suite's short form has all of these in one run
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("import os; os._exit(0)", "failed", "exit code 0 and left no record"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "failed", "killed by SIGSEGV"),
        ("raise SystemExit(7)", "failed", "SystemExit"),
        ("while True: pass", "timeout", "longer than limits.trial_seconds"),
        ("return self.layer(images) * float('nan')", "diverged", "training loss became nan"),
        ("return self.layer(images)[:, :, :8]", "protocol_violation", "expected logits"),
        ("torch.set_default_dtype(torch.float64)", "protocol_violation", "default dtype"),
        ("raise MemoryError('too big')", "out_of_memory", "too big"),
    ],
)
def test_how_a_plugin_fails_is_classed_right(bench: Bench, body: str, status: str, reason: str) -> None:
    # Only in training, so that the probe of the plan gets through.
    guard = f"import sys\n        if 'log.txt' in __import__('os').readlink('/proc/self/fd/1'):\n            {body}"
    (bench.folder / "mine.py").write_text(PLUGIN.format(body=guard))
    done = bench.run("--plugin", "mine.py", "--set", "segmenters=[one_convolution, threshold]",
                     "--set", "limits.trial_seconds=12", "--json")  # fmt: skip
    assert done.returncode == 1, done.stderr
    trials = {trial["label"]: trial for trial in outcome(done)["trials"]}
    assert trials["threshold"]["status"] == "done"
    assert trials["one_convolution"]["status"] == status
    assert reason in trials["one_convolution"]["reason"]
