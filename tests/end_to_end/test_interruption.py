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


def terminate(process: subprocess.Popen[str]) -> None:
    process.terminate()


EXIT_CODES: dict[Callable[[subprocess.Popen[str]], None], int] = {
    kill_group: -signal.SIGKILL,
    kill_parent: -signal.SIGKILL,
    interrupt: 130,
    terminate: 143,
}


@pytest.mark.slow  # the fault suite's short form ends runs in most of these ways, too
@pytest.mark.parametrize("end", EXIT_CODES)
def test_an_ended_run_goes_on_to_the_same_scores(tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]) -> None:
    undisturbed, disturbed = make_bench(tmp_path / "undisturbed"), make_bench(tmp_path / "disturbed")
    assert undisturbed.run(*LONG).returncode == 0

    process = disturbed.start(*LONG)
    wait_for_epochs(disturbed, process, 2)
    end(process)
    output, _ = process.communicate(timeout=30)
    assert "Traceback" not in output
    assert process.returncode == EXIT_CODES[end]
    if process.returncode > 0:
        assert "the same command goes on where it stopped" in output
        status = json.loads(next(disturbed.results.rglob("status.json")).read_text())
        assert status["status"] == "interrupted"
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


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor")
def test_trials_side_by_side_are_those_of_one_after_another(tmp_path: Path) -> None:
    together, alone = make_bench(tmp_path / "together"), make_bench(tmp_path / "alone")
    several = ("--set", "protocol.epochs=6", "--seeds", "0,1,2")
    run = together.run(*several, "--jobs", "2")
    assert run.returncode == 0, run.stderr
    assert "notice     2 trials at a time, each with 1 thread" in run.stderr
    assert alone.run(*several).returncode == 0
    assert scores(together) == scores(alone)
    documents = [json.loads(path.read_text()) for path in together.records()]
    assert {document["environment"]["threads"] for document in documents} == {1}
    times = sorted((one["started_at"], one["duration_s"]) for one in documents)
    assert len(times) == 6


@pytest.mark.slow  # so does the fault suite's short form
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
