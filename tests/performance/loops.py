"""Training images per second of benchbird's loop, a bare PyTorch loop, Lightning and a notebook's loop.

    python tests/performance/loops.py [--networks atrous_segnet …] [--sizes 64 128 256] [--rounds 5]

Every contender is a process of its own with the same network, batch size, loss, optimiser and fp32; they take
turns, one epoch each, in an order that rotates. Writes its table to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.data.picture_files import write_many
from tests.performance.contenders import ours
from tests.performance.contenders.job import PICTURE_SIZE, Job
from tests.performance_document import place, provenance, table

ROOT = Path(__file__).parents[2]

IMAGES = {64: 128, 128: 48, 256: 16}
"""An epoch's images, so that it takes a few seconds on two cores; other sizes take 48."""

CONTENDERS = {
    "benchbird": ("ours", ours.environment()),
    "bare, memory kept": ("bare", ours.environment()),
    "bare": ("bare", dict(os.environ)),
    "Lightning": ("lightning_way", dict(os.environ)),
    "notebook": ("notebook", dict(os.environ)),
}
GOALS = {"bare, memory kept": 0.98, "Lightning": 1.2}


class Worker:
    """A contender's process, waiting for the word to train an epoch."""

    def __init__(self, name: str, job: Job) -> None:
        module, environment = CONTENDERS[name]
        command = [sys.executable, "-m", "tests.performance.contenders.worker", "epochs", module]
        self.process = subprocess.Popen(
            [*command, json.dumps(asdict(job))],
            env={**os.environ, **environment}, cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def images_per_s(self) -> float:
        """Train one epoch."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        images, seconds = json.loads(self.process.stdout.readline())
        return float(images / seconds)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def contest(job: Job, rounds: int) -> dict[str, list[float]]:
    """Images per second of each contender, round by round."""
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, job)) for name in CONTENDERS}
        for worker in workers.values():
            worker.images_per_s()  # warm-up
        names = list(workers)
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                speeds[name].append(workers[name].images_per_s())
    return speeds


def row(job: Job, speeds: dict[str, list[float]]) -> list[str]:
    """Medians, and benchbird's ratio to each other contender with its least and most."""
    mine = speeds["benchbird"]
    cells = [job.segmenter, f"{job.size}²", f"{statistics.median(mine):.1f}"]
    for name in list(CONTENDERS)[1:]:
        ratios = [one / other for one, other in zip(mine, speeds[name], strict=True)]
        cells += [
            f"{statistics.median(speeds[name]):.1f}",
            f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f}…{max(ratios):.2f})",
        ]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["atrous_segnet", "deeplabv3", "unet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print only, leave docs/performance.md alone")
    chosen = parser.parse_args()
    header = ["network", "size", "benchbird, images/s"]
    for name in list(CONTENDERS)[1:]:
        header += [name, "benchbird ÷ it"]
    rows = []
    met: dict[str, list[bool]] = {name: [] for name in GOALS}
    with tempfile.TemporaryDirectory() as folder:
        write_many(Path(folder), {"Train": 16}, PICTURE_SIZE, different=16)
        for size in chosen.sizes:
            for network in chosen.networks:
                job = Job(segmenter=network, size=size, images=IMAGES.get(size, 48), root=folder)
                speeds = contest(job, chosen.rounds)
                rows.append(row(job, speeds))
                for name, goal in GOALS.items():
                    ratios = [a / b for a, b in zip(speeds["benchbird"], speeds[name], strict=True)]
                    met[name].append(statistics.median(ratios) >= goal)
                print(table(header, rows[-1:]).splitlines()[-1], flush=True)
    command = f"python tests/performance/loops.py --rounds {chosen.rounds}"
    goals = "; ".join(
        f"at least {GOALS[name]} of “{name}” in {sum(found)} of {len(found)} rows" for name, found in met.items()
    )
    text = f"{provenance(command)} Batch 8, fp32.\n\n{table(header, rows)}\n\nGoals: {goals}."
    print(text)
    if not chosen.dry:
        place("loops", text)


if __name__ == "__main__":
    main()
