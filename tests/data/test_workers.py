from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import numpy as np
import psutil
import pytest

from benchbird.data import workers
from benchbird.data.workers import Workers, map_ordered
from benchbird.errors import DataError


def process_of(number: int) -> tuple[int, int]:
    time.sleep(0.02)
    return number, os.getpid()


def die_elsewhere(process: int) -> int:
    if process != os.getpid():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return process


def fail_at_three(number: int) -> int:
    if number == 3:
        raise RuntimeError("three")
    return number


def fill_arrays(_: int) -> int:
    """Take, fill and free what the work on a picture takes; page faults of this process so far."""
    arrays = [np.full(n, 1, dtype=np.uint8) for n in (2**20, 6 * 2**20, 12 * 2**20)]
    assert all(array.all() for array in arrays)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.fixture
def no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_WORTH_S", 0.0)


@pytest.mark.usefixtures("no_head_start")
def test_results_come_in_order_from_this_process_and_others() -> None:
    results = list(map_ordered(process_of, range(150), description="x", workers=3, progress=False))
    assert [number for number, _ in results] == list(range(150))
    processes = {process for _, process in results}
    assert len(processes) == 3 and os.getpid() in processes


def test_one_worker_is_this_process() -> None:
    assert list(map_ordered(process_of, range(3), description="x", workers=1, progress=False)) == [
        (number, os.getpid()) for number in range(3)
    ]


def test_short_work_starts_no_process() -> None:
    results = list(map_ordered(process_of, range(30), description="x", workers=2, progress=False))
    assert {process for _, process in results} == {os.getpid()}


@pytest.mark.usefixtures("no_head_start")
def test_workers_are_started_once_for_several_maps_and_end_when_closed() -> None:
    with Workers(2) as shared:
        found: set[int] = set()
        for count in (60, 1, 0, 60):
            results = list(shared.map_ordered(process_of, range(count), description="x", progress=False))
            assert [number for number, _ in results] == list(range(count))
            found |= {process for _, process in results}
    assert len(found) == 2
    assert not any(psutil.pid_exists(process) for process in found - {os.getpid()})


@pytest.mark.usefixtures("no_head_start")
def test_what_only_the_parent_can_import_is_done_by_the_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As a plugin given by `--plugin FILE`: a module that is in this process alone.
    from importlib.util import module_from_spec, spec_from_file_location

    (tmp_path / "plugin.py").write_text("def double(n): return 2 * n\n")
    spec = spec_from_file_location("_private_plugin", tmp_path / "plugin.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "_private_plugin", module)
    assert list(map_ordered(module.double, [1, 2, 3], description="x", workers=2, progress=False)) == [
        2,
        4,
        6,
    ]


@pytest.mark.usefixtures("no_head_start")
def test_what_cannot_be_sent_is_done_here() -> None:
    tasks = [MappingProxyType({"number": number}) for number in range(5)]
    assert list(map_ordered(len, tasks, description="x", workers=2, progress=False)) == [1] * 5


@pytest.mark.usefixtures("no_head_start")
def test_a_killed_worker_is_an_error_not_a_hang() -> None:
    with pytest.raises(DataError, match="worker process ended"):
        list(map_ordered(die_elsewhere, [os.getpid()] * 200, description="x", workers=2, progress=False))


@pytest.mark.usefixtures("no_head_start")
@pytest.mark.parametrize("count", [1, 2])
def test_what_a_task_raises_is_raised_here_after_the_results_before_it(count: int) -> None:
    results = map_ordered(fail_at_three, range(8), description="x", workers=count, progress=False)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="three"):
        next(results)


@pytest.mark.usefixtures("no_head_start")
def test_stopping_early_leaves_no_process() -> None:
    results = map_ordered(process_of, range(1000), description="x", workers=2, progress=False)
    other = next(process for _, process in results if process != os.getpid())
    results.close()
    assert not psutil.pid_exists(other)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
@pytest.mark.parametrize("count", [1, 2])
def test_memory_of_a_task_is_kept_for_the_next(count: int) -> None:
    program = (
        "import tests.data.test_workers as t, benchbird.data.workers as w\n"
        "if __name__ == '__main__':\n"
        "    w._WORTH_S = 0\n"
        f"    print(*w.map_ordered(t.fill_arrays, range(200), description='', workers={count}, progress=False))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    faults = [int(word) for word in done.stdout.split()]
    # Given back to the system, 19 MiB would be faulted in anew each time: thousands of pages.
    assert sum(later - earlier > 1000 for earlier, later in pairwise(sorted(faults))) <= 2 * count


def test_workers_die_with_their_parent() -> None:
    program = (
        "import tests.data.test_workers as t, benchbird.data.workers as w\n"
        "w._WORTH_S = 0\n"
        "for r in w.map_ordered(t.process_of, range(100000), description='', workers=2, progress=False):\n"
        "    print(r[1], flush=True)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
    )
    assert parent.stdout is not None
    first = int(parent.stdout.readline())
    family = [psutil.Process(first), *psutil.Process(parent.pid).children(recursive=True)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert not alive
