"""Tutorial and README, followed word for word in an empty folder: every command works, what is shown is real."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.small_bench import SHORT_TIMING
from tests.walkthrough import CommandStep, FileStep, follow, is_real, reader_environment, steps

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
STANDING_IN = ("my-recordings", "another-place")
"""Folders of the reader's that the README names."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The reader's, in which a trial measures its own speed briefly and leaves a core to other tests."""
    home = tmp_path / "home"
    home.mkdir()
    return {**reader_environment(home), "PYTHONPATH": str(SHORT_TIMING), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


@pytest.mark.parametrize(("document", "commands"), [("tutorial.md", 16), ("plugins.md", 6)])
def test_a_document_works_as_written_and_shows_what_is_printed(
    document: str, commands: int, folder: Path, environment: dict[str, str]
) -> None:
    followed = 0
    for step in steps((ROOT / "docs" / document).read_text()):
        done = follow(step, folder, environment)
        assert done.returncode == 0, f"{step}\n{done.stdout}"
        if isinstance(step, CommandStep):
            followed += 1
            assert is_real(step.shown, done.stdout), f"$ {step.command}\nshown:\n{step.shown}\nprinted:\n{done.stdout}"
    assert followed == commands


def readme_steps() -> list[FileStep | CommandStep]:
    """The README's commands as one pastes them, and its plugin as the file that they name."""
    found: list[FileStep | CommandStep] = []
    for language, text in _blocks(README):
        if language == "python":
            found.append(FileStep("one_convolution.py", text))
        elif language == "sh":
            commands = [line.partition("  #")[0].strip() for line in text.splitlines()]
            found += [CommandStep(line, "", (0, 0)) for line in commands if line.startswith("benchbird ")]
    return found


def _blocks(document: str) -> list[tuple[str, str]]:
    parts = document.split("```")[1::2]
    return [(language, text) for language, _, text in (part.partition("\n") for part in parts)]


def prepare(folder: Path, environment: dict[str, str]) -> None:
    """What the README takes for granted: a clone's benchmarks, and the reader's own data."""
    shutil.copytree(ROOT / "benchmarks", folder / "benchmarks")
    command = f"benchbird data synth {STANDING_IN[0]} --sizes train=24,val=8,test=12"
    assert follow(CommandStep(command, "", (0, 0)), folder, environment).returncode == 0
    os.symlink(STANDING_IN[0], folder / STANDING_IN[1])


def test_the_readmes_commands_would_work_as_written(folder: Path, environment: dict[str, str]) -> None:
    prepare(folder, environment)
    ran = 0
    for step in readme_steps():
        if isinstance(step, CommandStep) and step.command.startswith("benchbird run "):
            step = CommandStep(f"{step.command} --dry-run", "", (0, 0))
            ran += 1
        done = follow(step, folder, environment)
        assert done.returncode == 0, f"{step}\n{done.stdout}"
    assert ran >= 6


@pytest.mark.slow
def test_the_readmes_commands_work_as_written(folder: Path, environment: dict[str, str]) -> None:
    prepare(folder, environment)
    for step in readme_steps():
        done = follow(step, folder, environment, limit_s=3600)
        assert done.returncode == 0, f"{step}\n{done.stdout}"
        sys.stdout.write(done.stdout)
    assert len(list(folder.glob("results/*/*/report.html"))) >= 6
