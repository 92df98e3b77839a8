"""`benchbird compare`: tells whether two results differ beyond the noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchbird.comparison import StudyComparison
    from benchbird.sides import FoundSide


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--in", "within", type=click.Path(path_type=Path), metavar="TARGET",
              help="Where A and B are looked up that are labels.  [default: the results root]")  # fmt: skip
@click.option("--metric", default="iou_pooled", show_default=True, metavar="NAME", help="The score to compare by.")
@click.option("--fail-on-regression", is_flag=True, help="Exit 1 if a segmenter got worse beyond the noise.")
@click.option("--digest-a", metavar="PREFIX", help="The study of A whose digest begins so, where there are several.")
@click.option("--digest-b", metavar="PREFIX", help="The same of B.")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where readings are remembered.  [default: as for run]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(
    a: str,
    b: str,
    within: Path | None,
    metric: str,
    fail_on_regression: bool,
    digest_a: str | None,
    digest_b: str | None,
    results: Path,
    cache: Path | None,
    as_json: bool,
) -> int:
    """Tell whether two results differ beyond the noise.

    A (before) and B (after) are each a folder (results root, benchmark, study, `<label>-<hash>` or trial), a
    benchmark's YAML (meaning DIR/<its name>), or the label of a segmenter in TARGET. Of several studies in one
    place the newest finished one is taken. Segmenters are matched by label; if each side has only one, those two.

    Example: benchbird compare before/results after/results --fail-on-regression
    """
    from benchbird.comparison import compare
    from benchbird.comparison_report import comparison_document, render_comparison
    from benchbird.durable import json_bytes
    from benchbird.index import index_of
    from benchbird.ranking import require_metric
    from benchbird.sides import find_side

    require_metric(metric)
    place = within or results
    before = find_side(a, within=place, results=results, digest=digest_a, option="--digest-a")
    after = find_side(b, within=place, results=results, digest=digest_b, option="--digest-b")
    with index_of(cache) as index:
        comparison = compare(before.found, after.found, index, metric)
    for notice in (*_of_choice(before, after), *_of_comparison(comparison, fail_on_regression)):
        click.echo(notice, err=True)
    # As bytes: the document is UTF-8 whatever the terminal's encoding is.
    document = json_bytes(comparison_document(comparison)) if as_json else render_comparison(comparison).encode()
    click.echo(document, nl=False)
    return 1 if fail_on_regression and comparison.regressions else 0


def _of_choice(before: FoundSide, after: FoundSide) -> Iterator[str]:
    if before.notices == after.notices:
        yield from before.notices
    else:
        for name, side in (("A", before), ("B", after)):
            yield from (f"{name}: {notice}" for notice in side.notices)
    if _trials(before) == _trials(after):
        yield "A and B are the same trials"


def _trials(side: FoundSide) -> set[tuple[str, tuple[Path, ...]]]:
    """The trials of a side by their files; a pooled trial's own path is made up, those of its folds aren't."""
    return {(one.record.study, tuple(part.path.absolute() for part in one.folds or (one,))) for one in side.found}


def _of_comparison(comparison: StudyComparison, fail_on_regression: bool) -> Iterator[str]:
    from benchbird.comparison_report import named

    for name, side in (("A", comparison.before), ("B", comparison.after)):
        if side.superseded:
            yield f"{name}: records of older versions of a segmenter left out: {side.superseded}"
    if comparison.other_test_data:
        yield (
            f"the test data differ ({comparison.other_test_data}): differences compare data as much as segmenters, so "
            "none is called a regression"
        )
    elif any(change.key.startswith("data.") for change in comparison.changes):
        yield "the test masks are the same, but not all of the data: see what differs"
    if not fail_on_regression:
        return
    if undecided := [named(match) for match in comparison.matches if match.outcome == "undecided"]:
        yield f"--fail-on-regression: nothing can be told of {', '.join(undecided)}"
    if comparison.regressions:
        yield f"--fail-on-regression: worse beyond the noise: {', '.join(map(named, comparison.regressions))}"
