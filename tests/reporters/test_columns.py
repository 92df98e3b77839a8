from dataclasses import replace

import pytest

from benchbird.leaderboard import rank
from benchbird.reporters.columns import (
    cells,
    facts,
    failures,
    headline,
    headline_text,
    machine_mark,
    notes,
    options_text,
    speed_text,
)
from benchbird.standings import Estimate, Leaderboard
from tests.record_factory import DATA, make_record, make_segmenter, realistic_records


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (Estimate(mean=0.67349, sd=0.0119, n=5), "0.673 ± 0.012"),
        (Estimate(mean=0.5, sd=None, n=1), "0.500 (1 seed)"),
        (Estimate(mean=None, sd=None, n=0), "–"),
    ],
)
def test_a_headline_score(estimate: Estimate, shown: str) -> None:
    assert headline_text(estimate) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0"), (0.0123, "0.012"), (4.156, "4.16"), (64.24, "64.2"), (2211.4, "2211")],
)
def test_speeds_have_three_digits(value: float | None, shown: str) -> None:
    assert speed_text(value) == shown


def test_options_leave_out_what_has_its_own_column() -> None:
    options = {"encoder": "resnet18", "pretrained": "imagenet", "deep": True, "x": None, "rate": 0.5}
    (row,) = rank([make_record(make_segmenter("u", options=options, pretraining="imagenet"))]).rows
    assert options_text(row) == "deep=true, encoder=resnet18, rate=0.5, x=null"
    assert options_text(replace(row, pretraining="none")) == (
        "deep=true, encoder=resnet18, pretrained=imagenet, rate=0.5, x=null"
    )
    assert options_text(replace(row, options={})) == "–"


def test_the_columns_that_the_job_asks_for(board: Leaderboard) -> None:
    headings, rows = cells(board)
    assert headings == [
        "#", "segmenter", "options", "pretrained", "IoU pooled", "95 %", "n", "native", "image",
        "tuned", "last", "selected on", "train/s", "infer/s b16", "p50 ms", "Mparam", "GFLOP",
    ]  # fmt: skip
    assert rows[1] == [
        "2", "unet", "encoder=resnet18", "imagenet", "0.612 ± 0.014", "0.578–0.646ˢ", "3", "0.582", "0.532",
        "–", "0.612", "0.647", "2211²", "6634²", "0.226²", "14.3", "2.71",
    ]  # fmt: skip


def test_machines_are_marked_only_where_there_are_several(board: Leaderboard) -> None:
    assert machine_mark(board, board.machines[1]) == "²"
    alone = rank(realistic_records(several_machines=False))
    assert machine_mark(alone, alone.machines[0]) == ""
    assert cells(alone)[1][1][12] == "2211"
    assert "Machine: AMD EPYC 7B13, 2 cores, 8 GiB." in facts(alone)
    assert "Machines: ¹ AMD" in facts(board)[-1]


def test_title_and_facts(board: Leaderboard) -> None:
    assert headline(board) == ("birdsound", "profile cpu: 4 segmenters, 14 trials done, 3 failed.")
    text = " ".join(facts(board))
    for part in ("synthetic", "400 train, 80 val, 120 test", "118 test recordings", board.study, "0.705"):
        assert part in text
    assert "Attention" not in text
    leaky = rank([make_record(data=replace(DATA, leaks_allowed=1, ceiling_iou_native=None))])
    assert "1 recording is in more than one split" in " ".join(facts(leaky))
    assert "ceiling" not in " ".join(facts(leaky))


def test_failed_seeds_with_one_fate_share_a_line(board: Leaderboard) -> None:
    assert failures(board) == [
        ("deeplabv3", "seed 1: out of memory: the trial used more than 8 GiB"),
        ("unet", "seeds 3, 4: diverged: the loss became NaN in epoch 2, step 41"),
    ]


def test_notes_count_what_is_not_shown(board: Leaderboard) -> None:
    assert notes(board)[-1] == "Not shown: 1 trial of older versions of these segmenters."
    assert not any("Not shown" in line for line in notes(replace(board, superseded=0)))
    assert any("batch 16" in line for line in notes(board))
