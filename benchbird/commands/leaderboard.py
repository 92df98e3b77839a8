"""`benchbird leaderboard`: prints the leaderboard of results on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchbird.errors import UsageError

if TYPE_CHECKING:
    from benchbird.records import TrialRecord
    from benchbird.standings import Leaderboard


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--format", "reporter", metavar="NAME", default="markdown", show_default=True,
              help="markdown, latex, csv, json, or any reporter that a plugin offers.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--metric", default="iou_pooled", show_default=True, metavar="NAME",
              help="The score to rank by; `benchbird list metrics` explains them.")  # fmt: skip
@click.option("--with-published", "published", is_flag=False, flag_value="benchmarks/published", default=None,
              type=click.Path(path_type=Path), metavar="[DIR]",
              help="Show published results in a block of their own.  [DIR: benchmarks/published]")  # fmt: skip
@click.option("--digest", metavar="PREFIX", help="The study whose digest begins so, where there are several.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where answers are remembered.  [default: as for run]")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write there instead of to standard output.")  # fmt: skip
def command(
    target: Path,
    results: Path,
    reporter: str,
    as_json: bool,
    metric: str,
    published: Path | None,
    digest: str | None,
    cache: Path | None,
    output: Path | None,
) -> None:
    """Print the leaderboard of results on disk.

    TARGET is a benchmark's YAML (meaning DIR/<its name>), a results root, or a benchmark's or study's
    folder below one. With several studies there, the newest finished one is shown and the others are
    listed on standard error. Below a tuned track stands, as Markdown, what became of the fixed one's order.

    Example: benchbird leaderboard benchmarks/birdsound.yaml --format latex
    """
    from benchbird.durable import write_durably
    from benchbird.index import index_of
    from benchbird.plain_text import plain_text
    from benchbird.ranking import rank_study, require_metric
    from benchbird.registry import REPORTERS, load_registry
    from benchbird.reporters.rendering import find_reporter, render_leaderboard
    from benchbird.studies import select_study
    from benchbird.tracks_report import lay_side_by_side, tracks_text

    require_metric(metric)
    registry = load_registry(groups=(REPORTERS,))
    offer = find_reporter(registry, "json" if as_json else reporter)
    with index_of(cache) as index:
        choice = select_study(target, results=results, digest=digest, index=index)
        ranking = rank_study(choice.study.found, index, metric)
        track, tracks = choice.study.tuned, None
        if track is not None and offer.spec.name == "markdown":
            tracks = lay_side_by_side(track, ranking.leaderboard, index)
    for notice in (*map(plain_text, registry.warnings), *choice.notices, *ranking.notices):
        click.echo(notice, err=True)
    document = render_leaderboard(offer, ranking.leaderboard)
    if tracks is not None:
        document += "\n" + tracks_text(tracks, metric)
    if published is not None:
        document += "\n" + _published(published, offer.spec.name, ranking.leaderboard, choice.study.records)
    content = document.encode()
    if output is None:
        # As bytes: the document is UTF-8 whatever the terminal's encoding is.
        click.echo(content, nl=False)
    else:
        write_durably(output, content)
        click.echo(f"wrote {output}", err=True)


def _published(folder: Path, reporter: str, leaderboard: Leaderboard, records: Sequence[TrialRecord]) -> str:
    """The block of published results in the reporter's format.

    Raises:
        UsageError: the reporter has no form for it.
        ConfigError: the published results can't be read.
    """
    from benchbird.leaderboard import mean_scores
    from benchbird.literature import find_published
    from benchbird.reporters.published_rows import latex_block, markdown_block, published_block

    renderers = {"markdown": markdown_block, "latex": latex_block}
    if reporter not in renderers:
        raise UsageError(f"--with-published goes with --format markdown or latex, not with {reporter}")
    own = mean_scores(records, ("iou_pooled", "iou_batch_mean", "miou_two_class_batch_mean", "dice"))
    size = leaderboard.protocol.get("image_size")
    block = published_block(find_published(folder), own, leaderboard.dataset, size if isinstance(size, int) else None)
    return renderers[reporter](block).rstrip("\n") + "\n"
