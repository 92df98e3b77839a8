"""Where the time of a training epoch goes: phases of a step, kinds of operation, and what else could be chosen.

    python tests/performance/breakdown.py [--network atrous_segnet] [--sizes 64 128]

Runs in a process that keeps its memory, as trials do. Alternatives are timed against the plain step in turns.
Writes to docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchbird.backend import apply_protocol
from benchbird.batches import ResidentSplit
from benchbird.evaluation import validate
from benchbird.execution import allocation
from benchbird.protocol import Protocol
from tests.performance.contenders.job import LR, Job
from tests.performance_document import place, provenance, table
from tests.split_factory import memory_split

CPU = torch.device("cpu")
BATCH = 8
STEPS = 6
KINDS = {
    "convolution_backward": "convolution, backward",
    "convolution": "convolution, forward",
    "batch_norm": "batch normalisation",
    "max_pool": "pooling",
    "upsample": "enlargement",
    "threshold": "activation",
    "clamp": "activation",
    "relu": "activation",
}


class Steps:
    """One model and its optimiser; times the phases of a step."""

    def __init__(self, job: Job, *, fused: bool | None = None, threads: int | None = None) -> None:
        self.protocol = Protocol(image_size=job.size, batch_size=BATCH)
        self.threads = threads or torch.get_num_threads()
        self.model = job.model()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LR, fused=fused)
        self.split = ResidentSplit(memory_split("train", 4 * BATCH, job.size), self.protocol, CPU)
        self.phases: dict[str, list[float]] = defaultdict(list)

    def step(self) -> float:
        """One training step, as `training.py` takes it; seconds."""
        torch.set_num_threads(self.threads)
        started = time.perf_counter()
        index = torch.randperm(len(self.split))[:BATCH]
        images, targets = self.split.pictures(index), self.split.targets(index)
        prepared = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.binary_cross_entropy_with_logits(self.model(images), targets)
        forward = time.perf_counter()
        loss.backward()  # type: ignore[no-untyped-call]
        backward = time.perf_counter()
        self.optimizer.step()
        ended = time.perf_counter()
        for name, seconds in (
            ("batch from uint8", prepared - started),
            ("forward and loss", forward - prepared),
            ("backward", backward - forward),
            ("optimiser", ended - backward),
        ):
            self.phases[name].append(seconds)
        return ended - started

    def validate(self) -> float:
        """Predict and count one batch; seconds."""
        started = time.perf_counter()
        validate(self.model, ResidentSplit(memory_split("val", BATCH, self.protocol.image_size), self.protocol, CPU),
                 self.protocol)  # fmt: skip
        return time.perf_counter() - started


def phases(job: Job) -> list[list[str]]:
    """Rows of a step's phases: milliseconds and share."""
    steps = Steps(job)
    for _ in range(2 + STEPS):
        steps.step()
    medians = {name: statistics.median(seconds[2:]) for name, seconds in steps.phases.items()}
    whole = sum(medians.values())
    rows = [[name, f"{job.size}²", f"{1e3 * one:.1f}", f"{100 * one / whole:.1f} %"] for name, one in medians.items()]
    validation = statistics.median(steps.validate() for _ in range(STEPS))
    return [*rows, ["validation of as many images", f"{job.size}²", f"{1e3 * validation:.1f}", ""]]


def kinds(job: Job) -> list[list[str]]:
    """Rows of kinds of operation: share of a step's processor time."""
    steps = Steps(job)
    steps.step()
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        for _ in range(STEPS):
            steps.step()
    shares: dict[str, float] = defaultdict(float)
    for event in watched.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in event.key), "everything else")
        shares[kind] += event.self_cpu_time_total
    whole = sum(shares.values())
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return [[kind, f"{job.size}²", f"{100 * share / whole:.1f} %"] for kind, share in ordered]


def alternatives(job: Job, rounds: int) -> list[list[str]]:
    """Rows of what a step could do otherwise: its speed over the plain step's, in turns."""
    plain = Steps(job)
    others: dict[str, Callable[[], float]] = {
        "fused Adam": Steps(job, fused=True).step,
        "one thread": Steps(job, threads=1).step,
    }
    rows = []
    for name, other in others.items():
        ratios = [plain.step() / other() for _ in range(rounds + 2)][2:]
        torch.set_num_threads(plain.threads)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}…{max(ratios):.2f})"
        rows.append([name, f"{job.size}²", spread])
    return rows


def page_faults(job: Job) -> float:
    """Page faults of a step, in this process."""
    steps = Steps(job)
    for _ in range(3):
        steps.step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(STEPS):
        steps.step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / STEPS


def faults_row(job: Job) -> list[str]:
    """Page faults of a step where memory is given back to the system, and where it is kept."""
    found = []
    for tunables in ("", allocation.tunables()):
        command = [sys.executable, __file__, "--faults", "--network", job.segmenter, "--sizes", str(job.size)]
        environment = {**os.environ, allocation.VARIABLE: tunables}
        found.append(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    return [f"{job.size}²", *(f"{float(one):,.0f}" for one in found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="atrous_segnet")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dry", action="store_true", help="print only, leave docs/performance.md alone")
    parser.add_argument("--faults", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    jobs = [Job(segmenter=chosen.network, size=size) for size in chosen.sizes]
    apply_protocol(Protocol())
    if chosen.faults:
        print(page_faults(jobs[0]))
        return
    if os.environ.get(allocation.VARIABLE) != allocation.SETTINGS:
        os.environ[allocation.VARIABLE] = allocation.SETTINGS
        os.execv(sys.executable, [sys.executable, *sys.argv])
    blocks = [
        table(["phase of a step", "size", "ms", "share"], [row for job in jobs for row in phases(job)]),
        table(["kind of operation", "size", "share"], [row for job in jobs for row in kinds(job)]),
        table(
            ["alternative", "size", "its speed ÷ plain"],
            [row for job in jobs for row in alternatives(job, chosen.rounds)],
        ),
        table(["size", "page faults of a step", "with memory kept"], [faults_row(job) for job in jobs]),
    ]
    command = f"python tests/performance/breakdown.py --network {chosen.network}"
    text = "\n\n".join([f"{provenance(command)} Batch {BATCH}, fp32.", *blocks])
    print(text)
    if not chosen.dry:
        place("breakdown", text)


if __name__ == "__main__":
    main()
