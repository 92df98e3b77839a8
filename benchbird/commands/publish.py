"""`benchbird publish`: puts a leaderboard into a document, between marker comments."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from benchbird.published import CommentStyle


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", "document", type=click.Path(path_type=Path, dir_okay=False), required=True,
              metavar="FILE", help="A .md or .tex file; made where it is missing.")  # fmt: skip
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--digest", metavar="PREFIX", help="The study whose digest begins so, where there are several.")
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if the file isn't up to date.")
def command(target: Path, document: Path, results: Path, digest: str | None, check: bool) -> None:
    """Write a leaderboard into a Markdown or LaTeX file, between markers.

    The table stands between two comments that carry the names of benchmark, profile and data set, appended at
    the end where they are missing; everything else in the file stays as it is. TARGET is chosen as for
    `benchbird leaderboard`.

    Example: benchbird publish benchmarks/birdsound.yaml --to README.md
    """
    from benchbird.errors import ResultsError
    from benchbird.index import index_of
    from benchbird.plain_text import plain_text
    from benchbird.published import block_name, place_between_markers
    from benchbird.ranking import rank_study
    from benchbird.registry import REPORTERS, load_registry
    from benchbird.reporters.rendering import find_reporter, render_leaderboard
    from benchbird.studies import select_study

    reporter, style = _format_of(document)
    registry = load_registry(groups=(REPORTERS,))
    offer = find_reporter(registry, reporter)
    choice = select_study(target, results=results, digest=digest)
    if choice.left_out:
        # A published table must not lose a trial in silence.
        raise ResultsError("\n".join([*choice.left_out, "nothing is published until these are mended or removed"]))
    with index_of(None) as index:
        ranking = rank_study(choice.study.found, index)
    leaderboard = ranking.leaderboard
    for notice in (*map(plain_text, registry.warnings), *choice.notices, *ranking.notices):
        click.echo(notice, err=True)
    is_tuned = choice.study.tuned is not None
    name = block_name(leaderboard.benchmark, leaderboard.profile, leaderboard.dataset, is_tuned=is_tuned)
    before = _read(document)
    try:
        after = place_between_markers(before or "", name, render_leaderboard(offer, leaderboard), style)
    except ResultsError as error:
        raise ResultsError(f"{document}: {error}") from error
    if after == before:
        click.echo(f"{document}: {name} is up to date", err=True)
    elif check:
        raise ResultsError(f"{document}: {name} is stale; `benchbird publish {target} --to {document}` updates it")
    else:
        _replace(document, after)
        click.echo(f"{document}: wrote {name}", err=True)


def _format_of(document: Path) -> tuple[str, CommentStyle]:
    from benchbird.errors import UsageError
    from benchbird.published import LATEX_COMMENT, MARKDOWN_COMMENT

    suffix = document.suffix.lower()
    if suffix in (".md", ".markdown"):
        return "markdown", MARKDOWN_COMMENT
    if suffix == ".tex":
        return "latex", LATEX_COMMENT
    raise UsageError(f"--to {document}: found the ending {suffix!r}, expected .md, .markdown or .tex")


def _read(document: Path) -> str | None:
    """The file's text, every byte of it, or None where there is no file."""
    from benchbird.errors import ResultsError

    try:
        return document.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ResultsError(f"{document}: could not be read: {error.strerror or error}") from error


def _replace(document: Path, text: str) -> None:
    """Write the file behind any link; who may read and write it stays as it is."""
    from benchbird.durable import write_durably

    path = document.resolve()
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    write_durably(path, text.encode("utf-8", "surrogateescape"))
    if mode is not None:
        path.chmod(mode)
