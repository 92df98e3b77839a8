"""What each habit of AtrousSegNet's own training does to its score, one at a time, against the strict protocol.

    python tests/performance/quirks.py
    python tests/performance/quirks.py --root real-birds

Trained, selected and scored by benchbird's own code: AtrousSegNet at 64×64, 10 epochs of batch 4, Adam at
1e-3, on 102 generated samples (102, so that a batch of 4 is left incomplete), chosen on 30 and scored on 60.
A difference is taken seed by seed; beside it stands how far it ranges over the seeds, which is what a
difference must exceed to mean anything. Another resize makes other references at protocol size: there only
`iou_native` compares the same pixels.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchbird import metrics
from benchbird.backend import apply_protocol
from benchbird.batches import ResidentSplit
from benchbird.cache_folder import cache_folder
from benchbird.contract import Splits
from benchbird.data import birdsound, embedded
from benchbird.data.cache import PreparedSplit, prepare_splits
from benchbird.data.subset import draw_subset
from benchbird.data.synthetic.options import GENERATOR_VERSION
from benchbird.environment import capture_environment, describe_machine
from benchbird.evaluation import Prediction, predict_split
from benchbird.protocol import OptimizerSettings, Protocol, Resize
from benchbird.records import Scores
from benchbird.seeding import derive_seed, seed_everything
from benchbird.training import Epoch, Training, Weights, clone_weights, start_training, train
from benchbird_atrous_segnet import AtrousSegNet

CPU = torch.device("cpu")
ORDERS = 1000
COLUMNS = ("iou_pooled", "iou_native", "iou_batch_mean")
RESIZES: tuple[Resize, ...] = ("area", "bicubic")

STRICT = "strict"
BATCH_MEAN, LAST = "epoch chosen by the batch mean", "last epoch in place of the best"
SOFT, KEPT, SEED, SEED_SAVED = (
    "bicubic resize, soft targets",
    "incomplete last batch kept",
    "all of them: the seed's protocol",
    "the same, last epoch: what the seed saved",
)

Prepared = Mapping[Resize, Mapping[str, PreparedSplit]]


@dataclass(frozen=True)
class Trained:
    """A training with the weights after each of its epochs."""

    epochs: list[Epoch]
    weights: list[Weights]

    def best(self, selection: str) -> Weights:
        """The weights that a selection rule takes: those of the first epoch with its best score."""
        if selection == "last_epoch":
            return self.weights[-1]
        name = selection.removeprefix("best_")
        scores = [getattr(epoch, name) or 0.0 for epoch in self.epochs]
        return self.weights[scores.index(max(scores))]


def run(protocol: Protocol, prepared: Prepared, seed: int) -> Trained:
    """One training, its weights kept after each epoch, so that selection rules need none of their own."""
    seed_everything(derive_seed(seed, "build"))
    training = start_training(AtrousSegNet(base_channels=64), protocol)
    splits = {name: ResidentSplit(prepared[protocol.resize][name], protocol, CPU) for name in ("train", "val")}
    weights: list[Weights] = []

    def keep(state: Training) -> None:
        weights.append(clone_weights(state.model))

    train(training, splits["train"], splits["val"], protocol, seed=seed, after_epoch=keep)
    trained = Trained(training.epochs, weights)
    for name, tensor in trained.best(protocol.selection).items():
        assert torch.equal(tensor, training.best_weights[name]), "the product selects otherwise"
    return trained


def predict(weights: Weights, protocol: Protocol, prepared: Prepared) -> Prediction:
    """What weights say of the test split as the protocol prepares it."""
    model = AtrousSegNet(base_channels=64)
    model.load_state_dict(weights)
    return predict_split(model, prepared[protocol.resize]["test"], protocol, CPU)


def predictions_of(strict: Protocol, prepared: Prepared, seed: int) -> dict[str, Prediction]:
    """Every variant's prediction of test with one seed, the strict protocol's first."""
    soft = replace(strict, resize="bicubic", mask_target="fraction")
    kept = replace(strict, last_batch="keep")
    whole = replace(soft, last_batch="keep", selection="best_val_iou_batch_mean")
    plain, full = run(strict, prepared, seed), run(whole, prepared, seed)
    chosen = {
        STRICT: (strict, plain.best(strict.selection)),
        SOFT: (soft, run(soft, prepared, seed).best(soft.selection)),
        KEPT: (kept, run(kept, prepared, seed).best(kept.selection)),
        BATCH_MEAN: (strict, plain.best("best_val_iou_batch_mean")),
        LAST: (strict, plain.best("last_epoch")),
        SEED: (whole, full.best(whole.selection)),
        SEED_SAVED: (whole, full.best("last_epoch")),
    }
    return {name: predict(weights, protocol, prepared) for name, (protocol, weights) in chosen.items()}


def find_splits(options: argparse.Namespace) -> Splits:
    """The samples: generated, or of a folder, at most as many as asked for."""
    sizes = dict(zip(("train", "val", "test"), options.samples, strict=True))
    if options.root is None:
        return embedded.find(None, {"sizes": sizes})
    return draw_subset(birdsound.find(options.root, {}), sizes, 0)[0]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def changes_table(scores: Mapping[str, Sequence[Scores]]) -> str:
    """Mean over seeds of each score, its difference to the strict protocol's and that difference's range."""

    def cells(name: str, column: str) -> list[str]:
        values = [getattr(one, column) or 0.0 for one in scores[name]]
        differences = [value - (getattr(one, column) or 0.0) for value, one in zip(values, scores[STRICT], strict=True)]
        if name == STRICT:
            return [f"{statistics.mean(values):.3f}", f"range {np.ptp(values):.3f}"]
        return [
            f"{statistics.mean(values):.3f}",
            f"{statistics.mean(differences):+.3f} ({min(differences):+.3f} … {max(differences):+.3f})",
        ]

    heads = ["change", *(head for column in COLUMNS for head in (column, "difference (over seeds)"))]
    return table(heads, [[name, *(cell for column in COLUMNS for cell in cells(name, column))] for name in scores])


def averaging_table(predictions: Sequence[Prediction], seeds: Sequence[int]) -> str:
    """One prediction in each definition, and its batch mean over random orders of the test images."""
    rows = []
    for seed, prediction in zip(seeds, predictions, strict=True):
        counts, found = prediction.counts.protocol, prediction.scores()
        rng = np.random.default_rng(seed)
        means = [metrics.batch_mean_iou(counts[rng.permutation(len(counts))]) or 0.0 for _ in range(ORDERS)]
        values = (found.iou_pooled, found.iou_image_mean, found.iou_batch_mean, found.miou_two_class_batch_mean)
        orders = f"{min(means):.3f} … {max(means):.3f} (sd {statistics.stdev(means):.4f})"
        rows.append([str(seed), *(f"{value or 0:.3f}" for value in values), orders])
    heads = ["seed", "pooled", "image mean", "batch mean (16)", "two-class batch mean (8)",
             f"batch mean over {ORDERS} orders"]  # fmt: skip
    return table(heads, rows)


def ceilings_table(test: Splits, sizes: Sequence[int], cache: Path) -> str:
    """`iou_native` of an oracle that holds the exact mask, under both rules."""
    rows = []
    for size in sizes:
        found = [prepare_splits(test, size, cache, resize=rule).splits["test"].ceiling_iou for rule in RESIZES]
        area, bicubic = (value or 0.0 for value in found)
        rows.append([f"{size}×{size}", f"{area:.4f}", f"{bicubic:.4f}", f"{bicubic - area:+.4f}"])
    return table(["size", "area", "bicubic", "difference"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder of real pairs in place of generated ones")
    parser.add_argument("--samples", type=int, nargs=3, default=[102, 30, 60], metavar=("TRAIN", "VAL", "TEST"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ceilings", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    cache = cache_folder(options.cache)
    strict = Protocol(
        image_size=options.size, batch_size=4, epochs=options.epochs, optimizer=OptimizerSettings(lr=1e-3)
    )
    flags = apply_protocol(strict)
    splits = find_splits(options)
    prepared = {rule: prepare_splits(splits, options.size, cache, resize=rule).splits for rule in RESIZES}
    predictions = [predictions_of(strict, prepared, seed) for seed in options.seeds]
    names = list(predictions[0])
    counts = ", ".join(f"{len(samples)} {name}" for name, samples in splits.items())
    source = f"generator version {GENERATOR_VERSION}" if options.root is None else options.root.name
    machine = f"{describe_machine(capture_environment(CPU))}, torch {torch.__version__}, threads {flags['threads']}"
    print(f"{source}, {counts}, {options.size}×{options.size}, {options.epochs} epochs, seeds {options.seeds}")
    print(f"{machine}\n")
    print(changes_table({name: [one[name].scores() for one in predictions] for name in names}))
    print(averaging_table([one[STRICT] for one in predictions], options.seeds))
    print(ceilings_table({"test": splits["test"]}, options.ceilings, cache))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
