"""From a finished trial back to its model: the record's own protocol, its plugin's source, its selected weights.

Owns the checks on the way, for files may come from anyone. What the model is put to is for the modules above.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from benchbird import backend
from benchbird.compilation import compiled
from benchbird.contract import SegmenterSpec
from benchbird.errors import ResultsError
from benchbird.foreign_weights import describe_weights_fault
from benchbird.models import build_model, load_segmenter
from benchbird.protocol import Protocol
from benchbird.records import SegmenterIdentity
from benchbird.results import RECORD_FILE, FoundRecord, read_record
from benchbird.training import Weights

_SHOWN_FAULTS = 3


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """Everything that building a trial's model again needs to know, picklable.

    Attributes:
        weights: file of the trial's selected weights.
        weights_sha256: of that file, as the record states it.
        segmenter: which one, with its options and the hash of its source.
        build_seed: what the trial's weights were first drawn from; a model may draw what no file keeps.
        protocol: the recipe.
        plugin_files: plugins that the user named.
        device: torch device name.
        threads: for torch on the CPU; None leaves torch's choice.
    """

    weights: Path
    weights_sha256: str
    segmenter: SegmenterIdentity
    build_seed: int
    protocol: Protocol
    plugin_files: tuple[Path, ...]
    device: str
    threads: int | None


def request_model(
    found: FoundRecord,
    protocol: Protocol,
    *,
    plugin_files: tuple[Path, ...],
    device: str,
    threads: int | None = None,
) -> ModelRequest:
    """The request for a done trial's model.

    Args:
        found: the trial.
        protocol: its own.
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
    return ModelRequest(
        weights=found.path.parent / weights_file,
        weights_sha256=record.files[weights_file],
        segmenter=record.segmenter,
        build_seed=record.initialisation_seed,
        protocol=protocol,
        plugin_files=tuple(path.resolve() for path in plugin_files),
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


def own_protocol(found: FoundRecord) -> Protocol:
    """The protocol that a trial was trained under, from its record alone.

    Raises:
        ResultsError: it holds what this version of benchbird doesn't know.
    """
    from pydantic import TypeAdapter, ValidationError

    stated = found.record.protocol
    names = {field.name for field in dataclasses.fields(Protocol)}
    try:
        protocol = TypeAdapter(Protocol).validate_python({key: value for key, value in stated.items() if key in names})
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ResultsError(f"{found.path}: protocol.{key}: {error.errors()[0]['msg']}") from error
    if protocol.digest != stated.get("digest"):
        raise ResultsError(
            f"{found.path}: trained under protocol {stated.get('digest')}, whose rules this version of benchbird "
            f"doesn't have (here the same settings are {protocol.digest}); use the version that trained it"
        )
    return protocol


def find_trial(folder: Path) -> FoundRecord:
    """The trial of a folder, for example `results/birdsound/<study>/<segmenter>/seed-0`.

    Raises:
        ResultsError: there is no record in it, or none that can be read.
    """
    path = folder / RECORD_FILE if folder.is_dir() else folder
    if path.name != RECORD_FILE or not path.exists():
        raise ResultsError(
            f"{folder}: holds no {RECORD_FILE}; give the folder of one ended trial, "
            "such as results/birdsound/<study>/<segmenter>/seed-0 (`benchbird status results` lists them)"
        )
    return FoundRecord(path=path, record=read_record(path))


@dataclass(frozen=True, eq=False, kw_only=True)
class RestoredModel:
    """A trial's model with its selected weights, on its device, as its protocol runs it.

    Attributes:
        network: the model.
        device: where it is.
        flags: of torch, as the protocol sets them for this process (`backend.check_flags`).
    """

    network: nn.Module
    device: torch.device
    flags: dict[str, object]


def restore_model(request: ModelRequest) -> RestoredModel:
    """Set this process to the protocol, build the model and put the weights in.

    Raises:
        ResultsError: the weights are not those of the record, or don't fit the model.
        PluginError: the segmenter's source is gone or another one.
        ProtocolViolation: a plugin moved torch's settings.
    """
    protocol, device = request.protocol, torch.device(request.device)
    flags = backend.apply_protocol(protocol, request.threads)
    spec = load_segmenter(
        request.segmenter,
        request.plugin_files,
        otherwise=f"has another SHA-256 than the source that was trained, {request.segmenter.source_sha256[:12]}…; "
        "install that version, or name that file by --plugin",
    )
    model = _with_weights(request, spec).to(device)
    if protocol.channels_last and spec.calibrate is None:  # as `start_training` lays it out
        model.to(memory_format=torch.channels_last)
    backend.check_flags(flags)
    return RestoredModel(network=compiled(model, protocol), device=device, flags=flags)


def _with_weights(request: ModelRequest, spec: SegmenterSpec) -> nn.Module:
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
