"""Trials in child processes of this machine: start from a warm fork server, watch, end.

A child holds the read end of a pipe from its run; when the run is gone the pipe closes and the child
ends itself and its own children within a second. What a trial does is `trial.py`'s.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchbird.durable import make_folder

PRELOADED = ("benchbird.trial", "torchvision", "segmentation_models_pytorch")
"""Imported once by the fork server, in the background, and shared by every child."""

GRACE_S = 5.0
"""What a child gets to end in after it was asked to."""

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        exit_code: of the process; negative for a signal.
        timed_out: whether it was ended for taking too long.
    """

    exit_code: int
    timed_out: bool


def warm_up() -> None:
    """Start the fork server, which begins to import what trials need, and return at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    from multiprocessing.forkserver import ensure_running

    ensure_running()


def run_in_child(
    target: Callable[[Any, Callable[[Event], None]], object],
    request: object,
    *,
    log: Path | None,
    on_event: Callable[[Event], None],
    timeout_s: float | None = None,
) -> Ending:
    """Run `target(request, report)` in a child process and wait until it has ended.

    Args:
        target: an importable function.
        request: its picklable argument.
        log: file that gets the child's standard output and error; None discards them.
        on_event: called here for each event that the child reports.
        timeout_s: wall-clock seconds after which the child's whole process group is killed.

    Raises:
        KeyboardInterrupt: passed on after the child was asked to end and has ended.
    """
    context = multiprocessing.get_context("forkserver")
    lifeline_end, lifeline = context.Pipe(duplex=False)
    events, events_end = context.Pipe(duplex=False)
    if log is not None:
        make_folder(log.parent)
    process = context.Process(
        target=_child_main, args=(target, request, log, lifeline_end, events_end), daemon=False
    )
    process.start()
    # Only the child may hold these ends, or their closing would go unnoticed.
    lifeline_end.close()
    events_end.close()
    try:
        timed_out = _watch(process, events, on_event, timeout_s)
    except BaseException:
        end_group(process.pid, process.join, lambda: process.exitcode is not None)
        raise
    finally:
        lifeline.close()
        events.close()
    process.join()
    exit_code = process.exitcode
    process.close()
    return Ending(exit_code=exit_code if exit_code is not None else -1, timed_out=timed_out)


def _watch(
    process: Any, events: Connection, on_event: Callable[[Event], None], timeout_s: float | None
) -> bool:
    """Pass events on until the child has ended; whether it had to be killed for its time."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    listening = True
    while True:
        if listening:
            try:
                if events.poll(0.2):
                    on_event(events.recv())
                    continue
            except (EOFError, OSError):
                listening = False
        else:
            process.join(0.2)
        if process.exitcode is not None and not (listening and events.poll(0)):
            return False
        if deadline is not None and time.monotonic() > deadline:
            kill_group(process.pid)
            process.join()
            return True


def end_group(pid: int | None, join: Callable[[float], object], has_ended: Callable[[], bool]) -> None:
    """Ask a child to end, then kill its whole process group if it hasn't within `GRACE_S`."""
    if pid is None or has_ended():
        return
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    join(GRACE_S)
    if not has_ended():
        kill_group(pid)
        join(GRACE_S)


def kill_group(pid: int) -> None:
    """Kill a child's process group: itself and what it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # It hasn't made its group yet, or is gone.
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _child_main(
    target: Callable[[Any, Callable[[Event], None]], object],
    request: object,
    log: Path | None,
    lifeline: Connection,
    events: Connection,
) -> None:
    os.setsid()
    _die_with(lifeline)
    _redirect_output(log)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def report(event: Event) -> None:
        try:
            events.send(dict(event))
        except (BrokenPipeError, OSError):
            # The run is gone; the lifeline's thread is about to end this process.
            return

    try:
        target(request, report)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)


def _interrupt(_signal: int, _frame: object) -> None:
    # From now on a second request must not cut the ending short. Not SystemExit: a plugin may raise that.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _die_with(lifeline: Connection) -> None:
    """End this process group as soon as the other end of the lifeline is closed."""

    def wait() -> None:
        try:
            lifeline.recv_bytes()
        except (EOFError, OSError):
            pass
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _redirect_output(log: Path | None) -> None:
    target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
