from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mir_eval.separation import bss_eval_sources
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_distortion_ratio

from benchbird.audio.distortion import (
    HIGHEST_DB,
    LOWEST_DB,
    delay_samples,
    published_sdr,
    sdr_db,
    shifted,
    si_sdr_db,
)

Audio = npt.NDArray[np.float64]
seeds = st.integers(0, 10_000)


def voice_and_noise(seed: int, samples: int = 6000, noise: float = 0.3) -> tuple[Audio, Audio]:
    """A reference and an estimate of it that is filtered, louder and noisy."""
    random = np.random.default_rng(seed)
    reference = random.normal(0, 0.1, samples)
    return reference, 2.0 * np.convolve(reference, [0.7, 0.2, -0.1])[:samples] + random.normal(0, 0.1 * noise, samples)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.01, 3.0))
def test_si_sdr_equals_torchmetrics(seed: int, noise: float) -> None:
    reference, estimate = voice_and_noise(seed, noise=noise)
    expected = scale_invariant_signal_distortion_ratio(torch.from_numpy(estimate), torch.from_numpy(reference))
    assert si_sdr_db(estimate, reference) == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=10, deadline=None)
@given(seeds, st.floats(0.01, 3.0))
def test_sdr_equals_torchmetrics_and_mir_eval(seed: int, noise: float) -> None:
    reference, estimate = voice_and_noise(seed, noise=noise)
    ours = sdr_db(estimate, reference)
    theirs = signal_distortion_ratio(torch.from_numpy(estimate), torch.from_numpy(reference))
    assert ours == pytest.approx(float(theirs), abs=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it will go
        [bss_eval], *_ = bss_eval_sources(reference[None], estimate[None])
    assert ours == pytest.approx(bss_eval, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(1e-3, 1e3))
def test_loudness_changes_neither(seed: int, gain: float) -> None:
    reference, estimate = voice_and_noise(seed, samples=2000)
    assert si_sdr_db(gain * estimate, reference) == pytest.approx(si_sdr_db(estimate, reference), abs=1e-6)
    assert sdr_db(gain * estimate, reference) == pytest.approx(sdr_db(estimate, reference), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_a_filter_costs_si_sdr_and_not_sdr(seed: int) -> None:
    reference, _ = voice_and_noise(seed)
    coloured = np.convolve(reference, [0.0, 0.0, 0.9, 0.5])[: len(reference)]
    by_filter, by_scale = sdr_db(coloured, reference), si_sdr_db(coloured, reference)
    assert by_filter is not None and by_scale is not None
    assert by_filter > 20.0 > 0.0 > by_scale


def test_by_hand() -> None:
    reference = np.array([1.0, 0.0, 0.0, 0.0])
    assert si_sdr_db(np.array([2.0, 1.0, 0.0, 0.0]), reference) == pytest.approx(10 * np.log10(4))
    assert published_sdr(np.array([0.0, 0.0]), np.array([3.0, 4.0])) == 0.0
    assert published_sdr(np.array([3.0, 4.0 - 5.0 / np.e]), np.array([3.0, 4.0])) == pytest.approx(10.0)
    assert published_sdr(np.array([3.0, 4.0]), np.array([3.0, 4.0])) is None


def test_silence_is_the_worst_output_and_no_reference() -> None:
    reference, estimate = voice_and_noise(1, noise=10.0)
    silence = np.zeros_like(reference)
    for measure in (si_sdr_db, sdr_db):
        worst, noisy = measure(silence, reference), measure(estimate, reference)
        assert worst == LOWEST_DB and noisy is not None and worst < noisy < 0
        assert measure(estimate, silence) is None
        assert measure(reference, reference) == HIGHEST_DB


@pytest.mark.parametrize("measure", [si_sdr_db, sdr_db])
def test_recordings_of_two_lengths_are_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="one shape"):
        measure(np.ones(3), np.ones(4))


def test_a_pure_tone_has_an_sdr() -> None:
    tone = np.sin(np.arange(4000) * 0.3)
    found = sdr_db(tone + np.random.default_rng(0).normal(0, 0.1, 4000), tone)
    assert found is not None and 15 < found < 20  # 17 dB, and 512 taps catch a bit of the noise


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(-2000, 2000), st.sampled_from([3.0, 1.0, 0.3]))
def test_a_delay_in_noise_is_found_and_undone(seed: int, delay: int, noise: float) -> None:
    random = np.random.default_rng(seed)
    reference = random.normal(0, 0.1, 20_000)
    late = shifted(reference, -delay, 20_000)
    recording = late + random.normal(0, 0.1 * noise, 20_000)
    assert delay_samples(recording, reference) == delay
    aligned = shifted(late, delay, 20_000)
    inner = slice(2000, -2000)
    np.testing.assert_array_equal(aligned[inner], reference[inner])


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.05, 1.0))
def test_a_whistle_in_noise_is_not_moved_by_a_period(seed: int, noise: float) -> None:
    whistle = 0.1 * np.sin(2 * np.pi * 0.11 * np.arange(16_000))
    recording = whistle + np.random.default_rng(seed).normal(0, noise, 16_000)
    assert delay_samples(recording, whistle) == 0


@given(seeds)
@settings(max_examples=10, deadline=None)
def test_recordings_without_anything_in_common_stay_where_they_are(seed: int) -> None:
    random = np.random.default_rng(seed)
    assert delay_samples(random.normal(size=30_000), random.normal(size=30_000)) == 0
    assert delay_samples(np.zeros(100), random.normal(size=50)) == 0
    assert delay_samples(np.zeros(0), random.normal(size=50)) == 0


@given(st.integers(0, 30), st.integers(-40, 40), st.integers(0, 30))
def test_shifting_is_what_an_index_says(length: int, by: int, samples: int) -> None:
    assume(length > 0)
    audio = np.arange(1.0, length + 1)
    moved = shifted(audio, by, samples)
    assert moved.shape == (samples,)
    for place, value in enumerate(moved):
        source = place + by
        assert value == (audio[source] if 0 <= source < length else 0.0)
