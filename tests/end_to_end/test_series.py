"""Runs that are several studies: folds of a cross-validation, values of a sweep; and further test sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_bench import Bench, outcome, write_birds


def test_a_cross_validation_tests_every_recording_once_and_is_ranked_as_one(bench: Bench) -> None:
    done = bench.run("--set", "data.folds=3", "--set", "protocol.epochs=1")
    assert done.returncode == 0, done.stderr
    assert "fold       3 of 3" in done.stderr
    assert "27 test images (14 test recordings). Pooled over the 3 folds" in done.stdout
    assert len(bench.records()) == 6
    again = bench.call("leaderboard", "results")
    assert again.stdout == done.stdout
    second = bench.run("--set", "data.folds=3", "--set", "protocol.epochs=1")
    assert second.stdout == done.stdout
    assert second.stderr.count("0 to run") == 3
    verified = bench.call("verify", "results")
    assert verified.returncode == 0, verified.stdout


def test_folds_of_single_recordings_and_a_column_of_the_manifest(bench: Bench) -> None:
    names = [path.stem for path in (bench.folder / "birds").rglob("Images/*.png")]
    rows = [f"{name},{name.split('_')[0]},{'human' if name < 'Test02' else 'mixed'}" for name in names]
    (bench.folder / "birds" / "manifest.csv").write_text("name,recording,kind\n" + "\n".join(rows) + "\n")
    dry = bench.run("--set", "data.folds=recordings", "--set", "data.where={kind: human}", "--dry-run")
    assert "benchbird: 2 recordings" in dry.stderr or "at least 3" in dry.stderr, dry.stderr
    wrong = bench.run("--set", "data.where={sort: human}", "--dry-run")
    assert wrong.returncode == 1
    assert "kind" in wrong.stderr
    whole = bench.run("--set", "data.folds=recordings", "--set", "data.where={kind: mixed}", "--dry-run", "--json")
    assert whole.returncode == 0, whole.stderr
    folds = outcome(whole)["folds"]
    assert [fold["data"]["n_test"] for fold in folds].count(2) >= len(folds) - 1


def test_a_sweep_prints_one_leaderboard_a_value_and_the_curve(bench: Bench) -> None:
    only = ("--only", "threshold", "--set", "data.sizes={train: 13, val: 6, test: 8}")
    done = bench.run(*only, "--sweep", "data.sizes.train=4,8")
    assert done.returncode == 0, done.stderr
    assert "data.sizes.train=4\n" in done.stdout
    lines = done.stdout.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("| data.sizes.train"))
    assert [line.split("|")[1].strip() for line in lines[start + 2 : start + 4]] == ["4", "8"]
    document = outcome(bench.run(*only, "--sweep", "data.sizes.train=4,8", "--json"))
    assert [one["data"]["n_train"] for one in document["runs"]] == [4, 8]
    assert [one["data"]["n_test"] for one in document["runs"]] == [8, 8]
    wrong = bench.run("--sweep", "data.sizes.train=4")
    assert wrong.returncode == 2
    assert "two values" in wrong.stderr


def test_the_same_weights_are_scored_on_further_test_sets_once(bench: Bench) -> None:
    other = bench.folder / "other-place"
    write_birds(other, {"Train": 2, "Valid": 2, "Test": 6}, seed=7)
    further = ("--set", f"data.also_test=[{other}]", "--set", "protocol.epochs=1")
    plain = bench.run("--set", "protocol.epochs=1")
    times = {path: path.stat().st_mtime_ns for path in bench.records()}
    done = bench.run(*further)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in bench.records()} == times, "nothing is trained again"
    assert plain.stdout in done.stdout
    assert "| other-place |" in done.stdout
    assert "on other-place" in done.stderr
    second = bench.run(*further)
    assert second.stdout == done.stdout
    assert "on other-place" not in second.stderr
    kept = [path for path in bench.results.rglob("also-other-place-*.json") if isinstance(path, Path)]
    assert len(kept) == 2


@pytest.mark.slow
def test_further_tests_of_a_cross_validation_are_its_own(bench: Bench) -> None:
    other, only = bench.folder / "other", ("--only", "threshold")
    write_birds(other, {"Test": 4}, seed=7)
    for path in other.rglob("*.png"):
        path.rename(path.with_name(path.name.replace("Test", "Elsewhere")))
    further = ("--set", f"data.also_test=[{other}]")
    plain = bench.run(*only, *further, "--json")
    assert plain.returncode == 0, plain.stderr
    (alone,) = outcome(plain)["further_tests"]
    folded = bench.run(*only, *further, "--set", "data.folds=3", "--json")
    assert folded.returncode == 0, folded.stderr
    (row,) = outcome(folded)["further_tests"]
    assert (row["test"], row["label"], row["n"], row["is_leaking"]) == ("other", "threshold", 1, False)
    kept = [json.loads(path.read_bytes()) for path in bench.results.rglob("also-other-*.json")]
    assert len(kept) == 4
    folds = [one["scores"]["iou_pooled"] for one in kept if one["scores"]["iou_pooled"] != alone["mean"]]
    everyone = [one["scores"]["iou_pooled"] for one in kept]
    assert row["mean"] == pytest.approx((sum(everyone) - alone["mean"]) / 3, abs=1e-12)
    assert folds, "the folds' models say something else"
    next(bench.results.rglob("also-other-*.json")).with_name(f"also-foreign-{'0' * 12}.json").write_text("{}")
    errors = ""
    for arguments in (further, (*further, "--set", "data.folds=3")):
        shown = bench.run(*only, *arguments)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.count("| other ") == 1
        errors += shown.stderr
    assert "notice     left out: " in errors and "also-foreign-" in errors


def test_a_further_set_that_is_trained_on_is_refused_before_training(bench: Bench) -> None:
    further = ("--only", "threshold", "--set", f"data.also_test=[{bench.folder / 'birds' / 'Train'}]")
    refused = bench.run(*further)
    assert refused.returncode == 1
    assert "data.also_test: birds-train: 7 recordings are in the study's train or val too" in refused.stderr
    assert bench.records() == []
    allowed = bench.run(*further, "--set", "data.allow_leaks=true")
    assert allowed.returncode == 0, allowed.stderr
    assert "| birds-train (leaks) |" in allowed.stdout
    assert "notice     birds-train: recordings in train or val too" in allowed.stderr
