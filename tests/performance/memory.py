"""How much host memory a run on all 14 120 images takes, all of its processes together.

Makes that many small pairs in the public data set's layout, runs `benchbird run` on them for one epoch with a model of
one convolution, and adds up every tenth of a second what its processes hold: their own memory, which they need, and
pages of files, which the system takes back where it is short of memory. `--size 256` takes minutes and 2 GB of disk.

    python tests/performance/memory.py [--images 14120] [--size 64]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchbird.batches import COPIED_BYTES
from tests.data.picture_files import write_many
from tests.performance_document import transcript

PROMISED_BYTES = 2 * 2**30
FULL_IMAGES, FULL_SIZE = 14_120, 256
STAND_IN = (64, 96)
"""Height and width of a picture's file."""

SHARES = {"Train": 0.8, "Valid": 0.1, "Test": 0.1}
DIFFERENT = 20
"""Pairs that are drawn."""

BENCHMARK = """\
name: memory
data:
  name: birdsound
  root: root
protocol: {{image_size: {size}, batch_size: 16, epochs: 1}}
segmenters: [one_convolution]
seeds: [0]
"""

PLUGIN = '''\
"""The least that learns."""

from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="one_convolution", build=lambda: nn.Conv2d(3, 1, 3, padding=1))]
'''


class Watch:
    """Adds up what a process and all below it hold, again and again, and keeps the largest sums.

    Attributes:
        needed_bytes: most of their own memory, each page that several share counted once.
        held_bytes: most of that with pages of files.
        processes: most at once.
    """

    def __init__(self, process: psutil.Process) -> None:
        self.needed_bytes = self.held_bytes = self.processes = 0
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            needed = held = processes = 0
            try:
                family = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for one in family:
                try:
                    # Pss: a page that n processes share counts as one nth for each.
                    lines = Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines()[1:]
                except OSError:
                    continue
                sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
                needed += sizes.get("Pss_Anon", 0) + sizes.get("Pss_Shmem", 0)
                held += sizes.get("Pss", 0)
                processes += 1
            self.needed_bytes = max(self.needed_bytes, needed)
            self.held_bytes = max(self.held_bytes, held)
            self.processes = max(self.processes, processes)


def gib(size_bytes: float) -> str:
    return f"{size_bytes / 2**30:.2f} GiB"


def measure(images: int, size: int) -> int:
    """Run twice, print, judge; the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = {name: round(share * images) for name, share in SHARES.items()}
        write_many(folder / "root", counts, STAND_IN, DIFFERENT)
        (folder / "memory.yaml").write_text(BENCHMARK.format(size=size))
        (folder / "one_convolution.py").write_text(PLUGIN)
        command = [sys.executable, "-m", "benchbird", "run", "memory.yaml", "--plugin", "one_convolution.py",
                   "--cache", "cache"]  # fmt: skip
        for title in ("with new data", "with prepared data"):
            started = time.monotonic()
            with (folder / "output").open("w") as output:
                run = subprocess.Popen(
                    [*command, "--results", title], cwd=folder, stdout=output, stderr=subprocess.STDOUT
                )
                watch = Watch(psutil.Process(run.pid))
                code = run.wait()
                watch.stop()
            if code != 0:
                raise SystemExit((folder / "output").read_text())
            print(
                f"{images} images at {size}², {title}: at most {gib(watch.needed_bytes)} of its own, "
                f"{gib(watch.held_bytes)} with pages of files, in {watch.processes} processes; "
                f"{time.monotonic() - started:.0f} s"
            )
            if watch.needed_bytes > PROMISED_BYTES:
                print(f"promised: {gib(PROMISED_BYTES)}: BROKEN")
                return 1
    part = FULL_IMAGES * FULL_SIZE**2
    print(
        f"arithmetic for {FULL_IMAGES} images at {FULL_SIZE}²: {gib(part)} of grey (or {gib(3 * part)} of colour) and "
        f"{gib(part)} of masks; splits beyond {gib(COPIED_BYTES)} stay in pages of their files"
    )
    print(f"promised: {gib(PROMISED_BYTES)}: kept")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=FULL_IMAGES)
    parser.add_argument("--size", type=int, default=64)
    chosen = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        print("this system doesn't tell what a process holds: nothing to measure")
        return 0
    with transcript("memory", f"python tests/performance/memory.py --images {chosen.images} --size {chosen.size}"):
        return measure(chosen.images, chosen.size)


if __name__ == "__main__":
    sys.exit(main())
