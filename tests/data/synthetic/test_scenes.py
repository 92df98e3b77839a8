from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from benchbird.audio.stft import DC_ROW, HOP_SAMPLES, frame_count, one_sided_stft, render, two_sided
from benchbird.data.synthetic.masks import visible_half
from benchbird.data.synthetic.options import SyntheticOptions
from benchbird.data.synthetic.scenes import SyntheticSample, synthesize
from benchbird.data.synthetic.streams import sample_identity
from benchbird.data.synthetic.voices import VOICES

QUICK = SyntheticOptions(seconds_min=2.4, seconds_max=3.0)
CENSUS = 200


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[SyntheticSample]:
    """As many samples as tell a share of 5 % from one of 10 %; of several test processes the first makes them."""
    folder = tmp_path_factory.getbasetemp()
    shared = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "census.pickle"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            made = [synthesize(QUICK, "train", index) for index in range(CENSUS)]
            shared.write_bytes(pickle.dumps(made))
    found: list[SyntheticSample] = pickle.loads(shared.read_bytes())
    return found


def with_bird(samples: list[SyntheticSample]) -> list[SyntheticSample]:
    return [sample for sample in samples if sample.attributes["voice"] != "none"]


def digest(sample: SyntheticSample) -> str:
    content = b"".join((sample.image.tobytes(), sample.mask.tobytes(), sample.noisy.tobytes(), sample.clean.tobytes()))
    return hashlib.sha256(content + repr(sorted(sample.attributes.items())).encode()).hexdigest()


def test_a_sample_is_what_it_says(samples: list[SyntheticSample]) -> None:
    for index, sample in enumerate(samples):
        frames = frame_count(len(sample.noisy))
        assert sample.image.shape == sample.mask.shape == (1024, frames)
        assert [str(sample.image.dtype), str(sample.mask.dtype)] == ["uint8", "bool"]
        assert [str(sample.noisy.dtype), str(sample.clean.dtype)] == ["float32", "float32"]
        assert np.abs(sample.noisy).max() <= 1.0 and len(sample.clean) == len(sample.noisy)
        assert (sample.sample_id, sample.recording_id) == sample_identity(QUICK, "train", index)


def test_the_image_is_the_published_rendering_of_the_recording(samples: list[SyntheticSample]) -> None:
    for sample in samples[::20]:
        np.testing.assert_array_equal(sample.image, render(sample.noisy))


def test_masks_are_mirrored_as_images_are(samples: list[SyntheticSample]) -> None:
    for sample in samples:
        np.testing.assert_array_equal(sample.mask[:DC_ROW], sample.mask[DC_ROW + 1 : 1023][::-1])


def test_birds_fill_1_to_25_per_cent_and_5_to_10_per_cent_are_empty(samples: list[SyntheticSample]) -> None:
    shares = np.array([sample.mask.mean() for sample in with_bird(samples)])
    inside = (shares >= 0.01) & (shares <= 0.25)
    assert inside.mean() >= 0.98 and shares.min() > 0.005 and shares.max() < 0.30
    assert 0.05 <= np.mean([not sample.mask.any() for sample in samples]) <= 0.10


def test_no_voice_means_no_mask_and_a_voice_means_one(samples: list[SyntheticSample]) -> None:
    for sample in samples:
        assert sample.mask.any() == (sample.attributes["voice"] != "none") == bool(sample.clean.any())


def test_every_kind_of_voice_occurs(samples: list[SyntheticSample]) -> None:
    assert set(VOICES) <= {sample.attributes["voice"] for sample in samples}
    assert 0.2 < np.mean([sample.attributes["distractor"] != "" for sample in samples]) < 0.5


def test_the_ratio_of_voice_to_noise_is_as_stated(samples: list[SyntheticSample]) -> None:
    stated = []
    for sample in with_bird(samples):
        stated.append(float(sample.attributes["snr_db"]))
        if sample.attributes["clipped"] == "yes":
            continue
        clean = sample.clean.astype(np.float64)
        noise = sample.noisy - clean
        measured = 10 * np.log10(np.mean(clean**2) / np.mean(noise**2))
        assert abs(measured - stated[-1]) < 0.15
    assert min(stated) < -3 and max(stated) > 18 and min(stated) >= -5 and max(stated) <= 20


def test_the_mask_can_be_had_again_from_the_clean_voice(samples: list[SyntheticSample]) -> None:
    for sample in with_bird(samples)[::10]:
        if sample.attributes["clipped"] == "yes":
            continue
        frames_per_s = sample.sample_rate / HOP_SAMPLES
        noise = sample.noisy - sample.clean
        again = two_sided(visible_half(sample.clean, noise, frames_per_s))
        assert (again & sample.mask).sum() >= 0.98 * (again | sample.mask).sum()


def test_the_mask_holds_the_voice_and_nothing_else(samples: list[SyntheticSample]) -> None:
    for sample in with_bird(samples)[::4]:
        magnitude = np.abs(one_sided_stft(sample.clean))
        half = sample.mask[DC_ROW:]
        assert (magnitude[half] ** 2).sum() >= 0.75 * (magnitude**2).sum()
        # Nothing is painted farther from the voice than brush and gaps reach.
        near = ndimage.maximum_filter(magnitude > 0.002 * magnitude.max(), (41, 31))
        assert not (half & ~near).any()


def test_saturation_is_common_in_birds(samples: list[SyntheticSample]) -> None:
    saturated = np.array([np.mean(sample.image[sample.mask] == 255) for sample in with_bird(samples)])
    assert (saturated > 0.25).mean() > 0.15


def test_couples_are_one_voice_at_two_levels_in_two_noises() -> None:
    options = SyntheticOptions(pair_share=1.0, empty_share=0.0, seconds_max=2.4)
    for first in (0, 2, 4):
        left, right = (synthesize(options, "test", first + side) for side in (0, 1))
        assert left.recording_id == right.recording_id
        assert (left.attributes["channel"], right.attributes["channel"]) == ("left", "right")
        assert np.corrcoef(left.clean, right.clean)[0, 1] > 0.999
        assert np.abs(left.clean).max() != np.abs(right.clean).max()
        assert abs(np.corrcoef(left.noisy - left.clean, right.noisy - right.clean)[0, 1]) < 0.5


def test_a_sample_depends_on_nothing_but_its_arguments(samples: list[SyntheticSample]) -> None:
    for index in (31, 7, 0):
        assert digest(synthesize(QUICK, "train", index)) == digest(samples[index])


def test_another_process_makes_the_same_sample(samples: list[SyntheticSample]) -> None:
    source = (
        "import sys; sys.path.insert(0, sys.argv[1]); from benchbird.data.synthetic.scenes import *; "
        "s = synthesize(SyntheticOptions(seconds_min=2.4, seconds_max=3.0), 'train', 5); "
        "import hashlib; print(hashlib.sha256(s.image.tobytes() + s.mask.tobytes()).hexdigest())"
    )
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", source, root], capture_output=True, text=True, check=True, timeout=60)
    expected = hashlib.sha256(samples[5].image.tobytes() + samples[5].mask.tobytes()).hexdigest()
    assert done.stdout.strip() == expected


def test_splits_seeds_and_indices_differ() -> None:
    made = [
        synthesize(QUICK, "train", 1),
        synthesize(QUICK, "val", 1),
        synthesize(QUICK, "train", 3),
        synthesize(SyntheticOptions(seed=1, seconds_max=3.0), "train", 1),
    ]
    assert max(Counter(digest(sample) for sample in made).values()) == 1


def test_options_reach_the_sample() -> None:
    options = SyntheticOptions(
        sample_rate=22_050,
        seconds_min=2.0,
        seconds_max=2.0,
        snr_db_min=10.0,
        snr_db_max=10.0,
        distractor_share=1.0,
    )
    sample = synthesize(options, "val", 0)
    assert sample.sample_rate == 22_050 and len(sample.noisy) == 44_100
    assert sample.attributes["snr_db"] in ("10.0", "") and sample.attributes["distractor"]
    empty = synthesize(SyntheticOptions(empty_share=1.0, distractor_share=1.0, seconds_max=2.4), "val", 0)
    assert not empty.mask.any() and not empty.clean.any() and empty.noisy.any()
