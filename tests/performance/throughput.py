"""Training throughput against a bare PyTorch loop, and a batch from memory against decoding files.

The two sides of each comparison take turns in one process, so that their ratio holds on a noisy machine.

    python tests/performance/throughput.py --segmenters atrous_segnet unet --sizes 64 128
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchbird.backend import apply_protocol
from benchbird.batches import ResidentSplit
from benchbird.environment import capture_environment, describe_machine
from benchbird.protocol import Protocol
from benchbird.registry import SEGMENTERS, load_registry
from benchbird.training import epoch_order, start_training, train
from tests.split_factory import memory_split

CPU = torch.device("cpu")
SMALL_OPTIONS = {"deeplabv3": {"backbone": "resnet18"}, "unet": {"encoder": "resnet18"}}
PNG_SIZE = (1024, 3000)  # height, width of an image in the public data set
SEED_SIZE = 256


def build(name: str) -> nn.Module:
    spec = load_registry(groups={SEGMENTERS}).segmenters[name].spec
    torch.manual_seed(0)
    return spec.build(**spec.complete_options(SMALL_OPTIONS.get(name, {})))


def our_epochs(model: nn.Module, images: int, protocol: Protocol) -> Callable[[], float]:
    """Each call trains one epoch by benchbird's loop; images per second of its training part."""
    training = start_training(model, protocol)
    train_split = ResidentSplit(memory_split("train", images, protocol.image_size), protocol, CPU)
    val_split = ResidentSplit(memory_split("val", 1, protocol.image_size), protocol, CPU)

    def one_epoch() -> float:
        until_now = Protocol(image_size=protocol.image_size, batch_size=protocol.batch_size,
                             epochs=len(training.epochs) + 1)  # fmt: skip
        train(training, train_split, val_split, until_now, seed=0, after_epoch=lambda _: None)
        return training.epochs[-1].train_images / training.epochs[-1].train_s

    return one_epoch


def bare_epochs(model: nn.Module, images: int, protocol: Protocol) -> Callable[[], float]:
    """Each call trains one epoch over float tensors already in memory, with nothing else in the loop."""
    split = memory_split("train", images, protocol.image_size)
    pictures = ((torch.tensor(split.images) / 255 - 0.5) / 0.5).repeat(1, 3, 1, 1)
    targets = torch.tensor(split.masks >= 128)[:, None].float()
    optimizer = torch.optim.Adam(model.parameters(), lr=protocol.optimizer.lr)
    loss_function = nn.BCEWithLogitsLoss()
    size = protocol.batch_size
    epoch = 0

    def one_epoch() -> float:
        nonlocal epoch
        epoch += 1
        order = epoch_order(images, 0, epoch)
        model.train()
        started = time.perf_counter()
        for start in range(0, images - size + 1, size):
            index = order[start : start + size]
            loss = loss_function(model(pictures[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return (images // size) * size / (time.perf_counter() - started)

    return one_epoch


def compare_loops(name: str, size: int, images: int, rounds: int) -> None:
    protocol = Protocol(image_size=size, batch_size=8)
    model = build(name)
    ours, bare = our_epochs(copy.deepcopy(model), images, protocol), bare_epochs(model, images, protocol)
    ours(), bare()
    pairs = []
    for number in range(rounds):
        first, second = (ours, bare) if number % 2 == 0 else (bare, ours)
        speeds = (first(), second())
        pairs.append(speeds if number % 2 == 0 else speeds[::-1])
    ratios = [one / other for one, other in pairs]
    print(
        f"{name:14} {size:4}²  benchbird {statistics.median(p[0] for p in pairs):7.1f}/s  "
        f"bare loop {statistics.median(p[1] for p in pairs):7.1f}/s  "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f}…{max(ratios):.3f})",
        flush=True,
    )


def compare_batches(rounds: int) -> None:
    """A batch of 16 as training takes it, against decoding and shrinking 1024×3000 PNGs as the seed did."""
    protocol = Protocol(image_size=SEED_SIZE, batch_size=16)
    resident = ResidentSplit(memory_split("train", 64, SEED_SIZE), protocol, CPU)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(16):
            # Mostly dark with noise, as spectrograms are; a flat picture would decode too fast.
            picture = np.minimum(rng.exponential(12, PNG_SIZE), 255).astype(np.uint8)
            mask = (rng.random((8, 20)) < 0.1).repeat(128, 0).repeat(150, 1)
            paths.append((Path(folder) / f"{number}.png", Path(folder) / f"{number}-mask.png"))
            Image.fromarray(picture).save(paths[-1][0])
            Image.fromarray((mask * 255).astype(np.uint8)).save(paths[-1][1])

        def decode() -> None:
            for image, mask in paths:
                for path, mode in ((image, "RGB"), (mask, "L")):
                    small = Image.open(path).convert(mode).resize((SEED_SIZE, SEED_SIZE), Image.Resampling.BICUBIC)
                    (torch.tensor(np.asarray(small)) / 255 - 0.5) / 0.5

        def from_memory() -> None:
            index = torch.randperm(64)[:16]
            resident.pictures(index)
            resident.targets(index)

        ratios, memory_ms, decode_ms = [], [], []
        from_memory()
        for _ in range(rounds):
            started = time.perf_counter()
            decode()
            decoded = time.perf_counter()
            for _ in range(20):
                from_memory()
            memory_ms.append(1e3 * (time.perf_counter() - decoded) / 20)
            decode_ms.append(1e3 * (decoded - started))
            ratios.append(decode_ms[-1] / memory_ms[-1])
    print(
        f"batch of 16 at {SEED_SIZE}²: from memory {statistics.median(memory_ms):.2f} ms, decoding PNGs "
        f"{statistics.median(decode_ms):.0f} ms, ratio {statistics.median(ratios):.0f} "
        f"({min(ratios):.0f}…{max(ratios):.0f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segmenters", nargs="+", default=["atrous_segnet", "deeplabv3", "unet"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--images", type=int, default=64, help="training images an epoch (default 64)")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of epochs (default 7)")
    arguments = parser.parse_args()
    apply_protocol(Protocol())
    print(f"on {describe_machine(capture_environment(CPU))}, torch {torch.__version__}, fp32, batch 8")
    for size in arguments.sizes:
        for name in arguments.segmenters:
            compare_loops(name, size, arguments.images, arguments.rounds)
    compare_batches(arguments.rounds)


if __name__ == "__main__":
    main()
