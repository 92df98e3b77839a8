"""`benchbird isolate`: recordings in, the same recordings without what a trial's model takes for noise out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from benchbird.errors import UsageError

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
@click.option("--window", "window_s", type=click.FloatRange(min=0.05, max=600), metavar="SECONDS",
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
    targets: dict[Path, Path] = {}
    for recording in settings.recordings:
        target = _target(recording, settings)
        if target.exists() and recording.exists() and target.samefile(recording):
            raise UsageError(f"{recording}: what comes out would replace the recording; choose another -o")
        if target in targets:
            raise UsageError(
                f"{recording} and {targets[target]} would both be written to {target.name}; "
                "give them one by one with different -o"
            )
        targets[target] = recording


def _target(recording: Path, settings: Settings) -> Path:
    """Where the outcome goes; its suffix is not decided yet, unless -o names a file."""
    from benchbird.cleaning import CLEAN

    name = recording.stem + CLEAN
    if settings.output is None:
        return recording.with_name(name)
    is_file = len(settings.recordings) == 1 and settings.output.suffix.lower() in KINDS
    return settings.output if is_file and not settings.output.is_dir() else settings.output / name


def _clean(cleaner: Cleaner, recording: Path, settings: Settings) -> Cleaned:
    from tqdm import tqdm

    from benchbird.durable import make_folder

    target = _target(recording, settings)
    named = KINDS.get(target.suffix.lower()) if target == settings.output else None
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
    speed = f"{cleaned.recording_s / cleaned.duration_s:.0f} × real time" if cleaned.duration_s else ""
    yield (
        f"{name}: {files}: {cleaned.kept_share:.0%} of the sound's energy kept, "
        f"{cleaned.recording_s:.1f} s in {cleaned.duration_s:.1f} s ({speed})"
    )
