"""Samples whose pictures the protocol asks for otherwise than their data set has them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from benchbird.audio.renderings import render
from benchbird.contract import GeneratedSample, Sample
from benchbird.data import birdsound, embedded
from benchbird.data.cache import prepare_splits
from benchbird.data.contents import identify_splits
from benchbird.data.images import read_image, read_mask
from benchbird.data.mixing import MixingOptions
from benchbird.data.rendered import rendered_splits
from benchbird.data.resize import shrink_image
from benchbird.data.sounds import sound_of
from benchbird.errors import DataError
from benchbird.protocol import Protocol, Rendering, Spectrum
from tests.mixture_factory import RATE_HZ, write_mixtures

OTHERS: tuple[tuple[Rendering, Spectrum], ...] = (
    ("published", "half"), ("log", "mirrored"), ("log", "half"), ("pcen", "mirrored"), ("pcen", "half")
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = MixingOptions(shares={"train": 2, "val": 1, "test": 1}, clip_s=1.0)
    return write_mixtures(tmp_path_factory.mktemp("mixed"), 4, options)


def found(root: Path) -> dict[str, tuple]:  # type: ignore[type-arg]
    return {split: tuple(samples) for split, samples in birdsound.find(root, {}).items()}


def made(sample: object) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    assert isinstance(sample, GeneratedSample)
    image, mask, *_ = pickle.loads(pickle.dumps(sample)).render()  # as a worker does
    return image, mask


def test_the_published_protocol_changes_nothing(root: Path, tmp_path: Path) -> None:
    splits = found(root)
    assert rendered_splits(splits, "published", "mirrored", tmp_path) == splits


@pytest.mark.parametrize(("rendering", "spectrum"), OTHERS)
def test_pictures_are_rendered_from_the_recordings(
    root: Path, tmp_path: Path, rendering: Rendering, spectrum: Spectrum
) -> None:
    splits = found(root)
    for split, samples in rendered_splits(splits, rendering, spectrum, tmp_path).items():
        for sample, before in zip(samples, splits[split], strict=True):
            assert (sample.sample_id, sample.recording_id) == (before.sample_id, before.recording_id)
            assert sample.attributes == before.attributes
            audio, _ = soundfile.read(before.image.parents[1] / "Raw_audios" / f"{sample.sample_id}.flac")
            image, mask = made(sample)
            np.testing.assert_array_equal(image, render(audio, RATE_HZ, rendering, spectrum))
            whole = read_mask(before.mask)
            np.testing.assert_array_equal(mask, whole if spectrum == "mirrored" else whole[511:])
            pair, known = sound_of(sample), sound_of(before)
            assert pair is not None and known is not None and pair.kind == "voice"
            np.testing.assert_array_equal(pair.reference, known.reference)


def test_half_of_the_published_images_needs_no_recording(root: Path, tmp_path: Path) -> None:
    splits = found(root)
    for path in root.glob("*/Raw_audios/*"):
        assert path.exists()
    halves = rendered_splits(splits, "published", "half", tmp_path)
    image, _ = made(halves["test"][0])
    np.testing.assert_array_equal(image, read_image(splits["test"][0].image)[511:])


def test_every_rule_is_other_data_and_another_protocol(root: Path, tmp_path: Path) -> None:
    splits = found(root)
    rules: list[tuple[Rendering, Spectrum]] = [("published", "mirrored"), *OTHERS]
    asked = [rendered_splits(splits, *rule, tmp_path) for rule in rules]
    contents = [identify_splits(one, tmp_path)["test"][0] for one in asked]
    assert len({one.content_sha256 for one in contents}) == 6
    digests = {Protocol(rendering=rendering, spectrum=spectrum).digest for rendering, spectrum in OTHERS}
    assert len(digests | {Protocol().digest}) == 6
    assert "rendering" not in Protocol().as_dict() and "spectrum" not in Protocol().as_dict()
    assert Protocol(spectrum="half").as_dict()["rendering_version"] == 1


def test_they_are_prepared_like_any_other(root: Path, tmp_path: Path) -> None:
    splits = rendered_splits(found(root), "log", "half", tmp_path)
    prepared = prepare_splits(splits, 32, tmp_path / "cache", workers=1, progress=False)
    image, _ = made(splits["test"][0])
    np.testing.assert_array_equal(prepared.splits["test"].images[0], shrink_image(image, 32))
    assert prepared.splits["test"].native_sizes[0] == image.shape


def test_a_recording_that_changes_is_other_data(root: Path, tmp_path: Path) -> None:
    import shutil

    copied = Path(shutil.copytree(root, tmp_path / "copied"))
    before = identify_splits(rendered_splits(found(copied), "log", "half", tmp_path), tmp_path)
    path = next((copied / "Test" / "Raw_audios").iterdir())
    audio, _ = soundfile.read(path)
    soundfile.write(path, audio[::-1], RATE_HZ)
    after = identify_splits(rendered_splits(found(copied), "log", "half", tmp_path), tmp_path)
    assert before["train"] == after["train"] and before["test"] != after["test"]


SIZES = {"train": 1, "val": 1, "test": 1}


def test_the_embedded_set_is_rendered_from_its_own_sound(tmp_path: Path) -> None:
    splits = {name: tuple(samples) for name, samples in embedded.find(None, {"sizes": SIZES}).items()}
    [sample] = rendered_splits(splits, "pcen", "half", tmp_path)["test"]
    [before] = splits["test"]
    assert isinstance(before, GeneratedSample) and before.sound is not None
    noisy, _, rate_hz = before.sound()
    image, mask = made(sample)
    np.testing.assert_array_equal(image, render(noisy, rate_hz, "pcen", "half"))
    np.testing.assert_array_equal(mask, before.render()[1][511:])


def test_samples_without_a_recording_are_named_all_at_once(root: Path, tmp_path: Path) -> None:
    import shutil

    copied = Path(shutil.copytree(root, tmp_path / "copied"))
    for path in (copied / "Test" / "Raw_audios").iterdir():
        path.unlink()
    with pytest.raises(DataError) as refused:
        rendered_splits(found(copied), "log", "mirrored", tmp_path)
    said = str(refused.value)
    assert said.count("has no recording of its name in Raw_audios") == len(found(root)["test"])
    assert "set protocol.rendering: published" in said


def test_a_reference_stays_what_it_is_whatever_the_pictures_are(root: Path, tmp_path: Path) -> None:
    plain = {one.sample_id: one for one in found(root)["test"]}
    for kind in ("voice", "mask"):
        splits = {
            name: tuple(
                replace(one, attributes={"kind": "mixed" if kind == "voice" else "human_mask"})
                for one in samples
                if isinstance(one, Sample)
            )
            for name, samples in found(root).items()
        }
        for made in rendered_splits(splits, "published", "half", tmp_path)["test"]:
            pair = sound_of(made)
            before = sound_of(next(one for one in splits["test"] if one.sample_id == made.sample_id))
            assert made.sample_id in plain and pair is not None and before is not None and pair.kind == kind
            np.testing.assert_array_equal(pair.reference, before.reference)
            assert pair.known.indices(len(pair.noisy)) == before.known.indices(len(before.noisy))
