"""The documentation as a site: built from docs/ and the code without a warning, and read without network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import benchbird
from benchbird.cli import COMMANDS
from benchbird.definitions import DEFINITIONS
from tests.browser import browse, chromium, visit
from tests.command_lines import parse

ROOT = Path(__file__).parents[2]
PAGES = ("index", "tutorial", "plugins", "protocol", "performance", "reference/commands", "reference/python")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    # `strict: true` makes an error of a link that leads nowhere, and of a page that nothing leads to.
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def words(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text())


def test_the_reference_has_what_the_code_has(site: Path) -> None:
    commands = words(site / "reference" / "commands.html")
    for name in {*COMMANDS, "data mix", "data import", "plugin check"} - {"data", "plugin"}:
        assert f"Usage: benchbird {name} [OPTIONS]" in commands
    keys = words(site / "reference" / "benchmark.html")
    schema = json.loads((ROOT / "benchmarks" / "benchmark.schema.json").read_text())
    for part in ("Protocol", "DataConfig", "Limits"):
        for key in schema["$defs"][part]["properties"]:
            assert re.search(rf"\b(protocol|data|limits)\.{key}\b", keys), key
    segmenters = words(site / "reference" / "segmenters.html")
    for name in (*DEFINITIONS, "atrous_segnet", "deeplabv3", "threshold", "unet"):
        assert name in segmenters
    python = words(site / "reference" / "python.html")
    for name in ("load_results", "SegmenterSpec", "benchbird_trial_finished", "check_segmenter", "iou_batch_mean"):
        assert name in python


def test_the_reference_has_all_of_the_facade() -> None:
    reference = (ROOT / "docs" / "reference" / "python.md").read_text()
    documented = set(re.findall(r"^::: benchbird\.(?:\w+\.)*(\w+)$", reference, re.MULTILINE))
    assert set(benchbird.__all__) - documented == {"API_VERSION", "__version__", "hookimpl"}


def test_links_that_leave_the_documentation_lead_to_its_pages(site: Path) -> None:
    reliability = (site / "reliability.html").read_text()
    assert 'href="security.html"' in reliability
    index = (site / "index.html").read_text()
    assert 'href="scores.html"' in index
    assert not re.search(r'href="[^"]*\.(md|py|yaml)"', index)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium()
    with browse() as opened:
        yield opened


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_pages_fit_complain_of_nothing_and_fetch_nothing(site: Path, browser: Any, width: int, scheme: str) -> None:
    for name in PAGES:
        visited = visit(browser, site / f"{name}.html", width, scheme)
        room = visited.page.evaluate("document.documentElement.clientWidth - document.documentElement.scrollWidth")
        assert room >= 0, name
        assert visited.complaints == []
        assert [url for url in visited.requests if not url.startswith(site.as_uri())] == []
        visited.page.close()


def test_search_works_in_a_folder(site: Path, browser: Any) -> None:
    page = visit(browser, site / "index.html").page
    page.locator("input[name=query]").click()
    page.keyboard.type("minimum detectable difference")
    first = page.locator(".md-search-result__item a").first
    first.wait_for(timeout=20_000)
    assert "detectable" in first.inner_text().lower()


DOCUMENTS = sorted((ROOT / "docs").rglob("*.md"))


def shell_commands(document: Path) -> list[str]:
    text = document.read_text()
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
             for line in block.splitlines()]  # fmt: skip
    lines += re.findall(r"^ {4}(benchbird .*)$", text, re.MULTILINE)
    # Behind a variable that is set for this command alone.
    lines = [re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line) for line in lines]
    return [line for line in lines if line.startswith("benchbird ")]


def test_there_are_commands_to_look_at() -> None:
    assert sum(len(shell_commands(document)) for document in DOCUMENTS) >= 50
    assert shell_commands(ROOT / "docs" / "trackers.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT / "docs").as_posix())
def test_commands_in_the_documentation_parse(document: Path) -> None:
    for line in shell_commands(document):
        try:
            parse(line)
        except click.ClickException as error:
            pytest.fail(f"{line}: {error.format_message()}")
