"""What a plugin may not change for others: random generators, and torch's global settings.

Owns how they are put back. Which settings there are is `backend.py`'s.
"""

from __future__ import annotations

import contextlib
import operator
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from benchbird.backend import current_flags


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Give back the caller's state of Python's, numpy's and torch's generators."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def flags_kept() -> Iterator[list[str]]:
    """List the global flags of torch that the block changed, once it has ended, and set them back."""
    before, failures = current_flags(), list[str]()
    try:
        yield failures
    finally:
        for name, value in current_flags().items():
            if value != before[name]:
                changed = f"changed from {before[name]} to {value}"
                failures.append(f"torch's global setting {name} {changed}; leave it alone")
                _restore_flag(name, before)


def _restore_flag(name: str, before: Mapping[str, Any]) -> None:
    value = before[name]
    if "." in name:  # a setting of one backend, such as cudnn.benchmark
        path, _, attribute = name.rpartition(".")
        setattr(operator.attrgetter(path)(torch.backends), attribute, value)
    elif name.startswith("deterministic algorithms"):
        warn_only = before.get("deterministic algorithms warn only", False)
        torch.use_deterministic_algorithms(before["deterministic algorithms"], warn_only=warn_only)
    else:
        restore: dict[str, Callable[[], object]] = {
            "default dtype": lambda: torch.set_default_dtype(getattr(torch, value.removeprefix("torch."))),
            "default device": lambda: torch.set_default_device(None if value == "cpu" else value),
            "gradients enabled": lambda: torch.set_grad_enabled(value),
            "anomaly detection": lambda: torch.autograd.set_detect_anomaly(value),
            "denormal numbers": lambda: torch.set_flush_denormal(not value),
            "autocast": lambda: [torch.set_autocast_enabled(kind, value) for kind in ("cpu", "cuda")],
            "threads": lambda: torch.set_num_threads(value),
        }
        if name in restore:
            restore[name]()
