"""Saving and taking up a training: bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load as load_tensors
from torch import nn

from benchbird import checkpoint
from benchbird.checkpoint import load_checkpoint, save_checkpoint, serialize
from benchbird.durable import write_durably
from tests.checkpoint_factory import (
    EPOCHS,
    TRIAL,
    Net,
    assert_same_state,
    begin,
    curve,
    go_on,
    layout,
    make_protocol,
    same,
    saved,
)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_what_is_loaded_is_what_was_saved(name: str, channels_last: bool, tmp_path: Path) -> None:
    protocol = make_protocol(name, channels_last)
    before = saved(tmp_path, 2, protocol)
    after = begin(protocol)
    assert load_checkpoint(tmp_path, TRIAL, after) is None
    assert_same_state(before, after)
    assert after.epochs == before.epochs
    layouts = [[layout(p) for p in training.model.parameters()] for training in (before, after)]
    assert layouts[0] == layouts[1]
    assert isinstance(after.model, Net)
    assert after.model.shared.weight is after.model.again.weight


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_resuming_after_any_epoch_equals_going_on(name: str, channels_last: bool, tmp_path: Path) -> None:
    protocol = make_protocol(name, channels_last)
    whole = begin(protocol)
    go_on(whole, protocol, None)
    for stop in range(1, EPOCHS + 1):
        folder = tmp_path / str(stop)
        saved(folder, stop, protocol)
        resumed = begin(protocol)
        assert load_checkpoint(folder, TRIAL, resumed) is None
        assert len(resumed.epochs) == stop
        go_on(resumed, protocol, folder)
        assert_same_state(whole, resumed)
        assert curve(whole) == curve(resumed)


def test_a_state_far_from_its_beginning_comes_back(tmp_path: Path) -> None:
    """Many generations, the best of them early, the numbers odd."""
    training = saved(tmp_path, 2)
    assert isinstance(training.model, Net)
    with torch.no_grad():
        training.model.head.weight[0, 0] = float("nan")
        training.model.head.weight[0, 1] = -0.0
        training.model.head.weight[0, 2] = 1e-42
    first = training.epochs[0]
    for number in range(3, 40):
        training.epochs.append(type(first)(**{**first.__dict__, "epoch": number, "train_loss": 0.1 * number}))
        save_checkpoint(tmp_path, TRIAL, training)
    after = begin(make_protocol())
    assert load_checkpoint(tmp_path, TRIAL, after) is None
    assert_same_state(training, after)
    assert after.epochs == training.epochs
    assert len(list(tmp_path.iterdir())) == 6  # two generations of seal, state and best weights


def test_an_empty_folder_is_a_beginning(tmp_path: Path) -> None:
    training = begin(make_protocol())
    assert load_checkpoint(tmp_path, TRIAL, training) is None
    assert load_checkpoint(tmp_path / "none", TRIAL, training) is None
    assert training.epochs == []


def test_best_weights_are_written_once_for_each_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = saved(tmp_path, 1)
    written: list[str] = []
    write = write_durably

    def record(path: Path, content: bytes) -> None:
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(checkpoint, "write_durably", record)
    first = training.epochs[0]
    for number in range(2, 8):
        training.epochs.append(type(first)(**{**first.__dict__, "epoch": number}))
        save_checkpoint(tmp_path, TRIAL, training)
    assert [name for name in written if name.startswith("best")] == ["best-0-1.safetensors"]


def test_serialize_takes_tensors_as_they_come() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(1, 4, 2, 3)
    tensors = {
        "channels last": base.contiguous(memory_format=torch.channels_last),
        "transposed": base.transpose(1, 3),
        "shared": base,
        "a view": base[:, 1:3, :, ::2],
        "nothing": torch.empty(0),
        "nothing too": torch.empty(3, 0),
        "a scalar": torch.tensor(7, dtype=torch.int64),
        "half": base.to(torch.bfloat16),
        "expanded": torch.ones(1).expand(3),
        "needs a gradient": nn.Parameter(torch.ones(2)),
    }
    loaded = load_tensors(serialize(tensors))
    assert loaded.keys() == tensors.keys()
    assert all(same(loaded[name], tensor.detach()) for name, tensor in tensors.items())
