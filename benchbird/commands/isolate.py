"""`benchbird isolate`: recordings in, the same recordings without what a trial's model takes for noise out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from benchbird.errors import UsageError
from benchbird.option_types import FiniteRange

if TYPE_CHECKING:
    from benchbird.cleaning import Cleaned, Cleaner

KINDS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}


@dataclass(frozen=True)
class Settings:
    """The command line of one cleaning."""

    recordings: tuple[Path, ...]
    trial: Path
    output: Path | None
    mask: Literal["binary", "soft"]
    with_residual: bool
    window_s: float | None
    plugins: tuple[Path, ...]
    device: str
    kind: str | None
    report: Path | None


@click.command(epilog="Example: benchbird isolate dawn.wav --trial results/birdsound/2f0c.../unet-1a2b3c4d/seed-0")
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORDING...")
@click.option("--trial", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the ended trial whose model is used.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="PATH",
              help="File for one recording, folder for many.  [default: beside each one]")  # fmt: skip
@click.option("--mask", type=click.Choice(["binary", "soft"]), default="binary", show_default=True,
              help="Keep a cell whole or not at all, or weigh it by its probability.")  # fmt: skip
@click.option("--residual", "with_residual", is_flag=True, help="Write what was taken away, too.")
@click.option("--window", "window_s", type=FiniteRange(min=0.05, max=600), metavar="SECONDS",
              help="Length of what the model sees at once.  [default: that of its training pictures]")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["wav", "flac", "ogg", "mp3"]),
              help="Of what comes out.  [default: by the name of -o, else as the recording, without loss]")  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
              help="Write a page with spectrograms and players, before and after.")  # fmt: skip
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The plugin file that the segmenter comes from, if it was one.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where to compute.")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Clean recordings by a trial's model.

    RECORDING is WAV, FLAC, OGG or MP3 by content, of any length, rate and number of channels; each channel is
    cleaned by itself. What comes out has its length and rate. Exit code 1 if a recording can't be used; the others
    are cleaned.
    """
    ctx.exit(run(Settings(**options)))


def run(settings: Settings) -> int:
    """Carry out one command; the exit code."""
    _check_names(settings)
    from benchbird.cleaning import Cleaner
    from benchbird.ears import open_ear
    from benchbird.errors import BenchbirdError

    ear = open_ear(settings.trial, plugin_files=settings.plugins, device=settings.device, window_s=settings.window_s)
    cleaner = Cleaner(ear=ear, mask=settings.mask)
    cleaned = []
    for recording in settings.recordings:
        try:
            cleaned.append(_clean(cleaner, recording, settings))
        except BenchbirdError as error:
            click.echo(f"benchbird: {error}", err=True)
        else:
            _show(cleaned[-1])
    if settings.report is not None and cleaned:
        _write_report(settings.report, cleaned, cleaner)
    return 0 if len(cleaned) == len(settings.recordings) else 1


def _write_report(path: Path, cleaned: Sequence[Cleaned], cleaner: Cleaner) -> None:
    from benchbird.cleaning_report import report_page
    from benchbird.durable import make_folder, write_durably

    make_folder(path.parent)
    write_durably(path, report_page(cleaned, cleaner.ear.name).encode())
    click.echo(f"page: {path}")


def _check_names(settings: Settings) -> None:
    """Refuse whatever would be written over a recording of this command, or over something else that it writes."""
    _check_output(settings)
    recordings = {_place(path): path for path in settings.recordings}
    written: dict[Path, Path] = {}
    for recording in settings.recordings:
        for file in _possible_files(recording, settings):
            place = _place(file)
            if place in recordings:
                which = "" if recordings[place] == recording else f" {recordings[place]}"
                raise UsageError(f"{recording}: what comes out would replace the recording{which}; choose another -o")
            if written.setdefault(place, recording) != recording:
                raise UsageError(
                    f"{recording} and {written[place]} would both be written to {file.name}; "
                    "give them one by one with different -o"
                )
    if settings.report is not None and _place(settings.report) in {*recordings, *written}:
        raise UsageError(f"--report {settings.report}: that is a recording; name a file that ends in .html")


def _check_output(settings: Settings) -> None:
    if settings.report is not None and settings.report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {settings.report}: found no name of a page, expected one that ends in .html")
    named = _named_kind(settings)
    if named is not None and settings.kind is not None and named != settings.kind.upper():
        raise UsageError(f"-o {settings.output} and --format {settings.kind} contradict each other; leave one out")


def _place(path: Path) -> Path:
    """A path by which two names of one file are equal."""
    return path.resolve()


def _possible_files(recording: Path, settings: Settings) -> Iterator[Path]:
    """What may be written for a recording; of which kind, only its content tells where nobody said."""
    from benchbird.cleaning import file_names

    named = _named_kind(settings)
    known = named or (settings.kind.upper() if settings.kind else None)
    for kind in KINDS.values() if known is None else (known,):
        yield from file_names(
            _target(recording, settings), kind, keep_suffix=named is not None, with_residual=settings.with_residual
        )


def _named_kind(settings: Settings) -> str | None:
    """The kind that the name of -o states, if that names a file."""
    output = settings.output
    if output is None or len(settings.recordings) > 1 or output.is_dir():
        return None
    return KINDS.get(output.suffix.lower())


def _target(recording: Path, settings: Settings) -> Path:
    """Where the outcome goes; its suffix is not decided yet, unless -o names a file."""
    from benchbird.cleaning import CLEAN

    name = recording.stem + CLEAN
    if settings.output is None:
        return recording.parent / name
    return settings.output if _named_kind(settings) is not None else settings.output / name


def _clean(cleaner: Cleaner, recording: Path, settings: Settings) -> Cleaned:
    from tqdm import tqdm

    from benchbird.durable import make_folder

    target = _target(recording, settings)
    named = _named_kind(settings)
    kind = settings.kind.upper() if settings.kind else named
    make_folder(target.parent)
    with tqdm(total=None, desc=recording.name, unit="s", disable=None, leave=False) as bar:

        def show(done_s: float, total_s: float) -> None:
            bar.total = round(total_s, 1)
            bar.update(round(done_s - bar.n, 1))

        return cleaner.clean(
            recording,
            target,
            kind=kind,
            keep_suffix=named is not None,
            with_residual=settings.with_residual,
            progress=show,
        )


def _show(cleaned: Cleaned) -> None:
    for line in _lines(cleaned):
        click.echo(line)


def _lines(cleaned: Cleaned) -> Iterator[str]:
    from benchbird.plain_text import plain_text

    name = plain_text(str(cleaned.recording))
    for note in cleaned.notes:
        click.echo(f"benchbird: {name}: {note}", err=True)
    files = ", ".join(plain_text(str(path)) for path in cleaned.files)
    speed = cleaned.recording_s / cleaned.duration_s if cleaned.duration_s else 0.0
    told = f" ({speed:.0f} × real time)" if speed >= 1 else ""
    yield (
        f"{name}: {files}: {cleaned.kept_share:.0%} of the sound's energy kept, "
        f"{cleaned.recording_s:.1f} s in {cleaned.duration_s:.1f} s{told}"
    )
