"""F10: two runs, and eight, on one results folder at once; one of them is killed half-way."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from benchbird.results import find_records, read_record
from tests.faults.studies import (
    SIX_TRIALS,
    TWO_TRIALS,
    dice,
    finish,
    fresh_bench,
    kill_group,
    leftovers,
    outcome,
    running,
    standing,
    undisturbed,
    wait_for,
    wait_until_alone,
)
from tests.faults.suite import Fault
from tests.small_bench import Bench

READINGS = 1000


def _case(runs: str, number: int) -> str:
    trials = "two" if runs == "two runs" and number == 1 else "six"
    return f"{runs} of {trials} trials, {number}"


CASES = (
    *(_case("two runs", number) for number in range(1, 21)),
    *(_case("eight runs", number) for number in range(1, 6)),
)


def check(case: str, folder: Path) -> None:
    words = case.split()
    runs, study = {"two": 2, "eight": 8}[words[0]], TWO_TRIALS if words[3] == "two" else SIX_TRIALS
    expected = undisturbed(study, "--jobs", "1")
    bench = fresh_bench(folder, study, expected.bench.folder / "cache")
    trials = len(expected.outcome)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(bench, "--jobs", "1")) for _ in range(runs)]
        wait_for(bench, processes[0], "record.json", trials // 2 - 1)
        wait_for(bench, processes[0], "status.json")
        time.sleep(2 * dice(case).random())
        finished = {path: path.read_bytes() for path in bench.records()}
        victim = _at_work(bench, processes)
        kill_group(victim)
        # A run that is killed between a trial's record and its claim's release leaves the claim beside the record.
        ended = {path.parent for path in bench.records()}
        readings = _read_until_ended(bench, [one for one in processes if one is not victim])
        outputs = [finish(process) for process in processes if process is not victim]
    wait_until_alone(bench)

    assert [process.returncode for process in processes if process is not victim] == [0] * (runs - 1), outputs
    assert readings >= READINGS
    for path, content in finished.items():
        assert path.read_bytes() == content, f"{path}: a finished trial was run again"
    attempts = sorted(read_record(path).attempts for path in bench.records())
    assert len(attempts) == trials
    assert sum(attempts) <= trials + 1, f"a trial was run twice that nobody killed: {attempts}"
    assert outcome(bench) == expected.outcome
    assert standing(bench) == expected.standing
    assert [path for path in leftovers(bench) if ended.isdisjoint(path.parents)] == []


def _at_work(bench: Bench, processes: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """The run that holds the newest claim, else the first."""
    for path in sorted(bench.results.rglob("claim-*.json"), key=lambda path: path.name):
        for process in processes:
            if f'"process": {process.pid},' in path.read_text():
                return process
    return processes[0]


def _read_until_ended(bench: Bench, processes: list[subprocess.Popen[str]]) -> int:
    """Read all records again and again while the runs work, and at least so often; how often it was."""
    readings = 0
    while readings < READINGS or any(process.poll() is None for process in processes):
        scan = find_records(bench.results)
        assert scan.faults == (), [str(fault) for fault in scan.faults]
        readings += 1
        time.sleep(0.005)
    return readings


FAULT = Fault(
    number="F10",
    title="two, then eight runs at once on one results folder, one of them killed at work; 1,000 readings meanwhile",
    promise="each trial is executed once, that of the killed run once more; the others complete all; "
    "no torn file is ever seen",
    cases=CASES,
    short=CASES[:1],
    case_s=40.0,
    check=check,
)
