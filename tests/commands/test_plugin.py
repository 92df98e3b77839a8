"""`benchbird plugin check`: from a file or a name to what is broken, and what to change."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.scaffolds import plugin_file

GOOD = plugin_file("my_net")["my_net.py"]
HAS_ONNX = importlib.util.find_spec("onnxruntime") is not None
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="needs the extra onnx")
LAST = "return self.layers(images)"


def check(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["plugin", "check", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err and isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


def write(folder: Path, text: str) -> Path:
    assert LAST in GOOD
    path = folder / "my_net.py"
    path.write_text(text)
    return path


def test_a_good_file_keeps_every_point_and_its_cost_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(capsys, write(tmp_path, GOOD), "--option", "channels=4", "--size", "32", "--json", "--no-onnx")
    (found,) = json.loads(out)["segmenters"]
    assert code == 0 and found["kept"] and len(found["points"]) == 8
    # Three 3×3 convolutions with bias and BatchNorm, one 1×1.
    expected = (3 * 4 * 9 + 4 + 8) + 2 * (4 * 4 * 9 + 4 + 8) + (4 + 1)
    assert found["cost"]["parameters"] == expected
    assert found["cost"]["gflop"] == pytest.approx(2 * 32 * 32 * (3 * 4 * 9 + 2 * 4 * 4 * 9 + 4) / 1e9)
    assert found["cost"]["train_step_ms"] > 0 and found["onnx"] is None


def test_a_broken_one_is_told_with_what_to_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(capsys, write(tmp_path, GOOD.replace(LAST, f"{LAST}.sigmoid()")))
    assert code == 1
    assert "broken  trains on a batch of two" in out and "return raw logits, without sigmoid" in out
    assert out.splitlines()[-1] == "my_net: 1 of 8 points broken"


def test_points_behind_a_broken_one_are_told_as_not_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, GOOD.replace(LAST, 'return {"out": self.layers(images), "aux": images}'))
    code, out, _ = check(capsys, file)
    assert (
        code == 1 and "the model returned dict with the keys out, aux; it must return the logits' tensor alone" in out
    )
    assert out.count("not looked at, since a point before it is broken") == 3
    assert out.splitlines()[-1] == "my_net: 1 of 8 points broken"
    (found,) = json.loads(check(capsys, file, "--json")[1])["segmenters"]
    assert len(found["points"]) == 5 and len(found["not_looked_at"]) == 3


def test_the_size_that_is_told_is_the_one_that_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, GOOD.replace("size_multiple=1", "size_multiple=16"))
    code, out, _ = check(capsys, file, "--size", "20", "--no-onnx")
    assert code == 0 and "At 32×32 (20 isn't a size that it takes) on this processor, at best: " in out


def test_one_that_takes_its_process_down_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(capsys, write(tmp_path, GOOD.replace(LAST, "import os; os.kill(os.getpid(), 9)")))
    assert code == 1 and "its process was killed by SIGKILL" in out
    assert "ok      builds from the seed alone" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nos._exit(3)\n", "its process ended with exit code 3"),
        ("x = 1\n", "found no BENCHBIRD_API, expected BENCHBIRD_API = 1"),
        ("import nonsense\n", "No module named 'nonsense'"),
    ],
)
def test_a_file_that_is_no_plugin_is_one_sentence(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = check(capsys, write(tmp_path, text))
    assert code == 1 and out == "" and said in err


def test_an_installed_one_is_checked_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(capsys, "threshold")
    assert code == 0 and "calibrates, and repeats that" in out and "threshold: keeps the contract" in out
    code, _, err = check(capsys, "treshold")
    assert code == 1 and "no segmenter 'treshold' is installed, nor is it a file; there are" in err


@pytest.mark.parametrize(
    ("option", "said"), [("channels=0", "found 0, expected at least 1"), ("x=1", "option x is not")]
)
def test_options_that_are_wrong_are_told(
    option: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = check(capsys, write(tmp_path, GOOD), "--option", option)
    assert code == 1 and said in out


def test_options_for_several_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offer = GOOD.split("    return [\n")[1].replace("my_net", "other")
    both = write(tmp_path, f"{GOOD.rstrip()} + [\n{offer}")
    code, _, err = check(capsys, both, "--option", "channels=4")
    assert code == 1 and "offers 2 segmenters" in err
    code, out, _ = check(capsys, both, "--size", "16")
    assert code == 0 and "other: keeps the contract" in out and "my_net: keeps the contract" in out


@needs_onnx
def test_an_export_as_onnx_is_told_and_breaks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, GOOD)
    code, out, _ = check(capsys, good, "--size", "16")
    assert code == 0 and "ONNX: can be exported, within " in out.splitlines()[-1]
    code, out, _ = check(capsys, good, "--size", "16", "--json")
    (found,) = json.loads(out)["segmenters"]
    assert code == 0 and 0 <= found["onnx"]["difference"] < 1e-4 and found["onnx"]["reason"] is None
    code, out, _ = check(capsys, "otsu", "--size", "16")
    assert code == 0 and "otsu: keeps the contract" in out
    assert "ONNX: this segmenter can't be written as ONNX: its operator aten.searchsorted" in out.splitlines()[-1]


@needs_onnx
def test_an_exporter_that_takes_its_process_down_breaks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fatal = f"import os; torch.compiler.is_exporting() and os.kill(os.getpid(), 9)\n        {LAST}"
    code, out, _ = check(capsys, write(tmp_path, GOOD.replace(LAST, fatal)), "--size", "16")
    assert code == 0 and "my_net: keeps the contract" in out
    assert out.splitlines()[-1] == "ONNX: the export's process was killed by SIGKILL"


def test_without_the_extra_the_way_to_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = "import sys\nsys.modules['onnx'] = None\n"
    source = GOOD.replace("import torch\n", f"{missing}import torch\n", 1)
    code, out, _ = check(capsys, write(tmp_path, source), "--size", "16")
    assert code == 0 and "pip install 'benchbird[onnx]'" in out.splitlines()[-1]
