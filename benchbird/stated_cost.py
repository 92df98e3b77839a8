"""What a segmenter costs, against what its spec states.

Owns the count at the size that specs are stated for. Timings are elsewhere: they are a machine's, not a segmenter's.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbird.contract import SegmenterSpec

STATED_SIZE = 256

TOLERANCE = 0.02
"""How far a stated GFLOP may be off, for rounding."""


def cost_failures(spec: SegmenterSpec) -> Iterator[str]:
    """Each stated figure that isn't the counted one, with the right one."""
    if spec.parameters is None and spec.gflop is None:
        return
    model = spec.build(**spec.complete_options({})).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if spec.parameters not in (None, parameters):
        yield f"the spec states parameters={spec.parameters:_}, there are {parameters:_}; state that"
    if spec.gflop is not None and not abs(spec.gflop - (gflop := _gflop(model))) <= TOLERANCE * gflop:
        yield f"the spec states gflop={spec.gflop:g}, torch counts {gflop:.3g} at {STATED_SIZE}²; state that"


def _gflop(model: nn.Module) -> float:
    """Of one image of `STATED_SIZE`, forward. Nothing is computed."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.to("meta")(torch.empty(1, 3, STATED_SIZE, STATED_SIZE, device="meta"))
    return float(counter.get_total_flops() / 1e9)
