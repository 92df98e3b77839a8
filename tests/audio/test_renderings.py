from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.audio import renderings, stft
from benchbird.audio.renderings import image_rows, one_sided_rows, render
from benchbird.protocol import Rendering

RATE_HZ = 16_000
RULES: tuple[Rendering, ...] = ("published", "log", "pcen")


def noise(samples: int, level: float = 0.01, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, level, samples)


def test_the_published_rule_is_the_published_rendering() -> None:
    audio = noise(5000)
    np.testing.assert_array_equal(render(audio, RATE_HZ, "published", "mirrored"), stft.render(audio))


@pytest.mark.parametrize("rule", RULES)
def test_half_is_the_mirrored_picture_from_0_hz_up(rule: Rendering) -> None:
    audio = noise(4000)
    mirrored, half = (render(audio, RATE_HZ, rule, one) for one in ("mirrored", "half"))
    assert mirrored.shape[0] == image_rows("mirrored") == 1024 and half.shape[0] == image_rows("half") == 513
    np.testing.assert_array_equal(mirrored[stft.DC_ROW :], half)
    np.testing.assert_array_equal(mirrored[: stft.DC_ROW], half[1:-1][::-1])


def test_a_grey_level_of_log_is_eighty_decibels_over_255() -> None:
    magnitude = 10.0 ** (np.array([[-200.0, -80.0, -79.0, -40.0, -20.0, 0.0, 20.0]]) / 20)
    grey = renderings.from_spectrum(magnitude.repeat(513, axis=0).astype(np.complex128), RATE_HZ, "log", "half")
    assert grey[0].tolist() == [0, 0, 3, 128, 191, 255, 255]
    assert render(np.zeros(1000), RATE_HZ, "log", "half").max() == 0


def pcen_by_loop(magnitude: npt.NDArray[np.float64], rate_hz: int) -> npt.NDArray[np.float64]:
    """Wang et al. 2017, equations 1 and 2, frame by frame, for samples of 32 bits."""
    frames = 0.06 * rate_hz / 64
    follow = (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    lasting = magnitude[:, 0] * 2.0**31
    columns = []
    for column in magnitude.T * 2.0**31:
        lasting = (1 - follow) * lasting + follow * column
        columns.append((column / (1e-6 + lasting) ** 0.8 + 10.0) ** 0.25 - 10.0**0.25)
    return np.array(columns).T


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([8000, 22_050, 192_000]), st.floats(1e-5, 1.0))
def test_pcen_equals_its_equations(seed: int, rate_hz: int, level: float) -> None:
    audio = noise(3000, level, seed)
    expected = pcen_by_loop(np.abs(stft.one_sided_stft(audio)), rate_hz)
    grey = render(audio, rate_hz, "pcen", "half")
    np.testing.assert_allclose(grey, 255 * np.clip(expected / renderings.PCEN_WHITE, 0, 1), atol=0.5001)


def test_pcen_forgets_what_lasts_and_keeps_what_stands_out() -> None:
    seconds = np.arange(3 * RATE_HZ) / RATE_HZ
    hum, chirp = 0.02 * np.sin(2 * np.pi * 1000 * seconds), 0.1 * np.sin(2 * np.pi * 4000 * seconds)
    chirp[(seconds < 2.0) | (seconds > 2.05)] = 0.0
    audio = hum + chirp + noise(len(seconds), 0.0005)
    grey = render(audio, RATE_HZ, "pcen", "half")
    hum_row, chirp_row, chirp_frame = 64, 256, round(2.01 * RATE_HZ / 64)
    assert grey[chirp_row, chirp_frame] > 2 * grey[hum_row, 100:400].mean()
    published = render(audio, RATE_HZ, "published", "half")
    assert published[hum_row, 100:400].mean() > 100, "where nothing is forgotten, the hum is bright"


def test_a_frequency_has_the_mean_of_its_mirrored_rows() -> None:
    picture = np.arange(1024.0)[:, None].repeat(3, axis=1)
    folded = one_sided_rows(picture, "mirrored")
    assert folded.shape == (513, 3)
    assert folded[0, 0] == 511 and folded[512, 0] == 1023
    assert (folded[1:512] == 511).all()  # rows 511 + k and 511 − k
    assert one_sided_rows(picture[:513], "half") is not None
    np.testing.assert_array_equal(one_sided_rows(picture[:513], "half"), picture[:513])
