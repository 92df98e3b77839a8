"""Stopped at any moment, by any means, a run goes on to the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.small_bench import Bench, make_bench

EPOCHS = 60
"""So many that a run can't end before a signal reaches it, on a quick machine either."""

LONG = (
    "--set",
    f"protocol.epochs={EPOCHS}",
    "--set",
    "segmenters=[{name: atrous_segnet, options: {base_channels: 4}}]",
)


def scores(bench: Bench) -> list[Any]:
    documents = [json.loads(path.read_text()) for path in bench.records()]
    return [(one["seed"], one["status"], one["best_epoch"], one["scores"]) for one in documents]


def curve(bench: Bench) -> Path | None:
    return next(iter(bench.results.rglob("curve.jsonl")), None)


def wait_for_epochs(bench: Bench, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        path = curve(bench)
        if path is not None and len(path.read_text().splitlines()) >= count:
            return
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.01)
    raise AssertionError("no epoch was finished in time")


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def kill_parent(process: subprocess.Popen[str]) -> None:
    process.kill()


def interrupt(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def workers_on(bench: Bench) -> list[psutil.Process]:
    """Processes that still hold a file of the results folder open."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(bench.results) in file.path for file in process.open_files()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("end", [kill_group, kill_parent, interrupt])
def test_an_ended_run_goes_on_to_the_same_scores(tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]) -> None:
    undisturbed, disturbed = make_bench(tmp_path / "undisturbed"), make_bench(tmp_path / "disturbed")
    assert undisturbed.run(*LONG).returncode == 0

    process = disturbed.start(*LONG)
    wait_for_epochs(disturbed, process, 2)
    end(process)
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output
    if end is interrupt:
        assert process.returncode == 130
        assert "interrupted" in output
    deadline = time.monotonic() + 10
    while workers_on(disturbed) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_on(disturbed) == [], "an orphan goes on"
    path = curve(disturbed)
    assert path is not None
    before = path.read_text().splitlines()
    time.sleep(0.5)
    assert path.read_text().splitlines() == before, "an orphan goes on writing"
    assert disturbed.records() == []

    resumed = disturbed.run(*LONG)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming" in resumed.stderr
    assert scores(disturbed) == scores(undisturbed)
    after = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in after] == list(range(1, EPOCHS + 1))
    # The epochs finished before weren't trained again: their lines, timings included, are the old ones.
    assert [json.dumps(line) for line in after[: len(before) - 1]] == before[:-1]
    record = json.loads(disturbed.records()[0].read_text())
    assert record["attempts"] == 2


def test_two_runs_at_once_share_the_trials(bench: Bench) -> None:
    segmenters = "segmenters=[{name: atrous_segnet, options: {base_channels: 4}}, threshold]"
    several = ("--set", "protocol.epochs=12", "--set", segmenters, "--seeds", "0,1,2")
    first, second = bench.start(*several), bench.start(*several)
    outputs = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    records = [json.loads(path.read_text()) for path in bench.records()]
    assert len(records) == 6
    assert [record["attempts"] for record in records] == [1] * 6
    started = sum(output.count(": started") for output in outputs)
    assert started == 6
