"""Samples whose pictures are rendered anew from their recordings, or cut to one half, as the protocol says.

Owns the way from a sample as its data set gives it to one that is made. What is known of a sample stays; its content
becomes that of recording, mask and rule, so that it is another study on other data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbird.contract import AnySample, GeneratedSample, Sample
from benchbird.data.contents import hash_files
from benchbird.data.faults import DataFault, data_error
from benchbird.protocol import RENDERING_VERSIONS, Rendering, Spectrum

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Pixels = Any
"""Image and mask, and attributes that are known only now (`GeneratedSample.render`)."""


def rendered_splits(
    splits: Mapping[str, tuple[AnySample, ...]], rendering: Rendering, spectrum: Spectrum, cache: Path
) -> dict[str, tuple[AnySample, ...]]:
    """The samples with the protocol's pictures; those of the published protocol are unchanged.

    Args:
        splits: as the data set gives them, after subsets were drawn.
        rendering: of the protocol.
        spectrum: of the protocol.
        cache: where hashes of files are remembered.

    Raises:
        DataError: samples without a recording, all of them in one error.
    """
    if rendering == "published" and spectrum == "mirrored":
        return dict(splits)
    recordings = _recordings(splits) if rendering != "published" else {}
    files = [path for path in recordings.values() if path is not None]
    files += [path for samples in splits.values() for one in samples if isinstance(one, Sample)
              for path in (one.image, one.mask)]  # fmt: skip
    hashes = hash_files(files, cache)
    rule = f"{rendering}-{RENDERING_VERSIONS[rendering]}-{spectrum}"
    return {
        split: tuple(
            GeneratedSample(
                sample_id=one.sample_id,
                recording_id=one.recording_id,
                content=f"{rule}:{_content(one, recordings.get(id(one)), hashes)}",
                render=partial(_render, one, recordings.get(id(one)), rendering, spectrum),
                attributes=one.attributes,
                sound=_sound(one),
                is_voice_alone=_is_voice_alone(one),
            )
            for one in samples
        )
        for split, samples in splits.items()
    }


def _recordings(splits: Mapping[str, tuple[AnySample, ...]]) -> dict[int, Path | None]:
    """The recording of each sample, by its identity; None where it is generated."""
    from benchbird.data.sounds import recording_of

    found: dict[int, Path | None] = {}
    faults = []
    for samples in splits.values():
        for one in samples:
            if isinstance(one, Sample):
                found[id(one)] = recording_of(one)
                if found[id(one)] is None:
                    faults.append(DataFault(str(one.image), "has no recording of its name in Raw_audios"))
            elif one.sound is None:
                faults.append(DataFault(one.sample_id, "is made without sound"))
    if faults:
        raise data_error(
            "pictures can't be rendered from recordings",
            faults,
            "set protocol.rendering: published, which takes the images as they are",
        )
    return found


def _sound(sample: AnySample) -> Callable[[], tuple[np.ndarray, np.ndarray, int]] | None:
    """The sound of a generated sample, or of a file with a reference."""
    from benchbird.data.sounds import has_reference

    if isinstance(sample, GeneratedSample):
        return sample.sound
    return partial(_files_sound, sample) if has_reference(sample) else None


def _is_voice_alone(sample: AnySample) -> bool:
    from benchbird.data.sounds import kind_of

    return kind_of(sample) == "voice"


def _files_sound(sample: Sample) -> tuple[np.ndarray, np.ndarray, int]:
    from benchbird.data.sounds import sound_of
    from benchbird.errors import DataError

    pair = sound_of(sample)
    if pair is None:
        raise DataError(f"{sample.sample_id}: its recording or reference is no longer there")
    return pair.noisy, pair.known_reference, pair.rate_hz


def _content(sample: AnySample, recording: Path | None, hashes: Mapping[Path, str]) -> str:
    if isinstance(sample, GeneratedSample):
        return sample.content
    source = sample.image if recording is None else recording
    return f"{hashes[source]}:{hashes[sample.mask]}"


def _render(sample: AnySample, recording: Path | None, rendering: Rendering, spectrum: Spectrum) -> Pixels:
    image, mask, attributes = _pixels(sample, with_image=rendering == "published")
    if rendering != "published":
        image = _picture(sample, recording, rendering, spectrum)
        if spectrum == "half":
            mask = _half(mask)
        return _fitted(image, mask), mask, attributes
    return _half(image), _half(mask), attributes


def _pixels(sample: AnySample, *, with_image: bool) -> tuple[Any, npt.NDArray[np.bool_], Mapping[str, str]]:
    """Image (where it is wanted), mask, and attributes that are known only now."""
    if isinstance(sample, Sample):
        from benchbird.data.images import read_image, read_mask

        return read_image(sample.image) if with_image else None, read_mask(sample.mask), {}
    image, mask, *rest = sample.render()
    return image, mask, rest[0] if rest else {}


def _picture(
    sample: AnySample, recording: Path | None, rendering: Rendering, spectrum: Spectrum
) -> npt.NDArray[np.uint8]:
    from benchbird.audio.recordings import read_recording
    from benchbird.audio.renderings import render
    from benchbird.errors import DataError

    if recording is None:
        assert isinstance(sample, GeneratedSample) and sample.sound is not None, "checked before"
        noisy, _, rate_hz = sample.sound()
        return render(noisy, rate_hz, rendering, spectrum)
    audio, form = read_recording(recording)
    if form.channels != 1:
        raise DataError(
            f"{recording.name}: {form.channels} channels, expected one: each channel is a sample of its own"
        )
    return render(audio[:, 0], form.rate_hz, rendering, spectrum)


def _half(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """From the row of 0 Hz down to the last one: rows 511 to 1023 of 1024, and the same share of a resized picture."""
    return pixels[pixels.shape[0] // 2 - 1 :]


def _fitted(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The picture at its mask's size, which its maker may have resized; Pillow's bilinear filter, antialiased."""
    if image.shape == mask.shape:
        return image
    import numpy as np
    from PIL import Image

    height, width = mask.shape
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
