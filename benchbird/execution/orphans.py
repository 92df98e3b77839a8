"""What a child left behind in a session of its own, where no signal to the child's group reaches it.

Linux alone: elsewhere there is nothing to find. That the fork server adopts such processes is `adoption.py`'s.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path


def kill_orphans(server: int, living: Collection[int]) -> None:
    """Kill every child of the fork server but those that are known to live, with all that they started.

    Args:
        server: process id of the fork server.
        living: process ids of its children that are at work.
    """
    children = _children()
    left = [pid for pid in children[server] if pid not in living]
    while left:
        pid = left.pop()
        # Stopped first, so that it starts nothing more while its children are looked for.
        _signal(pid, signal.SIGSTOP)
        left += _children()[pid]
        _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _children() -> dict[int, list[int]]:
    """Process id → its children that haven't ended; nothing where the system has no `/proc`."""
    found: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name may hold spaces and brackets; the fields after it are fixed.
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            found[int(parent)].append(int(path.parent.name))
    return found
