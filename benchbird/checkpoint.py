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

from benchbird.durable import write_durably
from benchbird.errors import ResultsError
from benchbird.training import Epoch, Training, Weights

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1


def save_checkpoint(folder: Path, trial: str, training: Training) -> None:
    """Write the state after the last finished epoch.

    Args:
        folder: the trial's checkpoint folder, which exists.
        trial: identity of the trial; another trial's checkpoint is refused.
        training: what to save.
    """
    generation = len(training.epochs) % 2
    best_file = f"best-{training.best_epoch}.safetensors"
    files = {f"state-{generation}.safetensors": _state_tensors(training)}
    if training.best_epoch == len(training.epochs) or not (folder / best_file).exists():
        files[best_file] = training.best_weights
    hashes = {}
    for name, tensors in files.items():
        content = serialize(tensors)
        hashes[name] = hashlib.sha256(content).hexdigest()
        write_durably(folder / name, content)
    if best_file not in hashes:
        hashes[best_file] = _known_hash(folder, best_file)
    body = {
        "schema": SCHEMA_VERSION,
        "trial": trial,
        "epochs": [asdict(epoch) for epoch in training.epochs],
        "best_epoch": training.best_epoch,
        "optimizer": _optimizer_scalars(training.optimizer),
        "files": hashes,
    }
    write_durably(folder / f"state-{generation}.json", _sealed(body))
    _remove_unused_best(folder)


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
            tensors = {name: _verified_tensors(folder / name, sha) for name, sha in body["files"].items()}
        except ResultsError as error:
            damaged.append(str(error))
            continue
        _restore(training, body, tensors)
        break
    if not damaged:
        return None
    epochs = len(training.epochs)
    return f"{'; '.join(damaged)}; going on after epoch {epochs}" if epochs else "; ".join(damaged)


def serialize(tensors: Weights, metadata: dict[str, str] | None = None) -> bytes:
    """Safetensors bytes of tensors on any device, whatever their layout or sharing."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
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


def _restore(training: Training, body: dict[str, Any], tensors: dict[str, Weights]) -> None:
    best_name = f"best-{body['best_epoch']}.safetensors"
    state = next(weights for name, weights in tensors.items() if name != best_name)
    device = next(training.model.parameters()).device
    model_state = {
        name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")
    }
    training.model.load_state_dict(model_state)
    _restore_optimizer(training.optimizer, body["optimizer"], state)
    training.epochs = [Epoch(**epoch) for epoch in body["epochs"]]
    training.best_epoch = body["best_epoch"]
    training.best_weights = {name: tensor.to(device) for name, tensor in tensors[best_name].items()}


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
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultsError(f"checkpoint {path.name} is damaged ({error})") from error
    return body


def _verified_tensors(path: Path, sha256: str) -> Weights:
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("its SHA-256 doesn't match")
        weights: Weights = load_tensors(content)
    except (OSError, ValueError, SafetensorError) as error:
        raise ResultsError(f"checkpoint {path.name} is damaged ({error})") from error
    return weights


def _known_hash(folder: Path, name: str) -> str:
    """The hash that the other generation recorded for a file this one keeps using."""
    for path in folder.glob("state-*.json"):
        try:
            files = json.loads(json.loads(path.read_bytes())["body"])["files"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if name in files:
            return str(files[name])
    return hashlib.sha256((folder / name).read_bytes()).hexdigest()


def _remove_unused_best(folder: Path) -> None:
    used = set()
    for path in folder.glob("state-*.json"):
        try:
            used |= set(json.loads(json.loads(path.read_bytes())["body"])["files"])
        except (OSError, ValueError, KeyError, TypeError):
            return
    for path in folder.glob("best-*.safetensors"):
        if path.name not in used:
            path.unlink(missing_ok=True)
