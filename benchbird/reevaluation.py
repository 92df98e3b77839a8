"""A finished trial's weights put to work again: a prepared split predicted in a child process of its own.

Owns the way from a record and its weights file back to a model. What is compared with the answer is for
whoever asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from benchbird import backend
from benchbird.compilation import compiled
from benchbird.contract import SegmenterSpec
from benchbird.data.prepared import load_split
from benchbird.errors import BenchbirdError, ResultsError
from benchbird.evaluation import Prediction, predict_split
from benchbird.execution.local import run_in_child
from benchbird.foreign_weights import describe_weights_fault
from benchbird.models import build_model, load_segmenter
from benchbird.predictions import SplitCounts
from benchbird.protocol import Protocol
from benchbird.reasons import describe_error
from benchbird.records import SegmenterIdentity
from benchbird.results import FoundRecord
from benchbird.training import Weights

_SHOWN_FAULTS = 3


@dataclass(frozen=True, kw_only=True)
class ReevaluationRequest:
    """Everything that predicting a split again needs to know, picklable.

    Attributes:
        weights: file of the trial's selected weights.
        weights_sha256: of that file, as the record states it.
        segmenter: which one, with its options and the hash of its source.
        build_seed: what the trial's weights were first drawn from; a model may draw what no file keeps.
        protocol: the recipe.
        plugin_files: plugins that the user named.
        split: folder of the prepared split.
        device: torch device name.
        threads: for torch on the CPU; None leaves torch's choice.
    """

    weights: Path
    weights_sha256: str
    segmenter: SegmenterIdentity
    build_seed: int
    protocol: Protocol
    plugin_files: tuple[Path, ...]
    split: Path
    device: str
    threads: int | None


def request_again(
    found: FoundRecord,
    protocol: Protocol,
    split: Path,
    *,
    plugin_files: tuple[Path, ...],
    device: str,
    threads: int | None = None,
) -> ReevaluationRequest:
    """The request for a done trial's weights on a prepared split.

    Args:
        found: the trial.
        protocol: its own.
        split: folder of the prepared split, with native masks.
        plugin_files: plugins that the user named.
        device: torch device name.
        threads: None for as many as the trial had, where both compute on the CPU.

    Raises:
        ResultsError: the trial has no weights, or another protocol.
    """
    record = found.record
    weights_file = _usable_weights(found, protocol)
    if threads is None and device == record.environment.device == "cpu":
        threads = record.environment.threads
    return ReevaluationRequest(
        weights=found.path.parent / weights_file,
        weights_sha256=record.files[weights_file],
        segmenter=record.segmenter,
        build_seed=record.initialisation_seed,
        protocol=protocol,
        plugin_files=tuple(path.resolve() for path in plugin_files),
        split=split,
        device=device,
        threads=threads,
    )


def _usable_weights(found: FoundRecord, protocol: Protocol) -> str:
    record, folder = found.record, found.path.parent
    if record.weights_file is None:
        raise ResultsError(f"{folder}: the trial left no weights (status {record.status}), so it can't predict again")
    if record.protocol.get("digest") != protocol.digest:
        raise ResultsError(
            f"{folder}: trained under protocol {record.protocol.get('digest')}, asked for {protocol.digest}; "
            "only the same protocol gives the same predictions"
        )
    return record.weights_file


def reevaluate_trial(request: ReevaluationRequest) -> Prediction:
    """Predict the request's split in a child process.

    Raises:
        ResultsError: the weights or the plugin are not those of the record, or predicting failed; names the trial.
    """
    answers: list[Mapping[str, Any]] = []
    ending = run_in_child(reevaluate, request, log=None, on_event=answers.append)
    for answer in answers:
        if answer["event"] == "predicted":
            return Prediction(
                counts=SplitCounts(protocol=answer["counts"], native=answer["native_counts"]),
                histogram=answer["histogram"],
                predicted=answer["predicted"],
                reference=answer["reference"],
            )
    reasons = [str(answer["reason"]) for answer in answers if answer["event"] == "failed"]
    reason = reasons[0] if reasons else f"its process ended with exit code {ending.exit_code} and left no answer"
    raise ResultsError(f"{request.weights.parent}: could not predict again: {reason}")


def reevaluate(request: ReevaluationRequest, report: Callable[[Mapping[str, Any]], None]) -> None:
    """In the child: build, load the weights, predict, and report the arrays or why there are none."""
    try:
        prediction = _predict(request)
    except (Exception, SystemExit) as error:
        reason = str(error) if isinstance(error, BenchbirdError) else describe_error(error)
        report({"event": "failed", "reason": reason})
        return
    report(
        {
            "event": "predicted",
            "counts": prediction.counts.protocol,
            "native_counts": prediction.counts.native,
            "histogram": prediction.histogram,
            "predicted": prediction.predicted,
            "reference": prediction.reference,
        }
    )


def _predict(request: ReevaluationRequest) -> Prediction:
    protocol, device = request.protocol, torch.device(request.device)
    flags = backend.apply_protocol(protocol, request.threads)
    spec = load_segmenter(
        request.segmenter,
        request.plugin_files,
        otherwise=f"has another SHA-256 than the source that was trained, {request.segmenter.source_sha256[:12]}…; "
        "install that version, or name that file by --plugin",
    )
    model = _restored(request, spec).to(device)
    if protocol.channels_last and spec.calibrate is None:  # as `start_training` lays it out
        model.to(memory_format=torch.channels_last)
    backend.check_flags(flags)
    prediction = predict_split(compiled(model, protocol), load_split(request.split), protocol, device)
    backend.check_flags(flags)
    return prediction


def _restored(request: ReevaluationRequest, spec: SegmenterSpec) -> nn.Module:
    """The trial's model on the CPU with its selected weights."""
    weights = read_weights(request.weights, request.weights_sha256)
    model = build_model(spec, request.segmenter, request.build_seed)
    if faults := misfits(model.state_dict(), weights):
        more = f" and {len(faults) - _SHOWN_FAULTS} more" if len(faults) > _SHOWN_FAULTS else ""
        raise ResultsError(
            f"{request.weights.name}: doesn't fit the model that {request.segmenter.name} builds here: "
            f"{'; '.join(faults[:_SHOWN_FAULTS])}{more}; another version of a library may build another model"
        )
    model.load_state_dict(weights)
    return model


def read_weights(path: Path, sha256: str) -> Weights:
    """The tensors of a weights file, after its bytes were compared with their SHA-256.

    Raises:
        ResultsError: missing, altered, or no safetensors file.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise ResultsError(f"{path.name}: not there, so the trial can't predict again")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ResultsError(f"{path.name}: its SHA-256 isn't the one that the record states")
        weights: Weights = load_tensors(content)
    except OSError as error:
        raise ResultsError(f"{path.name}: could not be read: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise ResultsError(f"{path.name}: {describe_weights_fault(content[:4], error)}") from error
    return weights


def misfits(expected: Mapping[str, torch.Tensor], weights: Weights) -> list[str]:
    """Every tensor that a model wants otherwise than the weights have it, `name: what` each."""
    faults = [f"{name}: missing" for name in expected if name not in weights]
    faults += [f"{name}: the model has no such tensor" for name in weights if name not in expected]
    for name, tensor in weights.items():
        if name in expected:
            found, wanted = (_kind(one) for one in (tensor, expected[name]))
            if found != wanted:
                faults.append(f"{name}: found {found}, expected {wanted}")
    return faults


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
