"""A noise budget through the real command line, on images of 16×16."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchbird.environment import available_cores
from tests.small_bench import Bench, make_bench

PLUGIN = '''\
"""Trains; what it does besides is the test's."""
import os
from pathlib import Path

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


TWO_AT_A_TIME = ("--jobs", "2") if available_cores() > 1 else ()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")


def noise(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bench.call("noise", "small.yaml", "--device", "cpu", "--repeats", "2", *arguments)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def interrupt_after(bench: Bench, count: int) -> dict[Path, int]:
    """Kill a budget when so many trainings have ended; the records with the time of their writing."""
    process = subprocess.Popen(
        bench.command("noise", "small.yaml", "--device", "cpu", "--repeats", "2"), cwd=bench.folder,
        env=bench.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(written(bench)) < count:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=30)
    return written(bench)


def written(bench: Bench) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in bench.results.rglob("noise/**/record.json")}


def test_a_budget_goes_on_repeats_exactly_and_leaves_the_leaderboard_alone(bench: Bench) -> None:
    ranked = bench.run("--seeds", "0,1")
    assert ranked.returncode == 0, ranked.stderr
    study = next(path for path in (bench.results / "small").iterdir() if path.is_dir())
    targets = ("small.yaml", "results", "results/small", str(study))
    before = [bench.call("leaderboard", target).stdout for target in targets]
    assert len(set(before)) == 1 and "atrous_segnet" in before[0]

    kept = interrupt_after(bench, 2)
    first = noise(bench)
    assert first.returncode == 0, first.stderr
    assert f"1 × 8 = 8: {len(kept)} ended, {8 - len(kept)} to run on cpu" in first.stderr
    assert {path: time for path, time in written(bench).items() if path in kept} == kept
    assert "estimate   about" in first.stderr
    assert "Left out, since no seed changes what is calibrated: threshold" in first.stdout
    assert "the same seed repeats exactly, weights identical bit for bit" in first.stdout

    check_records({path.parent.name: json.loads(path.read_text()) for path in written(bench)}, study)
    assert [bench.call("leaderboard", target).stdout for target in targets] == before
    assert bench.run("--seeds", "0,1").stdout == ranked.stdout

    second = noise(bench, "--json")
    assert second.returncode == 0, second.stderr
    assert "nothing is left to train" in second.stderr
    (segmenter,) = document(second)["segmenters"]
    assert segmenter["repeats_identical"] is True
    assert [kind["n"] for kind in segmenter["kinds"]] == [2, 3, 3, 3]


def check_records(records: dict[str, Any], study: Path) -> None:
    """Repeats and ordinary seeds are the same to the last bit; whatever else has other weights."""
    assert len(records) == 8
    for name, seed in (("repeat-1", 0), ("repeat-2", 0), ("both-1", 1)):
        ordinary = json.loads(next(study.glob(f"atrous*/seed-{seed}/record.json")).read_text())
        assert records[name]["scores"] == ordinary["scores"]
        assert records[name]["files"]["weights.safetensors"] == ordinary["files"]["weights.safetensors"]
    seeds = {name: (one["seed"], one["initialisation_seed"]) for name, one in records.items()}
    assert (seeds["initialisation-2"], seeds["order-1"], seeds["both-2"]) == ((0, 2), (1, 0), (2, 2))
    assert len({one["files"]["weights.safetensors"] for one in records.values()}) == 7


def test_failed_trainings_are_listed_and_a_segmenter_with_chance_of_its_own_is_found_out(bench: Bench) -> None:
    body = (
        'if Path("broken").exists(): raise ValueError("cannot")\n'
        "        images = images + torch.tensor([b / 1e3 for b in os.urandom(1)]) * self.training"
    )
    (bench.folder / "mine.py").write_text(PLUGIN.format(body=body))
    chosen = ("--plugin", "mine.py", "--set", "segmenters=[one_convolution]")
    (bench.folder / "broken").touch()
    failed = noise(bench, *chosen)
    assert failed.returncode == 1
    assert "- **repeat-1**, failed:" in failed.stdout
    assert "cannot" in failed.stdout
    assert "Traceback" not in failed.stderr
    (bench.folder / "broken").unlink()
    unchanged = noise(bench, *chosen)
    assert unchanged.returncode == 1
    assert "8 ended trainings are not done; --retry-failed" in unchanged.stderr
    mended = noise(bench, *chosen, "--retry-failed", *TWO_AT_A_TIME)
    assert mended.returncode == 0, mended.stderr
    assert "Failed trainings" not in mended.stdout
    assert "repeats exactly" not in mended.stdout
    assert "On a CPU in deterministic mode it should repeat exactly" in mended.stdout


def test_a_dry_run_counts_and_writes_nothing(bench: Bench) -> None:
    done = noise(bench, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = document(done)
    assert (plan["trainings"], plan["to_run"], plan["left_out"]) == (8, 8, ["threshold"])
    assert plan["estimate_s"] > 0
    assert not bench.results.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--only", "nobody"), 1, ["nobody", "atrous_segnet"]),
        (("--only", "threshold"), 1, ["threshold is calibrated", "expected at least one segmenter that is trained"]),
        (("--set", "segmenters=[threshold]"), 1, ["threshold is calibrated"]),
        (("--repeats", "1"), 2, ["--repeats", "2<=x<=100"]),
        (("--seed", "-1"), 2, ["--seed"]),
        (("--set", "name=noise"), 1, ["noise", "expected another name"]),
        (("--profile", "gpu"), 1, ["gpu", "full"]),
    ],
)
def test_a_mistake_gets_one_clear_answer(bench: Bench, arguments: tuple[str, ...], code: int, words: list[str]) -> None:
    done = noise(bench, *arguments)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not bench.results.exists()
