"""What the reading side may load: `--help` and `leaderboard` start at once and need no GPU stack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "segmentation_models_pytorch",
    "scipy",
    "pandas",
    "sklearn",
    "matplotlib",
}
COMMANDS = sorted(file.stem for file in (ROOT / "benchbird" / "commands").glob("[a-z]*.py"))
REPORTERS = sorted(file.stem for file in (ROOT / "benchbird" / "reporters").glob("[a-z]*.py"))
READING_SIDE = [
    "cli", "config.benchmark", "config.choices", "contract", "environment", "errors", "hookspecs", "leaderboard",
    "metrics", "protocol", "record_json", "records", "registry", "results", "config.strict_yaml",
    *(f"commands.{name}" for name in COMMANDS),
    *(f"reporters.{name}" for name in REPORTERS),
]  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after a statement."""
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_the_reading_side_loads_nothing_heavy() -> None:
    # One interpreter for all of them, noting after which import something heavy was there first.
    blame = f"""
import importlib, json, sys
blamed = {{}}
for name in {READING_SIDE!r}:
    importlib.import_module("benchbird." + name)
    for heavy in {sorted(HEAVY)!r}:
        if heavy in sys.modules:
            blamed.setdefault(heavy, name)
print(json.dumps(blamed))
"""
    done = subprocess.run([sys.executable, "-c", blame], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_facade_loads_nothing_heavy() -> None:
    assert not loaded_by("import benchbird") & HEAVY


def test_a_benchmark_is_read_without_anything_heavy() -> None:
    file = ROOT / "benchmarks" / "birdsound.yaml"
    load = f"from benchbird.config.benchmark import load_benchmark\nload_benchmark({str(file)!r}, profile='cpu')"
    assert not loaded_by(load) & HEAVY


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "benchbird", "--help"], check=True, capture_output=True, timeout=60)
        return time.perf_counter() - started

    # The best of several, and room for a busy machine: loading torch would take two seconds and more.
    assert min(seconds() for _ in range(4)) < 1.0


def test_there_are_commands_and_reporters_to_look_at() -> None:
    assert COMMANDS and REPORTERS
