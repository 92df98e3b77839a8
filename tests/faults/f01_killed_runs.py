"""F1: a run that is killed with all that belongs to it, at any moment, and started again."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.faults.studies import (
    SIX_TRIALS,
    TWO_TRIALS,
    assert_went_on,
    dice,
    fresh_bench,
    kill_group,
    remains,
    running,
    undisturbed,
    wait_until_alone,
)
from tests.faults.suite import Fault

N = 200


def _share(number: int) -> float:
    return dice(f"F1 {number}").random()


SHORT = [number for number in range(1, N + 1) if 0.6 < _share(number) < 0.85][:2]
"""Killed while trials are under way, after the program has started."""


def _case(number: int) -> str:
    is_short = number in SHORT
    trials = "two" if is_short else "six"
    jobs = 2 if number % 2 == 0 and not is_short and len(os.sched_getaffinity(0)) > 1 else 1
    return f"{number}: killed at {_share(number):.3f} of {trials} trials, {jobs} at a time"


CASES = tuple(_case(number) for number in range(1, N + 1))


def check(case: str, folder: Path) -> None:
    share, trials, jobs = float(case.split()[3]), case.split()[5], case.split()[7]
    study = TWO_TRIALS if trials == "two" else SIX_TRIALS
    expected = undisturbed(study, "--jobs", jobs)
    bench = fresh_bench(folder, study, expected.bench.folder / "cache")
    with running(bench, "--jobs", jobs) as process:
        time.sleep(share * expected.run_s)
        kill_group(process)
    wait_until_alone(bench)
    before = remains(bench)

    again = bench.run("--jobs", jobs)
    assert again.returncode == 0, again.stderr
    assert_went_on(bench, before, expected)


FAULT = Fault(
    number="F1",
    title="SIGKILL at a random time of a run of 3 segmenters × 2 seeds × 6 epochs, then the same command again",
    promise="no unreadable file, no finished trial lost or redone, at most one epoch redone, "
    "the same leaderboard byte for byte, timings aside",
    cases=CASES,
    short=[CASES[number - 1] for number in SHORT],
    case_s=25.0,
    check=check,
)
