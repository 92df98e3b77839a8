"""Published results: what the shipped file says, what is refused, and what follows from the printed figures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.errors import ConfigError
from benchbird.literature import (
    PublishedRow,
    PublishedTable,
    comparable_metric,
    consistency,
    find_published,
    iou_from_dice,
    load_published,
    sdr_in_decibel,
    why,
)
from benchbird.records import Scores

FOLDER = Path(__file__).parents[1] / "benchmarks" / "published"
SURPLUS_POINTS = {
    "U²-Net": 2.0, "MTU-Net": 3.8, "Segmenter": 3.0, "U-Net": 3.7, "SegNet": 3.7, "DVAD": 3.4,
    "YOLOv8": 3.0, "FPN": 0.9, "Unet++": 0.2, "MAnet": 0.8, "PtDeepLab": 4.5, "ViTVS": 2.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def table() -> PublishedTable:
    (table,) = find_published(FOLDER)
    return table


@pytest.fixture(scope="module")
def rows(table: PublishedTable) -> dict[str, PublishedRow]:
    return {row.system: row for row in table.rows}


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_published(path)
    return [str(fault) for fault in caught.value.faults]


def written(folder: Path, rows: str, head: str = "title: T\ndataset: birdsound\n") -> Path:
    file = folder / "p.yaml"
    file.write_text(f"{head}rows:\n{rows}", encoding="utf-8")
    return file


def test_the_shipped_file_holds_fractions(table: PublishedTable, rows: dict[str, PublishedRow]) -> None:
    assert (table.title, table.dataset) == ("BirdSoundsDenoising", "birdsound")
    assert len(rows) == len(table.rows) == 17
    dvad = rows["DVAD"]
    assert (dvad.val_iou, dvad.test_iou, dvad.test_f1, dvad.test_dice) == (0.735, 0.723, 0.816, 0.816)
    assert dvad.test_sdr == 9.96
    assert dvad.pretrained is None and dvad.definition == "unknown_averaging"
    seed = rows["AtrousSegNet"]
    assert seed.val_iou == pytest.approx(0.6628)
    assert seed.test_iou == pytest.approx(0.6533)
    assert (seed.pretrained, seed.image_size, seed.definition) == ("none", 256, "batch_mean_foreground")
    assert seed.split != dvad.split != ""
    assert rows["ViTVS"].definition == "two_class_batch_mean"
    assert [row.system for row in table.rows if row.kind == "audio_only"] == ["R-CED", "Noise2Noise", "TS-U-Net"]
    assert [row.system for row in table.rows if row.kind == "prompted"] == ["BudSAM"]


def test_the_printed_iou_is_not_what_the_printed_dice_implies(rows: dict[str, PublishedRow]) -> None:
    found = {name: each.surplus_points for name, row in rows.items() if (each := consistency(row))}
    assert found.keys() == SURPLUS_POINTS.keys()
    for name, surplus in SURPLUS_POINTS.items():
        assert found[name] == pytest.approx(surplus, abs=0.1), name
    wacv = [found[name] for name in found if "2210.10196" in rows[name].source]
    assert len(wacv) == 6
    assert (round(min(wacv), 1), round(max(wacv), 1)) == (2.0, 3.8)


def test_an_order_by_dice_is_another_than_one_by_iou(rows: dict[str, PublishedRow]) -> None:
    manet, dvad = rows["MAnet"], rows["DVAD"]
    assert manet.test_dice and dvad.test_dice and manet.test_iou and dvad.test_iou
    assert manet.test_dice > dvad.test_dice
    assert manet.test_iou < dvad.test_iou


def test_f1_that_is_not_dice_is_flagged(rows: dict[str, PublishedRow]) -> None:
    found = {name: each for name, row in rows.items() if (each := consistency(row))}
    assert {name for name, each in found.items() if each.f1_is_dice is False} == {"ViTVS", "YOLOv8", "U²-Net"}
    assert "3.1 points apart" in found["ViTVS"].meaning
    assert "apart" not in found["SegNet"].meaning  # 76.1 and 76.2 may be one number, rounded


@given(st.floats(0, 1))
def test_iou_from_dice_inverts_dice_from_iou(iou: float) -> None:
    assert iou_from_dice(2 * iou / (1 + iou)) == pytest.approx(iou)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_averaging_alone_makes_a_surplus_never_a_lack(dices: list[float]) -> None:
    mean_dice = math.fsum(dices) / len(dices)
    mean_iou = math.fsum(map(iou_from_dice, dices)) / len(dices)
    assert mean_iou >= iou_from_dice(mean_dice) - 1e-12


def test_iou_from_dice_by_hand() -> None:
    # TP 2, FP 1, FN 1: Dice 4/6, IoU 2/4.
    assert iou_from_dice(4 / 6) == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("iou", "said"),
    [(0.5, "as if both were pooled"), (0.53, "3.0 points above"), (0.47, "3.0 points below")],
)
def test_what_a_surplus_means(rows: dict[str, PublishedRow], iou: float, said: str) -> None:
    found = consistency(replace(rows["DVAD"], test_iou=iou, test_dice=2 / 3, test_f1=None))
    assert found is not None
    assert said in found.meaning
    assert found.f1_is_dice is None
    assert found.implied_iou == pytest.approx(0.5)


def test_without_dice_there_is_nothing_to_hold_against(rows: dict[str, PublishedRow]) -> None:
    assert consistency(rows["AtrousSegNet"]) is None
    assert consistency(rows["R-CED"]) is None


def test_every_definition_has_a_score_of_ours(rows: dict[str, PublishedRow]) -> None:
    assert comparable_metric(rows["DVAD"]) == "iou_pooled"
    assert comparable_metric(rows["AtrousSegNet"]) == "iou_batch_mean"
    assert comparable_metric(rows["ViTVS"]) == "miou_two_class_batch_mean"
    assert {comparable_metric(row) for row in rows.values()} <= set(Scores.__dataclass_fields__)


def test_the_sdr_is_a_natural_logarithm() -> None:
    ratio = 3.7
    assert sdr_in_decibel(10 * math.log(ratio)) == pytest.approx(20 * math.log10(ratio), rel=1e-4)


def test_nothing_is_comparable_with_generated_data(rows: dict[str, PublishedRow]) -> None:
    for row in rows.values():
        assert why(row, "synthetic", 256) == "no: other data (the generated set synthetic, not birdsound)"
        assert why(row, "frogs", 256) == "no: other data (frogs, not birdsound)"


@pytest.mark.parametrize(
    ("system", "size", "reason"),
    [
        ("DVAD", 256, "no: averaging unknown, iou_pooled is nearest; the authors' split"),
        ("ViTVS", 64, "in part: by miou_two_class_batch_mean; the authors' split"),
        ("AtrousSegNet", 256, "in part: by iou_batch_mean; own draw of 1000/200/300"),
        ("AtrousSegNet", None, "in part: by iou_batch_mean; own draw of 1000/200/300"),
        ("AtrousSegNet", 64, "in part: by iou_batch_mean; own draw of 1000/200/300; 256×256, not 64×64"),
        ("R-CED", 64, "no: audio only, without a mask; SDR 1.93 printed is 1.68 dB"),
        ("BudSAM", 256, "no: prompted with part of the answer"),
    ],
)
def test_why(rows: dict[str, PublishedRow], system: str, size: int | None, reason: str) -> None:
    assert why(rows[system], "birdsound", size) == reason


def test_a_row_of_f1_alone_has_no_iou_to_compare(rows: dict[str, PublishedRow]) -> None:
    row = replace(rows["DVAD"], definition=None, val_iou=None, test_iou=None)
    assert why(row, "birdsound", 64) == "no: no IoU was printed; the authors' split"


GOOD = "  - {system: A, source: S, definition: unknown_averaging, test_iou: 50}\n"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("{system: B, source: S, test_sdr: 1, iou: 3}", "4:41: rows[1].iou: unknown key (system 'B'), did you mean"),
        ("{source: S, test_sdr: 1}", "4:5: rows[1].system: missing, expected text"),
        ("{system: '', source: S, test_sdr: 1}", "4:14: rows[1].system: found '', expected text"),
        ("{system: B, source: S, test_sdr: high}", "4:38: rows[1].test_sdr: found 'high' (system 'B'), expected a n"),
        ("{system: B, source: S, test_f1: '81.6'}", "4:37: rows[1].test_f1: found '81.6' (system 'B'), expected a n"),
        ("{system: B, source: S, test_f1: 181.6}", "found 181.6 (system 'B'), expected per cent from 1 to 100"),
        ("{system: B, source: S, test_f1: 0.816}", "found 0.816 (system 'B'), expected per cent from 1 to 100"),
        ("{system: B, source: S, test_f1: .nan}", "rows[1].test_f1: found .nan, expected a finite number"),
        ("{system: B, source: S}", "4:5: rows[1]: found no figure, expected at least one of val_iou"),
        ("{system: B, source: S, test_iou: 50}", "rows[1]: expected a definition with an IoU"),
        ("{system: B, source: S, test_f1: 50, definition: unknown_averaging}", "rows[1]: expected a definition with"),
        ("{system: B, source: S, test_iou: 50, definition: mean}", "expected one of unknown_averaging, batch_mean_"),
        ("{system: B, source: S, kind: audio_only, test_f1: 50}", "without a mask, expected test_sdr alone"),
        ("{system: B, source: S, test_sdr: 1, image_size: 0}", "found 0 (system 'B'), expected at least 1"),
        ("{system: B, source: S, test_sdr: 1, image_size: 6.5}", "found 6.5 (system 'B'), expected a whole number"),
        ("{system: A, source: S, test_sdr: 1}", "found 'A' of that source a second time (first: rows[0])"),
        ("B", "4:5: rows[1]: found 'B', expected a mapping"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(tmp_path: Path, row: str, fault: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(f"{{title: T, dataset: d, rows: [\n{'#' * 9}\n{GOOD.strip(' -')[:-1]},\n    {row}]}}\n")
    (found,) = faults_of(file)
    assert found.startswith(f"{file}:4:")
    assert fault in found


def test_every_fault_is_reported_in_the_order_of_lines(tmp_path: Path) -> None:
    bad = "  - {system: B, source: S, test_f1: 101}\n  - {system: C, test_f1: 50, x: 1}\n"
    found = faults_of(written(tmp_path, bad, head="dataset: birdsound\nheading: T\n"))
    assert [fault.split(": ")[1] for fault in found] == [
        "title", "heading", "rows[0].test_f1", "rows[1].source", "rows[1].x",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "x", "rows: []\ntitle: T\ndataset: d"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    assert "expected" in faults_of(file)[0]


def test_a_folder_without_tables_is_said(tmp_path: Path) -> None:
    (tmp_path / ".hidden.yaml").write_text("not: read")
    (tmp_path / "notes.txt").write_text("not read")
    with pytest.raises(ConfigError, match=r"found no \*\.yaml, expected a folder with published results"):
        find_published(tmp_path)
    with pytest.raises(ConfigError, match="No such file or directory, expected a folder"):
        find_published(tmp_path / "missing")
    with pytest.raises(ConfigError, match="Not a directory, expected a folder"):
        find_published(tmp_path / "notes.txt")


def test_all_files_of_a_folder_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(f"title: {name}\ndataset: d\nrows:\n{GOOD}")
    assert [table.title for table in find_published(tmp_path)] == ["a", "b"]
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text("title: 1\ndataset: d\nrows:\n" + GOOD)
    with pytest.raises(ConfigError) as caught:
        find_published(tmp_path)
    assert [Path(fault.where.split(":")[0]).name for fault in caught.value.faults] == ["a.yaml", "b.yaml"]


def test_a_row_s_own_split_goes_before_the_file_s(tmp_path: Path) -> None:
    second = "  - {system: B, source: S, test_f1: 50, split: some}\n"
    file = written(tmp_path, GOOD + second, head="title: T\ndataset: d\nsplit: all\n")
    assert [row.split for row in load_published(file).rows] == ["all", "some"]
    assert [row.split for row in load_published(written(tmp_path, GOOD)).rows] == [""]
