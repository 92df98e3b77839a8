"""Each mistake gets a sentence, an exit code and no traceback; nothing half-written passes for whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
from PIL import Image

from benchbird import speeds
from benchbird.cli import main
from benchbird.execution import server
from tests.small_bench import BENCHMARK, Bench


def write_yaml(old: str, new: str) -> Callable[[Bench], tuple[str, ...]]:
    def change(bench: Bench) -> tuple[str, ...]:
        assert old in BENCHMARK
        (bench.folder / "small.yaml").write_text(BENCHMARK.replace(old, new))
        return ()

    return change


def remove_mask(bench: Bench) -> tuple[str, ...]:
    (bench.folder / "birds/Valid/Masks/Valid00_left.png").unlink()
    return ()


def cut_image(bench: Bench) -> tuple[str, ...]:
    path = bench.folder / "birds/Test/Images/Test00_left.png"
    path.write_bytes(path.read_bytes()[:60])
    return ()


def other_size(bench: Bench) -> tuple[str, ...]:
    Image.new("L", (20, 20)).save(bench.folder / "birds/Test/Masks/Test00_left.png")
    return ()


def leak(bench: Bench) -> tuple[str, ...]:
    for kind in ("Images", "Masks"):
        shutil.copy(bench.folder / f"birds/Train/{kind}/Train00_left.png",
                    bench.folder / f"birds/Test/{kind}/Train00_right.png")  # fmt: skip
    return ()


def bad_plugin(bench: Bench) -> tuple[str, ...]:
    (bench.folder / "mine.py").write_text("import benchbird\nBENCHBIRD_API = 1\nraise RuntimeError('oh no')\n")
    return ("--plugin", "mine.py")


def results_in_a_file(bench: Bench) -> tuple[str, ...]:
    (bench.folder / "occupied").write_text("")
    return ("--results", "occupied/results")


def options(*arguments: str) -> Callable[[Bench], tuple[str, ...]]:
    return lambda _bench: arguments


CASES = {
    "unknown key": (write_yaml("epochs: 3", "epoch: 3"), 1, ["small.yaml:7:3", "epoch", "epochs"]),
    "wrong type": (write_yaml("epochs: 3", "epochs: three"), 1, ["small.yaml:7:11", "protocol.epochs", "three"]),
    "several faults at once": (
        write_yaml("batch_size: 4\n  epochs: 3", "batch_size: 0\n  epochs: -3"),
        1, ["protocol.batch_size", "protocol.epochs"]),
    "unknown segmenter": (write_yaml("- threshold", "- treshold"), 1, ["treshold", "threshold", "small.yaml:11"]),
    "duplicate names": (write_yaml("- threshold", "- atrous_segnet"), 1, ["atrous_segnet", "label"]),
    "duplicate keys": (write_yaml("seeds: [0]", "seeds: [0]\nseeds: [1]"), 1, ["small.yaml:13", "seeds"]),
    "option out of range": (write_yaml("base_channels: 4", "base_channels: 0"), 1, ["base_channels", "at least"]),
    "unknown option": (write_yaml("base_channels: 4", "channels: 4"), 1, ["channels", "base_channels"]),
    "impossible size": (write_yaml("image_size: 16", "image_size: 18"), 1, ["image_size", "4"]),
    "missing folder": (write_yaml("root: birds", "root: brids"), 1, ["brids"]),
    "image without mask": (remove_mask, 1, ["Valid00_left.png", "mask"]),
    "unreadable image": (cut_image, 1, ["Test00_left.png"]),
    "other size": (other_size, 1, ["Test00_left.png", "20"]),
    "recording in two splits": (leak, 1, ["Train00", "allow_leaks"]),
    "plugin that fails": (bad_plugin, 1, ["mine.py", "oh no", "mine.py:3"]),
    "plugin that is not there": (options("--plugin", "gone.py"), 1, ["gone.py"]),
    "read-only results": (results_in_a_file, 1, ["occupied"]),
    "bad --set": (options("--set", "protocol.epochs=x"), 1, ["--set protocol.epochs=x"]),
    "--set without value": (options("--set", "protocol.epochs"), 1, ["protocol.epochs"]),
    "unknown profile": (options("--profile", "gpu"), 1, ["gpu", "full"]),
    "unknown label": (options("--only", "nobody"), 1, ["nobody", "atrous_segnet"]),
    "bad seeds": (options("--seeds", "a,b"), 2, ["a,b"]),
    "unknown option of the command": (options("--resutls", "x"), 2, ["--resutls", "--results"]),
    "device that is not there": (options("--device", "mps"), 2, ["mps", "cpu"]),
    "too few training images": (options("--set", "protocol.batch_size=64"), 1, ["13 images", "batch of 64"]),
}  # fmt: skip


@pytest.fixture
def run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`benchbird run small.yaml` in this process, where no child may be needed: exit code, output, errors."""
    monkeypatch.chdir(bench.folder)
    monkeypatch.setenv("BENCHBIRD_CACHE", str(bench.folder / "cache"))
    monkeypatch.setattr(server, "warm_up", lambda: None)
    monkeypatch.setattr(speeds, "run_in_child", lambda *_args, **_options: pytest.fail("a child was started"))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["run", "small.yaml", "--device", "cpu", *arguments])
        code = ended.value.code
        assert isinstance(code, int)
        return code, *capsys.readouterr()

    return run


FROM_A_SHELL = ("unknown key", "plugin that fails", "unreadable image", "other size", "read-only results")
"""The last three are met after the segmenters' speed was probed, by a child."""


@pytest.mark.parametrize(
    "case", [case for case in CASES if case not in FROM_A_SHELL], ids=lambda case: case.replace(" ", "-")
)
def test_a_mistake_gets_one_clear_answer(bench: Bench, run: Callable[..., tuple[int, str, str]], case: str) -> None:
    prepare, expected, words = CASES[case]
    code, output, told = run(*prepare(bench))
    assert code == expected, told
    assert "Traceback" not in told
    assert output == ""
    for word in words:
        assert word in told
    assert bench.records() == []


@pytest.mark.parametrize("case", FROM_A_SHELL)
def test_a_mistake_gets_one_clear_answer_from_a_shell(bench: Bench, case: str) -> None:
    prepare, code, words = CASES[case]
    done = bench.run(*prepare(bench))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert bench.records() == []


def test_a_mistake_in_the_file_is_told_before_torch_is_imported(bench: Bench) -> None:
    write_yaml("epochs: 3", "epoch: 3")(bench)
    code = """
import sys
from benchbird.cli import main
try:
    main(["run", "small.yaml"])
finally:
    print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=bench.folder, env=bench.environment(), capture_output=True,
                          text=True, check=False, timeout=60)  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "False\n"), done.stderr
    assert "epoch" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("run", "gone.yaml"), "gone.yaml"), (("leaderboard", "gone"), "gone"), (("run", "birds"), "birds")],
)
def test_a_file_that_is_not_there_is_named(bench: Bench, arguments: tuple[str, ...], word: str) -> None:
    done = bench.call(*arguments)
    assert done.returncode == 1
    assert word in done.stderr
    assert "Traceback" not in done.stderr
