from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchbird.audio.stft import (
    DC_ROW,
    FFT_SIZE,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    frame_count,
    grey_levels,
    hamming_window,
    istft,
    one_sided_stft,
    render,
    stft,
    two_sided,
)

REAL_BIRDS = Path(
    os.environ.get("BENCHBIRD_REAL_BIRDS", Path(__file__).parents[2].parent / "shared" / "data" / "real-birds")
)


def noise(samples: int, seed: int = 0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 0.02, samples)


def test_the_window_is_the_symmetric_hamming_of_scipy() -> None:
    np.testing.assert_allclose(hamming_window(), scipy.signal.windows.hamming(128, sym=True), atol=1e-15)


def test_every_bin_equals_a_direct_fourier_sum() -> None:
    audio = noise(400)
    spectrum = stft(audio)
    n = np.arange(WINDOW_SAMPLES)
    for frame in (0, 3, spectrum.shape[1] - 1):
        piece = audio[frame * HOP_SAMPLES :][:WINDOW_SAMPLES] * hamming_window()
        for row in (0, 1, 300, 510, 511, 512, 800, 1023):
            frequency = row - DC_ROW  # in steps of rate / 1024, negative above the middle
            expected = np.sum(piece * np.exp(-2j * np.pi * frequency * n / FFT_SIZE))
            assert abs(spectrum[row, frame] - expected) < 1e-12


def test_it_equals_scipy_up_to_scipys_scaling() -> None:
    audio = noise(3000)
    window = scipy.signal.windows.hamming(128, sym=True)
    _, _, expected = scipy.signal.stft(
        audio, window=window, nperseg=128, noverlap=64, nfft=1024, boundary=None, padded=False
    )
    np.testing.assert_allclose(one_sided_stft(audio), expected * window.sum(), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(128, 1500))
def test_there_is_one_column_per_whole_frame(samples: int) -> None:
    image = render(noise(samples))
    assert image.shape == (1024, frame_count(samples))
    last_start = (image.shape[1] - 1) * HOP_SAMPLES
    assert last_start + WINDOW_SAMPLES <= samples < last_start + WINDOW_SAMPLES + HOP_SAMPLES
    assert image.dtype == np.uint8


@settings(max_examples=20, deadline=None)
@given(st.integers(128, 2000), st.integers(0, 1000))
def test_the_inverse_returns_the_covered_samples(samples: int, seed: int) -> None:
    audio = noise(samples, seed)
    covered = (frame_count(samples) - 1) * HOP_SAMPLES + WINDOW_SAMPLES
    restored = istft(stft(audio), samples)
    assert restored.shape == (samples,)
    np.testing.assert_allclose(restored[:covered], audio[:covered], atol=1e-14)
    assert not restored[covered:].any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_images_are_mirrored_about_the_row_of_0_hz(seed: int) -> None:
    image = render(noise(900, seed))
    for distance in (1, 2, 100, 511):
        np.testing.assert_array_equal(image[DC_ROW - distance], image[DC_ROW + distance])


def test_a_tone_lies_on_its_row_in_both_halves() -> None:
    rate, row = 16_000, 200
    audio = 0.01 * np.sin(2 * np.pi * rate * row / FFT_SIZE * np.arange(4000) / rate)
    column = render(audio)[:, 10]
    assert abs(int(column[DC_ROW + 1 :].argmax()) + 1 - row) <= 1
    assert abs(int(column[:DC_ROW][::-1].argmax()) + 1 - row) <= 1


def test_a_constant_is_brightest_at_row_511() -> None:
    assert int(render(np.full(1000, 0.01))[:, 3].argmax()) == DC_ROW == 511


def test_grey_levels_by_hand() -> None:
    magnitude = np.array([-1.0, 0.0, 0.5 / 255, 1.5 / 255, 1.0 / 255, 0.999, 1.0, 7.0])
    assert grey_levels(magnitude).tolist() == [0, 0, 0, 2, 1, 255, 255, 255]


@pytest.mark.parametrize("audio", [np.zeros((2, 500)), np.zeros(127), np.zeros(0)])
def test_what_is_not_one_channel_of_a_window_is_refused(audio: npt.NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="audio must"):
        render(audio)


def test_the_inverse_refuses_a_one_sided_spectrum() -> None:
    with pytest.raises(ValueError, match="1024"):
        istft(one_sided_stft(noise(500)), 500)


def test_mirroring_a_mask_keeps_booleans() -> None:
    half = np.zeros((513, 4), dtype=bool)
    half[5, 2] = True
    mask = two_sided(half)
    assert mask.dtype == bool and np.argwhere(mask).tolist() == [[506, 2], [516, 2]]


def test_the_published_rendering_is_met_to_the_last_grey_level() -> None:
    if not (REAL_BIRDS / "manifest.csv").is_file():
        pytest.skip(f"no real pairs in {REAL_BIRDS}; set BENCHBIRD_REAL_BIRDS")
    with (REAL_BIRDS / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert rows
    unlike = []
    for row in rows:
        folder = REAL_BIRDS / row["split"]
        audio, _ = soundfile.read(folder / "Raw_audios" / f"{row['name']}.flac")
        with Image.open(folder / "Images" / f"{row['name']}.png") as picture:
            published = np.asarray(picture.convert("L"))
            ours = Image.fromarray(render(audio)).resize(picture.size, Image.Resampling.BILINEAR)
        if not np.array_equal(np.asarray(ours), published):
            unlike.append(row["name"])
    assert unlike == []
