"""Whether cost grows linearly with images, epochs and trials: each of them at 1×, 4× and 16×, the others at 1×.

    python tests/performance/scale.py

Runs `benchbird run` on the CPU, on small noise with strokes and with a network of one convolution, so that what
grows is benchbird's own cost; data are prepared before the clock starts. Start-up is the same command once more, when
nothing is left to train. What one more × costs is compared between 1× and 4× and between 4× and 16×: 1 is linear,
and a cost that grew with the square would have 4. Exit code 1 above 1.5.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.performance_document import transcript
from tests.small_bench import write_birds

MOST_GROWTH = 1.5
"""Of the cost of one more ×; above what a noisy machine does and far below a square."""

TIMES = (1, 4, 16)
IMAGES = {"Train": 128, "Valid": 16, "Test": 16}
EPOCHS = 24

BENCHMARK = f"""\
name: scale
data: {{root: birds-1}}
protocol: {{image_size: 32, batch_size: 16, epochs: {EPOCHS}}}
segmenters: [one_convolution]
seeds: [0]
"""

PLUGIN = '''\
"""The least that learns."""

from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


def build():
    return nn.Conv2d(3, 1, 5, padding=2)


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="one_convolution", build=build)]
'''


@dataclass(frozen=True)
class Axis:
    """What grows, and the options that make it so many times as large."""

    name: str
    base: int

    def options(self, times: int) -> list[str]:
        if self.name == "images":
            return ["--set", f"data.root=birds-{times}"]
        if self.name == "epochs":
            return ["--set", f"protocol.epochs={EPOCHS * times}"]
        return ["--seeds", ",".join(map(str, range(times)))]


AXES = (Axis("images", sum(IMAGES.values())), Axis("epochs", EPOCHS), Axis("trials", 1))


def seconds(folder: Path, results: str, options: Sequence[str]) -> float:
    command = [sys.executable, "-m", "benchbird", "run", "scale.yaml", "--plugin", "one_convolution.py"]
    command += ["--device", "cpu", "--cache", "cache", "--results", results, *options]
    start = time.perf_counter()
    # One thread: the network is too small for two.
    subprocess.run(command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    return time.perf_counter() - start


def prepare(folder: Path) -> None:
    (folder / "scale.yaml").write_text(BENCHMARK)
    (folder / "one_convolution.py").write_text(PLUGIN)
    for times in TIMES:
        write_birds(folder / f"birds-{times}", {split: times * count for split, count in IMAGES.items()})
        seconds(folder, "prepared", [*AXES[0].options(times), "--set", "protocol.epochs=1"])


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    is_linear = True
    with transcript("scale", "python tests/performance/scale.py"), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        prepare(folder)
        print(f"data made and prepared in {time.perf_counter() - start:.0f} s", flush=True)
        once = seconds(folder, "once", [])
        print(f"1×: {once:.2f} s; start-up, nothing left to train: {seconds(folder, 'once', []):.2f} s", flush=True)
        for axis in AXES:
            spent = [once, *(seconds(folder, f"{axis.name}-{times}", axis.options(times)) for times in TIMES[1:])]
            first, second = ((spent[place + 1] - spent[place]) / (TIMES[place + 1] - TIMES[place]) for place in (0, 1))
            shown = ", ".join(f"{axis.base * times} {took:.2f} s" for times, took in zip(TIMES, spent, strict=True))
            growth = second / first
            is_linear &= growth <= MOST_GROWTH
            verdict = "linear" if growth <= MOST_GROWTH else "NOT LINEAR"
            print(
                f"{axis.name}: {shown}; one more × costs {first:.2f} s, then {second:.2f} s: "
                f"ratio {growth:.2f}, {verdict}; without any {once - first:.2f} s",
                flush=True,
            )
    return 0 if is_linear else 1


if __name__ == "__main__":
    sys.exit(main())
