from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from benchbird.data.synthetic.distractors import DISTRACTORS
from benchbird.data.synthetic.masks import visible_half

RATE, FRAMES_PER_S = 16_000, 250.0


def whistle(gain: float = 0.1) -> npt.NDArray[np.float64]:
    """A tone at 3 kHz from 0.5 s to 1.0 s in 2 s of silence."""
    audio = np.zeros(2 * RATE)
    time_s = np.arange(RATE // 2) / RATE
    audio[RATE // 2 : RATE] = gain * np.sin(2 * np.pi * 3000 * time_s) * np.hanning(RATE // 2) ** 0.2
    return audio


def test_a_whistle_is_one_piece_at_its_pitch_and_time() -> None:
    half = visible_half(whistle(), np.zeros(2 * RATE), FRAMES_PER_S)
    rows, columns = np.nonzero(half)
    assert half.shape == (513, 499)
    centre = 3000 / RATE * 1024
    assert abs(rows.mean() - centre) < 3 and rows.min() > centre - 40 and rows.max() < centre + 40
    assert 110 < columns.min() < 130 and 243 < columns.max() < 262
    assert half[round(centre), 130:245].all()


@pytest.mark.parametrize("name", DISTRACTORS)
def test_a_distractor_is_never_in_the_mask(name: str) -> None:
    distractor = 0.5 * DISTRACTORS[name][1](np.random.default_rng(1), 2 * RATE, RATE)
    assert not visible_half(np.zeros(2 * RATE), distractor, FRAMES_PER_S).any()
    alone = visible_half(whistle(), np.zeros(2 * RATE), FRAMES_PER_S)
    beside = visible_half(whistle(), distractor, FRAMES_PER_S)
    assert not (beside & ~alone).any()


def test_what_is_drowned_is_not_painted() -> None:
    rng = np.random.default_rng(0)
    assert visible_half(whistle(0.1), 0.1 * rng.standard_normal(2 * RATE), FRAMES_PER_S).any()
    assert not visible_half(whistle(0.002), rng.standard_normal(2 * RATE), FRAMES_PER_S).any()


def test_what_is_black_is_not_painted() -> None:
    assert not visible_half(whistle(0.0003), np.zeros(2 * RATE), FRAMES_PER_S).any()


def test_the_mask_does_not_depend_on_gain_where_voice_and_noise_are_loud() -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(2 * RATE)
    one = visible_half(whistle(0.3), noise, FRAMES_PER_S)
    two = visible_half(whistle(0.6), 2 * noise, FRAMES_PER_S)
    assert (one ^ two).sum() <= 0.02 * one.sum()
