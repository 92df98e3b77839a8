"""F4: a training that is stopped before any of its forward passes, and goes on.

The network itself holds still before the pass that the environment names, so that the signal meets that moment.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.faults.studies import (
    EPOCHS,
    REACHED,
    STOP_AT,
    TWO_TRIALS,
    curve_of,
    finish,
    fresh_bench,
    kill_group,
    outcome,
    running,
    undisturbed,
    variables,
    wait_until_alone,
)
from tests.faults.suite import Fault
from tests.small_bench import Bench

STEPS, VALIDATION_PASSES = 3, 2
PASSES = STEPS + VALIDATION_PASSES
"""Forward passes of an epoch: 13 images in batches of 4, the last one dropped; then 6 in batches of 4."""

TRIAL = "stroke 0"


def _case(stop: int) -> str:
    epoch, position = divmod(stop - 1, PASSES)
    signal_name = "SIGTERM" if stop % 2 else "SIGKILL"
    if epoch == EPOCHS:
        return f"pass {stop}, before testing: {signal_name}"
    if position == 0:
        return f"pass {stop}, after epoch {epoch}: {signal_name}"
    part = f"training step {position + 1}" if position < STEPS else f"validation pass {position - STEPS + 1}"
    return f"pass {stop}, in epoch {epoch + 1} before {part}: {signal_name}"


AGAIN_AND_AGAIN = {"after every epoch": PASSES + 1, "in every epoch after its first": PASSES + 2}
SINGLE = tuple(_case(stop) for stop in range(1, EPOCHS * PASSES + 2))
CASES = (*SINGLE, *AGAIN_AND_AGAIN)


def check(case: str, folder: Path) -> None:
    expected = undisturbed(TWO_TRIALS, "--jobs", "1")
    bench = fresh_bench(folder, TWO_TRIALS, expected.bench.folder / "cache")
    if case in AGAIN_AND_AGAIN:
        for epochs in range(1, EPOCHS):
            stop(bench, AGAIN_AND_AGAIN[case], "SIGTERM", epochs)
    else:
        number = int(case.split(",")[0].split()[1])
        stop(bench, number, case.rpartition(" ")[2], (number - 1) // PASSES)
    resumed = bench.run("--seeds", "0")
    assert resumed.returncode == 0, resumed.stderr
    # Among it the weights and every prediction, bit for bit.
    assert outcome(bench) == {TRIAL: expected.outcome[TRIAL]}


def stop(bench: Bench, at: int, signal_name: str, epochs: int) -> None:
    """Run until a forward pass of this run's and end it there, when so many epochs must be finished in all."""
    reached = bench.folder / "reached"
    reached.unlink(missing_ok=True)
    with variables(**{STOP_AT: str(at), REACHED: str(reached)}), running(bench, "--seeds", "0") as process:
        while not reached.exists():
            assert process.poll() is None, f"the run ended before pass {at}: {finish(process)}"
            time.sleep(0.01)
        if signal_name == "SIGKILL":
            kill_group(process)
        else:
            process.send_signal(signal.Signals[signal_name])
            finish(process, 30)
    wait_until_alone(bench)
    assert [len(curve_of(path.parent)) for path in bench.results.rglob("curve.jsonl")] == [epochs]


FAULT = Fault(
    number="F4",
    title="a training that is stopped after each epoch, before each training step and validation pass, and before "
    "testing; and one that is stopped in every epoch",
    promise="weights, predictions, curve and scores equal to the uninterrupted run's, bit for bit, on a CPU",
    cases=CASES,
    short=[SINGLE[PASSES * 3 + 2]],
    case_s=14.0,
    check=check,
)
