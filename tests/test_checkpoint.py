"""Saving and taking up a training: bit for bit, or said to be damaged; never in silence something else."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as load_tensors
from torch import nn

from benchbird import checkpoint
from benchbird.batches import ResidentSplit
from benchbird.checkpoint import load_checkpoint, save_checkpoint, serialize
from benchbird.durable import write_durably
from benchbird.errors import ResultsError
from benchbird.protocol import OptimizerSettings, Protocol
from benchbird.seeding import seed_everything
from benchbird.training import Training, Weights, start_training, train
from tests.split_factory import memory_split

CPU = torch.device("cpu")
TRIAL = "study/net/hash/{}/0"
EPOCHS = 4


class Net(nn.Module):
    """Convolutions with BatchNorm and dropout, one frozen, two that share their weights, some oddities."""

    empty: torch.Tensor
    one_bit: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.frozen = nn.Conv2d(6, 6, 1).requires_grad_(False)
        self.shared = nn.Conv2d(6, 6, 3, padding=1)
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        self.again.weight = self.shared.weight
        self.unused = nn.Parameter(torch.ones(2, 2))
        self.gain = nn.Parameter(torch.ones(()))
        self.register_buffer("empty", torch.empty(0))
        self.register_buffer("one_bit", torch.tensor(True))
        self.drop = nn.Dropout2d(0.3)
        self.head = nn.Conv2d(6, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        hidden = self.frozen(self.first(images))
        hidden = self.drop(torch.relu(self.shared(hidden)))
        logits: torch.Tensor = self.gain * self.head(torch.relu(self.again(hidden)))
        return logits


def make_protocol(name: str = "adam", channels_last: bool = False) -> Protocol:
    settings = OptimizerSettings(name=name, lr=1e-2, weight_decay=1e-3)  # type: ignore[arg-type]
    return Protocol(image_size=16, batch_size=4, epochs=EPOCHS, optimizer=settings, channels_last=channels_last)


def begin(protocol: Protocol) -> Training:
    seed_everything(3)
    return start_training(Net(), protocol)


class Stopped(Exception):
    pass


def go_on(training: Training, protocol: Protocol, folder: Path | None, stop_after: int | None = None) -> None:
    def after_epoch(state: Training) -> None:
        if folder is not None:
            save_checkpoint(folder, TRIAL, state)
        if len(state.epochs) == stop_after:
            raise Stopped

    train_split = ResidentSplit(memory_split("train", 10), protocol, CPU)
    val_split = ResidentSplit(memory_split("val", 5), protocol, CPU)
    try:
        train(training, train_split, val_split, protocol, seed=5, after_epoch=after_epoch)
    except Stopped:
        return


def saved(folder: Path, epochs: int, protocol: Protocol | None = None) -> Training:
    """A training stopped after so many epochs, with its checkpoint in `folder`."""
    protocol = protocol or make_protocol()
    folder.mkdir(exist_ok=True)
    training = begin(protocol)
    go_on(training, protocol, folder, stop_after=epochs)
    return training


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.device == other.device
        and one.contiguous().flatten().view(torch.uint8).equal(other.contiguous().flatten().view(torch.uint8))
    )


def layout(tensor: torch.Tensor) -> list[int]:
    """The strides that matter: those of sides longer than one."""
    return [stride for stride, side in zip(tensor.stride(), tensor.shape, strict=True) if side > 1]


def assert_same_weights(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not same(one[name], other[name])] == []


def assert_same_state(one: Training, other: Training) -> None:
    assert_same_weights(one.model.state_dict(), other.model.state_dict())
    assert_same_weights(one.best_weights, other.best_weights)
    assert one.best_epoch == other.best_epoch
    states = [training.optimizer.state_dict()["state"] for training in (one, other)]
    assert states[0].keys() == states[1].keys()
    for index, state in states[0].items():
        assert state.keys() == states[1][index].keys()
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert same(value, states[1][index][key]), (index, key)
                assert layout(value) == layout(states[1][index][key]), (index, key)
            else:
                assert value == states[1][index][key]


def curve(training: Training) -> list[tuple[int, float, float | None]]:
    return [(epoch.epoch, epoch.train_loss, epoch.val_iou_pooled) for epoch in training.epochs]


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


def assert_previous_generation(folder: Path, previous: Training, damaged: str) -> None:
    after = begin(make_protocol())
    said = load_checkpoint(folder, TRIAL, after)
    assert said is not None
    assert damaged in said
    assert f"going on after epoch {len(previous.epochs)}" in said
    assert_same_state(previous, after)


@pytest.fixture(scope="module")
def two_generations(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Training]:
    """A folder after four epochs, and the training as it was after three."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoint"
    previous = saved(folder, 3)
    training = copy.deepcopy(previous)
    go_on(training, make_protocol(), folder, stop_after=4)
    return folder, previous


def newest(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.split("-")[1][0] == "0")


@pytest.mark.parametrize("kind", ["best", "state-0.json", "state-0.safetensors"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, None])
def test_a_cut_file_gives_way_to_the_previous_generation(
    kind: str, share: float | None, two_generations: tuple[Path, Training], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(two_generations[0], folder)
    [name] = [name for name in newest(folder) if name.startswith(kind)]
    path = folder / name
    if share is None:
        path.unlink()
    else:
        os.truncate(path, int(share * path.stat().st_size))
    if kind == "state-0.json" and share is None:
        # The seal is written last: without it, this generation was never there.
        after = begin(make_protocol())
        assert load_checkpoint(folder, TRIAL, after) is None
        assert_same_state(two_generations[1], after)
    else:
        assert_previous_generation(folder, two_generations[1], name)


def test_any_flipped_bit_is_found(two_generations: tuple[Path, Training], tmp_path: Path) -> None:
    rng = random.Random(0)
    folder = tmp_path / "copy"
    shutil.copytree(two_generations[0], folder)
    for name in newest(folder):
        path = folder / name
        whole = path.read_bytes()
        for _ in range(15):
            broken = bytearray(whole)
            broken[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            path.write_bytes(broken)
            assert_previous_generation(folder, two_generations[1], name)
        path.write_bytes(whole)
    assert load_checkpoint(folder, TRIAL, begin(make_protocol())) is None


def test_with_both_generations_broken_it_starts_again_and_says_so(
    two_generations: tuple[Path, Training], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(two_generations[0], folder)
    for generation in (0, 1):
        os.truncate(folder / f"state-{generation}.safetensors", 100)
    after, fresh = begin(make_protocol()), begin(make_protocol())
    said = load_checkpoint(folder, TRIAL, after)
    assert said is not None
    assert "state-0" in said
    assert "state-1" in said
    assert said.endswith("starting from the beginning")
    assert_same_state(fresh, after)
    # What is written from now on is sound, though it began among ruins.
    go_on(after, make_protocol(), folder, stop_after=2)
    resumed = begin(make_protocol())
    assert load_checkpoint(folder, TRIAL, resumed) is None
    assert_same_state(after, resumed)


def test_best_weights_of_an_abandoned_history_are_not_taken_for_this_ones(
    two_generations: tuple[Path, Training], tmp_path: Path
) -> None:
    """The seals are sound and name best weights of the same epoch, but those are of another training."""
    folder = tmp_path / "copy"
    shutil.copytree(two_generations[0], folder)
    training = begin(make_protocol())
    go_on(training, make_protocol(), None, stop_after=3)  # the same epochs with other times, so another history
    old = json.loads(json.loads((folder / "state-1.json").read_bytes())["body"])
    assert old["best_epoch"] == training.best_epoch
    training.best_weights["head.bias"] += 1.0
    save_checkpoint(folder, TRIAL, training)
    (folder / "state-0.json").unlink()
    after = begin(make_protocol())
    assert load_checkpoint(folder, TRIAL, after) is None
    assert_same_weights(training.best_weights, after.best_weights)


@pytest.mark.parametrize("trial", ["study/net/hash/{}/1", ""])
def test_another_trials_checkpoint_is_refused(trial: str, two_generations: tuple[Path, Training]) -> None:
    after, fresh = begin(make_protocol()), begin(make_protocol())
    said = load_checkpoint(two_generations[0], trial, after)
    assert said is not None
    assert "belongs to another trial" in said
    assert_same_state(fresh, after)


def test_an_older_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 1)
    monkeypatch.setattr(checkpoint, "SCHEMA_VERSION", checkpoint.SCHEMA_VERSION + 1)
    said = load_checkpoint(tmp_path, TRIAL, begin(make_protocol()))
    assert said is not None
    assert "schema 2, expected 3" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"[" * 100_000, b'{"sha256": 1, "body": 2}', b"\xff\xfe", b'{"body": "{}"}'],
)
def test_garbage_in_place_of_a_seal(content: bytes, tmp_path: Path) -> None:
    tmp_path.joinpath("state-0.json").write_bytes(content)
    said = load_checkpoint(tmp_path, TRIAL, begin(make_protocol()))
    assert said is not None
    assert said.startswith("checkpoint state-0.json is damaged")


def test_a_pickle_in_place_of_tensors_is_not_run(two_generations: tuple[Path, Training], tmp_path: Path) -> None:
    """Even with a seal that vouches for it."""
    folder = tmp_path / "copy"
    shutil.copytree(two_generations[0], folder)
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(canary),)

    torch.save(Bomb(), folder / "state-0.safetensors")
    body = json.loads(json.loads((folder / "state-0.json").read_bytes())["body"])
    content = (folder / "state-0.safetensors").read_bytes()
    body["files"]["state-0.safetensors"] = hashlib.sha256(content).hexdigest()
    (folder / "state-0.json").write_bytes(checkpoint._sealed(body))
    assert_previous_generation(folder, two_generations[1], "state-0.safetensors")
    assert not canary.exists()


def test_a_checkpoint_of_a_model_that_is_built_otherwise_now_changes_nothing(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    seed_everything(3)
    model = Net()
    model.head = nn.Conv2d(6, 1, 3, padding=1)
    other = start_training(model, make_protocol())
    before = copy.deepcopy(other)
    said = load_checkpoint(tmp_path, TRIAL, other)
    assert said is not None
    assert "doesn't fit the model" in said
    assert_same_state(before, other)


def test_a_crash_at_any_write_of_a_save_leaves_a_generation_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The k-th write fails, in every epoch and for every k; then the last whole epoch loads."""
    write = write_durably
    for epoch in range(1, EPOCHS + 1):
        for k in range(1, 5):
            folder = tmp_path / f"{epoch}-{k}"
            previous = saved(folder, epoch - 1) if epoch > 1 else begin(make_protocol())
            folder.mkdir(exist_ok=True)
            training = copy.deepcopy(previous)
            writes = 0

            def failing(path: Path, content: bytes, fatal: int = k) -> None:
                nonlocal writes
                writes += 1
                if writes == fatal:
                    raise ResultsError("no space left")
                write(path, content)

            with monkeypatch.context() as patch:
                patch.setattr(checkpoint, "write_durably", failing)
                try:
                    go_on(training, make_protocol(), folder, stop_after=epoch)
                    crashed = False
                except ResultsError:
                    crashed = True
            after = begin(make_protocol())
            load_checkpoint(folder, TRIAL, after)
            assert_same_state(previous if crashed else training, after)
            assert crashed or k > 2
            go_on(after, make_protocol(), folder)
            assert load_checkpoint(folder, TRIAL, begin(make_protocol())) is None


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
