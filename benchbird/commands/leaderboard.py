"""`benchbird leaderboard`: prints the leaderboard of results on disk."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--format", "reporter", metavar="NAME", default="markdown", show_default=True,
              help="markdown, latex, csv, json, or any reporter that a plugin offers.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--digest", metavar="PREFIX", help="The study whose digest begins so, where there are several.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write there instead of to standard output.")  # fmt: skip
def command(target: Path, results: Path, reporter: str, as_json: bool, digest: str | None, output: Path | None) -> None:
    """Print the leaderboard of results on disk.

    TARGET is a benchmark's YAML (meaning DIR/<its name>), a results root, or a benchmark's or study's
    folder below one. With several studies there, the newest finished one is shown and the others are
    listed on standard error.

    Example: benchbird leaderboard benchmarks/birdsound.yaml --format latex
    """
    from benchbird.durable import write_durably
    from benchbird.leaderboard import rank
    from benchbird.plain_text import plain_text
    from benchbird.registry import REPORTERS, load_registry
    from benchbird.reporters.rendering import find_reporter, render_leaderboard
    from benchbird.studies import select_study

    registry = load_registry(groups=(REPORTERS,))
    offer = find_reporter(registry, "json" if as_json else reporter)
    choice = select_study(target, results=results, digest=digest)
    for notice in (*map(plain_text, registry.warnings), *choice.notices):
        click.echo(notice, err=True)
    content = render_leaderboard(offer, rank(choice.study.records)).encode()
    if output is None:
        # As bytes: the document is UTF-8 whatever the terminal's encoding is.
        click.echo(content, nl=False)
    else:
        write_durably(output, content)
        click.echo(f"wrote {output}", err=True)
