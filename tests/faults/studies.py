"""Small studies through the real command line, and what an undisturbed run of them comes to.

Owns the studies, how a case is given one, and what of two outcomes must be equal. What is done to a run is each
fault's.
"""

from __future__ import annotations

import atexit
import contextlib
import csv
import functools
import io
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchbird.durable import TEMPORARY_SUFFIX
from benchbird.results import find_records
from tests.small_bench import Bench, make_bench

EPOCHS = 6

STOP_AT, REACHED = "BENCHBIRD_FAULTS_STOP_AT", "BENCHBIRD_FAULTS_REACHED"
"""Where both are set, a network holds still before that forward pass, counted from 1, and writes a file before."""

DEAF_S = "BENCHBIRD_FAULTS_DEAF_S"
"""Where it is set, it holds still for that long only, and hears no signal meanwhile, as in a long call of a library."""

NETWORK = f'''\
"""A few convolutions with everything that remembers: normalisation, dropout, a buffer."""
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class Stroke(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout2d(0.2)
        self.last = nn.Conv2d(width, 1, 3, padding=1)
        self.passes = 0

    def forward(self, images):
        self.passes += 1
        if os.environ.get("{STOP_AT}") == str(self.passes):
            Path(os.environ["{REACHED}"]).touch()
            if "{DEAF_S}" in os.environ:
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(float(os.environ.get("{DEAF_S}", "600")))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        return self.last(self.drop(torch.relu(self.norm(self.first(images)))))


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="stroke", build=Stroke, options={{"width": Option(default=4, minimum=1)}})]
'''

_BENCHMARK = f"""\
name: small
data:
  root: birds
protocol:
  image_size: 16
  batch_size: 4
  epochs: {EPOCHS}
  optimizer: {{lr: 1e-2}}
plugins: [stroke.py]
"""

SIX_TRIALS = f"""{_BENCHMARK}
segmenters:
  - {{name: atrous_segnet, options: {{base_channels: 4}}}}
  - stroke
  - {{name: stroke, label: wide_stroke, options: {{width: 6}}}}
seeds: [0, 1]
"""

TWO_TRIALS = f"""{_BENCHMARK}
segmenters: [stroke]
seeds: [0, 1]
"""
"""Of the short form."""

TIMINGS = ("train_images_per_s", "inference_images_per_s", "latency_p50_ms")
"""Columns of the CSV leaderboard that no two runs have in common."""


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """A run that nothing was done to.

    Attributes:
        bench: where it lies; cases read it and copy its cache.
        until_first_trial_s: seconds from the start of the command to its first trial.
        run_s: seconds from the start of the command to its end.
        outcome: see `outcome`.
        standing: see `standing`.
    """

    bench: Bench
    until_first_trial_s: float
    run_s: float
    outcome: Mapping[str, Any]
    standing: str


@functools.cache
def undisturbed(study: str, *arguments: str) -> Undisturbed:
    """What a study comes to, run once a process.

    Args:
        study: text of its benchmark file.
        arguments: of `benchbird run`.
    """
    root = Path(tempfile.mkdtemp(prefix="undisturbed "))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    bench = _make(root / "bench", study)
    # As in the cases, data are prepared and speeds known when it is timed.
    warm = bench.run(*arguments, "--seeds", "0")
    assert warm.returncode == 0, warm.stderr
    shutil.rmtree(bench.results)
    started = time.monotonic()
    process = bench.start(*arguments)
    assert process.stdout is not None
    lines = []
    first = None
    for line in process.stdout:
        lines.append(line)
        if first is None and ": started" in line:
            first = time.monotonic()
    process.stdout.close()
    assert process.wait(300) == 0, "".join(lines)
    assert first is not None, "".join(lines)
    return Undisturbed(
        bench=bench,
        until_first_trial_s=first - started,
        run_s=time.monotonic() - started,
        outcome=outcome(bench),
        standing=standing(bench),
    )


def fresh_bench(folder: Path, study: str, cache: Path | None = None) -> Bench:
    """A bench for one case, with a copy of a cache where one is given: what is killed there harms no other case."""
    bench = _make(folder / "bench", study)
    if cache is not None:
        shutil.copytree(cache, bench.folder / "cache")
    return bench


def _make(folder: Path, study: str) -> Bench:
    bench = make_bench(folder)
    (folder / "small.yaml").write_text(study)
    (folder / "stroke.py").write_text(NETWORK)
    return bench


def outcome(bench: Bench) -> dict[str, Any]:
    """What the records and files of a study say, timings aside: by trial, weights and predictions by their hash."""
    scan = find_records(bench.results)
    assert scan.faults == (), [str(fault) for fault in scan.faults]
    found = {}
    for one in scan.found:
        record = one.record
        files = {name: sha256 for name, sha256 in record.files.items() if name != "curve.jsonl"}
        found[f"{record.segmenter.label} {record.seed}"] = {
            "status": record.status,
            "reason": record.reason,
            "best_epoch": record.best_epoch,
            "scores": record.scores,
            "last_epoch": record.last_epoch,
            "files": files,
            "curve": [_untimed(line) for line in curve_of(one.path.parent)],
        }
    return found


def standing(bench: Bench) -> str:
    """The leaderboard as `benchbird leaderboard --format csv` prints it, without the columns of timings."""
    done = bench.call("leaderboard", "small.yaml", "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows, "an empty leaderboard"
    missing = [name for name in TIMINGS if name not in rows[0]]
    assert missing == []
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [name for name in rows[0] if name not in TIMINGS], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def curve_of(trial: Path) -> list[dict[str, Any]]:
    """The lines of a trial's curve, each of which must be whole; none where there is no curve yet."""
    path = trial / "curve.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _untimed(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name not in ("train_s", "val_s")}


@dataclass(frozen=True, kw_only=True)
class Remains:
    """What a run that was ended left behind.

    Attributes:
        records: bytes of each record, by path.
        curves: the lines of each trial's curve, by the trial's folder.
    """

    records: Mapping[Path, bytes]
    curves: Mapping[Path, list[dict[str, Any]]]


def remains(bench: Bench) -> Remains:
    """What lies on disk now; every file must be readable."""
    if bench.results.exists():
        scan = find_records(bench.results)
        assert scan.faults == (), [str(fault) for fault in scan.faults]
    for path in bench.results.rglob("status.json"):
        json.loads(path.read_text())
    return Remains(
        records={path: path.read_bytes() for path in bench.records()},
        curves={path.parent: curve_of(path.parent) for path in bench.results.rglob("curve.jsonl")},
    )


def assert_went_on(bench: Bench, before: Remains, expected: Undisturbed) -> None:
    """After a run that was ended and one that wasn't: nothing lost, nothing done twice, the same numbers.

    Args:
        bench: of the case.
        before: what the ended run had left.
        expected: the undisturbed run.
    """
    for path, content in before.records.items():
        assert path.read_bytes() == content, f"{path}: a finished trial was run again"
    for folder, lines in before.curves.items():
        after = curve_of(folder)
        redone = sum(line not in after for line in lines)  # with its timings, which no second training repeats
        assert redone <= 1, f"{folder}: {redone} epochs were trained again"
    assert outcome(bench) == expected.outcome
    assert standing(bench) == expected.standing
    # Killed after a record was written, a run leaves its claim or a part of the checkpoint to `benchbird clean`.
    ended = {path.parent for path in before.records}
    left = [path for path in leftovers(bench) if ended.isdisjoint(path.parents)]
    assert left == [], "what only a trial under way needs was left"


def leftovers(bench: Bench) -> list[Path]:
    """Files below the results that no finished study has: states, claims, checkpoints.

    A temporary file of a killed write stays until `benchbird clean`, and nothing ever reads it.
    """
    kept = {"record.json", "curve.jsonl", "log.txt", "predictions.npz", "weights.safetensors", "report.html"}
    files = [path for path in bench.results.rglob("*") if path.is_file() and path.suffix != TEMPORARY_SUFFIX]
    return [path for path in files if path.name not in kept]


def processes_of(bench: Bench) -> list[psutil.Process]:
    """Living processes that work in the bench's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(bench.folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until_alone(bench: Bench, seconds: float = 5.0) -> None:
    """Every process of the bench must end within so many seconds."""
    deadline = time.monotonic() + seconds
    while left := processes_of(bench):
        assert time.monotonic() < deadline, f"orphans after {seconds:g} s: {left}"
        time.sleep(0.02)


def wait_for(bench: Bench, process: subprocess.Popen[str], name: str, count: int = 1) -> None:
    """Wait until a running study has so many files of a name."""
    deadline = time.monotonic() + 300
    while len(list(bench.results.rglob(name))) < count:
        assert process.poll() is None, f"the run ended before it had {count} × {name}"
        assert time.monotonic() < deadline, f"no {count} × {name} in 300 s"
        time.sleep(0.01)


@contextlib.contextmanager
def running(bench: Bench, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run in the background, which ends with the case whatever becomes of that."""
    process = bench.start(*arguments)
    try:
        yield process
    finally:
        if process.returncode is None:
            kill_group(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to a run and what it started, but for its trials, which have groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    finish(process)


def finish(process: subprocess.Popen[str], seconds: float = 300.0) -> str:
    """Wait for a run's end; what it printed."""
    output, _ = process.communicate(timeout=seconds)
    return output


@contextlib.contextmanager
def variables(**values: str | None) -> Iterator[None]:
    """Environment variables for the runs that are started within; None for one that isn't set."""
    before = {name: os.environ.get(name) for name in values}
    _set(values)
    try:
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def dice(case: str) -> random.Random:
    """Random numbers that are a case's own."""
    return random.Random(case)
