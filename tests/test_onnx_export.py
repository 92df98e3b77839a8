"""Models as ONNX: the same logits as PyTorch's in any batch, or a sentence that says what stands in the way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchbird import backend, onnx_export
from benchbird.contract import OptionValue
from benchbird.errors import BenchbirdError
from benchbird.onnx_export import TOLERANCE, export_onnx, onnx_metadata
from benchbird.protocol import Protocol
from benchbird.registry import SEGMENTERS, load_registry
from tests.broken_networks import Good
from tests.record_factory import make_record

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

REGISTRY = load_registry(groups={SEGMENTERS})

NOT_WRITTEN = {
    "otsu": "its operator aten.searchsorted has no counterpart there",
    "morphology": "its forward branches on a value that is known only once it runs",
}

QUICK: dict[str, dict[str, OptionValue]] = {"atrous_segnet": {"base_channels": 4}, "threshold": {}, "noise_gate": {}}
"""Those that are exported in the fast tests, small."""


def build(name: str, options: dict[str, OptionValue]) -> nn.Module:
    spec = REGISTRY.segmenters[name].spec
    torch.manual_seed(1)
    return spec.build(**spec.complete_options(options)).eval()


def run(content: bytes, images: torch.Tensor) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images.numpy()})[0]


@pytest.mark.parametrize("name", QUICK)
def test_a_model_gives_pytorchs_logits_in_any_batch(name: str) -> None:
    model = build(name, QUICK[name])
    content, difference = export_onnx(model, 64, {"who": "me"})
    assert difference <= TOLERANCE
    images = torch.rand(5, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        np.testing.assert_allclose(run(content, images), model(images).numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REGISTRY.segmenters if name not in NOT_WRITTEN])
def test_every_built_in_segmenter_is_written_with_its_defaults(name: str) -> None:
    size = max(64, REGISTRY.segmenters[name].spec.size_multiple)
    assert export_onnx(build(name, {}), size, {})[1] <= TOLERANCE


@pytest.mark.parametrize("name", [name for name in NOT_WRITTEN if name in REGISTRY.segmenters])
def test_one_that_cant_be_written_is_told_why(name: str) -> None:
    with pytest.raises(BenchbirdError, match=NOT_WRITTEN[name]):
        export_onnx(build(name, {}), 64, {})


def test_a_trials_settings_are_there_again_afterwards() -> None:
    # In a test process torch's settings may be anything by now; these are a trial's.
    before = backend.current_flags()
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]
    try:
        ieee = backend.current_flags()
        export_onnx(Good().eval(), 16, {})
        assert backend.current_flags() == ieee
    finally:
        torch.backends.cudnn.conv.fp32_precision = before["cudnn.conv.fp32_precision"]  # type: ignore[attr-defined]
        torch.backends.cudnn.rnn.fp32_precision = before["cudnn.rnn.fp32_precision"]  # type: ignore[attr-defined]


def test_a_file_that_says_otherwise_isnt_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "_difference", lambda *_: 2 * TOLERANCE)
    with pytest.raises(BenchbirdError, match=r"differ from PyTorch's by 0\.0002, more than 0\.0001"):
        export_onnx(Good().eval(), 16, {})


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BenchbirdError, match=r"pip install 'benchbird\[onnx\]'"):
        export_onnx(Good().eval(), 16, {})


def test_the_metadata_say_how_a_picture_is_prepared(tmp_path: Path) -> None:
    import json

    import onnx

    record = make_record(seed=2)
    metadata = onnx_metadata(record, Protocol(image_size=16, logit_threshold=0.5))
    content, _ = export_onnx(Good().eval(), 16, metadata)
    found = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    assert metadata.items() <= found.items()
    preparation = json.loads(found["preparation"])
    assert (preparation["image_size"], preparation["mean"], preparation["logit_threshold"]) == (16, 0.5, 0.5)
    assert found["study"] == record.study and found["seed"] == "2" and str(tmp_path) not in str(found)
