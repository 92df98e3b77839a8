"""From files to a leaderboard: what is read, what is remembered, what is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchbird import predictions as predictions_module
from benchbird import ranking as module
from benchbird.definitions import DEFINITIONS
from benchbird.errors import ResultsError, UsageError
from benchbird.index import Index
from benchbird.ranking import Ranking, rank_study, require_metric
from benchbird.readings import Reading
from benchbird.results import FoundRecord, add_record, find_records, read_record
from benchbird.standings import Leaderboard
from tests.predictions_factory import PREDICTIONS_FILE, MadeUpImages, write_study, write_trial

IMAGES = MadeUpImages(n_recordings=12, image_size=16)


def found(root: Path) -> tuple[FoundRecord, ...]:
    return find_records(root).require_whole()


def ranked(root: Path, metric: str = "iou_pooled", index: Index | None = None) -> Ranking:
    return rank_study(found(root), index or Index(None), metric)


def letters(leaderboard: Leaderboard) -> dict[str, str]:
    return {row.label: row.letters for row in leaderboard.rows}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_study(tmp_path / "results", {"unet": 0.8, "atrous": 0.5}, images=IMAGES)
    return tmp_path / "results"


def alter(root: Path, change: Callable[[dict[str, Any]], object], label: str = "unet", seed: int = 0) -> None:
    """Change a record's fields and write it whole, seals and all, as someone would who knows how."""
    (folder,) = root.glob(f"*/*/{label}-*/seed-{seed}")
    record = read_record(folder / "record.json")
    fields = {"data": record.data, "scores": record.scores, "files": record.files}
    change(fields)
    add_record(folder, replace(record, **fields), replace=True)  # type: ignore[arg-type]


def test_clearly_apart(root: Path) -> None:
    ranking = ranked(root)
    board = ranking.leaderboard
    assert ranking.notices == ()
    assert [(row.rank, row.label, row.letters) for row in board.rows] == [(1, "unet", "a"), (2, "atrous", "b")]
    assert {row.score.covers for row in board.rows} == {"seeds and recordings"}
    assert board.verdict[0].startswith("unet is better than atrous on 12 recordings with 3 seeds (")
    assert board.rows[0].score == board.rows[0].iou_pooled
    assert all(getattr(board.rows[0], name).low is not None for name in ("iou_native", "iou_val_threshold", "dice"))
    assert board.rows[0].last_iou_pooled.covers == "seeds"


def test_one_seed(tmp_path: Path) -> None:
    write_study(tmp_path, {"unet": 0.8, "atrous": 0.5}, seeds=(0,), images=IMAGES)
    board = ranked(tmp_path).leaderboard
    assert letters(board) == {"unet": "", "atrous": ""}
    assert board.verdict[0].startswith("No verdict: with one seed")
    assert board.rows[0].score.low is not None


def test_one_recording(tmp_path: Path) -> None:
    write_study(tmp_path, {"unet": 0.8, "atrous": 0.5}, images=replace(IMAGES, n_recordings=1))
    board = ranked(tmp_path).leaderboard
    assert letters(board) == {"unet": "", "atrous": ""}
    assert {row.score.low for row in board.rows} == {None}
    assert board.verdict == ("No verdict: it takes at least 5 test recordings (there is 1).",)


def test_no_common_seeds(tmp_path: Path) -> None:
    write_trial(tmp_path, "unet", level=0.8, seed=0, images=IMAGES)
    write_trial(tmp_path, "atrous", level=0.5, seed=1, images=IMAGES)
    board = ranked(tmp_path).leaderboard
    assert board.comparisons == ()
    assert "no two segmenters have a seed in common" in board.verdict[0]


def test_predictions_of_one_trial_are_missing(root: Path) -> None:
    next(root.glob(f"*/*/unet-*/seed-1/{PREDICTIONS_FILE}")).unlink()
    ranking = ranked(root)
    assert ranking.notices == (
        "1 trial has no predictions file, so that its intervals and comparisons can't cover recordings",
    )
    unet, atrous = ranking.leaderboard.rows
    assert (unet.score.covers, atrous.score.covers, unet.score.n) == ("seeds", "seeds and recordings", 3)
    assert ranking.leaderboard.verdict == (
        "No verdict. A predictions file is missing: what other recordings would give is left out.",
    )
    # A score that only predictions tell can't be shown of this trial, and half a mean would be another score.
    with pytest.raises(ResultsError, match="--metric event_f1_50: 1 trial has no predictions file, and no record"):
        ranked(root, "event_f1_50")


def test_masks_without_any_bird(tmp_path: Path) -> None:
    """Recall is undefined for everyone, and every IoU is 0: there is nothing to rank, and that is said."""
    images = replace(IMAGES, without_bird=IMAGES.n_test)
    write_study(tmp_path, {"unet": 0.8, "atrous": 0.5}, images=images)
    board = ranked(tmp_path, "recall").leaderboard
    assert [(row.rank, row.score.mean, row.score.n, row.letters) for row in board.rows] == [(0, None, 0, "")] * 2
    assert board.unranked.startswith("Nothing is ranked: no mask of the test split has any bird")
    assert board.verdict == (board.unranked,)
    assert {row.iou_pooled.mean for row in board.rows} == {0.0}


def test_lower_is_better(root: Path) -> None:
    board = ranked(root, "calibration_error").leaderboard
    means = [row.score.mean for row in board.rows]
    assert means == sorted(mean for mean in means if mean is not None)
    assert [row.rank for row in board.rows] == [1, 2]
    assert board.comparisons[0].first == board.rows[0].label
    assert board.comparisons[0].difference <= 0
    assert board.rows[0].letters.startswith("a")


def test_floors(tmp_path: Path) -> None:
    levels = {"unet": 0.8, "close": 0.62, "below": 0.4}
    write_study(tmp_path, levels, images=IMAGES)
    write_study(tmp_path, {"threshold": 0.6}, images=IMAGES, has_last=False)
    board = ranked(tmp_path).leaderboard
    above = {row.label: row.is_above_floor for row in board.rows}
    # `close` may have the higher mean, but isn't separably better.
    assert above == {"unet": True, "close": False, "below": False, "threshold": None}
    assert [row.label for row in board.rows] == ["unet", "close", "threshold", "below"]
    assert [row.label for row in board.rows if row.is_floor] == ["threshold"]
    assert not any(one.is_separable for one in board.comparisons if {one.first, one.second} == {"close", "threshold"})
    for one in found(tmp_path):  # without predictions there is no verdict: then the means decide
        (one.path.parent / PREDICTIONS_FILE).unlink()
    board = ranked(tmp_path).leaderboard
    above = {row.label: row.is_above_floor for row in board.rows}
    assert above == {"unet": True, "close": True, "below": False, "threshold": None}


def test_leaks_rank_nothing_but_show_the_rows(tmp_path: Path) -> None:
    write_study(tmp_path, {"unet": 0.8, "atrous": 0.5}, images=IMAGES, data=replace(IMAGES.summary(), leaks_allowed=3))
    write_study(tmp_path, {"t": 0.6}, images=IMAGES, data=replace(IMAGES.summary(), leaks_allowed=3), has_last=False)
    board = ranked(tmp_path).leaderboard
    assert board.unranked.startswith("Nothing is ranked: 3 recordings are in more than one split")
    assert board.verdict == (board.unranked,)
    assert (board.comparisons, board.detectable_difference) == ((), None)
    assert [row.label for row in board.rows] == ["unet", "t", "atrous"]
    assert {(row.rank, row.rank_low, row.letters, row.is_above_floor) for row in board.rows} == {(0, None, "", None)}
    assert all(row.score.mean is not None for row in board.rows)


def test_six_have_ranks_and_sentences_against_the_best(tmp_path: Path) -> None:
    write_study(tmp_path, {f"n{place}": 0.4 + 0.08 * place for place in range(6)}, images=IMAGES)
    board = ranked(tmp_path).leaderboard
    assert len(board.verdict) == 5
    assert all("n5" in sentence for sentence in board.verdict)
    assert all(row.rank_low is not None and row.rank_high is not None for row in board.rows)
    assert all(
        row.rank_low <= row.rank <= row.rank_high for row in board.rows if row.rank_low and row.rank_high
    )  # fmt: skip


def test_an_altered_score_is_refused_and_named(root: Path, tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    ranked(root, index=index)

    def change(fields: dict[str, Any]) -> None:
        fields["scores"] = replace(fields["scores"], test=replace(fields["scores"].test, iou_pooled=0.99))

    alter(root, change)
    with pytest.raises(ResultsError, match=r"unet-\w+/seed-0: scores.test.iou_pooled: the record says 0.99, its pred"):
        ranked(root, index=index)
    index.close()


def test_other_recordings_are_refused(tmp_path: Path) -> None:
    data = IMAGES.summary()
    write_trial(tmp_path, "unet", images=IMAGES, data=data)
    write_trial(tmp_path, "atrous", images=replace(IMAGES, n_recordings=7), data=data)
    with pytest.raises(ResultsError, match="atrous seed 0 and unet seed 0 were tested on other recordings"):
        ranked(tmp_path)


def test_other_prepared_pixels_are_refused(root: Path) -> None:
    def change(fields: dict[str, Any]) -> None:
        fields["data"] = replace(fields["data"], content_sha256="e" * 64)

    alter(root, change)
    with pytest.raises(ResultsError, match="records of 2 prepared forms of one data set can't be ranked together"):
        ranked(root)


def test_other_predictions_than_the_record_states_are_refused(root: Path) -> None:
    first, second = sorted(root.glob(f"*/*/unet-*/seed-*/{PREDICTIONS_FILE}"))[:2]
    shutil.copy(first, second)
    with pytest.raises(ResultsError, match="not the file that the record states"):
        ranked(root)


def test_damaged_predictions_are_refused_and_named(root: Path) -> None:
    path = next(root.glob(f"*/*/unet-*/seed-1/{PREDICTIONS_FILE}"))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ResultsError, match="another SHA-256") as caught:
        ranked(root)
    assert str(path) in str(caught.value)


def test_another_file_stops_the_ranking_although_the_index_knows_the_answer(root: Path, tmp_path: Path) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        rank_study(find_records(root).found, index)
        first, second = sorted(root.glob(f"*/*/unet-*/seed-*/{PREDICTIONS_FILE}"))[:2]
        shutil.copyfile(first, second)
        with pytest.raises(ResultsError, match="another SHA-256"):
            rank_study(find_records(root).found, index)


def test_copies_of_a_trial_count_once_whichever_has_its_predictions(root: Path) -> None:
    """Merged results may hold a trial twice, once without its large file."""
    board = ranked(root).leaderboard
    study = next(root.glob("*/*"))
    for name in ("copy", "a copy before"):
        shutil.copytree(study, root / name / "x")
        assert ranked(root).leaderboard.rows == board.rows


@pytest.mark.parametrize("metric", ["iou_pooled", "calibration_error", "event_f1_30", "iou_val_threshold"])
def test_remembered_and_worked_out_are_the_same(
    root: Path, tmp_path: Path, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ranked(root, metric)
    with Index(tmp_path / "index.sqlite") as index:
        assert ranked(root, metric, index) == expected

    def no_reading(*_: object) -> Reading:
        raise AssertionError("read again")

    monkeypatch.setattr(predictions_module, "_load", no_reading)
    monkeypatch.setattr(module, "read_trial", no_reading)
    with Index(tmp_path / "index.sqlite") as index:
        assert ranked(root, metric, index) == expected


def test_whatever_changes_is_seen_although_something_is_remembered(root: Path, tmp_path: Path) -> None:
    """An answer from the index is never of other trials, other scores or other files."""
    boards = []
    with Index(tmp_path / "index.sqlite") as index:

        def look() -> None:
            board = ranked(root, index=index).leaderboard
            assert board == ranked(root).leaderboard
            assert board not in boards
            boards.append(board)

        look()
        write_trial(root, "unet", level=0.8, seed=7, images=IMAGES)
        look()
        write_trial(root, "deeplab", level=0.6, seed=0, images=IMAGES)
        look()
        shutil.rmtree(next(root.glob("*/*/atrous-*/seed-0")))
        look()
        path = next(root.glob(f"*/*/atrous-*/seed-1/{PREDICTIONS_FILE}"))
        content = path.read_bytes()
        path.unlink()
        look()
        path.write_bytes(content)
        assert ranked(root, index=index).leaderboard == boards[-2]

        def change(fields: dict[str, Any]) -> None:
            fields["scores"] = replace(fields["scores"], val=replace(fields["scores"].val, iou_pooled=0.01))

        alter(root, change)
        look()


@pytest.mark.parametrize("answer", [b"", b"{}", b"\xff", b'{"assessment": 1, "beside": {}}', b"[" * 99999])
def test_a_damaged_answer_is_worked_out_anew(root: Path, tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "index.sqlite"
    with Index(path) as index:
        expected = ranked(root, index=index)
    connection = sqlite3.connect(path)
    assert connection.execute("UPDATE answers SET answer = ?", (answer,)).rowcount > 1
    connection.commit()
    connection.close()
    with Index(path) as index:
        assert ranked(root, index=index) == expected


def test_an_evaluation_is_json_without_nan(root: Path, tmp_path: Path) -> None:
    with Index(tmp_path / "index.sqlite") as index:
        ranked(root, index=index)
    connection = sqlite3.connect(tmp_path / "index.sqlite")
    rows = connection.execute("SELECT key, answer FROM answers").fetchall()
    connection.close()
    (evaluation,) = (answer for key, answer in rows if key.startswith("evaluation/"))
    json.loads(evaluation, parse_constant=lambda name: pytest.fail(name))


def test_the_name_of_a_score() -> None:
    for name in DEFINITIONS:
        require_metric(name)
    with pytest.raises(UsageError, match="--metric 'iou': expected one of iou_pooled, iou_native, "):
        require_metric("iou")


def test_a_segmenter_with_one_seed_costs_the_others_no_verdict(root: Path) -> None:
    before = ranked(root).leaderboard
    assert all(row.letters for row in before.rows)
    write_trial(root, "mine", level=0.6, seed=0, images=IMAGES)
    after = ranked(root).leaderboard
    assert {row.label: row.letters for row in after.rows} == {row.label: row.letters for row in before.rows} | {
        "mine": ""
    }
    assert after.comparisons == before.comparisons
    assert after.verdict == (
        *before.verdict,
        "mine has one seed and is compared with nobody; run it with the seeds of the others.",
    )
    assert {row.rank for row in after.rows} == set(range(1, len(after.rows) + 1))
