"""Trials in child processes of this machine: start from a warm fork server, watch, end.

A child holds the read end of a pipe from its run; when the run is gone the pipe closes and the child
ends itself and its own children within a second. What a trial does is `trial.py`'s.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from benchbird.durable import make_folder
from benchbird.execution.orphans import kill_orphans
from benchbird.execution.server import is_server, server_pid, warm_up

GRACE_S = 3.0
"""What a child gets to end in after it was asked to."""

POLL_S = 0.2
ASKED_TO_END = 128 + signal.SIGTERM
"""Exit code of a child that was asked to end and did."""

_UNKNOWN_CODE = 255
"""What multiprocessing says of a child whose fork server is gone."""

LOG_LIMIT_BYTES = 64 * 2**20
LOG_KEPT_BYTES = 2**20
"""What is kept of each end of a log that outgrew its limit."""

Event = Mapping[str, Any]
EndedFor = Literal["", "time", "silence", "stop", "claim", "server"]

_LIVING: set[int] = set()
_COUNTING = threading.Lock()
"""Held from the start of a child until it is among the living, so that nobody takes it for an orphan."""


@dataclass(frozen=True)
class Bounds:
    """When a child is ended from outside.

    Attributes:
        wall_s: seconds after which it is killed; None for never.
        silence_s: seconds without an event after which it is killed; None for never.
        stop: once it is set, the child is asked to end, and killed if it doesn't; None for never.
        lost: once it is set, the child is killed, since what it writes belongs to another run; None for never.
    """

    wall_s: float | None = None
    silence_s: float | None = None
    stop: threading.Event | None = None
    lost: threading.Event | None = None


@dataclass(frozen=True)
class Place:
    """Where a child computes.

    Attributes:
        cores: numbers of the processors that it may use; None for all that its run may use.
        environment: variables that it finds set, beside those of its run.
    """

    cores: tuple[int, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        exit_code: of the process; negative for a signal.
        ended_for: what its run ended it for: its `time`, its `silence`, a `stop` of the run, the lost `claim`; or
            `server`, where the fork server was killed, so that nobody knows how the child ended.
        ran_out_of_memory: whether it was killed while the system killed a process for its memory.
    """

    exit_code: int
    ended_for: EndedFor = ""
    ran_out_of_memory: bool = False

    @property
    def was_asked(self) -> bool:
        """Whether it ended because somebody asked it to (SIGTERM), however long that took."""
        return self.exit_code == ASKED_TO_END or self.ended_for == "stop"

    @property
    def cause(self) -> str:
        """The same for people, to follow "its process"."""
        if self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        if self.ran_out_of_memory:
            return "was killed by the system, which ran out of memory"
        known = {one.value: one.name for one in signal.Signals}
        return f"was killed by {known.get(-self.exit_code, f'signal {-self.exit_code}')}"


NO_BOUNDS = Bounds()
ANYWHERE = Place()


def run_in_child(
    target: Callable[[Any, Callable[[Event], None]], object],
    request: object,
    *,
    log: Path | None,
    on_event: Callable[[Event], None],
    bounds: Bounds = NO_BOUNDS,
    place: Place = ANYWHERE,
) -> Ending:
    """Run `target(request, report)` in a child process and wait until it has ended.

    Whatever the child started and left behind ends with it.

    Args:
        target: an importable function.
        request: its picklable argument.
        log: file that gets the child's standard output and error; None discards them.
        on_event: called here for each event that the child reports.
        bounds: at which its whole process group is killed, or it is asked to end.
        place: where it computes.

    Raises:
        KeyboardInterrupt: passed on after the child was asked to end and has ended.
    """
    warm_up()
    context = multiprocessing.get_context("forkserver")
    if log is not None:
        log = log.absolute()
        make_folder(log.parent)
    lifeline_end, lifeline = context.Pipe(duplex=False)
    events, events_end = context.Pipe(duplex=False)
    arguments = (target, request, log, place, lifeline_end, events_end)
    process = context.Process(target=_child_main, args=arguments, daemon=False)
    kills, server = _kills_for_memory(), None
    try:
        with _COUNTING:
            process.start()
            server = server_pid()
            if process.pid is not None:
                _LIVING.add(process.pid)
        # Only the child may hold these ends, or their closing would go unnoticed.
        lifeline_end.close()
        events_end.close()
        ended_for = _watch(process, events, on_event, bounds, log)
    except BaseException:
        end_group(process.pid, process.join, lambda: process.exitcode is not None)
        raise
    finally:
        for end in (lifeline_end, lifeline, events, events_end):
            end.close()
        _kill_leftovers(process.pid)
    process.join()
    exit_code = -1 if process.exitcode is None else process.exitcode
    process.close()
    return _ending(exit_code, ended_for, server, kills)


def _ending(exit_code: int, ended_for: EndedFor, server: int | None, kills: int) -> Ending:
    """How a child ended that this fork server started, when the system had killed so many for their memory."""
    if exit_code == _UNKNOWN_CODE and not ended_for and not is_server(server):
        ended_for = "server"
    was_killed = exit_code == -signal.SIGKILL and not ended_for
    return Ending(
        exit_code=exit_code, ended_for=ended_for, ran_out_of_memory=was_killed and _kills_for_memory() > kills
    )


def _watch(
    process: Any, events: Connection, on_event: Callable[[Event], None], bounds: Bounds, log: Path | None
) -> EndedFor:
    """Pass events on until the child has ended; what it had to be ended for."""
    started = heard = time.monotonic()
    listening = True
    ended_for: EndedFor = ""
    while True:
        # Asked for first: what the child reported before it ended is then in the pipe already.
        ended = process.exitcode is not None
        if listening and events.poll(0 if ended else POLL_S):
            try:
                event = events.recv()
            except (EOFError, OSError):
                listening = False
            else:
                heard = time.monotonic()
                on_event(event)
        elif ended:
            return ended_for
        elif not listening:
            process.join(POLL_S)
        if log is not None:
            _limit_log(log)
        if ended_for or process.exitcode is not None:
            continue
        if bounds.stop is not None and bounds.stop.is_set():
            ended_for = "stop"
            end_group(process.pid, process.join, lambda: process.exitcode is not None)
        elif ended_for := _exceeded(bounds, started, heard):
            kill_group(process.pid)


def _exceeded(bounds: Bounds, started: float, heard: float) -> EndedFor:
    if bounds.lost is not None and bounds.lost.is_set():
        return "claim"
    now = time.monotonic()
    if bounds.wall_s is not None and now - started > bounds.wall_s:
        return "time"
    if bounds.silence_s is not None and now - heard > bounds.silence_s:
        return "silence"
    return ""


def _kills_for_memory() -> int:
    """How many processes this system has killed for their memory; 0 where it doesn't tell."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _limit_log(log: Path) -> None:
    """Cut the middle out of a log that outgrew its limit; the child goes on appending to what is left."""
    with contextlib.suppress(OSError):
        if log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        with log.open("rb") as stream:
            stream.seek(-LOG_KEPT_BYTES, os.SEEK_END)
            tail = stream.read(LOG_KEPT_BYTES)
        os.truncate(log, LOG_KEPT_BYTES)
        with log.open("ab") as stream:
            stream.write(b"\n... cut here by benchbird, since this log had become too long ...\n" + tail)


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
    """Kill a living child's process group: itself and what it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # It hasn't made its group yet, or is gone.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _kill_leftovers(pid: int | None) -> None:
    """Kill what is left of an ended child's group, and what left that group.

    While the group has a member, no new process gets its number.
    """
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    server = server_pid()
    with _COUNTING:
        _LIVING.discard(pid)
        if server is not None:
            kill_orphans(server, _LIVING)


def _child_main(
    target: Callable[[Any, Callable[[Event], None]], object],
    request: object,
    log: Path | None,
    place: Place,
    lifeline: Connection,
    events: Connection,
) -> None:
    os.setsid()
    os.environ.update(place.environment)
    if place.cores is not None:
        os.sched_setaffinity(0, place.cores)
    _die_with(lifeline)
    _redirect_output(log)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def report(event: Event) -> None:
        # The run is gone when this fails; the lifeline's thread is about to end this process.
        with contextlib.suppress(OSError):
            events.send(dict(event))

    code = 1
    try:
        target(request, report)
        code = 0
    except KeyboardInterrupt:
        code = ASKED_TO_END
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        # Not by returning: that would wait for threads and processes that a plugin never ends.
        os._exit(code)


def _interrupt(_signal: int, _frame: object) -> None:
    # From now on a second request must not cut the ending short. Not SystemExit: a plugin may raise that.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _die_with(lifeline: Connection) -> None:
    """End this process group as soon as the other end of the lifeline is closed."""

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv_bytes()
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def _redirect_output(log: Path | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    try:
        target = os.open(log or os.devnull, flags, 0o644)
    except OSError:
        target = os.open(os.devnull, flags)  # a log is not worth a trial
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Line by line, so that a crash leaves its last words; any text, whatever the terminal's encoding.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.enable()
