"""`benchbird predict`: what a trial's model takes for bird in recordings and images, as boxes or pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from benchbird.errors import DataError, UsageError
from benchbird.option_types import FiniteRange

if TYPE_CHECKING:
    from benchbird.audio.recordings import Recording
    from benchbird.ears import Ear
    from benchbird.image_marking import Marking

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
FORMATS = ("raven", "audacity", "csv", "png")


@dataclass(frozen=True)
class Settings:
    """The command line of one prediction."""

    recordings: tuple[Path, ...]
    trial: Path
    output: Path | None
    form: Literal["raven", "audacity", "csv", "png"] | None
    overwrite: bool
    least_s: float
    window_s: float | None
    plugins: tuple[Path, ...]
    device: str


@click.command(epilog="Example: benchbird predict dawn.wav --trial results/birdsound/2f0c.../unet-1a2b3c4d/seed-0")
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--trial", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the ended trial whose model is used.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder for what is written.  [default: beside each recording]")  # fmt: skip
@click.option("--format", "form", type=click.Choice(FORMATS),
              help="Raven selection table, Audacity labels, CSV, or the mask as a picture.  [default: raven for "
              "recordings, png for images]")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are there, corrected by a person perhaps.")
@click.option("--least", "least_s", type=FiniteRange(min=0, max=60), default=0.01, show_default=True,
              metavar="SECONDS", help="Leave out calls that are shorter.")  # fmt: skip
@click.option("--window", "window_s", type=FiniteRange(min=0.05, max=600), metavar="SECONDS",
              help="Length of what the model sees at once.  [default: that of its training pictures]")  # fmt: skip
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The plugin file that the segmenter comes from, if it was one.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where to compute.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Mark what a trial's model takes for bird in recordings or images.

    FILE is a recording (WAV, FLAC, OGG or MP3) or an image (PNG, JPEG or TIFF), by content. Of a recording, each
    connected piece of the mask becomes one box in time and frequency, in a file that Raven or Audacity opens; `png`
    writes the mask itself, mirrored as the published masks are. Of an image, its mask, the probability of bird and an
    overlay are written at its own size. Exit code 1 if a file can't be used; the others are marked.
    """
    ctx.exit(run(Settings(**options)))


def run(settings: Settings) -> int:
    """Carry out one command; the exit code."""
    _check_names(settings)
    images = [path for path in settings.recordings if _is_image(path)]
    recordings = [path for path in settings.recordings if path not in images]
    if images and settings.form not in (None, "png"):
        raise UsageError(f"{images[0]}: an image has no boxes in time and frequency; leave --format out")
    failed = _mark_recordings(recordings, settings) + _mark_images(images, settings)
    return 1 if failed else 0


def _is_image(path: Path) -> bool:
    """By content; what is neither is taken for what its name says, so that the reason fits."""
    from benchbird.data.images import Unreadable, check_header

    try:
        check_header(path)
    except (Unreadable, OSError):
        return path.suffix.lower() in IMAGE_SUFFIXES
    return True


def _mark_recordings(paths: Sequence[Path], settings: Settings) -> int:
    """Mark recordings; how many couldn't be used."""
    from benchbird.errors import BenchbirdError

    if not paths:
        return 0
    from benchbird.ears import open_ear

    ear = open_ear(settings.trial, plugin_files=settings.plugins, device=settings.device, window_s=settings.window_s)
    failed = 0
    for path in paths:
        try:
            for line in _predict(ear, path, settings):
                click.echo(line)
        except BenchbirdError as error:
            failed += 1
            click.echo(f"benchbird: {error}", err=True)
    return failed


def _mark_images(paths: Sequence[Path], settings: Settings) -> int:
    """Mark images; how many couldn't be used."""
    from benchbird.errors import BenchbirdError

    if not paths:
        return 0
    from benchbird.image_marking import Marking, open_marker

    marker = open_marker(settings.trial, plugin_files=settings.plugins, device=settings.device)
    failed = 0
    for marking in marker.mark(paths):
        try:
            if not isinstance(marking, Marking):
                raise marking
            click.echo(_write_marking(marking, marker.protocol.logit_threshold, settings))
        except BenchbirdError as error:
            failed += 1
            click.echo(f"benchbird: {error}", err=True)
    return failed


def _write_marking(marking: Marking, logit_threshold: float, settings: Settings) -> str:
    from benchbird.durable import make_folder, write_durably
    from benchbird.plain_text import plain_text

    folder = make_folder(marking.path.parent if settings.output is None else settings.output)
    pictures = marking.pictures(logit_threshold)
    targets = [_spare(folder / f"{marking.path.stem}{ending}", settings) for ending in pictures]
    for target, content in zip(targets, pictures.values(), strict=True):
        write_durably(target, content)
    share = marking.mask(logit_threshold).mean()
    return f"{plain_text(str(marking.path))}: {', '.join(map(str, targets))}: {share:.1%} of it is bird"


def _check_names(settings: Settings) -> None:
    taken: dict[Path, Path] = {}
    for path in settings.recordings:
        place = (settings.output or path.parent).resolve() / path.stem
        if place in taken:
            raise UsageError(
                f"{taken[place]} and {path} would be written to files of one name, {path.stem}; give them one by one, "
                "with different -o"
            )
        taken[place] = path


def _spare(target: Path, settings: Settings) -> Path:
    """The target, if nothing is there that somebody may still want.

    Raises:
        DataError: something is.
    """
    if target.exists() and not settings.overwrite:
        raise DataError(f"{target}: is there already; choose another -o, or replace it by --overwrite")
    return target


def _predict(ear: Ear, path: Path, settings: Settings) -> Iterator[str]:
    from benchbird.audio.recordings import Recording
    from benchbird.durable import make_folder
    from benchbird.plain_text import plain_text

    folder = make_folder(path.parent if settings.output is None else settings.output)
    with Recording(path) as recording:
        write = _write_pictures if settings.form == "png" else _write_boxes
        for what in write(ear, recording, folder, settings):
            yield f"{plain_text(str(path))}: {what}"
        for note in recording.notes():
            click.echo(f"benchbird: {plain_text(str(path))}: {note}", err=True)


def _write_boxes(ear: Ear, recording: Recording, folder: Path, settings: Settings) -> Iterable[str]:
    from benchbird.annotations.formats import SUFFIXES, annotations_text
    from benchbird.calls import find_calls
    from benchbird.durable import write_durably

    form = settings.form or "raven"
    assert form != "png"
    target = _spare(folder / f"{recording.path.stem}{SUFFIXES[form]}", settings)
    calls = find_calls(
        ear.listen(recording),
        recording.format.rate_hz,
        ear.protocol.logit_threshold,
        least_s=settings.least_s,
        label=ear.label,
    )
    boxes = sorted(calls, key=lambda box: (box.start_s, box.channel or 0, box.low_hz or 0.0))
    write_durably(target, annotations_text(boxes, form, recording.format.channels).encode())
    yield f"{target}: {len(boxes)} {'call' if len(boxes) == 1 else 'calls'}"


def _write_pictures(ear: Ear, recording: Recording, folder: Path, settings: Settings) -> Iterable[str]:
    import io

    import numpy as np
    from PIL import Image

    from benchbird.audio.stft import FFT_SIZE, frame_count, two_sided
    from benchbird.data.annotated import channel_suffix
    from benchbird.data.images import MOST_PIXELS
    from benchbird.durable import write_durably

    frames = frame_count(recording.declared_samples)
    if frames * FFT_SIZE > MOST_PIXELS:
        longest_s = MOST_PIXELS // FFT_SIZE * 64 / recording.format.rate_hz
        raise DataError(
            f"{recording.path}: its picture would have {frames} columns, expected at most {MOST_PIXELS // FFT_SIZE} "
            f"({longest_s:.0f} s); use --format raven, or cut the recording"
        )
    channels = recording.format.channels
    names = [f"{recording.path.stem}{channel_suffix(channel, channels)}.png" for channel in range(channels)]
    targets = [_spare(folder / name, settings) for name in names]
    stretches = [stretch.logits for stretch in ear.listen(recording) if not stretch.is_rest]
    masks = np.concatenate(stretches, axis=2) > ear.protocol.logit_threshold  # (channels, 513, frames)
    for target, mask in zip(targets, masks, strict=True):
        stream = io.BytesIO()
        Image.fromarray(np.asarray(two_sided(mask)).astype(np.uint8) * np.uint8(255)).save(stream, "PNG")
        write_durably(target, stream.getvalue())
        yield f"{target}: {mask.mean():.1%} of it is bird"
