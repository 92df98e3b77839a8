"""The README's words against the program: its plugin runs, its commands and options exist, its table is fresh."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from benchbird.cli import COMMANDS
from benchbird.leaderboard import rank
from benchbird.pooling import has_predictions
from benchbird.results import find_records
from benchbird.studies import select_study
from tests.command_lines import parse
from tests.small_bench import Bench, outcome

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
RIVALS = (ROOT / "docs" / "rivals.md").read_text()


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
    parse(line)


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
    labels = {row["label"] for row in outcome(done)["leaderboard"]["rows"]}
    assert labels == {"one_convolution", "threshold"}


PUBLISHED = sorted(path.parent for path in (ROOT / "results" / "published").glob("*/leaderboard.md"))


def test_something_is_published_and_every_record_of_it_can_be_read() -> None:
    assert PUBLISHED
    for folder in PUBLISHED:
        scan = find_records(folder)
        assert scan.require_whole()
        assert not scan.unended


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_a_published_table_is_the_one_in_the_documents_and_that_of_its_records(folder: Path, bench: Bench) -> None:
    document = (folder / "leaderboard.md").read_text()
    assert document.strip() in README or document.strip() in RIVALS
    published = json.loads((folder / "leaderboard.json").read_text())
    found = select_study(folder, results=folder).study.found
    again = rank([one.record for one in found])
    assert again.study == published["study"]
    assert {row.label: row.score.mean for row in again.rows} == {
        row["label"]: pytest.approx(row["score"]["mean"], abs=1e-12) for row in published["rows"]
    }
    if all(has_predictions(one) for one in found):
        # With the predictions there, intervals, letters and verdict follow from them to the last digit.
        assert bench.call("leaderboard", str(folder)).stdout == document
        assert json.loads(bench.call("leaderboard", str(folder), "--json").stdout) == published
        checked = bench.call("verify", str(folder), "--allow-missing")
        assert checked.returncode == 0, checked.stdout
