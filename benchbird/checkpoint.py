"""The resumable state of a training: two generations on disk, each verified by its SHA-256.

A save never touches the generation before it, so a crash at any moment leaves one that loads. Tensors
are safetensors, the rest is JSON; nothing here can run code.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from benchbird.durable import file_sha256, write_durably
from benchbird.errors import ResultsError
from benchbird.training import Epoch, Training, Weights

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2


def save_checkpoint(folder: Path, trial: str, training: Training) -> None:
    """Write the state after the last finished epoch.

    Args:
        folder: the trial's checkpoint folder, which exists.
        trial: identity of the trial; another trial's checkpoint is refused.
        training: what to save.

    Raises:
        ResultsError: the disk refused; the generation before is untouched.
    """
    generation = len(training.epochs) % 2
    seal = folder / f"state-{generation}.json"
    state_file, best_file = _file_names(generation, training.best_epoch)
    hashes = _kept_best(seal, trial, best_file, training)
    files = {state_file: _state_tensors(training)}
    if best_file not in hashes:
        files[best_file] = training.best_weights
    for name, tensors in files.items():
        content = serialize(tensors)
        hashes[name] = hashlib.sha256(content).hexdigest()
        write_durably(folder / name, content)
    body = {
        "schema": SCHEMA_VERSION,
        "trial": trial,
        "generation": generation,
        "epochs": [asdict(epoch) for epoch in training.epochs],
        "best_epoch": training.best_epoch,
        "optimizer": _optimizer_scalars(training.optimizer),
        "files": hashes,
    }
    write_durably(seal, _sealed(body))
    for path in folder.glob(f"best-{generation}-*.safetensors"):
        if path.name != best_file:
            path.unlink(missing_ok=True)


def load_checkpoint(folder: Path, trial: str, training: Training) -> str | None:
    """Put the newest sound generation into `training`, which must be freshly started.

    Returns:
        None, or a sentence about generations that were damaged and passed over. Where none is sound,
        `training` stays at its beginning.
    """
    damaged: list[str] = []
    candidates = []
    for path in sorted(folder.glob("state-*.json")):
        try:
            candidates.append(_open_seal(path, trial))
        except ResultsError as error:
            damaged.append(str(error))
    for body in sorted(candidates, key=lambda one: -len(one["epochs"])):
        try:
            _restore(training, body, folder)
            break
        except ResultsError as error:
            damaged.append(str(error))
    if not damaged:
        return None
    epochs = len(training.epochs)
    return "; ".join([*damaged, f"going on after epoch {epochs}" if epochs else "starting from the beginning"])


def serialize(tensors: Weights, metadata: dict[str, str] | None = None) -> bytes:
    """Safetensors bytes of tensors on any device, whatever their layout or sharing."""
    # A copy of each: safetensors refuses two names for one memory, which tied weights have.
    plain = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content: bytes = save_tensors(plain, metadata)
    return content


def _state_tensors(training: Training) -> Weights:
    tensors = {f"model.{name}": tensor for name, tensor in training.model.state_dict().items()}
    for index, state in training.optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    return tensors


def _optimizer_scalars(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What of the optimiser's state isn't a tensor, by parameter index."""
    states = optimizer.state_dict()["state"]
    return {
        str(index): {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
        for index, state in states.items()
    }


def _file_names(generation: int, best_epoch: int) -> tuple[str, str]:
    """Files of a generation's state and best weights; no generation relies on a file of the other."""
    return f"state-{generation}.safetensors", f"best-{generation}-{best_epoch}.safetensors"


def _kept_best(seal: Path, trial: str, best_file: str, training: Training) -> dict[str, str]:
    """The best weights that this generation holds already, with their hash: those of this very training."""
    try:
        body = _open_seal(seal, trial)
    except ResultsError:
        return {}
    epochs = body["epochs"]
    if epochs != [asdict(epoch) for epoch in training.epochs[: len(epochs)]]:
        return {}
    return {name: sha256 for name, sha256 in body["files"].items() if name == best_file}


def _restore(training: Training, body: dict[str, Any], folder: Path) -> None:
    """Take a generation up whole.

    Raises:
        ResultsError: a file is damaged or doesn't fit the model; nothing was changed.
    """
    state_file, best_file = _file_names(body["generation"], body["best_epoch"])
    state = _verified_tensors(folder / state_file, body["files"][state_file])
    best = _verified_tensors(folder / best_file, body["files"][best_file])
    model = {name.removeprefix("model."): state[name] for name in state if name.startswith("model.")}
    for name, weights in ((state_file, model), (best_file, best)):
        if _shapes(weights) != _shapes(training.model.state_dict()):
            raise ResultsError(
                f"checkpoint {name} doesn't fit the model, which another version of a library may have built"
            )
    training.model.load_state_dict(model)
    _restore_optimizer(training.optimizer, body["optimizer"], state)
    training.epochs = [Epoch(**epoch) for epoch in body["epochs"]]
    training.best_epoch = body["best_epoch"]
    device = next(training.model.parameters()).device
    training.best_weights = {name: tensor.to(device) for name, tensor in best.items()}


def _shapes(weights: Weights) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in weights.items()}


def _restore_optimizer(optimizer: torch.optim.Optimizer, scalars: dict[str, Any], tensors: Weights) -> None:
    states: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in scalars.items()}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            states.setdefault(int(index), {})[key] = tensor
    whole = optimizer.state_dict()
    whole["state"] = states
    optimizer.load_state_dict(whole)
    # A moment must have its parameter's memory layout again, or steps after a resume run another kernel.
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape and value.dim():
                state[key] = torch.empty_like(parameter).copy_(value)


def _sealed(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, allow_nan=False)
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "body": text}).encode()


def _open_seal(path: Path, trial: str) -> dict[str, Any]:
    try:
        seal = json.loads(path.read_bytes())
        text = seal["body"]
        if hashlib.sha256(text.encode()).hexdigest() != seal["sha256"]:
            raise ValueError("its SHA-256 doesn't match")
        body: dict[str, Any] = json.loads(text)
        if body["schema"] != SCHEMA_VERSION:
            raise ValueError(f"schema {body['schema']}, expected {SCHEMA_VERSION}")
        if body["trial"] != trial:
            raise ValueError("it belongs to another trial")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ResultsError(f"checkpoint {path.name} is damaged ({error})") from error
    return body


def _verified_tensors(path: Path, sha256: str) -> Weights:
    try:
        if file_sha256(path) != sha256:  # before it is in memory: a damaged file can be of any size
            raise ValueError("its SHA-256 doesn't match")
        weights: Weights = load_tensors(path.read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise ResultsError(f"checkpoint {path.name} is damaged ({error})") from error
    return weights
