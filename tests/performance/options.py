"""What each `fast` option gains and what it does to scores, alone and together.

    python tests/performance/options.py [--sizes 64 128] [--rounds 5] [--seeds 0 1 2]

Speed: AtrousSegNet's training, each setting in a process of its own, epochs in turn. Compile seconds are those of
the first epoch over a later one. bf16 that the processor must imitate is timed at the smallest size alone, and
trained with in tests/test_fast_options.py alone: it is thirty times slower. Scores: AtrousSegNet of base width 16
on the embedded set, 100/30/60 images at 64², 10 epochs, test `iou_pooled` against the plain protocol with the same
seed. Writes to docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from benchbird import metrics
from benchbird.backend import apply_protocol
from benchbird.batches import ResidentSplit
from benchbird.compilation import compiled
from benchbird.data import embedded
from benchbird.data.cache import prepare_splits
from benchbird.evaluation import predict_split
from benchbird.precisions import hardware_precisions
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.seeding import derive_seed, seed_everything
from benchbird.training import start_training, train
from benchbird_atrous_segnet import AtrousSegNet
from tests.performance.contenders.job import Job
from tests.performance.loops import IMAGES, Worker
from tests.performance_document import place, provenance, table

CPU = torch.device("cpu")
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "channels_last": {"channels_last": True},
    "compile": {"compile": True},
    "bf16": {"precision": "bf16"},
    "channels_last, compile": {"channels_last": True, "compile": True},
    "all three": {"channels_last": True, "compile": True, "precision": "bf16"},
}
SMALLEST = 64
TOLERANCE = 0.02
"""Of test `iou_pooled`, in the mean over seeds; docs/performance.md promises it."""


def is_imitated(options: dict[str, Any]) -> bool:
    """Whether this processor lacks the arithmetic that the options ask for."""
    return options.get("precision") == "bf16" and "bf16" not in hardware_precisions(CPU)


def speeds(size: int, rounds: int) -> list[list[str]]:
    """Rows of images/s, ratio to plain and compile seconds."""
    found: dict[str, list[float]] = {name: [] for name in OPTIONS}
    compile_s = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, options in OPTIONS.items():
            if is_imitated(options) and size > SMALLEST:
                continue
            # It takes minutes for what takes the others seconds.
            images = 8 if is_imitated(options) else IMAGES.get(size, 48)
            job = Job(segmenter="atrous_segnet", size=size, images=images, options=options)
            workers[name] = stack.enter_context(Worker("benchbird", job))
            first_s = images / workers[name].images_per_s()
            compile_s[name] = first_s - images / workers[name].images_per_s()
        names = list(workers)
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                found[name].append(workers[name].images_per_s())
    rows = []
    for name in names:
        ratios = [one / other for one, other in zip(found[name], found["plain"], strict=True)]
        rows.append(
            [
                name,
                f"{size}²",
                f"{statistics.median(found[name]):.1f}",
                f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f}…{max(ratios):.2f})",
                f"{compile_s[name]:.0f}" if "compile" in OPTIONS[name] else "",
            ]
        )
        print(*rows[-1], flush=True)
    return rows


def score(options: dict[str, Any], seed: int, cache: Path) -> float:
    """Test `iou_pooled` of the selected weights."""
    settings = OptimizerSettings(lr=1e-3)
    protocol = Protocol(image_size=64, batch_size=4, epochs=10, optimizer=settings, **options)
    apply_protocol(protocol)
    splits = prepare_splits(embedded.find(None, {"sizes": {"train": 100, "val": 30, "test": 60}}), 64, cache).splits
    seed_everything(derive_seed(seed, "build"))
    training = start_training(AtrousSegNet(base_channels=16), protocol)
    residents = [ResidentSplit(splits[name], protocol, CPU) for name in ("train", "val")]
    train(training, residents[0], residents[1], protocol, seed=seed, after_epoch=lambda _: None)
    training.model.load_state_dict(training.best_weights)
    prediction = predict_split(compiled(training.model, protocol), splits["test"], protocol, CPU)
    return metrics.iou(metrics.total(prediction.counts.protocol)) or 0.0


def scores(seeds: list[int]) -> list[list[str]]:
    """Rows of test IoU and its difference to plain, seed by seed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        plain = [score({}, seed, Path(folder)) for seed in seeds]
        for name, options in OPTIONS.items():
            if is_imitated(options):
                continue
            found = [score(options, seed, Path(folder)) for seed in seeds] if options else plain
            differences = [one - other for one, other in zip(found, plain, strict=True)]
            mean = statistics.mean(differences)
            verdict = "within" if abs(mean) <= TOLERANCE else "OUTSIDE"
            spread = f"({min(differences):+.3f} … {max(differences):+.3f})"
            rows.append([name, f"{statistics.mean(found):.3f}", f"{mean:+.3f} {spread}", verdict if options else ""])
            print(*rows[-1], flush=True)
    deviation = statistics.stdev(plain) if len(plain) > 1 else float("nan")
    print(f"seed sd of plain: {deviation:.3f}")
    return [*rows, ["seed sd of plain", f"{deviation:.3f}", "", ""]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", choices=["speed", "scores"], help="measure one of both, print it, place nothing")
    parser.add_argument("--dry", action="store_true", help="print only, leave docs/performance.md alone")
    chosen = parser.parse_args()
    if chosen.only == "scores":
        scores(chosen.seeds)
        return
    with tempfile.TemporaryDirectory() as folder:
        # What torch.compile remembers of an earlier run would make it look quick.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        fast_rows = [one for size in chosen.sizes for one in speeds(size, chosen.rounds)]
        del os.environ["TORCHINDUCTOR_CACHE_DIR"]
    if chosen.only == "speed":
        return
    score_rows = scores(chosen.seeds)
    imitated = "" if "bf16" in hardware_precisions(CPU) else " This processor has no bf16 arithmetic: it is imitated."
    text = (
        f"{provenance(f'python tests/performance/options.py --rounds {chosen.rounds}')}{imitated}\n\n"
        f"{table(['setting', 'size', 'images/s', '÷ plain (least…most)', 'compile, s'], fast_rows)}\n\n"
        f"{table(['setting', 'test iou_pooled', 'difference to plain', f'tolerance {TOLERANCE}'], score_rows)}"
    )
    print(text)
    if not chosen.dry:
        place("options", text)


if __name__ == "__main__":
    main()
