"""What the loss and the scores see of a stored mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchbird.batches import ResidentSplit
from benchbird.protocol import Protocol
from tests.split_factory import memory_split


@pytest.mark.parametrize("resize", ["area", "bicubic"])
def test_soft_targets_are_255ths_and_every_value_is_cut_at_one_half(resize: str) -> None:
    split = memory_split("train", 1)
    object.__setattr__(split, "masks", np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    everything = torch.tensor([0])
    soft = ResidentSplit(split, Protocol(resize=resize, mask_target="fraction"), torch.device("cpu"))  # type: ignore[arg-type]
    hard = ResidentSplit(split, Protocol(resize=resize), torch.device("cpu"))  # type: ignore[arg-type]
    values = soft.targets(everything).flatten()
    torch.testing.assert_close(values, torch.arange(256) / 255)
    for split_ in (soft, hard):
        assert torch.equal(split_.references(everything).flatten(), values > 0.5)
    assert torch.equal(hard.targets(everything).flatten(), (values > 0.5).float())
