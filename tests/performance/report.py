"""How long a page takes and how large it is: 60 trials of 15 segmenters on 300 test images of 256×256.

    python tests/performance/report.py

Records, predictions and curves are made up (the same ones each time), with 128 epochs each; the page has a gallery of
40 images. Timed is the whole command in a process of its own, first with nothing remembered of the records, then again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.performance_document import transcript
from tests.predictions_factory import MadeUpImages, write_study

SEGMENTERS, SEEDS, EPOCHS, GALLERY = 15, 4, 128, 40
GOAL_S, GOAL_MB = 5.0, 3.0
IMAGES = MadeUpImages(
    n_recordings=60,
    images_per_recording=5,
    n_val=40,
    without_bird=10,
    image_size=256,
    attributes={"snr_db": ["-3", "2", "7", "12", "18"], "voice": ["trill", "buzz"], "noise": ["rain", "wind"]},
)


def write_everything(root: Path) -> Path:
    """The study's folder."""
    levels = {f"segmenter_{number:02d}": 0.4 + 0.02 * number for number in range(SEGMENTERS)}
    folder = write_study(root, levels, seeds=tuple(range(SEEDS)), images=IMAGES)
    curve = "".join(
        json.dumps({"epoch": epoch, "train_loss": 1 / epoch, "val_iou_pooled": 0.6 - 0.3 / epoch}) + "\n"
        for epoch in range(1, EPOCHS + 1)
    )
    for trial in folder.glob("*/seed-*"):
        (trial / "curve.jsonl").write_text(curve)
    return folder


def main() -> int:
    """Measure; 1 where a goal is missed."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        folder = write_everything(root / "results")
        command = [sys.executable, "-m", "benchbird", "report", str(folder), "-o", str(root / "page.html"),
                   "--gallery", str(GALLERY), "--cache", str(root / "cache")]  # fmt: skip
        seconds = []
        for _ in range(2):
            started = time.monotonic()
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.monotonic() - started)
        megabytes = (root / "page.html").stat().st_size / 1e6
    with transcript("report", "python tests/performance/report.py"):
        print(f"{SEGMENTERS * SEEDS} trials, {GALLERY} images in the gallery")
        print(f"first time   {seconds[0]:.2f} s (goal {GOAL_S:g})")
        print(f"again        {seconds[1]:.2f} s")
        print(f"page         {megabytes:.2f} MB (goal {GOAL_MB:g})")
    return 0 if seconds[0] <= GOAL_S and megabytes <= GOAL_MB else 1


if __name__ == "__main__":
    sys.exit(main())
