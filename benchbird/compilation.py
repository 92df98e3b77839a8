"""A model as `torch.compile` runs it, where the protocol asks for that.

Owns how it is compiled: one graph for each shape, no silent way back to the uncompiled model. When a batch
is padded so that there is but one shape is `evaluation.py`'s.
"""

from __future__ import annotations

import os
import shutil
from typing import cast

import torch
from torch import nn

from benchbird.errors import UsageError
from benchbird.protocol import Protocol

GRAPHS_LIMIT = 256
"""Of one model: each shape, mode and kind of gradient makes one. Beyond torch's own limit of 8 it would go on
uncompiled without a word, and what was timed would be another thing than what the protocol says."""


def compiled(model: nn.Module, protocol: Protocol) -> nn.Module:
    """The model as the protocol runs it; it shares its weights with `model`, and its graphs with other calls.

    Args:
        model: on its device.
        protocol: says whether to compile, and whether CUDA graphs replay the result.

    Raises:
        UsageError: this machine can't.
    """
    check_machine(_device_type(model), protocol)
    if not protocol.compile:
        return model
    torch._dynamo.config.recompile_limit = GRAPHS_LIMIT
    torch._dynamo.config.accumulated_recompile_limit = GRAPHS_LIMIT
    mode = "reduce-overhead" if protocol.compile == "cuda_graphs" else "default"
    return cast(nn.Module, torch.compile(model, dynamic=False, mode=mode))


def check_machine(device_type: str, protocol: Protocol) -> None:
    """Check that a device can run models as the protocol compiles them.

    Raises:
        UsageError: it can't; says what to change or to install.
    """
    if not protocol.compile:
        return
    if protocol.compile == "cuda_graphs" and device_type != "cuda":
        raise UsageError(
            f"protocol.compile: cuda_graphs needs a CUDA device, this trial computes on {device_type}; "
            "use true to compile without graphs, which is another protocol"
        )
    if device_type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))):
        raise UsageError(
            "protocol.compile: true needs a C++ compiler on a CPU, and there is no g++ or clang++; "
            "install one (Debian, Ubuntu: `sudo apt-get install g++`), or set it to false, which is another protocol"
        )


def begin_pass(protocol: Protocol) -> None:
    """Say that what the last pass of the model returned is no longer needed: a CUDA graph may overwrite it."""
    if protocol.compile == "cuda_graphs":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def _device_type(model: nn.Module) -> str:
    tensor = next(iter((*model.parameters(), *model.buffers())), None)
    return tensor.device.type if tensor is not None else "cpu"
