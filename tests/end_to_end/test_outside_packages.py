"""Plugins as strangers ship them: built as wheels, installed by pip into an environment of its own, and removed again.

The environment sees the running one's packages, and benchbird with them; the plugins are in nobody's source tree. In
the slow test it sees nothing: there pip gets benchbird's wheel and all that it depends on from an index.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.small_bench import BENCHMARK, Bench, make_bench, outcome

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plugins.md").read_text()
NET = "zilpzalp_net"
"""Of the segmenter that is scaffolded here. Those of the data set and of the report are the guide's own examples."""

DATASET, REPORTER = "side_by_side", "podium"

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "benchbird-{module}"
version = "1.2.3"
dependencies = ["benchbird"]

{entry_points}

[tool.hatch.build.targets.wheel]
only-include = ["benchbird_{module}.py"]
"""

TRIED = ("torch==2.14.1", "torchvision==0.29.1")
"""The versions that the lock holds: a newer torch would try itself, not the wheel."""

CLEAN_ROOM_BYTES = 15_000_000_000

NOTHING_FETCHED = ("--no-index", "--no-deps", "--disable-pip-version-check")


@dataclass(frozen=True)
class OutsideBench(Bench):
    """A bench whose commands are those of another environment.

    Attributes:
        python: the environment's.
        is_clean: whether it has packages of its own only.
    """

    python: Path
    is_clean: bool = False

    def environment(self) -> dict[str, str]:
        variables = super().environment()
        return {name: value for name, value in variables.items() if not (self.is_clean and name.startswith("PYTHON"))}

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "benchbird", *arguments]

    def module(self, *arguments: str, folder: Path | None = None, limit_s: int = 300) -> str:
        """What `python -m …` printed there, which must succeed."""
        done = subprocess.run(
            [str(self.python), "-m", *arguments], cwd=folder or self.folder, env=self.environment(),
            capture_output=True, text=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def install(self, *packages: Path) -> None:
        """Build wheels of source folders, and install those."""
        wheels = self.folder / "wheels"
        self.module("pip", "wheel", *NOTHING_FETCHED, "--no-build-isolation", "-w", str(wheels), *map(str, packages))
        self.module("pip", "install", *NOTHING_FETCHED, *map(str, sorted(wheels.iterdir())))
        assert len(list(wheels.iterdir())) == len(packages)
        shutil.rmtree(wheels)

    def uninstall(self, *distributions: str) -> None:
        self.module("pip", "uninstall", "--yes", "--disable-pip-version-check", *distributions)

    def has_its_own(self, *modules: str) -> bool:
        """Whether modules come from the environment itself, and not from a source tree or another environment."""
        code = "import importlib, sys\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
        done = subprocess.run([str(self.python), "-c", code, *modules], env=self.environment(), cwd=self.folder,
                              capture_output=True, text=True, timeout=120, check=True)  # fmt: skip
        files = done.stdout.splitlines()
        assert len(files) == len(modules)
        return all(Path(file).is_relative_to(self.python.parents[1]) for file in files)

    def listed(self, kind: str) -> dict[str, str]:
        """Name → distribution and version."""
        document = json.loads(self.call("list", kind, "--json").stdout)
        assert document["warnings"] == []
        return {row["name"]: row["from"] for row in document[kind]}


def make_environment(folder: Path) -> Path:
    """A new virtual environment that has pip alone; its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
    return folder / "bin" / "python"


def share_packages(python: Path) -> None:
    """Let an environment see the packages of the running one, below its own."""
    (site_packages,) = python.parents[1].glob("lib/python*/site-packages")
    # An editable install is itself a .pth file, and only those of site folders are read.
    ours = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    lines = [f"import site; site.addsitedir({folder!r})" for folder in ours]
    (site_packages / "shared.pth").write_text("\n".join(lines) + "\n")


@pytest.fixture
def outside(tmp_path: Path) -> OutsideBench:
    python = make_environment(tmp_path / "environment")
    share_packages(python)
    return OutsideBench(make_bench(tmp_path / "bench").folder, python)


def set_benchmark(bench: Bench, *segmenters: str, data: str = "root: birds") -> None:
    chosen = "".join(f"  - {one}\n" for one in segmenters)
    text = BENCHMARK.partition("segmenters:\n")[0] + f"segmenters:\n{chosen}seeds: [0]\n"
    text = text.replace("root: birds", data).replace("epochs: 3", "epochs: 1")
    (bench.folder / "small.yaml").write_text(text)


def example(name: str, folder: Path) -> Path:
    """A package around one of the guide's example modules, with the guide's entry point."""
    (source,) = re.findall(rf'^```python title="benchbird_{name}.py"\n(.*?)^```$', GUIDE, re.MULTILINE | re.DOTALL)
    (entry_points,) = re.findall(rf'^\[project\.entry-points\..*\]\n{name} = "benchbird_{name}"$', GUIDE, re.MULTILINE)
    folder.mkdir()
    (folder / f"benchbird_{name}.py").write_text(source)
    (folder / "pyproject.toml").write_text(PYPROJECT.format(module=name, entry_points=entry_points))
    return folder


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that didn't do it said, for a person."""
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr


def test_a_segmenters_package_is_ranked_like_the_built_in_ones_until_it_is_removed(outside: OutsideBench) -> None:
    made = outside.call("new", "plugin", NET)
    assert made.returncode == 0, made.stderr
    package = outside.folder / "benchbird-zilpzalp-net"
    outside.install(package)
    tests = shutil.copytree(package / "tests", outside.folder / "tests")
    shutil.rmtree(package)  # what is left is what pip installed
    assert outside.listed("segmenters")[NET] == "benchbird-zilpzalp-net 0.1.0"
    assert "8 passed" in outside.module("pytest", "-q", "-p", "no:cacheprovider", ".", folder=tests)

    set_benchmark(outside, NET, "{name: atrous_segnet, options: {base_channels: 4}}", "threshold")
    done = outside.run("--json")
    assert done.returncode == 0, done.stderr
    assert {(one["label"], one["status"]) for one in outcome(done)["trials"]} == {
        (NET, "done"), ("atrous_segnet", "done"), ("threshold", "done")
    }  # fmt: skip
    plugins = {record["segmenter"]["name"]: record["segmenter"]["plugin"]
               for record in (json.loads(path.read_text()) for path in outside.records())}  # fmt: skip
    assert plugins[NET] == "benchbird-zilpzalp-net 0.1.0" and plugins["threshold"].startswith("benchbird ")
    table = outside.call("leaderboard", "small.yaml").stdout
    assert all(re.search(rf"^\| +\d .*\b{label}\b", table, re.MULTILINE) for label in plugins), table

    outside.uninstall("benchbird-zilpzalp-net")
    assert NET not in outside.listed("segmenters") and "threshold" in outside.listed("segmenters")
    assert f"'{NET}'" in refused(outside.run()) and len(outside.records()) == 3
    assert outside.call("leaderboard", "small.yaml").stdout == table


def test_packages_of_a_data_set_and_of_a_report_are_used_until_they_are_removed(
    outside: OutsideBench, tmp_path: Path
) -> None:
    for split, folder in {"Train": "train", "Valid": "val", "Test": "test"}.items():
        (outside.folder / "mine" / folder).mkdir(parents=True)
        for image in (outside.folder / "birds" / split / "Images").iterdir():
            name, _, side = image.stem.partition("_")
            beside = outside.folder / "mine" / folder / f"{name}-{side}.png"
            shutil.copy(image, beside)
            shutil.copy(image.parents[1] / "Masks" / image.name, beside.with_suffix(".mask.png"))
    set_benchmark(outside, "threshold", "otsu", data=f"name: {DATASET}\n  root: mine")
    assert f"'{DATASET}'" in refused(outside.run())

    outside.install(example(DATASET, tmp_path / "data"), example(REPORTER, tmp_path / "report"))
    assert outside.listed("datasets")[DATASET] == f"benchbird-{DATASET} 1.2.3"
    done = outside.run("--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(outside.records()[0].read_text())
    assert (record["data"]["name"], record["data"]["n_train"]) == (DATASET, 13)
    podium = outside.call("leaderboard", "small.yaml", "--format", REPORTER)
    assert re.fullmatch(r"1\. \w+ 0\.\d{3}\n[12]\. \w+ 0\.\d{3}\n", podium.stdout), podium.stdout + podium.stderr
    table = outside.call("leaderboard", "small.yaml").stdout

    outside.uninstall(f"benchbird-{DATASET}", f"benchbird-{REPORTER}")
    assert DATASET not in outside.listed("datasets")
    assert f"'{DATASET}'" in refused(outside.run())
    assert REPORTER in refused(outside.call("leaderboard", "small.yaml", "--format", REPORTER))
    assert table and outside.call("leaderboard", "small.yaml").stdout == table


def test_benchbirds_own_wheel_brings_its_commands_and_its_option_of_pytest(
    outside: OutsideBench, tmp_path: Path
) -> None:
    installed = OutsideBench(outside.folder, outside.python, is_clean=True)
    installed.install(ROOT)
    where = installed.call("list", "plugins", "--json").stdout
    assert "benchbird_floors.threshold" in where
    shown = subprocess.run([str(outside.python.with_name("benchbird")), "--help"], env=installed.environment(),
                           cwd=tmp_path, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert shown.returncode == 0 and "Usage: benchbird" in shown.stdout
    tested = installed.module("pytest", "-q", "-p", "no:cacheprovider", "--benchbird", "threshold")
    assert "8 passed" in tested
    assert installed.has_its_own("benchbird", "benchbird_segnet")


@pytest.mark.slow
def test_wheels_alone_work_in_an_environment_that_has_nothing_else(tmp_path: Path) -> None:
    # Not below tmp_path, which pytest keeps: PyTorch with CUDA is of some gigabytes.
    with tempfile.TemporaryDirectory(prefix="benchbird-clean-") as room:
        if shutil.disk_usage(room).free < CLEAN_ROOM_BYTES:
            pytest.skip(f"needs {CLEAN_ROOM_BYTES / 1e9:.0f} GB of room for a while")
        python = make_environment(Path(room) / "environment")
        clean = OutsideBench(make_bench(tmp_path / "bench").folder, python, is_clean=True)
        reached = subprocess.run(
            [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "-d", room, "pluggy"],
            env=clean.environment(), capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if reached.returncode:
            pytest.skip("pip reaches no index here: there is nothing to install PyTorch from")
        wheels = Path(room) / "wheels"
        clean.module("pip", "wheel", "--no-deps", "--no-cache-dir", "-w", str(wheels), str(ROOT), limit_s=600)
        (wheel,) = wheels.iterdir()
        clean.module("pip", "install", "--no-cache-dir", str(wheel), *TRIED, "pytest", limit_s=3600)
        clean.module("pip", "check")
        made = clean.call("new", "plugin", NET)
        assert made.returncode == 0, made.stderr
        package = clean.folder / "benchbird-zilpzalp-net"
        clean.module("pip", "install", "--no-cache-dir", str(package))
        shutil.rmtree(package)
        assert clean.listed("segmenters")[NET] == "benchbird-zilpzalp-net 0.1.0"
        # By the entry point of pytest's, which only an install brings.
        empty = tmp_path / "empty"
        empty.mkdir()
        assert "8 passed" in clean.module("pytest", "-q", "--benchbird", NET, folder=empty)
        set_benchmark(clean, NET, "{name: atrous_segnet, options: {base_channels: 4}}", "threshold")
        done = clean.run("--json")
        assert done.returncode == 0, done.stderr
        assert [one["status"] for one in outcome(done)["trials"]] == ["done"] * 3
        assert clean.has_its_own("torch", "benchbird", "benchbird_segnet", f"benchbird_{NET}")
    assert not Path(room).exists()


def test_nothing_in_the_package_or_its_plugins_knows_their_names() -> None:
    files = [path for folder in ("benchbird", "plugins") for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert len(files) > 100
    texts = {path: path.read_bytes() for path in [*files, ROOT / "pyproject.toml"] if path.suffix != ".pyc"}
    names = re.compile(rb"\b(?:%b)\b" % b"|".join(name.encode() for name in (NET, DATASET, REPORTER)))
    assert not [path for path, text in texts.items() if names.search(text)]
