from __future__ import annotations

import numpy as np
import pytest
import torch

from benchbird.data.oracle import oracle_counts
from benchbird.data.resize import shrink_mask


@pytest.mark.parametrize(("shape", "size"), [((64, 100), 16), ((50, 37), 24), ((20, 24), 33), ((16, 400), 16)])
def test_it_counts_what_torch_would_enlarge(shape: tuple[int, int], size: int) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((shape[0] // 4 + 1, shape[1] // 4 + 1)) < 0.3
    mask = mask.repeat(4, axis=0).repeat(4, axis=1)[: shape[0], : shape[1]]
    shrunk = shrink_mask(mask, size)
    # Doubles, since in single precision a tie at 0 falls to either side.
    logits = torch.from_numpy(np.where(shrunk >= 128, 1.0, -1.0))[None, None]
    enlarged = torch.nn.functional.interpolate(logits, size=shape, mode="bilinear", align_corners=False)
    predicted = (enlarged[0, 0] > 1e-12).numpy()
    counts = oracle_counts(shrunk, mask)
    assert counts.tp == (predicted & mask).sum()
    assert counts.fp == (predicted & ~mask).sum()
    assert counts.fn == (~predicted & mask).sum()
    assert counts.tn == (~predicted & ~mask).sum()


def test_at_its_own_size_the_oracle_is_perfect() -> None:
    mask = np.random.default_rng(1).random((32, 32)) < 0.2
    counts = oracle_counts(shrink_mask(mask, 32), mask)
    assert (counts.fp, counts.fn, counts.tp) == (0, 0, mask.sum())


def test_a_large_mask_is_counted_in_bands() -> None:
    mask = np.zeros((3000, 1200), dtype=np.bool_)
    mask[700:1900] = True
    counts = oracle_counts(shrink_mask(mask, 30), mask)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (1200 * 1200, 0, 0, 1800 * 1200)
