"""`benchbird new`: what it writes works as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.config.benchmark import load_benchmark
from benchbird.registry import load_registry
from benchbird.testing import check_segmenter


def new(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["new", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


def test_a_benchmark_is_one_that_a_run_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = new(capsys, "benchmark", "my_birds", "-o", tmp_path / "made")
    path = tmp_path / "made" / "my_birds.yaml"
    assert (code, out) == (0, f"wrote {path}\n") and f"benchbird run {path} --dry-run" in err
    config = load_benchmark(path)
    assert (config.name, config.seeds, config.protocol.epochs) == ("my_birds", (0, 1, 2), 10)
    with pytest.raises(SystemExit) as ended:
        main(
            ["run", str(path), "--dry-run", "--cache", str(tmp_path / "cache"), "--results", str(tmp_path / "results")]
        )
    assert ended.value.code == 0 and "3 segmenters × 3 seeds = 9" in capsys.readouterr().err


def test_a_single_file_is_a_whole_plugin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = new(capsys, "plugin", "my_net", "--file", "-o", tmp_path)
    assert code == 0 and "benchbird plugin check" in err
    registry = load_registry((tmp_path / "my_net.py",))
    assert registry.warnings == ()
    check_segmenter(registry.segmenters["my_net"].spec)


def test_a_package_has_an_entry_point_and_a_test_that_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = new(capsys, "plugin", "my_net", "-o", tmp_path)
    folder = tmp_path / "benchbird-my-net"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert code == 0 and len(out.splitlines()) == 4
    assert names == {"pyproject.toml", "README.md", "benchbird_my_net.py", "tests/test_my_net.py"}
    target = tmp_path / "installed"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--no-build-isolation", "--no-index", "--target", str(target), str(folder)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), *sys.path]), "OMP_NUM_THREADS": "1"}
    shown = subprocess.run([sys.executable, "-m", "benchbird", "list", "segmenters"], env=environment,
                           capture_output=True, text=True, timeout=60)  # fmt: skip
    assert shown.returncode == 0 and "my_net" in shown.stdout and "benchbird-my-net 0.1.0" in shown.stdout, shown.stderr
    tested = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"], cwd=folder,
                            env=environment, capture_output=True, text=True, timeout=120)  # fmt: skip
    assert tested.returncode == 0 and "8 passed" in tested.stdout, tested.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plugin", "My-Net"], "can't be a name here"),
        (["plugin", "../evil"], "can't be a name here"),
        (["benchmark", "birds", "--file"], "--file goes with a plugin"),
        (["segmenter", "birds"], "is not one of"),
    ],
)
def test_what_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, _, err = new(capsys, *arguments, "-o", tmp_path)
    assert code == 2 and said in err and list(tmp_path.iterdir()) == []


def test_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "birds.yaml").write_text("mine")
    code, _, err = new(capsys, "benchmark", "birds", "-o", tmp_path)
    assert code == 2 and "is there already" in err and (tmp_path / "birds.yaml").read_text() == "mine"
