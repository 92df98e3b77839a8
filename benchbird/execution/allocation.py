"""How processes that compute ask the system for memory: they keep what they free.

Activations are freed and asked for again in every step. glibc gives blocks of that size back to the system
each time, so that the next step finds its pages unmapped; faulting them in anew costs a fifth of a training
step on a CPU and more (docs/performance.md). Values computed are the same to the bit.
"""

from __future__ import annotations

import os

VARIABLE = "GLIBC_TUNABLES"
"""Read by glibc when a process starts; other systems ignore it."""

KEPT_BYTES = 2**32
"""Blocks up to this size come from the heap, and as much of the heap's free end stays with the process."""

SETTINGS = ":".join(
    (
        "glibc.malloc.hugetlb=1",  # large pages where the system offers them on request: fewer faults at first touch
        f"glibc.malloc.mmap_threshold={KEPT_BYTES}",
        f"glibc.malloc.trim_threshold={KEPT_BYTES}",
    )
)


def tunables() -> str:
    """The value of `VARIABLE` for a process that computes; what the user set goes after ours, so it wins."""
    given = os.environ.get(VARIABLE)
    return f"{SETTINGS}:{given}" if given else SETTINGS
