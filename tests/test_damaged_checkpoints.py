"""A checkpoint that was cut, altered, swapped or half written: found, said, and the generation before it taken."""

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
from torch import nn

from benchbird import checkpoint
from benchbird.checkpoint import load_checkpoint, save_checkpoint
from benchbird.durable import write_durably
from benchbird.errors import ResultsError
from benchbird.seeding import seed_everything
from benchbird.training import Training, start_training
from tests.checkpoint_factory import (
    EPOCHS,
    TRIAL,
    Net,
    assert_same_state,
    assert_same_weights,
    begin,
    go_on,
    make_protocol,
    saved,
)


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
