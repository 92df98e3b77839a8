from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.audio.distortion import si_sdr_db
from benchbird.audio.separation import binary_mask, gate_mask, ratio_mask, score_sound, under_mask
from benchbird.audio.stft import HOP_SAMPLES, WINDOW_SAMPLES, frame_count, one_sided_stft

Audio = npt.NDArray[np.float64]
WHOLE = 60 * HOP_SAMPLES + WINDOW_SAMPLES


def voice_and_noise(seed: int, samples: int = WHOLE) -> tuple[Audio, Audio]:
    random = np.random.default_rng(seed)
    time = np.arange(samples)
    voice = 0.2 * np.sin(0.5 * time + 40 * np.sin(time / 900)) * (np.sin(time / 500) > 0)
    return voice, random.normal(0, 0.05, samples)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_no_mask_gives_the_recording_back_and_improves_nothing(seed: int) -> None:
    voice, noise = voice_and_noise(seed)
    noisy = voice + noise
    output = under_mask(noisy, np.ones((513, frame_count(len(noisy)))))
    np.testing.assert_allclose(output, noisy, atol=1e-12)
    unchanged = score_sound(noisy, noisy, voice)
    assert unchanged.si_sdr_improvement_db == 0.0 and unchanged.si_sdr_db == si_sdr_db(noisy, voice)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_the_oracles_are_not_beaten_by_masks_that_differ_from_them(seed: int) -> None:
    voice, noise = voice_and_noise(seed)
    noisy = voice + noise
    best = {name: _score(noisy, mask, voice) for name, mask in (
        ("ratio", ratio_mask(noisy, voice)), ("binary", binary_mask(noisy, voice)))}  # fmt: skip
    random = np.random.default_rng(seed)
    flipped = binary_mask(noisy, voice) ^ (random.random((513, frame_count(len(noisy)))) < 0.1)
    others = [gate_mask(noisy), flipped, random.random(flipped.shape) < 0.5, np.ones(flipped.shape)]
    for mask in others:
        assert _score(noisy, mask, voice) < min(best.values())
    assert best["ratio"] > best["binary"] - 0.5


def _score(noisy: Audio, mask: npt.NDArray[np.generic], voice: Audio) -> float:
    found = score_sound(under_mask(noisy, mask), noisy, voice).si_sdr_db
    assert found is not None
    return found


def test_masks_by_hand() -> None:
    voice, noise = voice_and_noise(3)
    noisy = voice + noise
    power = np.abs(one_sided_stft(voice)) ** 2
    rest = np.abs(one_sided_stft(noise)) ** 2
    np.testing.assert_allclose(ratio_mask(noisy, voice), power / (power + rest), rtol=1e-6)
    np.testing.assert_array_equal(binary_mask(noisy, voice), power > rest)
    assert not ratio_mask(np.zeros(WHOLE), np.zeros(WHOLE)).any()
    assert 0.001 < gate_mask(noise).mean() < 0.05, "noise alone hardly passes"
    assert not gate_mask(np.zeros(WHOLE)).any()


def test_a_silent_reference_has_no_score_and_a_silent_output_the_worst() -> None:
    voice, noise = voice_and_noise(4)
    nothing = score_sound(noise, noise, np.zeros_like(noise))
    assert (nothing.si_sdr_db, nothing.si_sdr_improvement_db, nothing.sdr_db) == (None, None, None)
    silent = score_sound(np.zeros_like(noise), voice + noise, voice)
    assert silent.si_sdr_db == -30.0 == silent.sdr_db
    assert silent.si_sdr_improvement_db == pytest.approx(-30.0 - (si_sdr_db(voice + noise, voice) or 0.0))
