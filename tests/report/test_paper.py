"""What a paper gets: files that are the same each time, LaTeX that compiles, a paragraph that says what was done."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.record_json import record_bytes
from benchbird.report.charts import linear_axis
from benchbird.report.pdf import pdf_file
from benchbird.results import read_record
from tests.predictions_factory import MadeUpImages, write_study
from tests.report.test_charts import CHARTS

EVIL = r"\input{/etc/passwd}$x_1$ & <b>% #~^{"
IMAGES = MadeUpImages(without_bird=2, attributes={"snr_db": ["-2", "3", "8"], "noise": [EVIL, "wind"]})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    folder = write_study(root, {"unet": 0.7, "evil": 0.6}, seeds=(0, 1, 2), images=IMAGES)
    for path in folder.glob("evil-*/seed-*/record.json"):
        record = read_record(path)
        path.write_bytes(record_bytes(replace(record, segmenter=replace(record.segmenter, label=EVIL))))
    return root


def write(results: Path, folder: Path) -> Path:
    with pytest.raises(SystemExit) as ended:
        main(["report", str(results), "-o", str(folder / "page.html"), "--paper", str(folder / "paper")])
    assert ended.value.code == 0
    return folder / "paper"


def test_the_same_results_make_the_same_files(results: Path, tmp_path: Path) -> None:
    first, second = write(results, tmp_path / "1"), write(results, tmp_path / "2")
    names = sorted(path.name for path in first.iterdir())
    assert {"table.tex", "methods.tex", "paper.tex", "standing.svg", "standing.pdf", "by-snr-db.pdf"} <= set(names)
    assert names == sorted(path.name for path in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_paragraph_says_what_was_done(results: Path, tmp_path: Path) -> None:
    text = (write(results, tmp_path) / "methods.tex").read_text()
    assert "was trained" in text and "the mean over 3 seeds, on 12 test recordings" in text
    assert r"\input{" not in text and "no recording is in more than one split" in text
    assert r"\usepackage{siunitx}" in (tmp_path / "paper" / "paper.tex").read_text()
    table = (tmp_path / "paper" / "table.tex").read_text()
    assert r"\toprule" in table and "over n seeds" in table


def test_the_paragraph_claims_no_interval_and_no_test_that_there_is_not(results: Path, tmp_path: Path) -> None:
    several = (write(results, tmp_path / "several") / "methods.tex").read_text()
    assert r"with 95 \% intervals over seeds and recordings; pairs were compared by paired tests" in several
    root = tmp_path / "results"
    write_study(root, {"unet": 0.7}, seeds=(0,), images=MadeUpImages(n_recordings=8))
    alone = (write(root, tmp_path / "one") / "methods.tex").read_text()
    assert r"over 1 seed, on 8 test recordings, with 95 \% intervals over recordings." in alone


def test_it_compiles_where_there_is_a_tex(results: Path, tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here: Debian's texlive-latex-recommended has it")
    if subprocess.run(["kpsewhich", "siunitx.sty"], capture_output=True).returncode != 0:
        pytest.skip("no siunitx here, which the table needs: Debian's texlive-science has it")
    folder = write(results, tmp_path)
    done = subprocess.run([program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
                          cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").stat().st_size > 10_000


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.title)
def test_any_chart_is_drawn_for_print(chart: object) -> None:
    drawn = pdf_file(chart)  # type: ignore[arg-type]
    assert drawn.startswith(b"%PDF-") and drawn == pdf_file(chart)  # type: ignore[arg-type]
    assert b"CreationDate" not in drawn


def test_a_dollar_begins_no_formula() -> None:
    chart = replace(CHARTS[1], x=linear_axis("$x_", [0.0, 1.0]))
    assert pdf_file(chart).startswith(b"%PDF-")


def test_a_character_that_the_font_lacks_is_its_code_point() -> None:
    chart = replace(CHARTS[1], x=linear_axis("鳥 🐦", [0.0, 1.0]))
    assert pdf_file(chart) == pdf_file(replace(CHARTS[1], x=linear_axis("[U+9CE5] [U+1F426]", [0.0, 1.0])))
