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
    assert "in all, and for atrous_segnet, unet_plain once more what the fixed track takes" in plan.stderr
    assert not tuned.results.exists()
    assert [len(one["trials"]) for one in outcome(plan)["searches"]] == [2, 2]

    done = tuned.run("--json")
    assert done.returncode == 0, done.stderr
    document = outcome(done)
    chosen = best_on_validation(tuned.results)
    assert chosen.keys() == {"atrous_segnet", "unet_plain"}, "a floor has no rate"
    rows = {row["label"]: row for row in document["leaderboard"]["rows"]}
    assert {label: rows[label]["options"]["learning rate"] for label in chosen} == chosen
    assert not rows["threshold"]["options"]
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
    nothing = tuned.call("status", f"results/small/{document['study']}")
    assert "a tuned track, whose trials lie in the benchmark's folder" in nothing.stdout
    alone = tuned.call("verify", f"results/small/{document['study']}")
    assert (
        alone.returncode == 1 and "a tuned track holds no trials of its own; they lie in results/small" in alone.stderr
    )
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


BREAKS_ONCE = """\
from pathlib import Path

import torch
from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class Fragile(torch.nn.Conv2d):
    def __init__(self):
        super().__init__(3, 1, 3, padding=1)

    def train(self, mode=True):
        if mode and Path(__file__).with_name("break").exists():
            raise RuntimeError("out of luck")
        return super().train(mode)


@hookimpl
def benchbird_segmenters():
    return [SegmenterSpec(name="fragile", build=Fragile)]
"""


def test_a_search_that_failed_is_no_answer_and_is_run_again(tuned: Bench) -> None:
    (tuned.folder / "fragile.py").write_text(BREAKS_ONCE)
    command = ("--plugin", "fragile.py", "--set", "segmenters=[fragile, threshold]", "--seeds", "0")
    assert tuned.run(*command).returncode == 0
    for path in tuned.results.rglob("seed-1000/record.json"):
        path.unlink()
        break
    (tuned.folder / "break").touch()
    failed = tuned.run(*command)
    assert failed.returncode == 1
    assert "fragile has no learning rate yet: its trial with" in failed.stderr and "--retry-failed" in failed.stderr
    assert "| fragile" not in failed.stdout.partition("# Tuned track")[2]
    board = tuned.call("leaderboard", "small.yaml")
    assert board.returncode == 0 and "Tuned track" not in board.stdout, "the fixed track is the finished one"
    (tuned.folder / "break").unlink()
    again = tuned.run(*command, "--retry-failed")
    assert again.returncode == 0, again.stderr
    assert "| fragile" in again.stdout.partition("# Tuned track")[2]


def test_a_trial_with_the_seed_of_the_search_is_in_neither_track(tuned: Bench) -> None:
    assert tuned.run("--set", "tuning=", "--seeds", "0,1000", "--only", "unet_plain").returncode == 0
    document = outcome(tuned.run("--seeds", "0", "--only", "unet_plain", "--json"))
    assert [row["seeds"] for row in document["leaderboard"]["rows"]] == [[0]]


def test_both_tracks_go_into_one_document(tuned: Bench) -> None:
    study = outcome(tuned.run("--only", "unet_plain", "--seeds", "0", "--json"))
    for digest in (study["study"], study["fixed"]["study"]):
        published = tuned.call("publish", "results/small", "--digest", digest, "--to", "REPORT.md")
        assert published.returncode == 0, published.stderr
    document = (tuned.folder / "REPORT.md").read_text()
    assert document.count("benchbird:leaderboard small/full/birdsound begin") == 1
    assert document.count("benchbird:leaderboard small/full/birdsound/tuned begin") == 1


def test_a_damaged_record_of_either_stage_is_told_and_not_published(tuned: Bench) -> None:
    study = outcome(tuned.run("--only", "unet_plain", "--json"))
    folder = f"results/small/{study['study']}"
    [refits] = study["refits"]
    (tuned.folder / refits["results"]).joinpath("unet_plain-damaged", "seed-1").mkdir(parents=True)
    (tuned.folder / refits["results"] / "unet_plain-damaged" / "seed-1" / "record.json").write_text("x")
    board = tuned.call("leaderboard", folder)
    assert board.returncode == 0 and "left out: " in board.stderr
    published = tuned.call("publish", folder, "--to", "REPORT.md")
    assert published.returncode == 1 and "nothing is published until" in published.stderr


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tuning.seed=0", "tuning.seed: found tuning.seed 0, expected one that isn't among seeds"),
        ("tuning.learning_rates=[1e-3, 1e-3]", "tuning.learning_rates[1]: found 0.001 a second time"),
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
