"""What the embedded set teaches: AtrousSegNet trained on it alone, scored on a folder of real pairs.

    python tests/performance/transfer.py real-birds --sizes 64 128 --seeds 0 1 2

Trained, selected and scored by benchbird's own code: 400 generated samples, 15 epochs of batch 8, Adam at
1e-3, the epoch chosen on 100 further generated samples. The real pairs are read for scoring only.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from benchbird import metrics
from benchbird.backend import apply_protocol
from benchbird.batches import ResidentSplit
from benchbird.cache_folder import cache_folder
from benchbird.data import birdsound, embedded
from benchbird.data.cache import PreparedSplit, prepare_splits
from benchbird.data.synthetic.options import GENERATOR_VERSION
from benchbird.environment import capture_environment, describe_machine
from benchbird.errors import DataError
from benchbird.evaluation import Prediction, predict_split
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.seeding import derive_seed, seed_everything
from benchbird.training import start_training, train
from benchbird_atrous_segnet import AtrousSegNet

CPU = torch.device("cpu")
PARAMETERS = 720_705
PASS_MARK = {64: 0.50}
"""Least `iou_pooled` on the real pairs, in the mean over seeds, that the embedded set promises."""


def by_source(split: PreparedSplit, prediction: Prediction) -> str:
    """Pooled IoU of each recording project, from the manifest's column `source`."""
    rows: dict[str, list[int]] = defaultdict(list)
    for index, attributes in enumerate(split.attributes):
        rows[attributes.get("source", "unknown")].append(index)
    return ", ".join(
        f"{source} {metrics.iou(metrics.total(prediction.counts.protocol[chosen])) or 0:.2f}"
        for source, chosen in sorted(rows.items())
    )


def pooled(prediction: Prediction) -> float:
    return metrics.iou(metrics.total(prediction.counts.protocol)) or 0.0


def run(seed: int, protocol: Protocol, generated: dict[str, ResidentSplit], real: PreparedSplit) -> float:
    """Train with one seed; print and return the score of the selected weights on the real pairs."""
    seed_everything(derive_seed(seed, "build"))
    model = AtrousSegNet(base_channels=64)
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == PARAMETERS, found
    training = start_training(model, protocol)
    train(training, generated["train"], generated["val"], protocol, seed=seed, after_epoch=lambda _: None)
    last = pooled(predict_split(model, real, protocol, CPU))
    model.load_state_dict(training.best_weights)
    selected = predict_split(model, real, protocol, CPU)
    seconds = sum(epoch.train_s + epoch.val_s for epoch in training.epochs)
    print(
        f"{protocol.image_size}²  seed {seed}: iou_pooled {pooled(selected):.4f} on {len(real)} real pairs "
        f"(epoch {training.best_epoch}, generated val {training.epochs[training.best_epoch - 1].val_iou_pooled:.3f}; "
        f"last epoch {last:.4f}; {by_source(real, selected)}) in {seconds:.0f} s",
        flush=True,
    )
    return pooled(selected)


def all_splits_as_test(root: Path, size: int, cache: Path) -> PreparedSplit:
    """Every pair under `root` as one split with native masks."""
    found = birdsound.find(root, {})
    samples = sorted((sample for split in found.values() for sample in split), key=lambda one: one.sample_id)
    return prepare_splits({"test": samples}, size, cache).splits["test"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=Path("../shared/data/real-birds"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    cache = cache_folder(options.cache)
    flags = apply_protocol(Protocol())
    print(f"generator version {GENERATOR_VERSION}, on {describe_machine(capture_environment(CPU))}", flush=True)
    missed = False
    for size in options.sizes:
        try:
            real = all_splits_as_test(options.root, size, cache)
        except DataError as error:
            print(f"skipped: no real pairs to score on: {error}", file=sys.stderr)
            return 0
        protocol = Protocol(image_size=size, batch_size=8, epochs=options.epochs, optimizer=OptimizerSettings(lr=1e-3))
        made = embedded.find(None, {"sizes": {"train": options.samples, "val": 100, "test": 1}})
        prepared = prepare_splits({name: made[name] for name in ("train", "val")}, size, cache)
        generated = {name: ResidentSplit(split, protocol, CPU) for name, split in prepared.splits.items()}
        scores = [run(seed, protocol, generated, real) for seed in options.seeds]
        mean, spread = statistics.mean(scores), np.ptp(scores)
        print(f"{size}²  mean over {len(scores)} seeds {mean:.4f}, range {spread:.4f}", flush=True)
        missed |= mean < PASS_MARK.get(size, 0.0)
    print(f"threads {flags['threads']}, torch {torch.__version__}")
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
