"""`benchbird compare`: who is matched with whom, and what is printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.comparison import compare
from benchbird.comparison_report import comparison_document, render_comparison, sentence
from benchbird.errors import ResultsError
from benchbird.index import INDEX_FILE, Index
from benchbird.results import find_records
from tests.comparison_factory import OTHER_PROTOCOL, SEEDS, Said, after, compare_command, compared, first_study
from tests.predictions_factory import write_study, write_trial
from tests.record_factory import MALICIOUS_NAMES, make_segmenter


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Said]:
    return compare_command(capsys, tmp_path / "cache")


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return first_study(tmp_path)


def test_one_segmenter_each_is_matched_whatever_its_label(tmp_path: Path, run: Callable[..., Said]) -> None:
    study = write_study(tmp_path / "results", {"unet": 0.7, "atrous_segnet": 0.6, "threshold": 0.3})
    for arguments in (
        ("unet", "atrous_segnet", "--in", study),
        ("unet", "atrous_segnet", "--results", tmp_path / "results"),
        (next(study.glob("unet-*")), next(study.glob("atrous_segnet-*"))),
    ):
        told = run(*arguments, "--fail-on-regression")
        assert told.code == 1
        assert "- unet → atrous_segnet: a regression of " in told.out
        assert "- segmenter **unet → atrous_segnet**, name: unet → atrous_segnet" in told.out
        assert "Only in" not in told.out


def test_no_common_label_lists_both_sides(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    told = run(before, after(tmp_path, {"deeplabv3": 0.5, "threshold": 0.2}))
    assert (told.code, told.out) == (1, "")
    assert "A has atrous_segnet, unet; B has deeplabv3, threshold" in told.err


def test_an_unknown_label_lists_those_there_are(before: Path, run: Callable[..., Said]) -> None:
    told = run("unet", "u-net", "--in", before)
    assert (told.code, told.out) == (1, "")
    assert "u-net: no such folder or YAML, and no segmenter of that label in study" in told.err
    assert "there are: atrous_segnet, unet" in told.err


def test_a_label_too_long_for_a_file_is_a_label(before: Path, run: Callable[..., Said]) -> None:
    assert "no segmenter of that label" in run("x" * 5000, "unet", "--in", before).err


def test_a_label_with_nowhere_to_look(tmp_path: Path, run: Callable[..., Said]) -> None:
    told = run("unet", "threshold", "--results", tmp_path / "absent")
    assert told.code == 1
    assert "--in TARGET says where" in told.err


def test_the_newest_study_of_several_is_taken_and_said(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    root = tmp_path / "mixed"
    old = write_study(root, {"unet": 0.5}, started_at="2026-01-01T00:00:00+00:00")
    new = write_study(root, {"unet": 0.7}, protocol=OTHER_PROTOCOL)
    told = run(before, root)
    assert told.code == 0
    assert f"study {new.name}" in told.out
    assert f"B: showing study {new.name}; others in {root} (--digest-b PREFIX):" in told.err
    chosen = run(before, root, "--digest-b", old.name[:6], "--fail-on-regression")
    assert chosen.code == 1
    assert "--digest-b 'ffff' fits no study" in run(before, root, "--digest-b", "ffff").err
    both = run("unet", "unet", "--in", root, "--digest-a", new.name, "--digest-b", old.name, "--fail-on-regression")
    assert both.code == 1


def test_the_newest_version_of_a_label_is_compared(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    after(tmp_path, {"unet": 0.5}, started_at="2026-01-01T00:00:00+00:00")
    newer = make_segmenter("unet", options={"base_channels": 16}, source="b")
    for seed in SEEDS:
        write_trial(tmp_path / "after", newer, level=0.7, seed=seed, protocol=OTHER_PROTOCOL)
    told = run(before, tmp_path / "after", "--fail-on-regression")
    assert told.code == 0
    assert "B: records of older versions of a segmenter left out: 5" in told.err
    assert "- segmenter **unet**, options.base_channels: 64 → 16" in told.out
    assert f"- segmenter **unet**, source_sha256: {'a' * 12} → {'b' * 12}\n" in told.out


def test_trials_of_a_noise_budget_are_refused(before: Path, tmp_path: Path) -> None:
    found = find_records(before).found
    drawn = [replace(one, record=replace(one.record, initialisation_seed=99)) for one in found]
    with pytest.raises(ResultsError, match="noise budget"):
        compare(found, drawn, Index(None))


def test_a_benchmark_s_yaml_stands_for_its_results(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    (tmp_path / "b.yaml").write_text("name: birdsound\nsegmenters: [unet]\n")
    told = run(tmp_path / "b.yaml", before, "--results", tmp_path / "before")
    assert (told.code, told.err) == (0, "A and B are the same trials\n")


def test_json_is_one_document(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    worse = after(tmp_path, {"unet": 0.6, "threshold": 0.2})
    document = json.loads(run(before, worse, "--json").out)
    [match] = document["matches"]
    assert (match["outcome"], match["before"], match["seeds_before"]) == ("regression", "unet", list(SEEDS))
    assert match["verdict"].startswith("unet: a regression of ")
    assert document["before"]["unmatched"] == ["atrous_segnet"]
    assert document["changes"] == [{"key": "protocol.optimizer.lr", "before": 0.001, "after": 0.0001}]
    assert document == json.loads(json.dumps(comparison_document(compared(before, worse))))


def test_an_unknown_metric_lists_those_there_are(before: Path, run: Callable[..., Said]) -> None:
    told = run(before, before, "--metric", "iou")
    assert told.code == 2
    assert "expected one of iou_pooled" in told.err


@pytest.mark.parametrize("name", MALICIOUS_NAMES)
def test_hostile_names_forge_nothing(name: str, before: Path) -> None:
    hostile = [
        replace(
            one,
            record=replace(
                one.record,
                segmenter=replace(
                    one.record.segmenter, label=name, plugin=name, options={name: name}, pretraining=name
                ),
                benchmark=name,
            ),
        )
        for one in find_records(next(before.glob("unet-*"))).found
    ]
    comparison = compare(find_records(next(before.glob("atrous*"))).found, hostile, Index(None))
    document = render_comparison(comparison)
    plain = render_comparison(compared(next(before.glob("atrous*")), next(before.glob("unet-*"))))
    assert document.isprintable() or all(line.isprintable() for line in document.split("\n"))
    rows = [line for line in document.split("\n") if line.startswith("|")]
    assert len(rows) == 3
    assert {line.count("|") for line in rows} == {12}
    assert "<" not in document and "](" not in document.replace("\\](", "")
    kinds = {"- segm", "- noth", "- atro", "**A** ", "**B** "}
    starts = [line[:6] for line in document.split("\n") if line.startswith(("-", "#", "**", "="))]
    assert {start for start in starts} <= kinds, starts
    assert document.count("\n\n") == plain.count("\n\n")
    assert "\n" not in sentence(comparison.matches[0])


def test_the_index_gives_the_same_answer(before: Path, tmp_path: Path, run: Callable[..., Said]) -> None:
    worse = after(tmp_path, {"unet": 0.6, "atrous_segnet": 0.68})
    first = run(before, worse)
    assert (tmp_path / "cache" / INDEX_FILE).exists()
    assert run(before, worse) == first


def test_from_a_shell_without_torch(before: Path, tmp_path: Path) -> None:
    worse = after(tmp_path, {"unet": 0.5, "atrous_segnet": 0.68})
    done = subprocess.run(
        [sys.executable, "-m", "benchbird", "compare", before, worse, "--fail-on-regression"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUTF8": "1", "BENCHBIRD_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 1
    assert "- unet: a regression of " in done.stdout


def test_help_shows_an_example(run: Callable[..., Said]) -> None:
    assert "Example: benchbird compare before/results after/results" in run("--help").out
