"""`benchbird clean`: removes what runs that died left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbird.errors import ResultsError

if TYPE_CHECKING:
    from benchbird.leftovers import Cleaning

PATH_WIDTH = 106


@click.command(epilog="Example: benchbird clean results --dry-run")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="List the same and remove nothing.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where prepared data are kept.  [default: as for run]")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, results: Path, dry_run: bool, cache: Path | None) -> None:
    """Remove what runs that died left behind.

    RESULTS is a results root or any folder below one. What goes:

    \b
    - claims whose process on this machine is dead
    - files half-written under a temporary name, untouched for 10 minutes
    - status.json and checkpoint of trials that have a sound record and are done
    - half-prepared data in the cache: of a process of this machine that is gone,
      untouched for 10 minutes; of any other, untouched for a day

    Records, curves, predictions, weights and logs stay. Nothing is removed in a trial that is claimed by a
    process which is alive, or which can't be looked up from here. Links aren't followed. Exit code 1 if
    something couldn't be removed.
    """  # noqa: D301 - \b is how click is told to keep lines  # fmt: skip
    from benchbird.cache_folder import cache_folder
    from benchbird.leftovers import clean

    if not os.path.isdir(results):
        raise ResultsError(f"{results}: no such folder, expected a results root or a folder below one")
    done = clean(results, cache_folder(cache), rehearse=dry_run)
    for line in _lines(results, done, "would be removed" if dry_run else "removed"):
        click.echo(line)
    for path, why in done.failed.items():
        click.echo(f"couldn't be removed: {_shown(path, results)}: {why}", err=True)
    ctx.exit(1 if done.failed else 0)


def _lines(results: Path, done: Cleaning, verb: str) -> Iterator[str]:
    from benchbird.leftovers import KINDS, total_bytes

    for kind, why in KINDS.items():
        found = [one for one in done.removed if one.kind == kind]
        if found:
            yield f"{kind}: {why}"
            yield from (f"{_size(one.size_bytes):>10}  {_shown(one.path, results)}" for one in found)
            yield ""
    if done.removed:
        number = len(done.removed)
        yield f"{number} leftover{'s' * (number != 1)} {verb}, {_size(total_bytes(done.removed))}"
    else:
        yield "nothing is left behind" if not (done.kept or done.failed) else f"nothing {verb}"
    yield from _kept(results, done.kept)


def _kept(results: Path, kept: Mapping[Path, str]) -> Iterator[str]:
    if kept:
        yield ""
        yield "left as it is:"
    for path, why in kept.items():
        yield f"  {_shown(path, results)}"
        yield f"    {why}"


def _shown(path: Path, results: Path) -> str:
    """A path as short as it can be said, its end kept where it must be cut."""
    from benchbird.plain_text import plain_text

    shown = os.path.relpath(path, results) if path.is_relative_to(results) and path != results else str(path)
    text = plain_text(shown)
    return text if len(text) <= PATH_WIDTH else f"…{text[1 - PATH_WIDTH :]}"


def _size(size_bytes: int) -> str:
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1_000_000_000 else f"{size_bytes / 1e9:.1f} GB"
