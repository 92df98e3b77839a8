"""Which precisions a device computes in by its hardware, and which one asks for where nothing is said.

Owns what is asked of the processor. What a precision does to torch is `backend.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["fp32", "tf32", "bf16"]

PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")

BF16_FLAGS = {"avx512_bf16": "avx512_bf16", "amx_bf16": "amx_bf16", "bf16": "Arm bf16"}
"""A processor's flag in /proc/cpuinfo → what people call it."""

AMPERE = 8
"""The first compute capability with tf32 and bf16 in its tensor cores."""


def hardware_precisions(device: torch.device) -> tuple[Precision, ...]:
    """The precisions that a device has in hardware, fp32 first."""
    if device.type == "cuda":
        return PRECISIONS if torch.cuda.get_device_capability(device)[0] >= AMPERE else ("fp32",)
    if device.type == "cpu" and cpu_bf16_support():
        return ("fp32", "bf16")
    return ("fp32",)


def default_precisions(protocol_precision: Precision, device: torch.device) -> tuple[Precision, ...]:
    """The protocol's precision first, then what else the hardware has; without tf32 where there is none."""
    hardware = hardware_precisions(device)
    if protocol_precision == "tf32" and device.type != "cuda":
        return hardware
    return (protocol_precision, *(one for one in hardware if one != protocol_precision))


def precision_fault(precisions: Sequence[Precision], device: torch.device) -> str | None:
    """Why a device can't be asked for one of these precisions, or None."""
    if "tf32" in precisions and device.type != "cuda":
        return f"found tf32 on {device.type}, expected fp32 or bf16: only CUDA devices have tf32"
    return None


def emulation_warning(precisions: Sequence[Precision], device: torch.device) -> str | None:
    """What to know of a precision that is asked for and that the hardware lacks, or None."""
    lacking = [one for one in precisions if one not in hardware_precisions(device)]
    if not lacking or device.type == "mps":
        return None
    return (
        f"{', '.join(lacking)}: this {'processor' if device.type == 'cpu' else 'GPU'} has no instructions for it, so "
        "it is emulated, and slow; its figures say nothing of hardware that has them"
    )


def cpu_bf16_support(cpuinfo: str | None = None) -> tuple[str, ...]:
    """The processor's own bf16 instructions by name; empty where there are none or the system doesn't tell.

    Args:
        cpuinfo: text of /proc/cpuinfo; None reads it.
    """
    if cpuinfo is None:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:
            return ()
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = set(match.group(1).split()) if match else set()
    return tuple(name for flag, name in BF16_FLAGS.items() if flag in flags)


def describe_bf16(device: torch.device) -> str:
    """One phrase on a device's bf16, for a title."""
    if device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        return f"bf16 by {' and '.join(cpu_bf16_support()) or 'emulation only'} ({capability} in use)"
    return f"bf16 {'in hardware' if 'bf16' in hardware_precisions(device) else 'not in hardware'}"
