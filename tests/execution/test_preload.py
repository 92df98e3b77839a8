"""What a fork server imports before it has children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def preload_by_itself(tmp_path: Path, before: str, after: str) -> subprocess.CompletedProcess[str]:
    """Import `preload` in a fresh interpreter, where nothing of what it imports is the real thing."""
    code = f"""
import gc, sys, types
for name in ("benchbird.trial", "torch", "torch._dynamo"):
    sys.modules[name] = types.ModuleType(name)
{before}
import benchbird.execution.preload
{after}
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_library_that_fails_at_import_does_not_end_the_server(tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    (tmp_path / "segmentation_models_pytorch.py").write_text("imported = True")
    done = preload_by_itself(tmp_path, "", "assert sys.modules['segmentation_models_pytorch'].imported")
    assert done.returncode == 0, done.stderr


def test_preloading_leaves_one_thread_and_a_collector_that_passes_over_what_was_imported(tmp_path: Path) -> None:
    for name in ("torchvision", "segmentation_models_pytorch"):
        (tmp_path / f"{name}.py").write_text(
            "import gc\nassert not gc.isenabled()\nthings = [[] for _ in range(10**5)]"
        )
    after = "import threading; print(gc.isenabled(), gc.get_freeze_count() > 2 * 10**5, threading.active_count())"
    done = preload_by_itself(tmp_path, "", after)
    assert done.stdout.split() == ["True", "True", "1"], done.stderr


def test_a_server_ends_at_its_imports_when_its_run_is_gone(tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)")
    (tmp_path / "segmentation_models_pytorch.py").write_text("")
    # The interpreter forks; the parent, which stands for the run, ends while its child imports.
    before = """
import os, time
reading, writing = os.pipe()
if os.fork():
    os.close(writing)
    os.read(reading, 9)  # until the child has begun
    os._exit(0)
os.dup2(writing, 1)
"""
    started = time.monotonic()
    done = preload_by_itself(tmp_path, before, "")
    assert done.returncode == 0 and done.stderr == ""
    # `run` has waited until nobody holds its standard error any more.
    assert time.monotonic() - started < 50
