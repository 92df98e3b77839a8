"""The block of published results: order, cells, notes, and that no name from a file breaks a document."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.literature import PublishedRow, PublishedTable, find_published
from benchbird.reporters.published_rows import PublishedBlock, latex_block, markdown_block, published_block
from tests.record_factory import MALICIOUS_NAMES

FOLDER = Path(__file__).parents[2] / "benchmarks" / "published"
OWN: dict[str, dict[str, float | None]] = {
    "atrous_segnet": {"iou_pooled": 0.671, "iou_batch_mean": 0.6634, "miou_two_class_batch_mean": 0.812, "dice": 0.8},
    "unet": {"iou_pooled": 0.6, "iou_batch_mean": None},
}
N_COLUMNS = 7


@pytest.fixture(scope="module")
def tables() -> tuple[PublishedTable, ...]:
    return find_published(FOLDER)


@pytest.fixture(scope="module")
def block(tables: tuple[PublishedTable, ...]) -> PublishedBlock:
    return published_block(tables, OWN, "birdsound", 64)


def _cells(block: PublishedBlock, system: str) -> dict[str, str]:
    (row,) = [row for row in block.rows if row[0] == system]
    return dict(zip(block.headings, row, strict=True))


def test_rows_stand_by_source_then_iou_and_ours_last(block: PublishedBlock) -> None:
    assert [row[0] for row in block.rows] == [
        "DVAD", "SegNet", "U-Net", "Segmenter", "MTU-Net", "U²-Net", "R-CED", "Noise2Noise", "TS-U-Net",
        "ViTVS", "PtDeepLab", "MAnet", "Unet++", "FPN", "YOLOv8", "AtrousSegNet", "BudSAM",
        "atrous_segnet", "unet",
    ]  # fmt: skip
    assert "#" not in block.headings


def test_a_published_row_says_by_which_definition(block: PublishedBlock) -> None:
    assert _cells(block, "PtDeepLab") == {
        "system": "PtDeepLab",
        "source": "arXiv 2406.09167 (2024)",
        "IoU %": "75.4",
        "IoU by": "unknown",
        "Dice %": "83.0",
        "surplus": "+4.5",
        "comparable?": "no: averaging unknown, iou_pooled is nearest; the authors' split",
    }
    assert _cells(block, "ViTVS")["IoU by"] == "two-class batch mean"
    assert _cells(block, "R-CED")["IoU by"] == "–, audio only"
    assert _cells(block, "BudSAM")["IoU by"] == "unknown, prompted"
    assert _cells(block, "AtrousSegNet")["surplus"] == "–"


def test_our_rows_show_every_definition_that_occurs(block: PublishedBlock) -> None:
    ours = _cells(block, "atrous_segnet")
    assert (ours["source"], ours["IoU %"], ours["IoU by"]) == (
        "this benchmark", "67.1/66.3/81.2", "pooled/batch/two-class",
    )  # fmt: skip
    assert ours["Dice %"] == "80.0"
    assert ours["comparable?"] == "measured on birdsound, 64×64"
    assert _cells(block, "unet")["IoU %"] == "60.0/–/–"


def test_only_definitions_that_occur_are_shown(tables: tuple[PublishedTable, ...]) -> None:
    rows = tuple(row for row in tables[0].rows if row.system in ("ViTVS", "AtrousSegNet", "R-CED"))
    block = published_block([replace(tables[0], rows=rows)], OWN, "birdsound", None)
    assert _cells(block, "atrous_segnet")["IoU by"] == "batch/two-class"
    assert _cells(block, "atrous_segnet")["comparable?"] == "measured on birdsound"


def test_on_generated_data_every_row_says_so(tables: tuple[PublishedTable, ...]) -> None:
    block = published_block(tables, OWN, "synthetic", 64)
    published = [row for row in block.rows if row[1] != "this benchmark"]
    assert len(published) == 17
    assert {row[-1] for row in published} == {"no: other data (the generated set synthetic, not birdsound)"}


def test_a_hidden_character_makes_no_data_set_comparable(tables: tuple[PublishedTable, ...]) -> None:
    block = published_block(tables, {}, "bird\u200bsound", 64)
    assert all(row[-1].startswith("no: other data") for row in block.rows)


def test_notes_flag_f1_and_carry_the_remarks(block: PublishedBlock) -> None:
    text = "\n".join(block.notes)
    assert "U²-Net (60.2 and 59.9), ViTVS (90.7 and 87.6), YOLOv8 (73.6 and 73.3)" in text
    assert "On BudSAM: prompted with a box taken from the true mask." in text
    assert "Pretraining: AtrousSegNet none, not stated here for the others." in text
    assert "iou_pooled / iou_batch_mean / miou_two_class_batch_mean" in text


def test_the_markdown_table_fits_a_terminal(block: PublishedBlock) -> None:
    document = markdown_block(block)
    table = [line for line in document.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 19
    assert len({len(line) for line in table}) == 1
    assert len(table[0]) <= 180
    assert document.endswith(".\n")


def test_the_latex_table_is_whole(block: PublishedBlock) -> None:
    document = latex_block(block)
    _require_valid_latex(document, n_rows=19)
    assert "U+" not in document.replace("U+0", "")  # no character of ours lacks a font
    assert r"ViTVS & arXiv 2406.09167 (2024) & 80.0 & two{-}class batch mean & 87.6 & +2.1 & in part:" in document


def test_nothing_to_show_is_no_error() -> None:
    block = published_block((), {}, "birdsound", 64)
    assert block.rows == ()
    assert markdown_block(block).count("|") == 2 * (N_COLUMNS + 1)
    assert r"\midrule" in latex_block(block)


@pytest.mark.parametrize("name", MALICIOUS_NAMES)
def test_no_name_forges_anything(tables: tuple[PublishedTable, ...], name: str) -> None:
    row: PublishedRow = tables[0].rows[0]
    hostile = replace(row, system=name, source=name, split=name, remark=name, pretrained=name, dataset=name)
    table = PublishedTable(title=name, dataset=name, rows=(hostile,))
    for dataset in (name, "synthetic"):
        block = published_block([table], {name: {"iou_pooled": 0.5}}, dataset, 64)
        for text in (block.heading, *block.notes, *(cell for line in block.rows for cell in line)):
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b\u202a-\u202e]", text)
        _require_intact_markdown(markdown_block(block), n_rows=2)
        _require_valid_latex(latex_block(block), n_rows=2)


def _require_intact_markdown(document: str, n_rows: int) -> None:
    table = [line for line in document.splitlines() if line.startswith("|")]
    assert len(table) == n_rows + 2
    assert document.count("|") == (N_COLUMNS + 1) * len(table)
    assert "<" not in document and ">" not in document
    ours = re.sub(r"\\[\\`*\[\]~$_/.]", "", document)
    assert not re.search(r"[`\[\]~$\\]", ours)
    assert ours.count("**") * 2 == ours.count("*") == 4
    assert "://" not in document
    assert not re.search(r"(?m)^- ([#>+*-]|\d+[.)])\s", document)


def _require_valid_latex(document: str, n_rows: int) -> None:
    body = document.partition("\n")[2]
    assert re.findall(r"\\(?:begin|end)\{\w+\}", body) == [
        r"\begin{table}", r"\begin{tabular}", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    assert not {"input", "write", "def"} & set(re.findall(r"\\([A-Za-z]+)", body))
    bare = re.sub(r"\\[A-Za-z]+|\\.", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("#^~\\_") & set(bare)
    assert [line for line in bare.splitlines() if "%" in line.rstrip("%")] == []
    rows = re.search(r"\\midrule\n(.*)\\bottomrule", body, re.DOTALL)
    assert rows is not None
    listed = rows.group(1).splitlines()
    assert len(listed) == n_rows
    for line in listed:
        assert len(re.findall(r"(?<!\\)&", line)) == N_COLUMNS - 1
        assert line.endswith(r" \\")
    assert re.fullmatch(r"[\x20-\x7e\nÀ-ÿ]*", document)
