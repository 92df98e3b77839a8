"""A trained model as an ONNX file, checked against PyTorch, with what to do to a picture before in its metadata.

Owns the file's names and metadata. The batch may be of any size; height and width are the protocol's.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from benchbird.data.resize import rule_name
from benchbird.errors import BenchbirdError
from benchbird.protocol import NORMALIZATION, Protocol
from benchbird.records import TrialRecord

INPUT, OUTPUT = "images", "logits"

TOLERANCE = 1e-4
"""How far a logit may be from PyTorch's, relative to the largest where that is above 1."""

CHECKED_BATCHES = (1, 3)
"""Sizes of the batches that are compared: another than the one it was exported with among them."""

_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")


def export_onnx(model: nn.Module, image_size: int, metadata: Mapping[str, str]) -> tuple[bytes, float]:
    """A model as an ONNX file, and how far its logits are from PyTorch's.

    Args:
        model: on the CPU, a segmenter's.
        image_size: side of the pictures that it takes.
        metadata: of the file.

    Returns:
        The file; the greatest difference of a logit on random pictures, relative to the largest logit where that is
        above 1.

    Raises:
        BenchbirdError: onnx isn't installed, an operator has no counterpart, or logits differ by more than `TOLERANCE`.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter asks for it late, and says less
    except ImportError as error:
        raise BenchbirdError(
            f"ONNX isn't installed ({error.name} is missing): pip install 'benchbird[onnx]'"
        ) from error
    model.eval()
    with _quiet(), _one_way_to_ask_for_tf32():
        try:
            program = torch.onnx.export(
                model, (_pictures(2, image_size),), dynamo=True, verbose=False, input_names=[INPUT],
                output_names=[OUTPUT], dynamic_shapes=({0: "batch"},),
            )  # fmt: skip
        except Exception as error:
            raise BenchbirdError(f"this segmenter can't be written as ONNX: {_reason(error)}") from error
        assert program is not None
        document = program.model_proto
    for key, value in metadata.items():
        entry = document.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(document)
    content: bytes = document.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    difference = max(_difference(model, session, _pictures(number, image_size)) for number in CHECKED_BATCHES)
    if not difference <= TOLERANCE:
        raise BenchbirdError(
            f"the ONNX file's logits differ from PyTorch's by {difference:.2g}, more than {TOLERANCE:g}; it wasn't kept"
        )
    return content, difference


def onnx_metadata(record: TrialRecord, protocol: Protocol) -> dict[str, str]:
    """What whoever runs the file must know: how a picture is prepared, and which trial the model comes from."""
    from importlib.metadata import version

    size = protocol.image_size
    preparation = {
        "rendering": protocol.rendering,
        "spectrum": protocol.spectrum,
        "image_size": size,
        "resize": rule_name(protocol.resize),
        "channels": "RGB; a grey picture three times",
        "input": f"float32 (N, 3, {size}, {size}): (pixel / 255 - mean) / std",
        **NORMALIZATION,
        "output": f"float32 (N, 1, {size}, {size}): logits; bird where greater than logit_threshold",
        "logit_threshold": protocol.logit_threshold,
    }
    return {
        "benchbird": version("benchbird"),
        "preparation": json.dumps(preparation),
        "segmenter": json.dumps({"label": record.segmenter.label, "name": record.segmenter.name,
                                 "options": dict(record.segmenter.options), "plugin": record.segmenter.plugin,
                                 "source_sha256": record.segmenter.source_sha256}),
        "seed": str(record.seed),
        "benchmark": record.benchmark,
        "study": record.study,
        "protocol": json.dumps(dict(record.protocol)),
        "weights_sha256": record.files.get(record.weights_file or "", ""),
    }  # fmt: skip


def _pictures(number: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.rand(number, 3, size, size, generator=generator) * 2 - 1


def _difference(model: nn.Module, session: Any, images: torch.Tensor) -> float:
    with torch.no_grad():
        expected = model(images).numpy()
    (found,) = session.run([OUTPUT], {INPUT: images.numpy()})
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))


def _reason(error: Exception) -> str:
    """What torch's exporter says, in a sentence."""
    text = str(error)
    if missing := _MISSING.search(text):
        return f"its operator {missing[1]} has no counterpart there"
    if "GuardOnDataDependent" in text or "data-dependent" in text:
        return "its forward branches on a value that is known only once it runs"
    summary = text.partition("## Exception summary")[2].strip() or text
    line = next((line.strip() for line in summary.splitlines() if line.strip()), type(error).__name__)
    return re.sub(r"<class '[\w.]*?(\w+)'>", r"\1", line)[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells its steps on stdout and warns of its own workings."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _one_way_to_ask_for_tf32() -> Iterator[None]:
    """The exporter reads a setting in torch's old way, which refuses to answer once it was made in the new one."""
    kinds: tuple[Any, ...] = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined]
    before = [kind.fp32_precision for kind in kinds]
    torch.backends.cudnn.allow_tf32 = False  # nothing here computes on CUDA
    try:
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision
