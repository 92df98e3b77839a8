"""What AtrousSegNet's training step must cost on an H100 or H200, counted on any machine.

    python tests/performance/gpu_floor.py

Runs one step of batch 1 and of batch 2 at 64² and counts, in every operation that PyTorch dispatches, floating
point operations and the bytes of what it reads and writes. Batch 16 at 256² follows: what doesn't belong to the
weights is linear in batch and pixels.
Nothing is timed here. Peaks are the vendor's (NVIDIA H100 and H200 data sheets, SXM, dense, at their clocks).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchbird import backend
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.training import make_optimizer
from benchbird_atrous_segnet import AtrousSegNet
from tests.performance_document import place, table

BATCH, SIZE, IMAGES = 16, 256, 1000
COUNTED_SIZE = 64

TFLOPS = {"fp32": 67.0, "tf32": 494.7, "bf16": 989.4}
TB_PER_S = {"H100": 3.35, "H200": 4.8}
LAUNCH_US = 4.0
"""Of one operation by an idle host, a usual figure; not the vendor's."""

PRODUCTS = ("convolution", "mm", "bmm")
VIEWS = ("view", "reshape", "expand", "permute", "transpose", "t.", "detach", "alias", "slice", "select", "unsqueeze",
         "squeeze", "as_strided", "_unsafe_view")  # fmt: skip


@dataclass
class Traffic(TorchDispatchMode):
    """Counts operations and the bytes that they read and write.

    Attributes:
        operations: kernels that a device would start; views start none.
        bytes: read and written.
    """

    operations: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func).removeprefix("aten.")
        if not name.startswith(VIEWS) and not name.startswith(("empty", "new_empty")):
            tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
            self.operations += 1
            self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        return result


@dataclass(frozen=True)
class Cost:
    """Of one step: FLOP, bytes, operations."""

    flop: float
    bytes: float
    operations: float


def count(batch: int, precision: str) -> Cost:
    """Count one optimiser step, the second, when the optimiser's state is there."""
    protocol = Protocol(image_size=COUNTED_SIZE, batch_size=batch, precision="bf16" if precision == "bf16" else "fp32")
    model = AtrousSegNet(base_channels=64)
    optimizer = make_optimizer(list(model.parameters()), OptimizerSettings())
    for group in optimizer.param_groups:
        group["foreach"] = True  # torch's own choice on CUDA
    images = torch.zeros(batch, 3, COUNTED_SIZE, COUNTED_SIZE)
    target = torch.zeros(batch, 1, COUNTED_SIZE, COUNTED_SIZE)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with backend.autocast(protocol, images.device):
            logits = model(images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    with FlopCounterMode(display=False) as flop:
        step()
    with Traffic() as traffic:
        step()
    return Cost(flop.get_total_flops(), traffic.bytes, traffic.operations)


def full_cost(precision: str) -> Cost:
    """The cost at `BATCH` and `SIZE`, from those of one and of two small images."""
    one, two = count(1, precision), count(2, precision)
    more = BATCH * (SIZE / COUNTED_SIZE) ** 2 - 1
    return Cost(one.flop + more * (two.flop - one.flop), one.bytes + more * (two.bytes - one.bytes), one.operations)


def preparation_bytes() -> float:
    """Bytes of making a batch from uint8 on the device: pick, to float, scale in place, expand; and the target."""
    grey = BATCH * SIZE * SIZE
    picture = grey * (2 + 5 + 3 * 8 + 4 + 12)  # uint8 → uint8 → float32, three passes in place, one into three channels
    target = grey * (2 + 2 + 5)
    return float(picture + target)


def main() -> None:
    rows = []
    steps = IMAGES // BATCH
    costs = {"fp32": full_cost("fp32"), "bf16": full_cost("bf16")}
    costs["tf32"] = costs["fp32"]
    for device, bandwidth in TB_PER_S.items():
        for precision in ("fp32", "tf32", "bf16"):
            cost = costs[precision]
            compute_ms = 1e3 * cost.flop / (TFLOPS[precision] * 1e12)
            memory_ms = 1e3 * cost.bytes / (bandwidth * 1e12)
            launch_ms = cost.operations * LAUNCH_US / 1e3
            eager_ms = max(compute_ms + memory_ms, launch_ms)
            rows.append(
                [
                    f"{device}, {precision}",
                    f"{cost.flop / 1e9:.0f}",
                    f"{cost.bytes / 1e9:.1f}",
                    f"{compute_ms:.2f}",
                    f"{memory_ms:.2f}",
                    f"{cost.operations:.0f}",
                    f"{launch_ms:.2f}",
                    f"{max(compute_ms, memory_ms):.2f}",
                    f"{steps * max(compute_ms, memory_ms) / 1e3:.2f} … {steps * 2 * eager_ms / 1e3:.2f}",
                ]
            )
    header = [
        "", "GFLOP a step", "GB a step", "arithmetic, ms", "memory, ms", "operations", "launches, ms", "floor, ms",
        f"epoch of {IMAGES} images, s",
    ]  # fmt: skip
    prepared = preparation_bytes()
    text = (
        f"    python tests/performance/gpu_floor.py\n\n{table(header, rows)}\n\n"
        f"Making a batch on the device moves {prepared / 1e6:.0f} MB, "
        f"{100 * prepared / costs['fp32'].bytes:.2f} % of the step's bytes in fp32 and "
        f"{100 * prepared / costs['bf16'].bytes:.2f} % in bf16; nothing crosses from the host but {BATCH * 8} bytes "
        "of indices."
    )
    print(text)
    place("gpu floor", text)


if __name__ == "__main__":
    main()
