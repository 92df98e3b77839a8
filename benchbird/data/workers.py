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
from multiprocessing import connection, get_context, parent_process
from typing import Any, TypeVar

from tqdm import tqdm

from benchbird.errors import DataError

T = TypeVar("T")
R = TypeVar("R")

_ALONE_S = 0.5
"""Processes take about this long to start: shorter work is done before they would be ready."""

_TASKS_AHEAD = 4

logger = logging.getLogger(__name__)


class _NotImportable:
    """A worker's answer to a task whose function or data belong to a module that only the parent has."""


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    description: str,
    workers: int | None = None,
    progress: bool = True,
) -> Generator[R]:
    """Yield `function(task)` for each task, in order.

    Args:
        function: importable by name; it must not print.
        tasks: picklable.
        description: shown before the progress bar.
        workers: processes; None for one a core, 1 for none beside this one.
        progress: show a bar on stderr where that is a terminal.

    Raises:
        DataError: a worker process was killed, for example for want of memory.
    """
    count = available_cores() if workers is None else workers
    with tqdm(total=len(tasks), desc=description, unit="", disable=None if progress else True) as bar:
        started = time.monotonic()
        done = 0
        while done < len(tasks) and (count <= 1 or time.monotonic() - started < _ALONE_S):
            yield function(tasks[done])
            done += 1
            bar.update()
        if done < len(tasks):
            for result in _map_on_processes(function, tasks[done:], min(count, len(tasks) - done)):
                yield result
                bar.update()


def _map_on_processes(function: Callable[[T], R], tasks: Sequence[T], workers: int) -> Generator[R]:
    # Not fork: the caller may hold threads. Not the fork server: there is one for each process, and the
    # trials need it with other modules preloaded.
    executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    waiting: deque[tuple[T, Future[Any]]] = deque()
    upcoming = iter(tasks)
    try:
        while True:
            while len(waiting) < _TASKS_AHEAD * workers and (task := next(upcoming, _END)) is not _END:
                payload = pickle.dumps((function, task))
                waiting.append((task, executor.submit(_call, payload)))
            if not waiting:
                return
            first, future = waiting.popleft()
            result = future.result()
            yield function(first) if isinstance(result, _NotImportable) else result
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process ended before its work was done, perhaps for want of memory; "
            "close other programs or use a machine with more memory, then run again"
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


_END: Any = object()


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


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
