"""Weights in a format that can run code: how they are told, and how their owner makes safetensors of them.

Nothing here opens such a file beyond its first bytes.
"""

from __future__ import annotations

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
"""How files of `torch.save` begin: since version 1.6, and before."""

_CONVERSION = (
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('weights.pt', weights_only=True), 'weights.safetensors')\""
)


def describe_weights_fault(head: bytes, error: object) -> str:
    """Why a file is no safetensors file, in one sentence.

    Args:
        head: its first bytes, at least four of them.
        error: what reading it as safetensors brought.
    """
    if not head.startswith((_ZIP, _PICKLE)):
        return f"no whole safetensors file: {error}"
    return (
        "looks like a file of torch.save, which can run code when it is opened; expected safetensors. "
        f"Whoever trusts its origin converts it: {_CONVERSION}"
    )
