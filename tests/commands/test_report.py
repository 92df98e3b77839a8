"""`benchbird report` from a command line to a page."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.cli import main
from tests.finished_bench import copy_trial
from tests.small_bench import Bench


def report(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, arguments)])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err and isinstance(ended.value.code, int)
    return ended.value.code, shown.out, shown.err


def test_a_study_s_folder_makes_a_page_of_masks(
    finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = report(capsys, finished.results, "-o", tmp_path / "page.html")
    assert (code, out) == (0, "") and f"wrote {tmp_path / 'page.html'} (" in err
    page = (tmp_path / "page.html").read_text()
    assert "to see the inputs" in page and 'alt="input of' not in page
    assert "Not checked: records hold no paths." in page


def test_the_benchmark_brings_inputs_and_a_checked_command(
    finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = finished.folder / "small.yaml"
    options: list[str | Path] = [
        "--results",
        finished.results,
        "--cache",
        finished.folder / "cache",
        "-o",
        tmp_path / "page.html",
    ]
    code, _, err = report(capsys, benchmark, *options, "--gallery", "3")
    assert code == 0, err
    page = (tmp_path / "page.html").read_text()
    assert page.count('alt="input of') == 3 and "Checked when this page was made" in page
    assert f"benchbird run {benchmark}" in page


def test_other_data_are_told_and_left_out(finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = finished.folder / "small.yaml"
    options: list[str | Path] = [
        "--results",
        finished.results,
        "--cache",
        finished.folder / "cache",
        "-o",
        tmp_path / "page.html",
    ]
    code, _, err = report(capsys, benchmark, *options, "--set", "protocol.epochs=9")
    assert code == 0 and "without inputs and sound: " in err and "give the run's --set and --profile again" in err
    assert 'alt="input of' not in (tmp_path / "page.html").read_text()


def test_no_results_are_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = report(capsys, tmp_path, "-o", tmp_path / "page.html")
    assert code == 1 and "no trial has ended here yet" in err and not (tmp_path / "page.html").exists()


def test_a_study_without_an_ended_trial_has_a_page_but_no_paper(
    finished: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "results" / "small" / "0123456789ab" / "atrous_segnet-00000000"
    study.mkdir(parents=True)
    (copy_trial(finished, "atrous_segnet", study) / "record.json").unlink()
    code, out, err = report(capsys, tmp_path / "results", "-o", tmp_path / "page.html")
    assert (
        (code, out) == (0, "")
        and "no trial has ended yet: the page is about" in err
        and f"wrote {tmp_path / 'page.html'} (" in err
    )
    assert "No trial has ended yet" in (tmp_path / "page.html").read_text()
    code, _, err = report(capsys, tmp_path / "results", "-o", tmp_path / "other.html", "--paper", tmp_path / "paper")
    assert code == 1 and "no trial has ended here yet" in err and not (tmp_path / "other.html").exists()


def test_a_damaged_record_is_no_trial_that_has_yet_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "results" / "small" / "0123456789ab" / "unet-00000000" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text("{")
    code, _, err = report(capsys, tmp_path / "results", "-o", tmp_path / "page.html")
    assert code == 1 and "record.json: not whole JSON" in err and not (tmp_path / "page.html").exists()
