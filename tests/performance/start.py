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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

PROMISED_START_S = 5.0
"""From the command to the first training step."""

PROMISED_REST_S = 1.5
"""Of that, what isn't torch's."""

PROMISED_CHILD_S = 0.5
"""A child from a warm fork server, from the call to its first event."""

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


def text(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} s (median of {len(values)}, {min(values):.2f} to {max(values):.2f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--children", type=int, default=15)
    chosen = parser.parse_args()
    steps, imports, bare_steps = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "start.yaml").write_text(BENCHMARK)
        (folder / "first_step.py").write_text(PLUGIN)
        print(f"first run, which prepares the data: {run_once(folder, 0):.2f} s to the first step")
        for number in range(chosen.rounds):
            imports.append(bare("import torch"))
            steps.append(run_once(folder, number + 1))
            bare_steps.append(bare(BARE_STEP))
    rest = [step - imported for step, imported in zip(steps, imports, strict=True)]
    beyond = [step - alone for step, alone in zip(steps, bare_steps, strict=True)]
    children = child_seconds(chosen.children)
    print(f"command to first training step: {text(steps)}")
    print(f"`import torch` in a bare process: {text(imports)}")
    print(f"a bare loop's first step:         {text(bare_steps)}")
    print(f"beyond importing torch: {text(rest)}; beyond a bare loop's first step: {text(beyond)}")
    print(f"a child of the warm server: {text(children)}")
    kept = {
        f"first step within {PROMISED_START_S:g} s": statistics.median(steps) <= PROMISED_START_S,
        f"beyond torch at most {PROMISED_REST_S:g} s": statistics.median(beyond) <= PROMISED_REST_S,
        f"a child within {PROMISED_CHILD_S:g} s": statistics.median(children) <= PROMISED_CHILD_S,
    }
    for promise, is_kept in kept.items():
        print(f"promised: {promise}: {'kept' if is_kept else 'BROKEN'}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
