from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.sampling import Figures
from benchbird.throughput.report import Findings, LargestBatch, assemble
from benchbird.throughput.table import ARE_NUMBERS, HEADINGS, render_timing, timing_document
from tests.throughput_factory import figures_of, findings_of, made_up_plan, ratio_of

PLAN = made_up_plan("first", "second", "floor", calibrated=("floor",))
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "timing.md").read_text()


def text_of(found: Findings | None = None) -> str:
    return render_timing(assemble(PLAN, found or findings_of(PLAN)), "bf16 by emulation only")


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_table_for_each_kind_of_work_with_a_line_for_each_row() -> None:
    text = text_of()
    rows = cells(text)
    assert [tuple(row) for row in rows].count(HEADINGS) == 2
    assert len(rows) == 2 * 2 + len(PLAN.rows)
    training, inference = text.split("Inference: forward")
    assert "floor" not in training.split("Training: forward")[1]
    assert "floor" in inference


def test_a_row_says_what_was_measured() -> None:
    row = next(row for row in cells(text_of()) if row[:3] == ["8", "fp32", "second"])
    assert dict(zip(HEADINGS, row, strict=True)) == {
        "batch": "8", "precision": "fp32", "segmenter": "second", "images/s": "200",
        "ratio (least–most)": "2.000 (1.98–2.02)", "p50 ms": "40.0", "p90 ms": "44.0", "p99 ms": "48.0", "CV %": "1.0",
        "memory MB": "400", "Mparam": "1.50", "GFLOP": "3.00", "GFLOP/s": "600", "of peak": "60 %", "first s": "0.500",
    }  # fmt: skip


def test_the_title_names_machine_software_and_peak_and_no_date() -> None:
    title = text_of().split("Training:")[0]
    assert f"**bench, profile cpu**: timed at 32×32, protocol fp32 {PLAN.protocol.digest}." in title
    assert "Machine: Some CPU, 4 cores, 8 GiB; cpu, torch 9.9.9, threads 3; bf16 by emulation only." in title
    assert "fp32 1000 GFLOP/s (matrix product), copy 11.0 GB/s" in title
    assert "Processes of each row: 6." in title
    assert not re.search(r"20\d\d", title)


def test_rows_that_took_more_processes_are_told() -> None:
    found = findings_of(PLAN)
    figures, warm, reference, ratio = found.timed[PLAN.rows[0]]
    found.timed[PLAN.rows[0]] = (replace(figures, processes=11), warm, reference, ratio)
    assert "Processes of each row: 6 to 11." in text_of(found)


def test_restless_rows_are_marked() -> None:
    found = findings_of(PLAN)
    _, warm, reference, ratio = found.timed[PLAN.rows[0]]
    found.timed[PLAN.rows[0]] = (figures_of(5.0, 0.123), warm, reference, ratio)
    text = text_of(found)
    assert text.count(" ! |") == 1 and "12.3 !" in text
    assert "Warnings:\n\n- durations vary" in text


def test_what_is_not_known_is_a_dash() -> None:
    found = findings_of(PLAN)
    found.segmenters["first"] = replace(found.segmenters["first"], gflop={"training": None, "inference": None})
    del found.memory_bytes[PLAN.rows[0]]
    row = dict(zip(HEADINGS, cells(text_of(found))[2], strict=True))
    assert [row[name] for name in ("memory MB", "GFLOP", "GFLOP/s", "of peak")] == ["–"] * 4


def test_a_row_fits_a_wide_terminal() -> None:
    assert max(len(line) for line in text_of().splitlines() if line.startswith("|")) <= 180


def test_failures_and_largest_batches_have_their_lists() -> None:
    found = findings_of(PLAN)
    for row in PLAN.rows[:2]:
        found.failed[row] = ("out_of_memory", "no | memory\x1b[31m")
        del found.timed[row]
    found.unusable["floor"] = ("failed", "no weights")
    found.largest = [
        LargestBatch(key=PLAN.rows[2], batch_size=37, stopped="", is_bound=False),
        LargestBatch(key=PLAN.rows[3], batch_size=65536, stopped="", is_bound=True),
    ]
    text = text_of(found)
    assert "- **first** (training fp32 at batch 1): out of memory: no &#124; memory" in text
    assert "- **floor**: failed: no weights" in text
    assert ["training", "fp32", "first", "37", "memory"] in cells(text)
    assert "at least 65536" in text
    assert "\x1b" not in text


def test_nothing_timed_is_said() -> None:
    found = Findings()
    found.unusable = {label: ("failed", "broken") for label in ("first", "second", "floor")}
    text = text_of(found)
    assert "Nothing could be timed." in text and "broken" in text


def test_no_name_forges_a_cell() -> None:
    plan = made_up_plan("<b>|x|</b>")
    text = render_timing(assemble(plan, findings_of(plan)), "")
    assert "<b>" not in text
    assert {len(row) for row in cells(text)} == {len(HEADINGS)}


def test_the_document_has_everything_and_is_json() -> None:
    report = assemble(PLAN, findings_of(PLAN))
    document = json.loads(json.dumps(timing_document(report), allow_nan=False))
    assert document["benchmark"] == "bench"
    assert document["protocols"]["fp32"]["digest"] == PLAN.protocol.digest
    assert document["environment"]["cpu"] == "Some CPU"
    assert document["machine_peak"] == {"gflop_per_s": {"fp32": 1000.0}, "copy_gb_per_s": 11.0}
    assert len(document["machine_peaks_measured"]) == 2
    assert len(document["rows"]) == len(PLAN.rows)
    row = document["rows"][1]
    assert (row["label"], row["work"], row["batch_size"], row["reference"]) == ("second", "training", 1, "first")
    assert (row["processes"], row["round_medians_ms"]) == (6, [5.0] * 6)
    assert row["ratio"]["median"] == 2.0
    assert row["warm_up"]["first_call_s"] == 0.5
    assert row["peak_share"] == pytest.approx(0.6)


def test_a_document_without_results_is_json_too() -> None:
    assert json.loads(json.dumps(timing_document(assemble(PLAN, Findings())), allow_nan=False))["rows"] == []


def test_every_column_is_documented() -> None:
    assert len(ARE_NUMBERS) == len(HEADINGS)
    listed = {name.strip() for line in re.findall(r"^\| (.+?) \|", DOCUMENTED, re.MULTILINE) for name in [line]}
    for heading in HEADINGS:
        stem = heading.removesuffix(" ms")
        assert any(stem in entry for entry in listed), heading


@pytest.mark.parametrize(
    ("p50_ms", "shown"), [(0.00123, "0.00123"), (0.0698, "0.0698"), (12.345, "12.3"), (1234.5, "1234"), (99.96, "100")]
)
def test_numbers_have_three_digits(p50_ms: float, shown: str) -> None:
    found = findings_of(PLAN)
    figures: Figures = figures_of(p50_ms)
    _, warm, reference, ratio = found.timed[PLAN.rows[0]]
    found.timed[PLAN.rows[0]] = (figures, warm, reference, ratio)
    row = dict(zip(HEADINGS, cells(text_of(found))[2], strict=True))
    assert row["p50 ms"] == shown


@pytest.mark.parametrize(("median", "shown"), [(0.5, "0.500 (0.49–0.51)"), (2000.0, "2000 (1980–2020)")])
def test_a_ratio_has_no_digits_that_nobody_knows(median: float, shown: str) -> None:
    found = findings_of(PLAN)
    figures, warm, reference, _ = found.timed[PLAN.rows[1]]
    found.timed[PLAN.rows[1]] = (figures, warm, reference, ratio_of(median))
    assert cells(text_of(found))[3][4] == shown
