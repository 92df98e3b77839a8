"""`benchbird data`: check a data set, make one of annotated recordings, or write the embedded one as files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbird.errors import UsageError
from benchbird.option_types import FiniteRange

if TYPE_CHECKING:
    from benchbird.data.annotated import Imported
    from benchbird.data.fetching import PublicData, PublicRecord
    from benchbird.data.synthetic.options import SyntheticOptions

SPLITS = ("train", "val", "test")


@click.group("data")
def command() -> None:
    """Check a data set, make one of annotated recordings, or write the embedded one as files.

    Example: benchbird data check ~/BirdSoundsDenoising
    """


@command.command("check")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option("--recording-pattern", metavar="REGEX", help="Finds `recording`, its group, in a stem.")
@click.option("--allow-links", is_flag=True, help="Follow links that leave ROOT, as data.allow_links: true does.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes to use; one a core if not given.")
@click.pass_context
def check(
    ctx: click.Context,
    root: Path,
    as_json: bool,
    recording_pattern: str | None,
    allow_links: bool,
    workers: int | None,
) -> None:
    """List everything that is wrong with a data set; exit 1 if anything is.

    ROOT holds Train, Valid and Test with Images and Masks in each, or is one split's folder with Images
    and Masks in it.

    Example: benchbird data check ~/BirdSoundsDenoising --recording-pattern '(?P<recording>XC[0-9]+)'
    """
    from benchbird.data.audit import audit
    from benchbird.data.audit_report import audit_document, audit_lines

    found = audit(root, recording_pattern, allow_links=allow_links, workers=workers)
    click.echo(json.dumps(audit_document(found), indent=2) if as_json else "\n".join(audit_lines(found)))
    if not found.is_good:
        ctx.exit(1)


@command.command("list")
@click.option("--mirror", "archive", metavar="URL", help="Ask these records instead of Zenodo's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_(archive: str | None, as_json: bool) -> None:
    """Name the public data sets that can be fetched, with licence and size.

    Example: benchbird data list
    """
    from benchbird.data.fetching import PUBLIC, ZENODO, ask_record
    from benchbird.errors import DataError
    from benchbird.plain_text import plain_text

    entries: list[dict[str, Any]] = []
    for data in PUBLIC.values():
        if not as_json:
            click.echo(f"{data.name}: {data.summary}\n  {data.source}, doi:{data.doi}")
        try:
            record = ask_record(data, archive or ZENODO)
        except DataError as error:
            entries.append(_entry(data, None, plain_text(str(error))))
            said = f"licence and size unknown: {plain_text(str(error))}"
        else:
            entries.append(_entry(data, record))
            said = f"licence {plain_text(record.licence) or 'not told'}, {_files_text(record)}"
        if not as_json:
            click.echo(f"  {said}")
    if as_json:
        click.echo(json.dumps({"data_sets": entries}, indent=2))


def _entry(data: PublicData, record: PublicRecord | None, reason: str | None = None) -> dict[str, Any]:
    """What is known of a public data set; `unknown_because` is null where its record was there."""
    known = None if record is None else {
        "licence": record.licence,
        "size_bytes": record.size_bytes,
        "files": [{"name": file.name, "size_bytes": file.size_bytes} for file in record.files],
    }  # fmt: skip
    return {**dataclasses.asdict(data), "record": known, "unknown_because": reason}


@command.command("fetch")
@click.argument("name")
@click.argument("root", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Don't ask before downloading.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where downloads lie meanwhile.  [default: as for run]")  # fmt: skip
@click.option("--mirror", "archive", metavar="URL", help="Ask these records instead of Zenodo's.")
def fetch(name: str, root: Path, yes: bool, cache: Path | None, archive: str | None) -> None:
    """Fetch a public data set into the folder ROOT.

    Sizes are told first. A download that is cut goes on with the same command; each file is compared with the record's
    checksum, archives are unpacked nowhere but below ROOT.

    Example: benchbird data fetch birdsounds-denoising ~/birdsounds
    """
    from benchbird.cache_folder import cache_folder
    from benchbird.data.faults import printable
    from benchbird.data.fetching import PUBLIC, ZENODO, ask_record
    from benchbird.data.new_root import refuse_occupied
    from benchbird.data.public import fetch as fetch_public
    from benchbird.plain_text import plain_text

    if name not in PUBLIC:
        raise UsageError(f"{name}: no data set that can be fetched; there are: {', '.join(PUBLIC)}")
    data = PUBLIC[name]
    refuse_occupied(root)
    record = ask_record(data, archive or ZENODO)
    for file in record.files:
        click.echo(f"{_size_text(file.size_bytes):>10}  {file.name}")
    click.echo(f"{name}: {_files_text(record)}, licence {plain_text(record.licence) or 'not told'}, doi:{data.doi}")
    if not yes and not click.confirm("download all of it?"):
        raise UsageError("nothing was downloaded; --yes downloads without asking")
    with _byte_progress() as show:
        layout = fetch_public(record, root, cache_folder(cache) / "downloads" / data.record_id, show)
    pairs = ", ".join(f"{len(split.samples)} {split.name}" for split in layout.splits)
    click.echo(f"{printable(root)}: {pairs}")
    if layout.faults:
        click.echo(f"{len(layout.faults)} files can't be used; `benchbird data check {printable(root)}` lists them")


def _files_text(record: PublicRecord) -> str:
    count = len(record.files)
    return f"{count} {'file' if count == 1 else 'files'}, {_size_text(record.size_bytes)}"


def _size_text(size_bytes: int) -> str:
    size, unit = float(size_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


@contextlib.contextmanager
def _byte_progress() -> Iterator[Callable[[str, int, int], None]]:
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, disable=None) as bar:
        shown = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal shown
            if what != shown:
                shown = what
                bar.reset(total)
                bar.set_description(what)
            bar.update(done - bar.n)

        yield show


@command.command("mix")
@click.option("--voices", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of clean recordings.")  # fmt: skip
@click.option("--noise", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of noise, three recordings at least.")  # fmt: skip
@click.option("-o", "--output", "root", required=True, type=click.Path(path_type=Path), metavar="ROOT",
              help="Folder to create.")  # fmt: skip
@click.option("--snr", default="-5,20", show_default=True, metavar="LOW,HIGH", help="Range of the SNR in dB.")
@click.option("--clip", "clip_s", type=FiniteRange(min=0.1, max=600), default=5.0, show_default=True,
              metavar="SECONDS", help="Length of a picture.")  # fmt: skip
@click.option("--repeats", type=click.IntRange(1, 1000), default=1, show_default=True,
              help="Mixtures of each clip, with other noise and SNR.")  # fmt: skip
@click.option("--shares", default="train=70,val=15,test=15", show_default=True, help="Parts of voices and of noises.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every draw.")
def mix(voices: Path, noise: Path, root: Path, snr: str, clip_s: float, repeats: int, shares: str, seed: int) -> None:
    """Make a data set of clean recordings and noise.

    Each clip of a voice is mixed with a piece of noise at a drawn SNR; its mask is where the voice can be seen. Voices
    and noises are dealt to splits as wholes. A file licences.csv with the columns file and licence, in either folder,
    is carried along.

    Example: benchbird data mix --voices ~/xeno-canto --noise ~/rain --snr -5,20 -o birds
    """
    parts = _shares(shares)
    from benchbird.data.mixing import MixingOptions, mix_recordings

    options = MixingOptions(snr_db=_snr_range(snr), clip_s=clip_s, repeats=repeats, shares=parts, seed=seed)
    with _progress("mix") as show:
        made = mix_recordings(voices, noise, root, options, show)
    _tell_made(root, made)


def _snr_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not -100 <= low <= high <= 100:
        raise UsageError(f"--snr {text}: expected LOW,HIGH in dB, such as -5,20")
    return low, high


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    with tqdm(desc=what, unit="recording", disable=None) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _tell_made(root: Path, made: Imported) -> None:
    from benchbird.data.faults import printable

    for note in made.notes:
        click.echo(note, err=True)
    click.echo(f"{printable(root)}: {', '.join(f'{count} {split}' for split, count in made.samples.items())}")
    if made.summary:
        click.echo(made.summary)


@command.command("synth")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--sizes", default="train=1000,val=200,test=300", show_default=True, help="Samples of each split.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option, as snr_db_min=0.")
@click.option("--seed", type=click.IntRange(min=0), help="Another seed makes other recordings.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes to use; one a core if not given.")
def synth(folder: Path, sizes: str, settings: tuple[str, ...], seed: int | None, workers: int | None) -> None:
    """Write the embedded data set as files: images, masks, audio and manifest.csv.

    Example: benchbird data synth birds --sizes train=100,val=20,test=30 --set snr_db_min=0 --seed 7
    """
    asked = _sizes(sizes)
    options = _synthetic_options(settings, seed)
    from tqdm import tqdm

    from benchbird.data.faults import printable
    from benchbird.data.synthetic.files import write_synthetic
    from benchbird.data.workers import available_cores

    with tqdm(total=sum(asked.values()), desc="make", unit="", disable=None) as bar:

        def show(done: int, _total: int) -> None:
            bar.update(done - bar.n)

        write_synthetic(folder, asked, options, workers=workers or available_cores(), progress=show)
    counts = ", ".join(f"{count} {split}" for split, count in asked.items())
    click.echo(f"{printable(folder)}: {counts}")


@command.command("import")
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORDING...")
@click.option("--annotations", multiple=True, type=click.Path(path_type=Path), metavar="PATH",
              help="File or folder of annotations. Can be repeated.  [default: beside the recordings]")  # fmt: skip
@click.option("-o", "--output", "root", required=True, type=click.Path(path_type=Path), metavar="ROOT",
              help="Folder to create.")  # fmt: skip
@click.option("--clip", "clip_s", type=FiniteRange(min=0.1, max=600), default=5.0, show_default=True,
              metavar="SECONDS", help="Length of a picture.")  # fmt: skip
@click.option("--shares", default="train=70,val=15,test=15", show_default=True, help="Parts of the recordings.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw of splits.")
@click.option(
    "--recording-pattern",
    metavar="REGEX",
    help="Finds, as its group `recording`, what must not be in two splits.  [default: the file's name without _left or "
    "_right]",
)
@click.option("--annotated-only", is_flag=True, help="Leave out clips without any box.")  # fmt: skip
def import_(
    recordings: tuple[Path, ...],
    annotations: tuple[Path, ...],
    root: Path,
    clip_s: float,
    shares: str,
    seed: int,
    recording_pattern: str | None,
    annotated_only: bool,
) -> None:
    """Make a data set of recordings and the boxes that were drawn in them.

    RECORDING is a file or a folder that is searched for WAV, FLAC, OGG and MP3. Annotations are Raven selection
    tables, Audacity labels, or CSV with start_s, end_s, low_hz, high_hz; a file belongs to the recording whose name it
    begins with, up to a dot or a space. Recordings are cut into clips, rendered as BirdSoundsDenoising is, and dealt to
    splits as wholes.

    Example: benchbird data import ~/dawn --annotations ~/dawn/selections -o birds --clip 5
    """
    parts = _shares(shares)
    from benchbird.data.annotated import ImportOptions, import_recordings
    from benchbird.data.recordings import compiled_pattern

    options = ImportOptions(
        clip_s=clip_s,
        shares=parts,
        seed=seed,
        recording_pattern=compiled_pattern(recording_pattern) if recording_pattern else None,
        annotated_only=annotated_only,
    )
    with _progress("import") as show:
        made = import_recordings(recordings, annotations, root, options, show)
    _tell_made(root, made)


def _shares(text: str) -> dict[str, int]:
    parts = _sizes(text, "--shares")
    if not all(parts.values()):
        raise UsageError(f"--shares {text}: expected train=N,val=N,test=N, each 1 or more")
    return parts


def _sizes(text: str, option: str = "--sizes") -> dict[str, int]:
    sizes = dict.fromkeys(SPLITS, 0)
    for part in text.split(","):
        split, equals, number = part.strip().partition("=")
        if split not in SPLITS or not equals or not number.isascii() or not number.isdigit():
            raise UsageError(f"{option} {text}: found {part!r}, expected train=N,val=N,test=N")
        sizes[split] = int(number)
    return sizes


def _synthetic_options(settings: Sequence[str], seed: int | None) -> SyntheticOptions:
    from benchbird.data.synthetic.options import SyntheticOptions, option_faults

    values: dict[str, Any] = {} if seed is None else {"seed": seed}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: expected KEY=VALUE")
        try:
            values[key] = json.loads(text)
        except ValueError:
            values[key] = text
    if faults := option_faults(values):
        raise UsageError("\n".join(f"--set {key}: {fault}" for key, fault in faults))
    return SyntheticOptions(**values)
