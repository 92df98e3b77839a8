"""F13: hundreds of trials in one run: what the run itself holds must not grow with them."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.faults.studies import finish, fresh_bench, running
from tests.faults.suite import Fault

MAX_GROWTH_BYTES = 50_000_000

SPECK = '''\
"""One convolution without gradients; or one that can't be built, and whose trial ends at once."""
from torch import nn

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1


def build(number, is_broken):
    if is_broken:
        raise RuntimeError("broken on purpose")
    return nn.Conv2d(3, 1, 1)


@hookimpl
def benchbird_segmenters():
    options = {"number": Option(default=0), "is_broken": Option(default=False)}
    return [SegmenterSpec(name="speck", build=build, options=options, calibrate=lambda model, batches: None)]
'''

MANY, FEW = "300 trials, each to its end", "30 trials that can't be built"
CASES = (MANY, FEW)


def _study(trials: int, is_broken: bool) -> str:
    """A benchmark with so many trials, of three segmenters."""
    segmenters = "\n".join(
        f"  - {{name: speck, label: speck{number}, options: {{number: {number}, is_broken: {str(is_broken).lower()}}}}}"
        for number in range(3)
    )
    return f"""\
name: small
data:
  root: birds
protocol: {{image_size: 16, batch_size: 4, epochs: 1}}
plugins: [speck.py]
segmenters:
{segmenters}
seeds: {list(range(trials // 3))}
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a run holds at one moment.

    Attributes:
        ended: trials that had a record.
        resident_bytes: memory.
        descriptors: open files.
        threads: alive.
    """

    ended: int
    resident_bytes: int
    descriptors: int
    threads: int


def check(case: str, folder: Path) -> None:
    trials, is_broken = int(case.split()[0]), case == FEW
    bench = fresh_bench(folder, _study(trials, is_broken))
    (bench.folder / "speck.py").write_text(SPECK)
    jobs = 1 if is_broken else min(2, len(os.sched_getaffinity(0)))
    with running(bench, "--jobs", str(jobs)) as process:
        samples = _watch(psutil.Process(process.pid), bench.results, trials)
        output = finish(process)
    assert process.returncode == (1 if is_broken else 0), output
    assert len(bench.records()) == trials

    early = [sample for sample in samples if trials // 10 <= sample.ended < trials // 2]
    late = [sample for sample in samples if trials // 2 <= sample.ended < trials]
    assert len(early) > 5, "too few samples"
    assert len(late) > 5, "too few samples"
    first = early[0].resident_bytes
    growth = max(sample.resident_bytes for sample in late) - first
    assert growth < MAX_GROWTH_BYTES, f"the run grew by {growth / 1e6:.0f} MB"
    # What is open for a moment is in one half or the other by chance, as either bound may be; what is never given back
    # raises both bounds, and what is usual.
    for name in ("descriptors", "threads"):
        before, after = (_usual([getattr(sample, name) for sample in part]) for part in (early, late))
        has_grown = all(later > first for first, later in zip(before, after, strict=True))
        assert not has_grown, f"{name}: least, usual and most {before} at first, {after} later"


def _usual(values: Sequence[int]) -> tuple[int, float, int]:
    return min(values), statistics.median(values), max(values)


def _watch(process: psutil.Process, results: Path, trials: int) -> list[Sample]:
    """Sample a run until it has ended its last trial."""
    samples: list[Sample] = []
    deadline = time.monotonic() + 3600
    while time.monotonic() < deadline and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        ended = sum(1 for _ in results.rglob("record.json")) if results.exists() else 0
        if ended == trials:
            break
        with contextlib.suppress(psutil.Error):
            samples.append(
                Sample(
                    ended=ended,
                    resident_bytes=process.memory_info().rss,
                    descriptors=process.num_fds(),
                    threads=process.num_threads(),
                )
            )
        time.sleep(0.05)
    return samples


FAULT = Fault(
    number="F13",
    title="300 tiny trials in one run",
    promise="the run's own memory grows by less than 50 MB, its open files and its threads not at all",
    cases=CASES,
    short=[FEW],
    case_s=200.0,
    check=check,
)
