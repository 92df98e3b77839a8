import csv
import io
import json

import pandas
import pytest

from benchbird.plain_text import plain_text
from benchbird.reporters.csv import benchbird_reporters, render
from benchbird.standings import Leaderboard


def _rows(document: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(document), strict=True))


def test_ranked_and_failed_lines_in_full_precision(board: Leaderboard) -> None:
    rows = _rows(render(board))
    assert [(row["label"], row["status"]) for row in rows] == [
        ("atrous_segnet", "done"), ("unet", "done"), ("deeplabv3", "done"), ("threshold", "done"),
        ("deeplabv3", "out_of_memory"), ("unet", "diverged"), ("unet", "diverged"),
    ]  # fmt: skip
    first = board.rows[0]
    assert float(rows[0]["iou_pooled"]) == first.iou_pooled.mean
    assert float(rows[0]["iou_pooled_sd"]) == first.iou_pooled.sd
    assert float(rows[0]["latency_p50_ms"]) == first.latency_p50_ms
    assert json.loads(rows[0]["options"]) == {"base_channels": 16}
    assert rows[0]["seeds"] == "0 1 2 3 4"
    assert {row["study"] for row in rows} == {board.study}
    assert rows[3]["train_images_per_s"] == ""
    assert rows[5]["reason"].startswith("the loss became NaN")
    assert rows[5]["rank"] == ""


def test_pandas_reads_numbers_as_numbers(board: Leaderboard) -> None:
    frame = pandas.read_csv(io.StringIO(render(board)))
    assert frame["iou_pooled"].dtype == "float64"
    assert frame["iou_pooled"][0] == pytest.approx(board.rows[0].iou_pooled.mean)
    assert frame["rank"].tolist()[:4] == [1, 2, 3, 4]


def test_no_cell_is_a_formula(malicious_boards: dict[str, Leaderboard]) -> None:
    for name, board in malicious_boards.items():
        document = render(board)
        rows = _rows(document)
        assert len(rows) == 3
        assert len(document.splitlines()) == 4
        for row in rows:
            assert all(not cell.startswith(tuple("=+-@\t\r")) for cell in row.values())
            assert None not in row
        label = {row["label"].removeprefix("'") for row in rows} - {"z"}
        assert label == {plain_text(name).removeprefix("'")}
        # Text stands in quotes, so a spreadsheet that splits at semicolons finds no second cell.
        outside_quotes = "".join(document.split('"')[::2])
        assert ";" not in outside_quotes


def test_the_plugin_offers_it() -> None:
    (spec,) = benchbird_reporters()
    assert (spec.name, spec.suffix) == ("csv", ".csv")
