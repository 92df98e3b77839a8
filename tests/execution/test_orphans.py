"""A run that ends, by whatever means, takes everything that it started with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.execution.processes import alive, gone_within

SCRIPT = """
    import os, signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    sys.path.insert(0, {root!r})
    from benchbird.execution import local, server
    from tests.execution import targets

    if __name__ == "__main__":
        server.PRELOADED = ()
        local.GRACE_S = 1.0
        server.warm_up()
        from multiprocessing import forkserver
        print(forkserver._forkserver._forkserver_pid, flush=True)
        local.run_in_child(
            getattr(targets, sys.argv[1]), None, log=None, on_event=lambda e: print(e["pids"], flush=True)
        )
"""


Start = Callable[[str], tuple[subprocess.Popen[str], list[int]]]


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[Start]:
    """Starts a run in a process of its own; gives it and those below it: server, child, grandchildren."""
    started: list[int] = []

    def start(target: str) -> tuple[subprocess.Popen[str], list[int]]:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(SCRIPT).format(root=str(Path(__file__).parents[2])))
        process = subprocess.Popen(
            [sys.executable, str(script), target],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process.pid)
        assert process.stdout is not None
        started.append(int(process.stdout.readline()))
        started.extend(json.loads(process.stdout.readline() or "[]"))
        return process, started[1:]

    yield start
    for pid in alive(started):  # what a test that failed leaves behind
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("target", ["hang_with_grandchildren", "refuse_to_end"])
@pytest.mark.parametrize("whole_group", [False, True])
def test_nothing_outlives_a_run_that_is_killed(target: str, whole_group: bool, start_run: Start) -> None:
    process, pids = start_run(target)
    assert len(alive(pids)) == 4
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    process.communicate()
    assert gone_within(pids, 2)


def test_ctrl_c_twice_leaves_nothing_behind(start_run: Start) -> None:
    process, pids = start_run("refuse_to_end")
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the fork server, too
        time.sleep(0.3)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    assert "script.py" in stderr  # the run's own traceback, and no other process's
    assert "multiprocessing/forkserver.py" not in stderr
    assert gone_within(pids, 2)


def test_the_server_is_deaf_to_ctrl_c_and_to_modules_in_the_working_folder(tmp_path: Path) -> None:
    here = tmp_path / "working folder"
    here.mkdir()
    (here / "selectors.py").write_text("raise RuntimeError('not the standard library')")
    script = f"""
        import sys, time, os, signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.path.append({str(Path(__file__).parents[2])!r})
        from benchbird.execution import local, server
        from tests.execution import targets
        if __name__ == "__main__":
            server.PRELOADED = ("no_such_module",)
            server.warm_up()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.killpg(0, signal.SIGINT)
            print(local.run_in_child(targets.count, 2, log=None, on_event=print))
    """
    (tmp_path / "run_me.py").write_text(textwrap.dedent(script))
    finished = subprocess.run(
        [sys.executable, str(tmp_path / "run_me.py")],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert finished.stderr == ""
    assert finished.stdout.count("number") == 4  # two events of two words
    assert "exit_code=0" in finished.stdout
