"""How much faster two cores prepare data than one: hashing, decoding, shrinking, writing and checking, whole.

Makes pairs of 1024×3000 PNGs like spectrograms, then prepares them at 256² into a new cache folder each time, by turns
on one core and on two, each time in a process of its own; the start of workers counts. Beside it the limit: two
processes that have nothing to do with one another prepare half of the pairs each, each on a core of its own.

    python tests/performance/decoding.py [--pairs 480] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchbird.machine_load import LoadMeter

PROMISED_RATIO = 1.8
QUIET_CORES = 0.2
"""Two cores can't show what they can where others use more than this of them."""

DIFFERENT = 12
"""Pairs that are drawn."""


def prepare(root: Path, cache: Path, cores: int) -> float:
    """Seconds of `prepare_splits` on some cores of this process's: so many of the first, or the last one for -1."""
    from benchbird.data import birdsound
    from benchbird.data.cache import prepare_splits

    if hasattr(os, "sched_setaffinity"):
        own = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, own[1:2] if cores < 0 else own[:cores])
    started = time.perf_counter()
    prepare_splits(birdsound.find(root, {}), 256, cache, workers=abs(cores), progress=False)
    return time.perf_counter() - started


def start(root: Path, cache: Path, cores: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--prepare", str(root), str(cache), str(cores)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def seconds(process: subprocess.Popen[str]) -> float:
    """What a process measured, waited for."""
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"preparing failed with exit code {process.returncode}")
    return float(told)


def seconds_apart(halves: Path, caches: Path) -> float:
    """Seconds that two processes take which share nothing, each half of the pairs on a core of its own."""
    both = [start(halves, Path(f"{caches} {cores}"), cores) for cores in (1, -1)]
    return max(map(seconds, both))


@dataclass(frozen=True)
class Round:
    """All three ways, one after the other, and how many cores others used meanwhile."""

    alone_s: float
    together_s: float
    apart_s: float
    others_cores: float


def compare(pairs: int, times: int) -> int:
    """Measure, print, judge; the exit code."""
    from tests.data.picture_files import write_many
    from tests.performance.contenders.job import PICTURE_SIZE

    rounds: list[Round] = []
    with tempfile.TemporaryDirectory() as name:
        root, halves = Path(name) / "root", Path(name) / "halves"
        counts = {"Train": pairs * 2 // 3, "Valid": pairs // 6, "Test": pairs // 6}
        write_many(root, counts, PICTURE_SIZE, DIFFERENT)
        write_many(halves, {split: count // 2 for split, count in counts.items()}, PICTURE_SIZE, DIFFERENT)
        seconds(start(root, Path(name) / "warm-up", 2))
        for number in range(times):
            meter = LoadMeter()
            order = (1, 2) if number % 2 == 0 else (2, 1)
            taken = {cores: seconds(start(root, Path(name) / f"cache {number} {cores}", cores)) for cores in order}
            apart_s = seconds_apart(halves, Path(name) / f"cache {number} apart")
            rounds.append(Round(taken[1], taken[2], apart_s, meter.others_cores() or 0.0))
    quiet = [one for one in rounds if one.others_cores <= QUIET_CORES]
    for title, kept in (("all rounds", rounds), ("quiet rounds", quiet)):
        if kept:
            ratios = [one.alone_s / one.together_s for one in kept]
            print(
                f"{title}: {len(kept)} of {pairs} pairs; one core "
                f"{statistics.median(one.alone_s for one in kept):.2f} s, two "
                f"{statistics.median(one.together_s for one in kept):.2f} s, ratio {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}); others used "
                f"{statistics.median(one.others_cores for one in kept):.2f} cores"
            )
            limits = [one.alone_s / one.apart_s for one in kept]
            print(
                f"  limit, two processes apart: ratio {statistics.median(limits):.2f} "
                f"({min(limits):.2f} to {max(limits):.2f})"
            )
    if not quiet:
        print("others kept this machine busy: nothing can be said of the promise")
        return 0
    ratio = statistics.median(one.alone_s / one.together_s for one in quiet)
    print(f"promised: {PROMISED_RATIO:g} times as fast: {'kept' if ratio >= PROMISED_RATIO else 'BROKEN'}")
    return 0 if ratio >= PROMISED_RATIO else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prepare", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.prepare:
        root, cache, cores = chosen.prepare
        print(prepare(Path(root), Path(cache), int(cores)))
        return 0
    if len(os.sched_getaffinity(0)) < 2:
        print("this machine has one core: nothing to compare")
        return 0
    # Not at the top: every worker imports this module, and torch with it would be counted as its start.
    from tests.performance_document import transcript

    command = f"python tests/performance/decoding.py --pairs {chosen.pairs} --rounds {chosen.rounds}"
    with transcript("decoding", command):
        return compare(chosen.pairs, chosen.rounds)


if __name__ == "__main__":
    sys.exit(main())
