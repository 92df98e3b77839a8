"""The fork server of a run: started before anything else, warm when the first child is wanted, ended with its run.

Owns what the server inherits and imports. Its children are `local.py`'s.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from benchbird.errors import UsageError
from benchbird.execution import allocation
from benchbird.processes import is_alive

PRELOADED = ("benchbird.execution.adoption", "benchbird.execution.preload")
"""Imported once by the fork server, in the background, and shared by every child."""

_STARTING = threading.Lock()
"""Held while the environment is another than the run's."""


def warm_up() -> None:
    """Start the fork server, which begins to import what trials need, and return at once.

    Raises:
        UsageError: the folder for temporary files can't hold its socket.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    from multiprocessing.forkserver import ensure_running

    # Left to itself, a server among its imports would hear only seconds later that its run has ended.
    atexit.unregister(_end_server)
    atexit.register(_end_server)
    with _STARTING, _fit_for_server():
        try:
            ensure_running()
        except OSError as error:
            if "AF_UNIX" not in str(error):
                raise
            raise UsageError(
                f"{tempfile.gettempdir()}: the name of the folder for temporary files is too long for a socket in it; "
                "set TMPDIR to a shorter one, such as /tmp"
            ) from error


def server_pid() -> int | None:
    """Process id of this process's fork server; None before it is started."""
    from multiprocessing import forkserver

    return getattr(forkserver._forkserver, "_forkserver_pid", None)


def is_server(pid: int | None) -> bool:
    """Whether the fork server is still the process `pid`, and lives; what it says of its children is true only then."""
    if pid is None or pid != server_pid():
        return False
    try:
        # Asked without taking its ending away from multiprocessing, which starts another one by it.
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except (ChildProcessError, AttributeError):
        return is_alive(pid) if not hasattr(os, "waitid") else False


def _end_server() -> None:
    server = server_pid()
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


@contextlib.contextmanager
def _fit_for_server() -> Iterator[None]:
    """What a process started within inherits: deafness to Ctrl-C and SIGTERM, safe imports, memory that is kept."""
    # Both are meant for the run, which ends the server, but reach all of a terminal's or a scheduler's processes; the
    # server would print a traceback, or die and leave the run without news of its trials.
    previous: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    # It is started by `python -c`, to which a `random.py` that lies about would be the standard library's.
    wanted = {"PYTHONSAFEPATH": "1", allocation.VARIABLE: allocation.tunables()}
    given = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in given.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        for number, handler in previous.items():
            signal.signal(number, handler)
