"""A benchmark with a tuned track, through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.small_bench import Bench, outcome

TUNING = """\
tuning:
  learning_rates: [1e-3, 3e-2]
segmenters:
  - {name: unet_plain, options: {base_channels: 2}}
"""


@pytest.fixture
def tuned(bench: Bench) -> Bench:
    """The small bench with a second network, two rates and two seeds, of one epoch."""
    path = bench.folder / "small.yaml"
    text = path.read_text().replace("segmenters:\n", TUNING).replace("seeds: [0]", "seeds: [0, 1]")
    path.write_text(text.replace("epochs: 3", "epochs: 1"))
    return bench


def best_on_validation(results: Path) -> dict[str, float]:
    """Label → the rate of its search trial with the best validation score, read from the files alone."""
    scores: dict[str, dict[float, float]] = {}
    for path in results.glob("small-search/*/*/seed-1000/record.json"):
        record = json.loads(path.read_text())
        rate = record["protocol"]["optimizer"]["lr"]
        scores.setdefault(record["segmenter"]["label"], {})[rate] = record["scores"]["val"]["iou_pooled"]
    return {label: min(rates, key=lambda rate: (-rates[rate], rate)) for label, rates in scores.items()}


def test_both_tracks_are_run_and_laid_side_by_side(tuned: Bench) -> None:
    plan = tuned.run("--dry-run", "--json")
    assert plan.returncode == 0, plan.stderr
    assert "for both tracks" in plan.stderr
    assert not tuned.results.exists()
    assert [len(one["trials"]) for one in outcome(plan)["searches"]] == [2, 2]

    done = tuned.run("--json")
    assert done.returncode == 0, done.stderr
    document = outcome(done)
    chosen = best_on_validation(tuned.results)
    assert chosen.keys() == {"atrous_segnet", "unet_plain"}, "a floor has no rate"
    rows = {row["label"]: row for row in document["leaderboard"]["rows"]}
    assert {label: rows[label]["options"]["lr"] for label in chosen} == chosen
    assert "lr" not in rows["threshold"]["options"]
    assert all(row["seeds"] == [0, 1] for row in rows.values())
    assert document["fixed"]["leaderboard"]["study"] != document["leaderboard"]["study"] == document["study"]
    assert {row["label"]: row["rate"] for row in document["tracks"]["rows"]} == chosen
    for label, rate in chosen.items():
        records = [json.loads(path.read_text()) for path in tuned.results.glob(f"small/*/{label}-*/seed-*/record.json")]
        own = [one["scores"]["test"]["iou_pooled"] for one in records if one["protocol"]["optimizer"]["lr"] == rate]
        assert len(own) == 2
        assert rows[label]["iou_pooled"]["mean"] == pytest.approx(sum(own) / 2)

    again = tuned.run()
    assert again.returncode == 0, again.stderr
    assert "started" not in again.stderr, "nothing is trained twice"
    assert again.stdout.startswith("# Fixed track\n")
    board = tuned.call("leaderboard", "small.yaml")
    assert board.returncode == 0, board.stderr
    tuned_half = again.stdout.partition("# Tuned track\n\n")[2].replace("# Both tracks\n\n", "")
    assert board.stdout == tuned_half
    assert "3 records" not in board.stdout and "others in" in board.stderr
    assert tuned.call("leaderboard", str(tuned.results / "small" / document["study"])).stdout == tuned_half
    verified = tuned.call("verify", "results")
    assert verified.returncode == 0, verified.stdout
    predicted = tuned.call("verify", "results", "--re-evaluate", "--benchmark", "small.yaml")
    assert predicted.returncode == 0, predicted.stdout
    assert predicted.stdout.count("re-evaluated: identical") == len(tuned.records())
    status = tuned.call("status", "results")
    assert "nothing to do: every trial is done" in status.stdout
    page = (tuned.results / "small" / document["study"] / "report.html").read_text()
    assert "At one learning rate, and each at its own" in page and "data:image" in page
    report = tuned.call("report", "small.yaml", "-o", "again.html")
    assert report.returncode == 0 and "without inputs" not in report.stderr, report.stderr


def test_an_altered_rule_is_left_out_and_written_anew(tuned: Bench) -> None:
    assert tuned.run("--only", "threshold", "--only", "unet_plain", "--seeds", "0").returncode == 0
    [rule] = tuned.results.rglob("tuning.json")
    sound = rule.read_text()
    rule.write_text(sound.replace("0.03", "0.3"))
    board = tuned.call("leaderboard", "results/small")
    assert board.returncode == 0
    assert "left out: " in board.stderr and "tuning.json" in board.stderr
    assert "Tuned track" not in board.stdout
    assert "Traceback" not in board.stderr
    assert tuned.run("--only", "threshold", "--only", "unet_plain", "--seeds", "0").returncode == 0
    assert rule.read_text() == sound


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tuning.seed=0", "tuning.seed: found 0, expected one that isn't among seeds"),
        ("tuning.learning_rates=[1e-3, 1e-3]", "each of learning_rates once"),
        ("tuning.learning_rates=[1e-3]", "tuning.learning_rates: found a list, expected at least 2"),
        ("tuning.learning_rates=[-1, 1]", "tuning.learning_rates[0]: found -1, expected a number greater than 0"),
        ("tuning.rates=[1, 2]", "learning_rates"),
        ("data.folds=3", "found together with data.folds"),
    ],
)
def test_what_can_not_be_tuned_is_refused(tuned: Bench, override: str, expected: str) -> None:
    done = tuned.run("--set", override, "--dry-run")
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_the_seed_of_the_search_is_none_of_the_runs(tuned: Bench) -> None:
    done = tuned.run("--seeds", "0,1000", "--dry-run")
    assert done.returncode == 1
    assert "--seeds: found 0,1000, expected others than tuning.seed" in done.stderr
