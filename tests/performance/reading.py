"""How long reading takes over ten thousand trials, and whether it stays within its goals.

    python tests/performance/reading.py                      # 10 studies of 100 segmenters with 10 seeds
    python tests/performance/reading.py --segmenters 10      # 1 000 trials in all

Trials are made up, each of small images with its predictions. Every command runs in a process of its own,
interpreter start included. To rebuild the index is to delete it and to read the leaderboard of every study once,
as many at a time as there are processors: afterwards each is answered from the index. Goals grow with the number
of trials beyond the default. Exit code 1 where one is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchbird.cli import COMMANDS
from tests.performance_document import transcript
from tests.predictions_factory import MadeUpImages, write_trial

STUDY_S = 1.0
"""One study of 1 000 trials, or 1 000 trials in several, with the index."""

REBUILD_S = 10.0
"""All studies of 10 000 trials, from nothing."""

PEAK_BYTES = 300 * 10**6
"""Of any of these processes."""

HELP_S = 0.2

REPEATS = 5
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Spent:
    """What a process took."""

    seconds: float
    cpu_s: float
    peak_bytes: int


def make_study(study: int, root: Path, segmenters: int, seeds: int, recordings: int) -> Path:
    images = MadeUpImages(seed=study, n_recordings=recordings, images_per_recording=1, image_size=16, n_val=4)
    trials = [
        write_trial(
            root,
            f"segmenter_{place:03d}",
            level=0.45 + 0.4 * place / segmenters,
            seed=seed,
            images=images,
            started_at=f"2026-11-{study % 28 + 1:02d}T{place % 24:02d}:{seed % 60:02d}:{place // 24 % 60:02d}+00:00",
        )
        for place in range(segmenters)
        for seed in range(seeds)
    ]
    return trials[0].parents[1]


def without_fsync() -> None:
    """For a process that does nothing but make trials up, which needn't survive a power cut."""
    mock.patch("os.fsync").start()


LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
"""Between this process and what it measures: a child's peak counts from its fork, when it still is its parent."""


def spend(*arguments: str | Path) -> Spent:
    command = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, "-m", "benchbird", *map(str, arguments)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    code, seconds, cpu_s, peak = json.loads(answer)
    if code:
        raise SystemExit(f"benchbird {' '.join(map(str, arguments))}: exit code {code}")
    return Spent(seconds, cpu_s, peak * MAXRSS_UNIT)


def several(measure: Callable[[], Spent], times: int = REPEATS) -> Spent:
    """The median time and the highest peak."""
    found = [measure() for _ in range(times)]
    return Spent(
        statistics.median(one.seconds for one in found),
        statistics.median(one.cpu_s for one in found),
        max(one.peak_bytes for one in found),
    )


def rebuild(studies: list[Path], cache: Path) -> Spent:
    shutil.rmtree(cache, ignore_errors=True)
    start = time.perf_counter()
    with ThreadPoolExecutor(PROCESSORS) as pool:
        found = list(pool.map(lambda study: spend("leaderboard", study, "--cache", cache), studies))
    seconds = time.perf_counter() - start
    return Spent(seconds, sum(one.cpu_s for one in found), max(one.peak_bytes for one in found))


PROFILED = {
    "opening and checking predictions": ("predictions.py", "read_predictions"),
    "evaluating five scores, by recording": ("readings.py", "_reading"),
    "reading and checking records": ("results.py", "find_records"),
    "hashing predictions": ("readings.py", "require_stated_files"),
    "writing the index": ("index.py", "put_all"),
    "intervals, comparisons, verdict": ("assessment.py", "assess"),
}
"""What of a cold leaderboard is told apart: file and function."""


def profile(study: Path, caches: Path) -> list[tuple[str, float]]:
    """Shares of a cold leaderboard's processor time, under the profiler, which makes small functions look larger."""
    output = caches / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", str(output), "-m", "benchbird", "leaderboard", str(study)]
    subprocess.run([*command, "--cache", str(caches / "profiled")], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    stats = pstats.Stats(str(output))
    whole = stats.total_tt  # type: ignore[attr-defined]
    shares = []
    for what, (file, function) in PROFILED.items():
        spent = sum(row[3] for (path, _, name), row in stats.stats.items()  # type: ignore[attr-defined]
                    if name == function and Path(path).name == file)  # fmt: skip
        shares.append((what, spent / whole))
    return [*shares, ("everything else, imports first", 1 - sum(share for _, share in shares))]


class Report:
    """Prints each figure beside its goal."""

    def __init__(self) -> None:
        self.is_kept = True

    def time(self, what: str, spent: Spent, goal: float | None = None) -> None:
        self.figure(f"{what} ({spent.cpu_s:.2f} s of CPU)", spent.seconds, "s", goal)

    def figure(self, what: str, value: float, unit: str, goal: float | None = None) -> None:
        verdict = ""
        if goal is not None:
            verdict = f"   goal {goal:g} {unit}: {'kept' if value <= goal else 'BROKEN'}"
            self.is_kept &= value <= goal
        print(f"{what:<80} {value:8.2f} {unit}{verdict}", flush=True)


def measure(root: Path, studies: list[Path], trials: int, caches: Path) -> bool:
    report = Report()
    in_all = trials * len(studies)
    cache, peaks = caches / "index", []
    built = rebuild(studies, cache)
    what = f"index rebuilt, {in_all} trials, {PROCESSORS} at a time"
    report.time(what, built, REBUILD_S * max(in_all / 10_000, 1))
    readings: list[tuple[str, Callable[[], Spent], int, float | None]] = [
        (
            f"leaderboard of one study, {trials} trials, without the index",
            lambda: spend("leaderboard", studies[0], "--cache", Path(tempfile.mkdtemp(dir=caches))),
            2,
            None,
        ),
        (
            f"leaderboard of one study, {trials} trials, with the index",
            lambda: spend("leaderboard", studies[0], "--cache", cache),
            REPEATS,
            STUDY_S * max(trials / 1000, 1),
        ),
        (
            f"leaderboard of the newest study, {in_all} trials there",
            lambda: spend("leaderboard", root, "--cache", cache),
            3,
            STUDY_S * max(in_all / 1000, 1),
        ),
    ]
    peaks.append(built.peak_bytes)
    for what, run, times, goal in readings:
        spent = several(run, times)
        peaks.append(spent.peak_bytes)
        report.time(what, spent, goal)
    for what, share in profile(studies[0], caches):
        report.figure(f"of a leaderboard without the index: {what}", 100 * share, "%")
    report.figure("highest peak memory of any of these processes", max(peaks) / 10**6, "MB", PEAK_BYTES / 10**6)
    for command in ([], *([name] for name in COMMANDS)):
        asked = [*command, "--help"]
        report.time(f"benchbird {' '.join(asked)}", several(partial(spend, *asked)), HELP_S)
    return report.is_kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("studies", 10), ("segmenters", 100), ("seeds", 10), ("recordings", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    whole = " ".join(["python tests/performance/reading.py", *sys.argv[1:]])
    with transcript("reading", whole), tempfile.TemporaryDirectory() as folder:
        root, caches = Path(folder) / "results", Path(folder) / "caches"
        caches.mkdir()
        start = time.perf_counter()
        make = partial(
            make_study, root=root, segmenters=chosen.segmenters, seeds=chosen.seeds, recordings=chosen.recordings
        )
        with ProcessPoolExecutor(PROCESSORS, initializer=without_fsync) as pool:
            studies = list(pool.map(make, range(chosen.studies)))
        trials = chosen.segmenters * chosen.seeds
        print(f"made {trials * len(studies)} trials in {time.perf_counter() - start:.0f} s", flush=True)
        return 0 if measure(root, studies, trials, caches) else 1


if __name__ == "__main__":
    sys.exit(main())
