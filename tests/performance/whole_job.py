"""A whole job from 1024×3000 files to a test score: benchbird, plain and fast, against a notebook and Lightning.

    python tests/performance/whole_job.py [--sizes 64 128] [--images 64 12 20] [--epochs 10] [--block "whole job"]

Each job is started as its user would start it, from a cold cache, and runs to its end. All are under way at
once, but only one is ever running: every few seconds the others are stopped (SIGSTOP), so that what the
machine's other tenants do hits all alike, and each is charged the time that it ran. Writes to docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.data.picture_files import write_many
from tests.performance.contenders import ours
from tests.performance.contenders.job import PICTURE_SIZE, Job
from tests.performance_document import place, provenance, table

ROOT = Path(__file__).parents[2]

SLICE_S = 5.0
FAST: dict[str, Any] = {"channels_last": True, "compile": True}
"""Without bf16 where the processor would have to imitate it."""

GOALS = {("benchbird", 64): 2.5, ("benchbird", 128): 1.3, ("benchbird, fast", 64): 3.5, ("benchbird, fast", 128): 2.0}


class Turns:
    """A job's processes, running only in its turns.

    Attributes:
        seconds: that it ran.
        ended: whether it has.
    """

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name = name
        self.seconds = 0.0
        self.ended = False
        # What torch.compile remembers of earlier runs would make a first run look like a second.
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        self._signal(signal.SIGSTOP)

    def take(self) -> None:
        """Run for one slice, or to the end."""
        self._signal(signal.SIGCONT)
        started = time.monotonic()
        while time.monotonic() - started < SLICE_S and self.process.poll() is None:
            time.sleep(0.01)
        self.seconds += time.monotonic() - started
        self._signal(signal.SIGSTOP)
        self.ended = self.process.poll() is not None
        if self.process.returncode:
            self.log.seek(0)
            raise SystemExit(f"{self.name} failed:\n{self.log.read()[-3000:]}")

    def end(self) -> None:
        """Kill what is left of the job."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def _signal(self, number: int) -> None:
        """Signal every process of the job, also those that are started meanwhile."""
        known: set[int] = set()
        while True:
            try:
                root = psutil.Process(self.process.pid)
                tree = [root, *root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            new = [process for process in tree if process.pid not in known]
            if not new:
                return
            for process in new:
                known.add(process.pid)
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    process.send_signal(number)


def contest(job: Job, scratch: Path) -> dict[str, float]:
    """Seconds of each contender's whole job."""
    jobs = {"benchbird": job, "notebook": job, "Lightning": job, "benchbird, fast": replace(job, options=FAST)}
    turns: list[Turns] = []
    try:
        for name, one in jobs.items():
            folder = scratch / name.replace(" ", "-")
            folder.mkdir()
            turns.append(Turns(name, _command(name, one, folder), folder))
        while left := [one for one in turns if not one.ended]:
            for one_turn in left:
                one_turn.take()
    finally:
        for one_turn in turns:
            one_turn.end()
    return {one.name: one.seconds for one in turns}


def _command(name: str, job: Job, folder: Path) -> list[str]:
    if name.startswith("benchbird"):
        return ours.whole_job(job, folder)
    module = {"notebook": "notebook", "Lightning": "lightning_way"}[name]
    worker = [sys.executable, "-m", "tests.performance.contenders.worker", "whole", module]
    return [*worker, json.dumps(asdict(job))]


def main() -> None:
    # Stopped jobs would wait for ever for a turn that nobody gives.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--images", nargs=3, type=int, default=[64, 12, 20], metavar=("TRAIN", "VALID", "TEST"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--block", default="whole job", help="where it goes in docs/performance.md")
    parser.add_argument("--dry", action="store_true", help="print only, leave docs/performance.md alone")
    chosen = parser.parse_args()
    header = ["size", "job", "seconds", "notebook ÷ it", "Lightning ÷ it", "goal against the notebook"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        counts = dict(zip(("Train", "Valid", "Test"), chosen.images, strict=True))
        write_many(pictures, counts, PICTURE_SIZE, different=sum(chosen.images))
        for size in chosen.sizes:
            scratch = Path(folder) / str(size)
            scratch.mkdir()
            job = Job(segmenter="atrous_segnet", size=size, epochs=chosen.epochs, root=str(pictures))
            seconds = contest(job, scratch)
            for name, taken in seconds.items():
                ratio, lightning = seconds["notebook"] / taken, seconds["Lightning"] / taken
                goal = GOALS.get((name, size))
                verdict = "" if goal is None else f"≥ {goal}: {'met' if ratio >= goal else 'missed'}"
                rows.append([f"{size}²", name, f"{taken:.0f}", f"{ratio:.2f}", f"{lightning:.2f}", verdict])
                print(*rows[-1], flush=True)
    pairs = "/".join(map(str, chosen.images))
    sizes, images = (" ".join(map(str, numbers)) for numbers in (chosen.sizes, chosen.images))
    command = f"python tests/performance/whole_job.py --sizes {sizes} --images {images} --epochs {chosen.epochs}"
    if chosen.block != "whole job":
        command += f' --block "{chosen.block}"'
    text = (
        f"{provenance(command)} AtrousSegNet, batch 8, {pairs} pairs of 1024×3000 PNG files, {chosen.epochs} epochs, "
        f"slices of {SLICE_S:g} s; fast is {', '.join(FAST)}.\n\n{table(header, rows)}"
    )
    print(text)
    if not chosen.dry:
        place(chosen.block, text)


if __name__ == "__main__":
    main()
