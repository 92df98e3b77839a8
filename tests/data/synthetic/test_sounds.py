"""Every voice, noise and distractor alone; what they do together is in test_scenes."""

from __future__ import annotations

import numpy as np
import pytest

from benchbird.data.synthetic.acoustics import echo_of, low_passed
from benchbird.data.synthetic.distractors import DISTRACTORS
from benchbird.data.synthetic.noises import NOISES, background
from benchbird.data.synthetic.notes import CONTOURS, harmonic_note, pitch_contour, shaped_noise
from benchbird.data.synthetic.voices import VOICES

RATE = 16_000


@pytest.mark.parametrize("name", VOICES)
def test_a_voice_fills_its_recording_with_sound_and_pauses(name: str) -> None:
    for seed in range(3):
        voice = VOICES[name][1](np.random.default_rng(seed), 3.0, RATE)
        assert voice.shape == (3 * RATE,) and np.isfinite(voice).all()
        assert np.abs(voice).max() > 0.1
        again = VOICES[name][1](np.random.default_rng(seed), 3.0, RATE)
        np.testing.assert_array_equal(voice, again)


@pytest.mark.parametrize("name", [*NOISES, *DISTRACTORS])
def test_noises_and_distractors_are_finite_and_not_silent(name: str) -> None:
    make = (NOISES | DISTRACTORS)[name][1]
    for seed in range(3):
        sound = make(np.random.default_rng(seed), 40_001, RATE)
        assert sound.shape == (40_001,) and np.isfinite(sound).all() and sound.std() > 0


@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_all_sounds_can_be_made_at_the_ends_of_the_sample_rate(rate: int) -> None:
    for _, voice in VOICES.values():
        assert np.isfinite(voice(np.random.default_rng(0), 1.0, rate)).all()
    for _, sound in (*NOISES.values(), *DISTRACTORS.values()):
        assert np.isfinite(sound(np.random.default_rng(0), rate, rate)).all()


def test_shares_are_shares() -> None:
    for table in (VOICES, NOISES, DISTRACTORS):
        assert sum(share for share, _ in table.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", CONTOURS)
def test_a_contour_stays_between_its_pitches(shape: str) -> None:
    for seed in range(5):
        pitch = pitch_contour(np.random.default_rng(seed), shape, 500, 1000.0, 2000.0)
        assert pitch.shape == (500,) and pitch.min() >= 999.9 and pitch.max() <= 2000.1
        assert np.abs(np.diff(pitch)).max() < 150  # no jump


def test_no_harmonic_folds_back_over_the_nyquist_frequency() -> None:
    pitch = np.linspace(1500.0, 3500.0, 8000)
    spectrum = np.abs(np.fft.rfft(harmonic_note(pitch, np.array([0.0, 0.0, 1.0]), RATE) * np.hanning(8000)))
    frequency = np.fft.rfftfreq(8000, 1 / RATE)
    assert spectrum[frequency < 4000].max() < 0.01 * spectrum.max()


def test_shaped_noise_has_the_spectrum_asked_for() -> None:
    noise = shaped_noise(np.random.default_rng(0), 32_000, np.repeat([0.0, 1.0], 50))
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert noise.std() == pytest.approx(1.0)
    assert spectrum[:7800].sum() < 0.01 * spectrum.sum()


def test_background_names_what_it_mixes() -> None:
    noise, names = background(np.random.default_rng(5), 20_000, RATE)
    assert noise.shape == (20_000,) and 1 <= len(names) <= 3 and set(names) <= set(NOISES)


def test_a_codec_leaves_nothing_above_its_cutoff() -> None:
    noise = np.random.default_rng(0).standard_normal(20_000)
    spectrum = np.abs(np.fft.rfft(low_passed(noise, RATE, 5000.0) * np.hanning(20_000)))
    frequency = np.fft.rfftfreq(20_000, 1 / RATE)
    assert spectrum[frequency > 5250].max() < 0.02 * spectrum[frequency < 4900].mean()


def test_an_echo_has_the_stated_energy_and_length_and_not_the_sound_itself() -> None:
    click = np.zeros(16_000)
    click[100] = 1.0
    echo = echo_of(np.random.default_rng(0), click, RATE, decay_s=0.3, level_db=-10.0)
    assert echo.shape == click.shape and np.abs(echo[:100]).max() < 1e-12
    assert 10 * np.log10(np.sum(echo**2)) == pytest.approx(-10.0, abs=0.01)
    assert np.abs(echo[100 + int(0.31 * RATE) :]).max() < 1e-12
    early, late = np.sum(echo[100:1700] ** 2), np.sum(echo[1700:3300] ** 2)
    assert 10 * np.log10(early / late) == pytest.approx(20.0, abs=2.0)
