"""A finished trial, and a recording in which its model finds something, for the commands that listen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.finished_bench import trial_folder
from tests.small_bench import Bench

RATE_HZ = 16_000


@pytest.fixture
def trial(finished: Bench) -> Iterator[Path]:
    """The folder of AtrousSegNet's trial; torch's settings are what they were when the test is over."""
    yield trial_folder(finished.results, "atrous_segnet")
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three seconds in stereo; the middle one is bright in the picture, as the strokes were that the model has seen."""
    audio = np.random.default_rng(0).normal(0.0, 0.02, (3 * RATE_HZ, 2))
    audio[RATE_HZ : 2 * RATE_HZ] *= 10.0
    soundfile.write(tmp_path / "dawn 05.30.wav", audio, RATE_HZ)
    return tmp_path / "dawn 05.30.wav"
