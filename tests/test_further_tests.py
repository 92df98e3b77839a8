"""Trained models on further test sets: scored once, kept beside the record, verified, and in one table."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchbird import metrics
from benchbird.durable import json_bytes
from benchbird.errors import ResultsError
from benchbird.further_results import (
    FurtherTable,
    FurtherTest,
    further_name,
    further_paths,
    further_table,
    read_further_test,
)
from benchbird.further_tests import run_further_tests
from benchbird.index import Index
from benchbird.plan import Plan
from benchbird.predictions import read_predictions
from benchbird.ranking import rank_study
from benchbird.results import FoundRecord, find_records
from benchbird.run_report import Outcome, outcome_document, outcome_text
from benchbird.study_data import AlsoTest, find_also_test
from benchbird.verification import verify
from tests.finished_bench import trial_folder
from tests.small_bench import Bench, write_birds
from tests.study_factory import make_small_plan


@pytest.fixture(scope="module")
def elsewhere(finished: Bench) -> Path:
    """Another data set with the same layout."""
    root = finished.folder / "Elsewhere"
    write_birds(root, {"Train": 2, "Valid": 2, "Test": 5}, seed=9)
    return root


@pytest.fixture(scope="module")
def plan(finished: Bench, elsewhere: Path) -> Plan:
    return make_small_plan(finished, f"data.also_test=[{elsewhere}]", plugins=(finished.folder / "mine.py",))


@pytest.fixture(scope="module")
def test_set(plan: Plan, finished: Bench) -> AlsoTest:
    (found,) = find_also_test(plan.config, finished.folder / "cache", plan.data)
    return found


def score(bench: Bench, results: Path, plan: Plan, test_set: AlsoTest) -> tuple[list[Mapping[str, Any]], list[str]]:
    events: list[Mapping[str, Any]] = []
    problems = run_further_tests(
        find_records(results).found, [test_set], plan.protocol, plugin_files=plan.plugin_files,
        cache=bench.folder / "cache", device="cpu", threads=1, observe=events.append,
    )  # fmt: skip
    return events, list(problems)


@pytest.fixture(scope="module")
def scored(finished: Bench, plan: Plan, test_set: AlsoTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished trials, scored on the further set."""
    results = Path(shutil.copytree(finished.results, tmp_path_factory.mktemp("scored") / "results"))
    events, problems = score(finished, results, plan, test_set)
    assert problems == []
    assert [event["number"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert {(event["event"], event["test"], event["of"]) for event in events} == {("further_test", "elsewhere", 6)}
    return results


@pytest.fixture
def results(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "results"))


def read_further_tests(folder: Path) -> list[FurtherTest]:
    return list(map(read_further_test, further_paths(folder)))


def one(results: Path, label: str = "atrous_segnet") -> tuple[Path, FurtherTest]:
    folder = trial_folder(results, label)
    (found,) = read_further_tests(folder)
    return folder, found


def test_both_files_say_what_the_weights_say_of_the_set(scored: Path, test_set: AlsoTest) -> None:
    for found in find_records(scored).found:
        (test,) = read_further_tests(found.path.parent)
        assert (test.name, test.digest, test.study) == ("elsewhere", test_set.digest, found.record.study)
        assert test.weights_sha256 == found.record.files["weights.safetensors"]
        predictions = read_predictions(found.path.parent / test.predictions_file)
        own = read_predictions(found.path.parent / "predictions.npz")
        assert predictions.sample_ids == tuple(sample.sample_id for sample in test_set.samples)
        assert len(predictions) == test.scores.n_images == 5
        assert test.n_recordings == 3
        assert test.scores == metrics.scores(predictions.test.protocol, predictions.test.native)
        assert np.array_equal(predictions.val.protocol, own.val.protocol)
        assert np.array_equal(predictions.val_histogram, own.val_histogram)


def test_what_is_there_is_not_scored_again(finished: Bench, results: Path, plan: Plan, test_set: AlsoTest) -> None:
    before = {path: path.stat().st_mtime_ns for path in results.rglob("also-*")}
    assert len(before) == 12
    assert score(finished, results, plan, test_set) == ([], [])
    folder, test = one(results, "threshold")
    damaged = folder / test.predictions_file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    events, problems = score(finished, results, plan, test_set)
    assert [(event["label"], event["seed"]) for event in events] == [("threshold", 0)]
    assert problems == []
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == {
        damaged, folder / further_name(test.name, test.digest, "json")
    }  # fmt: skip


def test_a_trial_without_weights_leaves_the_others_alone(
    finished: Bench, results: Path, plan: Plan, test_set: AlsoTest
) -> None:
    for path in results.rglob("also-*"):
        path.unlink()
    (trial_folder(results, "patterned") / "weights.safetensors").unlink()
    events, problems = score(finished, results, plan, test_set)
    assert len(events) == 6
    (problem,) = problems
    assert problem.startswith("elsewhere: ")
    assert "weights.safetensors: not there" in problem
    assert len(list(results.rglob("also-*.json"))) == 5


def test_a_set_that_cant_be_prepared_is_said_once(
    finished: Bench, results: Path, plan: Plan, test_set: AlsoTest, elsewhere: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(elsewhere, tmp_path / "broken"))
    image = next((broken / "Test" / "Images").iterdir())
    image.write_bytes(b"no image")
    moved = replace(plan.config, data=plan.config.data.model_copy(update={"also_test": (broken,)}))
    (other,) = find_also_test(moved, tmp_path / "cache", plan.data)
    events, problems = score(finished, results, plan, other)
    assert (events, len(problems)) == ([], 1)
    assert image.name in problems[0]


def test_verification_knows_these_files(results: Path) -> None:
    verification = verify(results)
    assert [list(map(str, report.findings)) for report in verification.trials] == [[]] * 6


def findings(results: Path) -> list[str]:
    return [str(finding) for report in verify(results).trials for finding in report.findings]


def test_verification_names_altered_predictions(results: Path) -> None:
    folder, test = one(results)
    path = folder / test.predictions_file
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    assert any(line.startswith(f"{path.name}: predictions_sha256: ") for line in findings(results))
    path.unlink()
    assert findings(results) == [f"{path.name}: not there, so its scores can't be recomputed"]


def test_verification_recomputes_scores_and_reads_the_rest(results: Path) -> None:
    folder, test = one(results)
    path = folder / further_name(test.name, test.digest, "json")
    document = json.loads(path.read_bytes())
    for change, expected in (
        (
            {"scores": {**document["scores"], "iou_pooled": 0.99}},
            f"{path.name}: scores.iou_pooled: the record says 0.99",
        ),
        ({"n_recordings": 4}, f"{path.name}: n_recordings: says 4, the predictions have 3"),
        ({"study": "0" * 12}, f"{path.name}: study, weights_sha256: those of another trial"),
        ({"weights_sha256": "0" * 64}, f"{path.name}: study, weights_sha256: those of another trial"),
        ({"name": "other"}, f"{path.name}: name and digest: those of another file"),
        ({"predictions_file": "predictions.npz"}, f"{path.name}: predictions_file: found 'predictions.npz'"),
        ({"schema": 2}, f"{path.name}: schema: found 2, expected 1"),
        ({"more": 1}, f"{path.name}: more: "),
        ({"n_recordings": "3"}, f"{path.name}: n_recordings: "),
    ):
        path.write_bytes(json_bytes({**document, **change}))
        found = findings(results)
        assert any(line.startswith(expected) for line in found), (expected, found)
    path.write_text(json.dumps(document))
    assert findings(results)[0].startswith(f"{path.name}: line 1: not as benchbird writes it")
    path.write_bytes(path.read_bytes()[:100])
    assert findings(results)[0].startswith(f"{path.name}: not whole JSON: ")


def test_predictions_without_scores_are_a_notice(results: Path) -> None:
    folder, test = one(results)
    (folder / further_name(test.name, test.digest, "json")).unlink()
    assert findings(results) == [
        f"{test.predictions_file}: predictions without their scores, as an interrupted run leaves them"
    ]
    assert verify(results).is_sound(allow_missing=False)


def test_a_link_is_no_further_test(results: Path, tmp_path: Path) -> None:
    folder, test = one(results)
    path = folder / further_name(test.name, test.digest, "json")
    path.rename(tmp_path / "real.json")
    path.symlink_to(tmp_path / "real.json")
    with pytest.raises(ResultsError, match="expected a plain file"):
        read_further_tests(folder)


def test_the_table_has_mean_and_deviation_over_seeds(scored: Path) -> None:
    found = find_records(scored).found
    table = further_table(found)
    assert table.faults == ()
    rows = table.rows
    assert {(row.test, row.n, row.is_leaking) for row in rows} == {("elsewhere", 2, False)}
    assert sorted(row.label for row in rows) == ["atrous_segnet", "patterned", "threshold"]
    assert [row.mean for row in rows] == sorted((row.mean or 0.0 for row in rows), reverse=True)
    for row in rows:
        scores = [score for one in found for score in _scores(one, row.label)]
        assert row.mean == pytest.approx(statistics.fmean(scores), abs=1e-15)
        assert row.sd == pytest.approx(statistics.stdev(scores), abs=1e-15)


def _scores(found: FoundRecord, label: str) -> list[float]:
    if found.record.segmenter.label != label:
        return []
    scores = [test.scores.iou_pooled for test in read_further_tests(found.path.parent)]
    return [score if score is not None else math.nan for score in scores]


def test_the_table_without_further_tests_is_empty(finished: Bench) -> None:
    assert further_table(find_records(finished.results).found) == FurtherTable()


def test_a_file_that_cant_be_read_leaves_the_others_in_the_table(results: Path) -> None:
    folder, test = one(results)
    path = folder / further_name(test.name, test.digest, "json")
    path.write_bytes(b"{")
    (folder / further_name("foreign", "0" * 12, "json")).write_text('{"schema": 1}')
    table = further_table(find_records(results).found)
    assert sorted((row.label, row.n) for row in table.rows) == [
        ("atrous_segnet", 1), ("patterned", 2), ("threshold", 2)
    ]  # fmt: skip
    assert len(table.faults) == 2
    for name in (path.name, "also-foreign-000000000000.json"):
        assert any(fault.startswith("left out: ") and name in fault for fault in table.faults)


def test_the_newest_version_is_chosen_as_the_leaderboard_does(results: Path) -> None:
    found = find_records(results).found
    failed = [
        replace(
            one,
            record=replace(
                one.record, segmenter=replace(one.record.segmenter, source_sha256="f" * 64), status="failed",
                reason="no", scores=None, timing=None, started_at="2100-01-01T00:00:00+00:00",
            ),
        )
        for one in found
        if one.record.segmenter.label == "threshold"
    ]  # fmt: skip
    rows = further_table([*found, *failed]).rows
    assert sorted(row.label for row in rows) == ["atrous_segnet", "patterned"]


def rescored(folder: Path, **changes: Any) -> None:
    """Change the one further test of a trial."""
    (path,) = further_paths(folder)
    path.write_bytes(json_bytes({**json.loads(path.read_bytes()), **changes}))


def test_a_pooled_trial_counts_once_a_seed_with_the_mean_of_its_folds(results: Path) -> None:
    trials = {label: find_records(trial_folder(results, label)).found[0] for label in ("threshold", "patterned")}
    seed = trial_folder(results, "threshold", 1)
    folds = (trials["threshold"], find_records(seed).found[0])
    pooled = FoundRecord(results / "made-up" / "record.json", trials["threshold"].record, folds=folds)
    (row,) = further_table([pooled]).rows
    scores = [_scores(part, "threshold")[0] for part in folds]
    assert (row.n, row.sd, row.is_leaking) == (1, None, False)
    assert row.mean == pytest.approx(statistics.fmean(scores), abs=1e-15)
    rescored(seed, leaks=2)
    assert further_table([pooled]).rows[0].is_leaking
    rescored(seed, weights_sha256="0" * 64)
    (row,) = further_table([pooled]).rows
    assert (row.n, row.mean) == (0, None), "a seed counts where every fold was scored"


def test_a_set_that_leaks_is_marked(results: Path) -> None:
    for found in find_records(results).found:
        rescored(found.path.parent, leaks=1)
    table = further_table(find_records(results).found)
    assert all(row.is_leaking for row in table.rows)
    outcome = Outcome(0, {}, rank_study(find_records(results).found, Index(None)), results, table)
    text = outcome_text(outcome)
    assert text.count("| elsewhere (leaks) |") == 3
    assert "so its scores flatter" in text
    assert [row["is_leaking"] for row in outcome_document(outcome)["further_tests"]] == [True] * 3


def test_leaks_are_kept_with_the_scores(finished: Bench, results: Path, plan: Plan, test_set: AlsoTest) -> None:
    for path in results.rglob("also-*"):
        path.unlink()
    score(finished, results, plan, replace(test_set, leaks=2))
    assert one(results)[1].leaks == 2
