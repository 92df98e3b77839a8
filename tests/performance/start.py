"""How long it takes from the command to the first training step, with everything prepared, and to start a child.

Each round runs `benchbird run` with a new results folder and, next to it, a bare process that imports torch and one
that goes on to a bare loop's first step, so that all three meet the same machine.

    python tests/performance/start.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchbird.machine_load import LoadMeter
from tests.performance_document import transcript

PROMISED_START_S = 5.0
"""From the command to the first training step."""

PROMISED_REST_S = 1.5
"""Of that, what a bare loop doesn't take as well: torch imports half of itself when the first optimiser is made."""

PROMISED_CHILD_S = 0.5
"""A child from a warm fork server, from the call to its first event."""

QUIET_CORES = 0.2
"""A round says nothing where others use more than this meanwhile."""

BENCHMARK = """\
name: start
data:
  name: synthetic
  sizes: {train: 8, val: 2, test: 2}
protocol: {image_size: 32, batch_size: 4, epochs: 1}
segmenters: [first_step]
seeds: [0]
"""

PLUGIN = '''\
"""Notes when it is first trained."""

import os
import time

from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class FirstStep(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 3, padding=1)
        self.noted = False

    def forward(self, images):
        if self.training and not self.noted:
            self.noted = True
            with open(os.environ["NOTES"], "a") as stream:
                stream.write(f"{time.time()}\\n")
        return self.layer(images)


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="first_step", build=FirstStep)]
'''

BARE_STEP = """
import time
import torch
model = torch.nn.Conv2d(3, 1, 3, padding=1)
optimizer = torch.optim.Adam(model.parameters())
model(torch.rand(4, 3, 32, 32)).sum().backward()
optimizer.step()
"""


def answer(_: object, report: Any) -> None:
    """What the trivial child does."""
    report({"event": "here"})


def run_once(folder: Path, number: int) -> float:
    """Seconds from the command to the first training step of its trial."""
    notes = folder / f"notes {number}"
    command = [sys.executable, "-m", "benchbird", "run", "start.yaml", "--plugin", "first_step.py",
               "--results", f"results {number}", "--cache", "cache"]  # fmt: skip
    started = time.time()
    run = subprocess.run(
        command, cwd=folder, env={**os.environ, "NOTES": str(notes)}, capture_output=True, text=True, check=False
    )
    if run.returncode != 0:
        raise SystemExit(run.stderr)
    # A probe of the speed trains too, before the trial does.
    return float(notes.read_text().split()[-1]) - started


def bare(program: str) -> float:
    """Seconds that a process of its own takes to run a program."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program + "\nimport os; os._exit(0)"], check=True)
    return time.perf_counter() - started


def child_seconds(repeats: int) -> list[float]:
    """Seconds from asking a warm fork server for a child to the child's first event."""
    from benchbird.execution.local import run_in_child

    found = []
    for _ in range(repeats + 1):
        arrived: list[float] = []

        def listen(_: Mapping[str, Any], arrived: list[float] = arrived) -> None:
            arrived.append(time.perf_counter())

        started = time.perf_counter()
        run_in_child(answer, None, log=None, on_event=listen)
        found.append(arrived[0] - started)
    return found[1:]  # the first one waits until the server has imported what trials need


@dataclass(frozen=True)
class Round:
    """One run between two bare processes, and how many cores others used beside these."""

    import_s: float
    first_step_s: float
    bare_step_s: float
    others_cores: float


def measure_round(folder: Path, number: int) -> Round:
    # Not while the run goes on: its fork server ends on its own, so that its work would pass for others'.
    meter = LoadMeter()
    imported = bare("import torch")
    others = [meter.others_cores() or 0.0]
    step = run_once(folder, number)
    meter = LoadMeter()
    alone = bare(BARE_STEP)
    others.append(meter.others_cores() or 0.0)
    return Round(imported, step, alone, max(others))


def text(values: Iterable[float]) -> str:
    found = sorted(values)
    return f"{statistics.median(found):.2f} s ({found[0]:.2f} to {found[-1]:.2f})"


def show(title: str, rounds: Sequence[Round]) -> None:
    print(f"{title}: {len(rounds)}, in which others used {statistics.median(r.others_cores for r in rounds):.2f} cores")
    print(f"  command to first training step      {text(r.first_step_s for r in rounds)}")
    print(f"  `import torch` in a bare process    {text(r.import_s for r in rounds)}")
    print(f"  a bare loop's first step            {text(r.bare_step_s for r in rounds)}")
    print(f"  what importing torch doesn't cost   {text(r.first_step_s - r.import_s for r in rounds)}")
    print(f"  what a bare loop doesn't cost       {text(r.first_step_s - r.bare_step_s for r in rounds)}")


def measure(rounds: int, children: int) -> int:
    """Measure, print, judge; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "start.yaml").write_text(BENCHMARK)
        (folder / "first_step.py").write_text(PLUGIN)
        print(f"first run, which prepares the data and probes the speed: {run_once(folder, 0):.2f} s to the first step")
        measured = [measure_round(folder, number + 1) for number in range(rounds)]
    show("all rounds", measured)
    quiet = [one for one in measured if one.others_cores <= QUIET_CORES]
    if quiet:
        show("quiet rounds", quiet)
    child_s = child_seconds(children)
    print(f"a child of the warm server: {text(child_s)}")
    kept = {f"a child within {PROMISED_CHILD_S:g} s": statistics.median(child_s) <= PROMISED_CHILD_S}
    if quiet:
        step = statistics.median(one.first_step_s for one in quiet)
        rest = statistics.median(one.first_step_s - one.bare_step_s for one in quiet)
        kept[f"first step within {PROMISED_START_S:g} s"] = step <= PROMISED_START_S
        kept[f"beyond a bare loop's at most {PROMISED_REST_S:g} s"] = rest <= PROMISED_REST_S
    else:
        print("others kept this machine busy: nothing can be said of the first step")
    for promise, is_kept in kept.items():
        print(f"promised: {promise}: {'kept' if is_kept else 'BROKEN'}")
    return 0 if all(kept.values()) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--children", type=int, default=15)
    chosen = parser.parse_args()
    with transcript("start", f"python tests/performance/start.py --rounds {chosen.rounds}"):
        return measure(chosen.rounds, chosen.children)


if __name__ == "__main__":
    sys.exit(main())
