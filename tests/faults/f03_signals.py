"""F3: a run that is asked to end at any moment of its trials: by SIGTERM, by Ctrl-C, by Ctrl-C twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.studies import (
    SIX_TRIALS,
    TWO_TRIALS,
    Undisturbed,
    assert_went_on,
    dice,
    finish,
    fresh_bench,
    remains,
    running,
    undisturbed,
    wait_for,
    wait_until_alone,
)
from tests.faults.suite import CannotBeTried, Fault
from tests.small_bench import Bench

EACH = 20


def terminate(process: subprocess.Popen[str], _pause_s: float) -> None:
    process.terminate()


def interrupt(process: subprocess.Popen[str], _pause_s: float = 0.0) -> None:
    # As a terminal does: to the whole foreground group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)


def interrupt_twice(process: subprocess.Popen[str], pause_s: float) -> None:
    interrupt(process)
    time.sleep(pause_s)
    interrupt(process)


ENDS: dict[str, tuple[Callable[[subprocess.Popen[str], float], None], int]] = {
    "SIGTERM": (terminate, 143),
    "Ctrl-C": (interrupt, 130),
    "Ctrl-C twice": (interrupt_twice, 130),
}


def _case(kind: str, number: int) -> str:
    rolled = dice(f"F3 {kind} {number}")
    trials = "two" if number == 1 else "six"
    return f"{kind}, {number}: at {0.85 * rolled.random():.3f} of {trials} trials"


CASES = tuple(_case(kind, number) for kind in ENDS for number in range(1, EACH + 1))


def check(case: str, folder: Path) -> None:
    kind, _, rest = case.partition(", ")
    share, trials = float(rest.split()[2]), rest.split()[4]
    study = TWO_TRIALS if trials == "two" else SIX_TRIALS
    end, code = ENDS[kind]
    expected = undisturbed(study, "--jobs", "1")
    with contextlib.ExitStack() as stack:
        bench, process = _under_way(stack, folder, study, share, expected)
        end(process, dice(case).random())
        output = finish(process, 30)
    wait_until_alone(bench, 5.0)
    assert "Traceback" not in output, output
    assert process.returncode == code, f"exit code {process.returncode}: {output}"
    assert "the same command goes on where it stopped" in output, output
    before = remains(bench)
    for path in bench.results.rglob("status.json"):
        assert json.loads(path.read_text())["status"] == "interrupted", f"{path}: {path.read_text()}"

    again = bench.run("--jobs", "1")
    assert again.returncode == 0, again.stderr
    assert_went_on(bench, before, expected)


def _under_way(
    stack: contextlib.ExitStack, folder: Path, study: str, share: float, expected: Undisturbed
) -> tuple[Bench, subprocess.Popen[str]]:
    """A run in the middle of its trials; where it was quicker than the undisturbed one, another, met earlier."""
    delay_s = share * (expected.run_s - expected.until_first_trial_s)
    for attempt in range(4):
        (folder / str(attempt)).mkdir()
        bench = fresh_bench(folder / str(attempt), study, expected.bench.folder / "cache")
        process = stack.enter_context(running(bench, "--jobs", "1"))
        wait_for(bench, process, "status.json")
        time.sleep(delay_s)
        if process.poll() is None and len(bench.records()) < len(expected.outcome):
            return bench, process
        finish(process)
        delay_s /= 2
    raise CannotBeTried("every run had ended before the signal")


FAULT = Fault(
    number="F3",
    title="SIGTERM, Ctrl-C, or Ctrl-C twice within a second, at a random time of the trials",
    promise="exit code 143 or 130, trials left as interrupted, no process left after 5 s, "
    "and the same command goes on to the same leaderboard",
    cases=CASES,
    short=CASES[:1],
    case_s=30.0,
    check=check,
)
