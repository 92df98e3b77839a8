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


SHORT = (1, 3)


def _case(number: int) -> str:
    """Every other one is killed while trials are under way: most of so short a run is the program's start."""
    is_short = number in SHORT
    share = dice(f"F1 {number}").random()
    span = "trials" if number % 2 else "run"
    trials = "two" if is_short else "six"
    jobs = 2 if number % 4 < 2 and not is_short and len(os.sched_getaffinity(0)) > 1 else 1
    return f"{number}: killed at {share:.3f} of the {span}, {trials} trials, {jobs} at a time"


CASES = tuple(_case(number) for number in range(1, N + 1))


def check(case: str, folder: Path) -> None:
    words = case.replace(",", "").split()
    share, span, trials, jobs = float(words[3]), words[6], words[7], words[9]
    study = TWO_TRIALS if trials == "two" else SIX_TRIALS
    expected = undisturbed(study, "--jobs", jobs)
    bench = fresh_bench(folder, study, expected.bench.folder / "cache")
    first_s = expected.until_first_trial_s if span == "trials" else 0.0
    with running(bench, "--jobs", jobs) as process:
        time.sleep(first_s + share * (expected.run_s - first_s))
        kill_group(process)
    wait_until_alone(bench)
    before = remains(bench)

    again = bench.run("--jobs", jobs)
    assert again.returncode == 0, again.stderr
    assert_went_on(bench, before, expected)


FAULT = Fault(
    number="F1",
    title="SIGKILL at a random time of a run of 3 segmenters × 2 seeds × 6 epochs, half of them of its trials, "
    "then the same command again",
    promise="no unreadable file, no finished trial lost or redone, at most one epoch redone, "
    "the same leaderboard byte for byte, timings aside",
    cases=CASES,
    short=[CASES[number - 1] for number in SHORT],
    case_s=16.0,
    check=check,
)
