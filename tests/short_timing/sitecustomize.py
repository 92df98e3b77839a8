"""Trials of the tests time inference for hundredths of a second in place of two seconds: what comes of it is the same.

Python imports this module by its name when it starts, where this folder is on PYTHONPATH. `small_bench.py` puts it
there, so the product knows nothing of it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence

TIMING = "benchbird.timing"
SECONDS = 0.02


class _Shortened(importlib.abc.MetaPathFinder):
    """Finds one module as Python would, and changes a constant of it once it is there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != TIMING:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            execute(module)
            module.MIN_SECONDS = SECONDS  # type: ignore[attr-defined]

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Shortened())
