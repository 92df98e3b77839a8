"""F10: two runs, and eight, on one results folder at once; one of them is killed half-way, or falls asleep.

A run that slept has its claim removed here, as a run on another machine does after two minutes without a heartbeat.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from benchbird.results import find_records, read_record
from tests.faults.studies import (
    DEAF_S,
    REACHED,
    SIX_TRIALS,
    STOP_AT,
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
    variables,
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
    *(f"a run wakes up late, {number}" for number in range(1, 6)),
)

PASSES = 30
"""Forward passes of a trial's training: 6 epochs of 3 steps and 2 validation passes."""


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    if case.startswith("a run wakes"):
        _check_late_riser(case, folder)
    else:
        _check_crowd(case, folder)


def _check_late_riser(case: str, folder: Path) -> None:
    expected = undisturbed(TWO_TRIALS, "--jobs", "1")
    bench = fresh_bench(folder, TWO_TRIALS, expected.bench.folder / "cache")
    reached, at = folder / "reached", str(dice(case).randint(1, PASSES))
    # Its heart beats every 10 s: it learns of its loss before the trial goes on, or the trial has to ask by itself.
    sleep_s = "16" if case.endswith(("1", "3", "5")) else "8"
    with variables(**{STOP_AT: at, REACHED: str(reached), DEAF_S: sleep_s}), running(bench, "--jobs", "1") as asleep:
        deadline = time.monotonic() + 60
        while not reached.exists():
            assert asleep.poll() is None and time.monotonic() < deadline, "the trial never came so far"
            time.sleep(0.01)
        with variables(**dict.fromkeys((STOP_AT, REACHED, DEAF_S))):
            [claim] = bench.results.rglob("claim-*.json")
            claim.unlink()
            other = bench.run("--jobs", "1")
        assert other.returncode == 0, other.stderr
        finished = {path: path.read_bytes() for path in bench.results.rglob("*") if path.is_file()}
        output = finish(asleep, 120)
    assert asleep.returncode == 0, output
    assert "left to another run, which has taken it over" in output, output
    changed = [path for path, content in finished.items() if path.name != "log.txt" and path.read_bytes() != content]
    assert changed == [], "a run wrote into a trial that it had lost"
    assert outcome(bench) == expected.outcome
    assert standing(bench) == expected.standing
    assert leftovers(bench) == []
    verified = bench.call("verify", "results")
    assert verified.returncode == 0, verified.stdout
    wait_until_alone(bench)


def _check_crowd(case: str, folder: Path) -> None:
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
    title="two, then eight runs at once on one results folder, one of them killed at work, 1,000 readings meanwhile; "
    "and a run that wakes up when another has taken its trial over",
    promise="each trial is executed once, that of the killed run once more; the others complete all; no torn file is "
    "ever seen; the late riser writes nothing",
    cases=CASES,
    short=CASES[:1],
    case_s=40.0,
    check=check,
)
