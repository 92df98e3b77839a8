from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchbird.contract import Sample
from benchbird.data import embedded
from benchbird.data.sounds import sound_of
from benchbird.data.synthetic.options import SyntheticOptions
from benchbird.data.synthetic.scenes import synthesize
from benchbird.errors import DataError

RATE_HZ = 8000


def put(split: Path, folder: str, audio: np.ndarray, suffix: str = ".flac", rate_hz: int = RATE_HZ) -> None:
    (split / folder).mkdir(parents=True, exist_ok=True)
    soundfile.write(split / folder / f"a{suffix}", audio, rate_hz)


def sample(split: Path, kind: str = "mixed") -> Sample:
    return Sample(sample_id="a", recording_id="a", image=split / "Images" / "a.png", mask=split / "Masks" / "a.png",
                  attributes={"kind": kind} if kind else {})  # fmt: skip


@pytest.fixture
def voice() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 4000)


def test_a_mixture_s_reference_is_its_voice_sample_for_sample(tmp_path: Path, voice: np.ndarray) -> None:
    put(tmp_path, "Raw_audios", voice + 0.05)
    put(tmp_path, "Denoised_audios", voice, ".WAV")
    pair = sound_of(sample(tmp_path))
    assert pair is not None and (pair.kind, pair.rate_hz) == ("voice", RATE_HZ)
    np.testing.assert_allclose(pair.noisy - pair.reference, 0.05, atol=2**-14)


def test_any_other_reference_is_that_of_a_mask_and_its_delay_is_undone(tmp_path: Path, voice: np.ndarray) -> None:
    put(tmp_path, "raw_audios", voice)
    put(tmp_path, "DENOISED_AUDIOS", np.concatenate([np.zeros(528), 0.5 * voice, np.zeros(30)]))
    pair = sound_of(sample(tmp_path, kind=""))
    assert pair is not None and pair.kind == "mask" and len(pair.reference) == len(pair.noisy)
    np.testing.assert_allclose(pair.reference, 0.5 * pair.noisy, atol=2**-14)


@pytest.mark.parametrize("delay", [-700, -1, 0, 528])
def test_what_a_delay_cuts_off_the_reference_is_not_scored(tmp_path: Path, voice: np.ndarray, delay: int) -> None:
    put(tmp_path, "Raw_audios", voice)
    moved = np.concatenate([np.zeros(delay), voice])[: len(voice)] if delay >= 0 else voice[-delay:]
    put(tmp_path, "Denoised_audios", moved)
    pair = sound_of(sample(tmp_path, kind="human_mask"))
    assert pair is not None
    begin, end, _ = pair.known.indices(len(pair.noisy))
    assert end - begin == len(voice) - abs(delay)
    # Whatever is said where nobody knows better, the score is that of the rest.
    output = pair.noisy.copy()
    output[:begin] = output[end:] = 0.9
    assert pair.score(output).si_sdr_db == pytest.approx(60.0, abs=20.0)
    assert np.isnan(pair.known_reference).sum() == abs(delay)


def test_without_a_recording_or_a_reference_there_is_no_sound(tmp_path: Path, voice: np.ndarray) -> None:
    tmp_path.joinpath("Images").mkdir()
    assert sound_of(sample(tmp_path)) is None
    put(tmp_path, "Raw_audios", voice)
    assert sound_of(sample(tmp_path)) is None
    put(tmp_path / "elsewhere", "Denoised_audios", voice)
    (tmp_path / "Denoised_audios").symlink_to(tmp_path / "elsewhere" / "Denoised_audios")
    assert sound_of(sample(tmp_path)) is None, "a link is passed over"


def test_what_does_not_belong_together_is_refused(tmp_path: Path, voice: np.ndarray) -> None:
    put(tmp_path, "Raw_audios", voice)
    put(tmp_path, "Denoised_audios", voice, rate_hz=16_000)
    with pytest.raises(DataError, match="1 channels at 16000 Hz, its recording has 1 at 8000 Hz"):
        sound_of(sample(tmp_path))
    put(tmp_path, "Denoised_audios", voice[:-1])
    with pytest.raises(DataError, match="3999 samples, its recording has 4000"):
        sound_of(sample(tmp_path))


def test_the_embedded_set_gives_what_its_pictures_were_made_of() -> None:
    options = {"sizes": {"train": 1, "val": 1, "test": 2}}
    first, _ = sorted(embedded.find(None, options)["test"], key=lambda one: one.sample_id)
    pair = sound_of(first)
    made = next(
        one for one in (synthesize(SyntheticOptions(), "test", index) for index in range(2))
        if one.sample_id == first.sample_id
    )  # fmt: skip
    assert pair is not None and pair.kind == "voice" and pair.rate_hz == made.sample_rate
    np.testing.assert_array_equal(pair.noisy, made.noisy)
    np.testing.assert_array_equal(pair.reference, made.clean)
    assert not isinstance(first, Sample)
    assert sound_of(replace(first, sound=None)) is None
