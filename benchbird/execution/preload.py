"""What trials import, done once: the fork server imports this module, and its children share the result.

It offers nothing; importing it is its whole work.
"""

from __future__ import annotations

import contextlib
import importlib

for _name in ("benchbird.trial", "torchvision", "segmentation_models_pytorch"):
    # A library that can't be imported must fail in the trials that need it. Here it would end the fork
    # server, and every trial with it: multiprocessing forgives an ImportError alone.
    with contextlib.suppress(Exception):
        importlib.import_module(_name)
