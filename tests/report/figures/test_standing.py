"""Score against cost: whom nobody beats in both, whichever way the score goes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchbird.index import index_of
from benchbird.ranking import rank_study
from benchbird.report.charts import Plot
from benchbird.report.figures import cost_figures, pareto
from benchbird.report.summary import answers
from benchbird.results import find_records
from tests.predictions_factory import MadeUpImages, write_study


def test_nobody_beats_those_on_the_frontier() -> None:
    points = {"slow": (1.0, 0.3), "middle": (2.0, 0.1), "fast": (3.0, 0.2)}
    assert pareto(points, higher_is_better=True) == ["slow", "fast"]
    assert pareto(points, higher_is_better=False) == ["middle", "fast"]
    assert pareto({"a": (1.0, 0.5), "b": (1.0, 0.5)}, higher_is_better=True) == ["a", "b"]


def test_of_a_score_whose_least_is_the_best_the_least_counts(tmp_path: Path) -> None:
    write_study(tmp_path, {"unet": 0.8, "atrous_segnet": 0.5}, images=MadeUpImages(n_recordings=6))
    with index_of(tmp_path / "cache") as index:
        board = rank_study(find_records(tmp_path).found, index, "calibration_error").leaderboard
    best, worst = board.rows
    assert best.score.mean is not None and worst.score.mean is not None and best.score.mean < worst.score.mean
    # The better one is the faster one too, so that nobody would take the other.
    rows = (replace(best, inference_images_per_s=200.0), replace(worst, inference_images_per_s=100.0))
    board = replace(board, rows=rows)
    said = {one.anchor: " ".join(one.sentences) for one in answers(board, None)}
    assert f"Neither faster nor better than some other one: {worst.label}." in said["cost"]
    figure = cost_figures(board)[0]
    assert figure.summary.startswith(f"{best.label} scores lowest, the best;")
    assert isinstance(figure.chart, Plot)
    [line] = figure.chart.guides
    assert [y for _, y in line] == [best.score.mean] * 2
