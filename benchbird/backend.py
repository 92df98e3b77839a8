"""Torch's global settings: set from the protocol before a trial, and checked again after every epoch.

A plugin could flip any of them for itself alone; then it would run under another protocol.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch

from benchbird.compilation import begin_pass
from benchbird.errors import ProtocolViolation, UsageError
from benchbird.protocol import Protocol


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        UsageError: the device was asked for and isn't there.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind, there in present.items() if there)
    if not present.get(name, False):
        there = ", ".join(kind for kind, there in present.items() if there)
        raise UsageError(f"--device {name}: this machine offers {there}; choose one of these or auto")
    return torch.device(name)


def count_accelerators() -> int:
    """GPUs that CUDA offers to this process; none of them is taken into use."""
    return torch.cuda.device_count()


def apply_protocol(protocol: Protocol, threads: int | None = None) -> dict[str, object]:
    """Set every global flag that can change numbers or speed, and return them for `check_flags`.

    Args:
        protocol: decides precision and determinism.
        threads: threads to compute with on the CPU; None leaves torch's choice.
    """
    # cuBLAS repeats exactly only with a fixed workspace; read when the first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if threads is not None:
        torch.set_num_threads(threads)
    precision = "tf32" if protocol.precision == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = precision  # type: ignore[attr-defined]
    torch.backends.mkldnn.matmul.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.mkldnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.mkldnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not protocol.deterministic
    torch.backends.cudnn.deterministic = protocol.deterministic
    torch.use_deterministic_algorithms(protocol.deterministic)
    # Filling fresh memory guards against reading it uninitialised; it costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    return current_flags()


def current_flags() -> dict[str, object]:
    """The global flags that can change numbers or speed."""
    return {
        "default dtype": str(torch.get_default_dtype()),
        "default device": str(torch.get_default_device()),
        "gradients enabled": torch.is_grad_enabled(),
        "anomaly detection": torch.is_anomaly_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "deterministic algorithms warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        # There is no asking for this one, but the smallest numbers tell.
        "denormal numbers": float(torch.full((), 1e-40, device="cpu", dtype=torch.float32) * 1) != 0,
        "cuda.matmul.allow_fp16_reduced_precision_reduction": (
            torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
        ),
        "cuda.matmul.allow_bf16_reduced_precision_reduction": (
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
        ),
        "cuda.matmul.fp32_precision": torch.backends.cuda.matmul.fp32_precision,
        "cudnn.conv.fp32_precision": torch.backends.cudnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "cudnn.rnn.fp32_precision": torch.backends.cudnn.rnn.fp32_precision,  # type: ignore[attr-defined]
        "cudnn.benchmark": torch.backends.cudnn.benchmark,
        "cudnn.deterministic": torch.backends.cudnn.deterministic,
        "cudnn.enabled": torch.backends.cudnn.enabled,
        "mkldnn.matmul.fp32_precision": torch.backends.mkldnn.matmul.fp32_precision,  # type: ignore[attr-defined]
        "mkldnn.conv.fp32_precision": torch.backends.mkldnn.conv.fp32_precision,  # type: ignore[attr-defined]
        "mkldnn.rnn.fp32_precision": torch.backends.mkldnn.rnn.fp32_precision,  # type: ignore[attr-defined]
        "mkldnn.enabled": torch.backends.mkldnn.enabled,
        "autocast": torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"),
        "threads": torch.get_num_threads(),
    }


def check_flags(expected: dict[str, object]) -> None:
    """Check that nobody changed a global flag since `apply_protocol`.

    Raises:
        ProtocolViolation: names each flag, what it is and what the protocol says.
    """
    changed = [
        f"{name} is {value}, the protocol set {expected[name]}"
        for name, value in current_flags().items()
        if value != expected[name]
    ]
    if changed:
        raise ProtocolViolation(
            f"the segmenter changed global settings of torch: {'; '.join(changed)}. "
            "A model must leave them alone, or it runs under another protocol than its rivals"
        )


@contextlib.contextmanager
def autocast(protocol: Protocol, device: torch.device) -> Iterator[None]:
    """Run the block, one pass of the model, in the protocol's precision (bf16 autocast, or nothing)."""
    begin_pass(protocol)
    if protocol.precision == "bf16":
        with torch.autocast(device.type, dtype=torch.bfloat16):
            yield
    else:
        yield


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
