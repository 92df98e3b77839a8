"""F3: a run that is asked to end at any moment of its trials: by SIGTERM, by Ctrl-C, by Ctrl-C twice.

SIGTERM comes to the run alone, or to every process of its group, as schedulers and `timeout` send it. A trial may be
deaf to it for longer than it is given to end.
"""

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
    DEAF_S,
    EPOCHS,
    REACHED,
    SIX_TRIALS,
    STOP_AT,
    TWO_TRIALS,
    Undisturbed,
    assert_went_on,
    dice,
    finish,
    fresh_bench,
    remains,
    running,
    undisturbed,
    variables,
    wait_for,
    wait_until_alone,
)
from tests.faults.suite import CannotBeTried, Fault
from tests.small_bench import Bench

EACH = 20


def terminate(process: subprocess.Popen[str], _pause_s: float) -> None:
    process.terminate()


def terminate_all(process: subprocess.Popen[str], _pause_s: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


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
    "SIGTERM to all": (terminate_all, 143),
    "Ctrl-C": (interrupt, 130),
    "Ctrl-C twice": (interrupt_twice, 130),
}


def _case(kind: str, number: int) -> str:
    rolled = dice(f"F3 {kind} {number}")
    trials = "two" if number == 1 else "six"
    return f"{kind}, {number}: at {0.85 * rolled.random():.3f} of {trials} trials"


EACH_DEAF = 5
DEAF = "while a trial is deaf"
PASSES_OF_AN_EPOCH = 5
"""Of the small study: 3 training steps of 4 images, 2 validation passes."""


def _deaf_case(kind: str, number: int) -> str:
    rolled = dice(f"F3 {kind} {DEAF} {number}")
    return f"{kind} {DEAF}, {number}: before forward pass {rolled.randint(1, EPOCHS * PASSES_OF_AN_EPOCH)}"


CASES = (
    *(_case(kind, number) for kind in ENDS for number in range(1, EACH + 1)),
    *(_deaf_case(kind, number) for kind in ("SIGTERM to all", "Ctrl-C") for number in range(1, EACH_DEAF + 1)),
)


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    if DEAF in case:
        _check_deaf(case, folder)
    else:
        _check_heard(case, folder)


def _check_deaf(case: str, folder: Path) -> None:
    kind, at = case.partition(f" {DEAF}")[0], case.split()[-1]
    end, code = ENDS[kind]
    expected = undisturbed(TWO_TRIALS, "--jobs", "1")
    bench = fresh_bench(folder, TWO_TRIALS, expected.bench.folder / "cache")
    reached = folder / "reached"
    with variables(**{STOP_AT: at, REACHED: str(reached), DEAF_S: "20"}), running(bench, "--jobs", "1") as process:
        deadline = time.monotonic() + 60
        while not reached.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the trial never came so far"
            time.sleep(0.01)
        end(process, 0.0)
        output = finish(process, 30)
    _check_end(bench, process, output, code)
    before = remains(bench)
    again = bench.run("--jobs", "1")
    assert again.returncode == 0, again.stderr
    assert_went_on(bench, before, expected)


def _check_end(bench: Bench, process: subprocess.Popen[str], output: str, code: int) -> None:
    wait_until_alone(bench, 5.0)
    assert "Traceback" not in output, output
    assert process.returncode == code, f"exit code {process.returncode}: {output}"
    assert "the same command goes on where it stopped" in output, output
    for path in bench.results.rglob("status.json"):
        assert json.loads(path.read_text())["status"] == "interrupted", f"{path}: {path.read_text()}"
    for path in bench.records():
        assert json.loads(path.read_text())["status"] == "done", f"{path}: an interrupt made it a failure"


def _check_heard(case: str, folder: Path) -> None:
    kind, _, rest = case.partition(", ")
    share, trials = float(rest.split()[2]), rest.split()[4]
    study = TWO_TRIALS if trials == "two" else SIX_TRIALS
    end, code = ENDS[kind]
    expected = undisturbed(study, "--jobs", "1")
    with contextlib.ExitStack() as stack:
        bench, process = _under_way(stack, folder, study, share, expected)
        end(process, dice(case).random())
        output = finish(process, 30)
    _check_end(bench, process, output, code)
    before = remains(bench)
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
    title="SIGTERM to the run or to all of its group, Ctrl-C, or Ctrl-C twice within a second, at a random time of the "
    "trials; and where the trial hears nothing for longer than it is given to end",
    promise="exit code 143 or 130, trials left as interrupted, no process left after 5 s, "
    "and the same command goes on to the same leaderboard",
    cases=CASES,
    short=CASES[:1],
    case_s=15.0,
    check=check,
)
