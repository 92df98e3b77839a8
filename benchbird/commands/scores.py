"""`benchbird scores`: every score of a study, by definition, stratum, recording or threshold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbird.errors import UsageError
from benchbird.plain_text import plain_text

if TYPE_CHECKING:
    from benchbird.score_tables import Curve, EdgeRow, ScoreRow, Trial
    from benchbird.standings import Estimate


@click.command(epilog="Example: benchbird scores benchmarks/birdsound.yaml --by snr_db")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--by", "column", metavar="COLUMN", help="One line a stratum: recording, mask_size, or a column of the "
              "data's manifest such as snr_db.")  # fmt: skip
@click.option("--curve", "as_curve", is_flag=True, help="One line a logit threshold.")
@click.option("--metric", metavar="NAME", help="The score of --by.  [default: iou_pooled]")
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--digest", metavar="PREFIX", help="The study whose digest begins so, where there are several.")
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where answers are remembered.  [default: as for run]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(
    target: Path,
    column: str | None,
    as_curve: bool,
    metric: str | None,
    results: Path,
    digest: str | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Print every score of a study from its stored predictions; nothing is trained or predicted.

    TARGET is chosen as for `benchbird leaderboard`. Without --by or --curve there is one line a definition,
    and how far the edges of syllables are off.
    """
    from benchbird.index import index_of
    from benchbird.ranking import require_metric
    from benchbird.score_tables import by_stratum, curve, done_trials, edges, every_score
    from benchbird.studies import select_study

    if column is not None and as_curve:
        raise UsageError("--by and --curve exclude one another")
    if metric is not None and column is None:
        raise UsageError("--metric goes with --by; without it every score is shown")
    require_metric(metric or "iou_pooled")
    choice = select_study(target, results=results, digest=digest)
    for notice in choice.notices:
        click.echo(notice, err=True)
    trials = done_trials(choice.study.found)
    if as_curve:
        _show_curve(curve(trials), as_json)
    elif column is not None:
        _show_rows(by_stratum(trials, column, metric or "iou_pooled"), trials, column, metric or "iou_pooled", as_json)
    else:
        with index_of(cache) as index:
            rows = every_score(trials, index)
        _show_all(rows, edges(trials), trials, as_json)


def _show_all(
    rows: Sequence[ScoreRow], edge_rows: Sequence[EdgeRow], trials: Mapping[str, Sequence[Trial]], as_json: bool
) -> None:
    from benchbird.definitions import DEFINITIONS

    if as_json:
        document = {
            "scores": [_row_document(row) for row in rows],
            "edges": [{"edge": row.edge, "errors": _edge_document(row)} for row in edge_rows],
        }
        click.echo(json.dumps(document, indent=2))
        return
    labels = list(trials)
    body = [[row.name, *(_estimate_text(row.estimates[label]) for label in labels)] for row in rows]
    _echo_table(["score", *labels], body)
    if any(errors[0] for row in edge_rows for errors in row.errors.values()):
        click.echo("\nEdges of syllables matched at IoU 0.5: mean absolute error (mean error), number\n")
        body = [[row.edge, *(_edge_text(row.errors[label]) for label in labels)] for row in edge_rows]
        _echo_table(["edge", *labels], body)
    meanings = [f"{one.name}: {one.meaning}" for one in DEFINITIONS.values()]
    click.echo("\n" + "\n".join(_interval_notes(rows) + meanings))


def _show_rows(
    rows: Sequence[ScoreRow], trials: Mapping[str, Sequence[Trial]], column: str, metric: str, as_json: bool
) -> None:
    if as_json:
        document = {"metric": metric, "by": column, "strata": [_row_document(row) for row in rows]}
        click.echo(json.dumps(document, indent=2))
        return
    labels = list(trials)
    column = plain_text(column, 60)  # an attribute's name is that of whoever made the data
    click.echo(f"{metric} by {column}\n")
    counts = ["images"] if column == "recording" else ["images", "recordings"]
    body = [
        [
            row.name,
            *[str(row.n_images), str(row.n_recordings)][: len(counts)],
            *(_estimate_text(row.estimates[one]) for one in labels),
        ]
        for row in rows
    ]
    _echo_table([column, *counts, *labels], body)
    if notes := _interval_notes(rows):
        click.echo("\n" + "\n".join(notes))


def _show_curve(shown: Curve, as_json: bool) -> None:
    labels = list(shown.test)
    if as_json:
        document = {
            "thresholds": shown.thresholds.tolist(),
            "segmenters": {
                label: {
                    "val": _numbers(shown.val[label]),
                    "test": _numbers(shown.test[label]),
                    "chosen": list(shown.chosen[label]),
                }
                for label in labels
            },
        }
        click.echo(json.dumps(document, indent=2))
        return
    click.echo("iou_pooled on test by logit threshold, mean over seeds; it was chosen on validation, not here\n")
    body = [
        [_signed(threshold), *(_number_text(float(shown.test[label][row])) for label in labels)]
        for row, threshold in enumerate(shown.thresholds)
        if abs(threshold) <= 4 and row % 2 == 1
    ]
    _echo_table(["logit above", *labels], body)
    click.echo()
    for label in labels:
        chosen = ", ".join(map(_signed, shown.chosen[label])) or "no threshold: no validation images in common"
        click.echo(f"{_plain(label)}: best on validation at {chosen}")


def _echo_table(headings: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    from benchbird.reporters.markdown import table

    click.echo(table([_plain(text) for text in headings], [[_plain(cell) for cell in row] for row in body]))


def _interval_notes(rows: Sequence[ScoreRow]) -> list[str]:
    from benchbird.statistics.jackknife import MIN_RECORDINGS

    covers = {one.covers for row in rows for one in row.estimates.values() if one.low is not None}
    said = {
        "seeds and recordings": "seeds and recordings",
        "recordings": "test recordings alone",
        "seeds": "seeds alone",
    }
    notes = []
    if covers:
        notes.append(f"In parentheses: 95 % interval over {' or over '.join(said[one] for one in sorted(covers))}.")
    if any(row.n_recordings < MIN_RECORDINGS for row in rows):
        notes.append(f"No interval: of fewer than {MIN_RECORDINGS} recordings.")
    reasons = {
        one.reason
        for row in rows
        for one in row.estimates.values()
        if one.low is None and one.reason and row.n_recordings >= MIN_RECORDINGS
    }
    return notes + [f"No interval: {_plain(reason)}" for reason in sorted(reasons)]


def _plain(text: str) -> str:
    from benchbird.plain_text import plain_text

    return plain_text(text, 80)


def _estimate_text(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "–"
    text = f"{estimate.mean:.3f}"
    return f"{text} ({_fixed(estimate.low)} to {_fixed(estimate.high)})" if estimate.low is not None else text


def _edge_text(errors: tuple[int, float | None, float | None]) -> str:
    n_events, absolute, bias = errors
    if absolute is None or bias is None:
        return "–"
    return f"{absolute:.1f} ({bias:+.1f}), {n_events}".replace("-", "−")


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if value else "0.00"


def _number_text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _numbers(values: Any) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _row_document(row: ScoreRow) -> dict[str, Any]:
    from benchbird.record_json import json_value

    document: dict[str, Any] = json_value(row)
    return document


def _edge_document(row: EdgeRow) -> dict[str, Any]:
    return {
        label: {"n_events": errors[0], "mean_absolute": errors[1], "bias": errors[2]}
        for label, errors in row.errors.items()
    }
