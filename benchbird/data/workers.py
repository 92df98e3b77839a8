"""A function over many tasks, on several processes, in order, with bounded memory and a progress bar.

Owns processes that must not outlive their parent. What a task is and what its result means is the caller's.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from benchbird.errors import DataError

T = TypeVar("T")
R = TypeVar("R")

_WORTH_S = 1.0
"""Processes take about half of this to start: shorter work is done by this one alone."""

_TASKS_AHEAD = 16
"""Of each process, begun and not yet handed on: the first may wait for a process to start."""

_LARGEST_KEPT_BYTES = 2**25 - 2**16
"""A block may have at most 32 MiB, its bookkeeping included, for glibc to learn from it."""

logger = logging.getLogger(__name__)


class _NotImportable:
    """A process's answer to a task whose function or data belong to a module that only the parent has."""


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """This process and others that work beside it; these start once there is enough to do, and end with `close`.

    Args:
        count: processes, this one among them; None for one a core.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = available_cores() if count is None else count
        self._executor: ProcessPoolExecutor | None = None

    def map_ordered(
        self, function: Callable[[T], R], tasks: Sequence[T], *, description: str, progress: bool = True
    ) -> Generator[R]:
        """Yield `function(task)` for each task, in order.

        Args:
            function: importable by name; it must not print.
            tasks: picklable.
            description: shown before the progress bar.
            progress: show a bar on stderr where that is a terminal.

        Raises:
            DataError: another process was killed, for example for want of memory.
        """
        _keep_freed_memory()
        upcoming = deque(tasks)
        begun: deque[_Begun[T, R]] = deque()
        started = time.monotonic()
        with tqdm(total=len(tasks), desc=description, unit="", disable=None if progress else True) as bar:
            try:
                while upcoming or begun:
                    if self._executor is not None or self._is_worth_it(len(tasks), len(upcoming), started):
                        self._give_away(function, upcoming, begun)
                    if upcoming and len(begun) < _TASKS_AHEAD * self.count and not (begun and begun[0].is_done()):
                        begun.append(_done_here(function, upcoming.popleft()))
                        continue
                    yield begun.popleft().result()
                    bar.update()
            except BrokenProcessPool as error:
                raise DataError(
                    "a worker process ended before its work was done, perhaps for want of memory; "
                    "close other programs or use a machine with more memory, then run again"
                ) from error

    def close(self) -> None:
        """End the other processes, after what they are at."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_worth_it(self, total: int, left: int, started: float) -> bool:
        done = total - left
        return self.count > 1 and done > 0 and left * (time.monotonic() - started) / done > _WORTH_S

    def _give_away(self, function: Callable[[T], R], upcoming: deque[T], begun: deque[_Begun[T, R]]) -> None:
        """Leave tasks to the other processes, two each, so that none waits while this one is at a task of its own."""
        if self._executor is None:
            # Not fork: the caller may hold threads. Not the fork server: there is one for each process, and
            # the trials need it with other modules preloaded.
            self._executor = ProcessPoolExecutor(
                self.count - 1, mp_context=get_context("spawn"), initializer=_start_worker
            )
        given = sum(not one.is_done() for one in begun)
        while upcoming and given < 2 * (self.count - 1) and len(begun) < _TASKS_AHEAD * self.count:
            task = upcoming.popleft()
            try:
                payload = pickle.dumps((function, task))
            except Exception as error:  # what a plugin made perhaps can't be sent
                logger.debug("done by this process: %s", error)
                begun.append(_done_here(function, task))
            else:
                begun.append(_Begun(function, task, self._executor.submit(_call, payload)))
                given += 1


@dataclass(frozen=True)
class _Begun(Generic[T, R]):
    """A task that another process or this one was given."""

    function: Callable[[T], R]
    task: T
    future: Future[Any]

    def is_done(self) -> bool:
        """Whether the result is there."""
        return self.future.done()

    def result(self) -> R:
        """The result, waited for; what the function raised is raised here."""
        result = self.future.result()
        return self.function(self.task) if isinstance(result, _NotImportable) else result


def _done_here(function: Callable[[T], R], task: T) -> _Begun[T, R]:
    future: Future[Any] = Future()
    try:
        future.set_result(function(task))
    except Exception as error:
        future.set_exception(error)  # raised when it is this task's turn
    return _Begun(function, task, future)


def map_ordered(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    description: str,
    workers: int | None = None,
    progress: bool = True,
) -> Generator[R]:
    """`Workers.map_ordered` by workers of its own.

    Args:
        function: importable by name; it must not print.
        tasks: picklable.
        description: shown before the progress bar.
        workers: processes, this one among them; None for one a core.
        progress: show a bar on stderr where that is a terminal.
    """
    with Workers(workers) as own:
        yield from own.map_ordered(function, tasks, description=description, progress=progress)


def _call(payload: bytes) -> Any:
    try:
        function, task = pickle.loads(payload)
    except (ImportError, AttributeError) as error:
        # A plugin given as a file lives under a name that only the parent can import.
        logger.debug("left to the parent: %s", error)
        return _NotImportable()
    return function(task)


def _start_worker() -> None:
    # Ctrl-C reaches the whole group; the parent decides what happens to its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have glibc keep what a task frees for the next one; pages faulted in anew cost a third of its time.

    glibc keeps freed memory up to twice the largest block that was ever freed, so it is shown a large one, which is
    never touched. Other allocators take no notice.
    """
    block = bytes(_LARGEST_KEPT_BYTES)
    del block


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
