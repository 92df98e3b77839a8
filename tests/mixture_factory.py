"""Small mixtures of chirps and noise in the public layout, with recordings, references and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from benchbird.data.mixing import MixingOptions, mix_recordings

RATE_HZ = 16_000


def write_mixtures(folder: Path, voices: int, options: MixingOptions) -> Path:
    """A data root `birds` in `folder`, of so many voices of a second and as many noises."""
    for kind in ("voices", "noise"):
        (folder / kind).mkdir()
    time = np.arange(RATE_HZ) / RATE_HZ
    for number in range(voices):
        hertz = 1500 + 400 * number
        chirp = np.sin(2 * np.pi * (hertz + 300 * np.sin(9 * time)) * time) * (np.sin(11 * time) > 0)
        soundfile.write(folder / "voices" / f"bird{number:02d}.wav", 0.3 * chirp, RATE_HZ)
        noise = np.random.default_rng(number).normal(0, 0.1, 2 * RATE_HZ)
        soundfile.write(folder / "noise" / f"rain{number:02d}.wav", noise, RATE_HZ)
    mix_recordings(folder / "voices", folder / "noise", folder / "birds", options)
    return folder / "birds"
