"""Seeds by name: every random choice of a trial is a pure function of its seed and what it is for.

Torch's own state is set from here alone, so that an epoch can be repeated without its predecessors.
"""

from __future__ import annotations

import hashlib
import random

from benchbird.errors import ProtocolViolation


def derive_seed(*names: object) -> int:
    """A 63-bit seed that depends on every name and on their order.

    Args:
        names: what the randomness is for, such as `(0, "order", 12)`; told apart by `repr`.

    Returns:
        An integer in [0, 2**63).
    """
    digest = hashlib.sha256("\x1f".join(repr(name) for name in names).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators (every device) in this process.

    Args:
        seed: an integer in [0, 2**63); numpy's legacy generator gets its lower 32 bits.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)


def check_seed(seed: int) -> None:
    """Check that nobody has seeded torch anew since `seed_everything`.

    Args:
        seed: that was given to it.

    Raises:
        ProtocolViolation: somebody has.
    """
    import torch

    if torch.initial_seed() != seed:
        raise ProtocolViolation(
            "the segmenter seeded torch's random numbers itself (torch.manual_seed or torch.seed). "
            "A model must leave that to the protocol, or its seeds are no repetitions; a layer that needs numbers of "
            "its own takes a torch.Generator"
        )
