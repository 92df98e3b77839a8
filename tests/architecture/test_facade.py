"""The façade holds what it promises, plugins use nothing else, and nothing inside uses it."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchbird

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "benchbird").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(file: Path) -> Iterator[str]:
    """Every module a file imports, at its top or inside a function; `from a import b` is a or module a.b."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            parts = [f"{module}.{name.name}" for name in node.names]
            yield from (part if is_module(part) else module for part in parts)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_all_is_what_the_facade_holds() -> None:
    public = {
        name
        for name, value in vars(benchbird).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert set(benchbird.__all__) == public | {"__version__"}
    assert all(getattr(benchbird, name) is not None for name in benchbird.__all__)


def test_the_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert benchbird.__version__ == version("benchbird")


@pytest.mark.parametrize("file", PACKAGE, ids=name_of)
def test_nothing_inside_imports_the_facade(file: Path) -> None:
    names = list(imported(file))
    assert "benchbird" not in names
    assert not [name for name in names if name.startswith(".")], "relative imports hide what is imported"


@pytest.mark.parametrize("file", PLUGINS, ids=name_of)
def test_a_plugin_imports_nothing_of_benchbird_but_the_facade(file: Path) -> None:
    own = file.relative_to(ROOT / "plugins").parts[0]  # a plugin that is a package may be of several files
    found = [name for name in imported(file) if name.split(".")[0] != own or file.parent.name == "plugins"]
    assert not [name for name in found if name.startswith(("benchbird.", "benchbird_", "."))]


@pytest.mark.parametrize("file", PACKAGE, ids=name_of)
def test_the_core_imports_no_plugin(file: Path) -> None:
    assert not [name for name in imported(file) if name.startswith("benchbird_")]


def test_there_are_plugins_to_look_at() -> None:
    assert PLUGINS and len(PACKAGE) > 20
