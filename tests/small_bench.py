"""A small data set on disk, a small benchmark, and the real command line in a child process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SHORT_TIMING = Path(__file__).parent / "short_timing"

BENCHMARK = """\
name: small
data:
  root: birds
protocol:
  image_size: 16
  batch_size: 4
  epochs: 3
  optimizer: {lr: 1e-2}
segmenters:
  - {name: atrous_segnet, options: {base_channels: 4}}
  - threshold
seeds: [0]
"""


def write_birds(root: Path, sizes: dict[str, int], seed: int = 0) -> None:
    """Pairs of 40×24: noise with bright strokes, their masks; two images a recording."""
    rng = np.random.default_rng(seed)
    for split, count in sizes.items():
        for kind in ("Images", "Masks"):
            (root / split / kind).mkdir(parents=True)
        for number in range(count):
            bird = np.zeros((24, 40), dtype=bool)
            for _ in range(3):
                top, left = rng.integers(0, 18), rng.integers(0, 30)
                bird[top : top + 5, left : left + 8] = True
            picture = np.clip(rng.integers(0, 120, bird.shape) + 110 * bird, 0, 255).astype(np.uint8)
            name = f"{split}{number // 2:02d}_{'left' if number % 2 == 0 else 'right'}.png"
            Image.fromarray(picture).save(root / split / "Images" / name)
            Image.fromarray((bird * 255).astype(np.uint8)).save(root / split / "Masks" / name)


def _hear_ctrl_c() -> None:
    # A shell that runs the tests in the background has them ignore Ctrl-C, and what they start inherits that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Bench:
    """A folder with `small.yaml`, its data in `birds`, a cache and a results root."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def environment(self) -> dict[str, str]:
        """One thread, a cache of its own, and trials that time themselves briefly."""
        packages = os.pathsep.join(filter(None, (str(SHORT_TIMING), os.environ.get("PYTHONPATH"))))
        return {
            **os.environ, "BENCHBIRD_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": packages,
        }  # fmt: skip

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "benchbird", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(),
            capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.call("run", "small.yaml", "--device", "cpu", *arguments)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`run` in the background, in a process group of its own."""
        return subprocess.Popen(
            self.command("run", "small.yaml", "--device", "cpu", *arguments), cwd=self.folder,
            env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, stdin=subprocess.DEVNULL, preexec_fn=_hear_ctrl_c,
        )  # fmt: skip

    def records(self) -> list[Path]:
        return sorted(self.results.rglob("record.json"))


def make_bench(folder: Path) -> Bench:
    """A new bench in `folder`, which doesn't exist yet: 13 training, 6 validation, 8 test images."""
    folder.mkdir()
    (folder / "small.yaml").write_text(BENCHMARK)
    write_birds(folder / "birds", {"Train": 13, "Valid": 6, "Test": 8})
    return Bench(folder)


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a run with `--json` came to: its last line; each line before it is an event."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["event"] for one in events].count("outcome") == 1 and events[-1]["event"] == "outcome"
    return dict(events[-1])
