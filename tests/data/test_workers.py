from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchbird.data import workers
from benchbird.data.workers import map_ordered
from benchbird.errors import DataError


def process_of(number: int) -> tuple[int, int]:
    time.sleep(0.02)
    return number, os.getpid()


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture
def no_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ALONE_S", 0.0)


@pytest.mark.usefixtures("no_head_start")
def test_results_come_in_order_from_several_processes() -> None:
    results = list(map_ordered(process_of, range(40), description="x", workers=2, progress=False))
    assert [number for number, _ in results] == list(range(40))
    processes = {process for _, process in results}
    assert len(processes) == 2 and os.getpid() not in processes


def test_one_worker_is_this_process() -> None:
    assert list(map_ordered(process_of, range(3), description="x", workers=1, progress=False)) == [
        (number, os.getpid()) for number in range(3)
    ]


def test_short_work_starts_no_process() -> None:
    results = list(map_ordered(process_of, range(3), description="x", workers=2, progress=False))
    assert {process for _, process in results} == {os.getpid()}


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
def test_a_killed_worker_is_an_error_not_a_hang() -> None:
    with pytest.raises(DataError, match="worker process ended"):
        list(map_ordered(die_at_three, range(8), description="x", workers=2, progress=False))


@pytest.mark.usefixtures("no_head_start")
def test_stopping_early_leaves_no_process() -> None:
    results = map_ordered(process_of, range(1000), description="x", workers=2, progress=False)
    _, process = next(results)
    results.close()
    assert not psutil.pid_exists(process)


def test_workers_die_with_their_parent() -> None:
    program = (
        "import tests.data.test_workers as t, benchbird.data.workers as w\n"
        "w._ALONE_S = 0\n"
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
