"""Keeping freed memory may change how long a step takes, never what it computes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from benchbird.execution import allocation

TRAINING = textwrap.dedent("""
    import hashlib, torch
    from benchbird.backend import apply_protocol
    from benchbird.batches import ResidentSplit
    from benchbird.protocol import Protocol
    from benchbird.training import start_training, train
    from benchbird_atrous_segnet import AtrousSegNet
    from tests.split_factory import memory_split

    protocol = Protocol(image_size=64, batch_size=4, epochs=2)
    apply_protocol(protocol)
    torch.manual_seed(0)
    training = start_training(AtrousSegNet(base_channels=16), protocol)
    splits = [ResidentSplit(memory_split(name, 8, 64), protocol, torch.device("cpu")) for name in ("train", "val")]
    train(training, *splits, protocol, seed=0, after_epoch=lambda _: None)
    digest = hashlib.sha256()
    for tensor in training.model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    print(digest.hexdigest())
""")


def trained_weights(tunables: str) -> str:
    environment = {**os.environ, allocation.VARIABLE: tunables, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", TRAINING], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_weights_are_the_same_to_the_bit() -> None:
    with_settings, without = trained_weights(allocation.SETTINGS), trained_weights("")
    assert len(without.strip()) == 64
    assert with_settings == without


def test_the_users_own_settings_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(allocation.VARIABLE, raising=False)
    assert allocation.tunables() == allocation.SETTINGS
    monkeypatch.setenv(allocation.VARIABLE, "glibc.malloc.hugetlb=0")
    assert allocation.tunables() == f"{allocation.SETTINGS}:glibc.malloc.hugetlb=0"
