"""Imported by the fork server: it adopts what its children leave behind, so that `orphans.py` finds them.

On Linux a process whose parent ends becomes a child of the nearest ancestor that has asked for it, else of the first
process of the system, where nobody knows any more whose it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import warnings

_PR_SET_CHILD_SUBREAPER = 36

if sys.platform == "linux":
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # What was adopted and ended is none of the children that the server knows of.
    warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")
