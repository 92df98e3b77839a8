"""Figures of the test images say by which threshold pixels count as bird."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.index import index_of
from benchbird.protocol import Protocol
from benchbird.ranking import rank_study
from benchbird.report.charts import Plot
from benchbird.report.figures import stratum_figures, threshold_figure
from benchbird.report.images import image_scores
from benchbird.results import find_records
from benchbird.score_tables import done_trials
from tests.predictions_factory import MadeUpImages, write_study
from tests.record_factory import PROTOCOL


@pytest.mark.parametrize(
    ("threshold", "dotted", "words"),
    [(0.0, [0.0, 0.0], "above 0 (dotted) count"), (1.5, [1.5, 1.5], "above 1.5 (dotted) count"),
     (900.0, [], "above 900 count")],
)  # fmt: skip
def test_the_thresholds_are_seen_beside_the_protocols_own(
    tmp_path: Path, threshold: float, dotted: list[float], words: str
) -> None:
    protocol: Protocol = replace(PROTOCOL, logit_threshold=threshold)
    write_study(tmp_path, {"unet": 0.8}, images=MadeUpImages(n_recordings=6), protocol=protocol)
    found = find_records(tmp_path).found
    with index_of(tmp_path / "cache") as index:
        board = rank_study(found, index).leaderboard
    scores = image_scores(done_trials(found))
    assert scores is not None
    figure = threshold_figure(board, scores)
    assert isinstance(figure.chart, Plot)
    assert [x for guide in figure.chart.guides for x, _ in guide] == dotted
    assert words in figure.caption


def test_columns_with_nearly_the_same_name_have_figures_of_their_own(tmp_path: Path) -> None:
    columns = ("noise_kind", "noise kind", "Noise-Kind", "ß", "日")
    images = MadeUpImages(n_recordings=12, attributes={column: ["a", "b"] for column in columns})
    write_study(tmp_path, {"unet": 0.8}, images=images)
    found = find_records(tmp_path).found
    with index_of(tmp_path / "cache") as index:
        board = rank_study(found, index).leaderboard
    scores = image_scores(done_trials(found))
    assert scores is not None and len(scores.strata) == 6
    names = [figure.name for figure in stratum_figures(board, scores)]
    assert len(set(names)) == 6 and all(re.fullmatch("by-[a-z0-9-]*", one) for one in names)
