"""The README's words against the program: its plugin runs, its commands and options exist, its table is fresh."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from benchbird.cli import COMMANDS, benchbird
from tests.small_bench import Bench

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def shell_commands() -> list[str]:
    lines = [line.partition("#")[0].strip() for block in code_blocks("sh") for line in block.splitlines()]
    inline = re.findall(r"`(benchbird [^`]+)`", README)
    return [line for line in (*lines, *inline) if line.startswith("benchbird ")]


def test_every_command_is_in_the_readme() -> None:
    mentioned = {shlex.split(line)[1] for line in shell_commands()}
    assert mentioned == set(COMMANDS)


@pytest.mark.parametrize("line", shell_commands())
def test_commands_in_the_readme_parse(line: str) -> None:
    words = shlex.split(line)[1:]
    command: click.Command = benchbird
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    command.make_context(line, words, resilient_parsing=False)


def test_make_targets_in_the_readme_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z-]+)", README)) <= set(targets)


def test_links_in_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_plugin_in_the_readme_runs_as_written(bench: Bench) -> None:
    (bench.folder / "one_convolution.py").write_text(code_blocks("python")[0])
    command = next(line for line in shell_commands() if "--plugin" in line)
    options = shlex.split(command)[3:]
    done = bench.run(*options, "--json")
    assert done.returncode == 0, done.stderr
    labels = {row["label"] for row in json.loads(done.stdout)["leaderboard"]["rows"]}
    assert labels == {"one_convolution", "threshold"}


def test_published_tables_in_the_readme_are_those_of_the_published_records(bench: Bench) -> None:
    published = ROOT / "results" / "published"
    studies = sorted({path.parents[2] for path in published.rglob("record.json")})
    assert studies, "nothing is published"
    for study in studies:
        done = bench.call("publish", str(study), "--to", str(ROOT / "README.md"), "--check")
        assert done.returncode == 0, done.stderr
