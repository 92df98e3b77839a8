"""The fork server itself: what starting it leaves alone, and when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchbird.execution import server

SLOW = """
import pathlib, time
pathlib.Path("importing").touch()
time.sleep(60)
"""

RUN = """
import pathlib, time
from benchbird.execution import server
server.PRELOADED = ("slow",)
server.warm_up()
while not pathlib.Path("importing").exists():
    time.sleep(0.01)
"""


def test_a_folder_that_no_socket_fits_into_is_told(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    program = "from benchbird.execution.server import warm_up; warm_up()"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(deep)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "UsageError" in done.stderr and "set TMPDIR to a shorter one" in done.stderr


def test_warm_up_leaves_the_process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    before = signal.getsignal(signal.SIGINT)
    server.warm_up()

    def again_and_again() -> None:
        for _ in range(200):
            server.warm_up()

    threads = [threading.Thread(target=again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    assert "PYTHONSAFEPATH" not in os.environ
    assert os.environ["GLIBC_TUNABLES"] == "glibc.malloc.check=0"


def test_a_run_that_ends_takes_a_server_among_its_imports_with_it(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    root = Path(server.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    # The server holds the pipes of its run: they end with it.
    done = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, env=environment, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")
