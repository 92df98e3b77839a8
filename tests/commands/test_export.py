"""`benchbird export` from a trial's folder to a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbird.cli import main
from tests.finished_bench import trial_folder
from tests.small_bench import Bench

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def export(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and isinstance(ended.value.code, int) and shown.out == ""
    return ended.value.code, shown.err


def test_a_trials_model_is_written(finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    target = tmp_path / "new" / "model.onnx"
    code, err = export(capsys, "--trial", trial_folder(finished.results, "atrous_segnet"), "--to", target)
    assert code == 0 and f"wrote {target} (" in err and "of PyTorch's" in err
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"images": np.zeros((2, 3, 16, 16), dtype=np.float32)})
    assert logits.shape == (2, 1, 16, 16)
    assert session.get_modelmeta().custom_metadata_map["benchmark"] == "small"


def test_mistakes_are_told_in_a_sentence(finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trial = trial_folder(finished.results, "atrous_segnet")
    code, err = export(capsys, "--trial", trial, "--to", tmp_path / "model.pt")
    assert code == 2 and "expected a name that ends in .onnx" in err
    code, err = export(capsys, "--trial", tmp_path, "--to", tmp_path / "model.onnx")
    assert code == 1 and not (tmp_path / "model.onnx").exists()
