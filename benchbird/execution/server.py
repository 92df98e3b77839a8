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

from benchbird.errors import UsageError
from benchbird.execution import allocation

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


def _end_server() -> None:
    server = server_pid()
    if server is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGKILL)


@contextlib.contextmanager
def _fit_for_server() -> Iterator[None]:
    """What a process started within inherits: deafness to Ctrl-C, safe imports, memory that is kept."""
    # The server would print a traceback if Ctrl-C, which is meant for the run, met it at its imports.
    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
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
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
