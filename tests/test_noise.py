"""A noise budget: which trainings, where they lie, what differs between them, and the numbers made of them."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import chi2

from benchbird.errors import ResultsError
from benchbird.leaderboard import rank
from benchbird.noise import (
    KINDS,
    Budget,
    SegmenterNoise,
    Variation,
    deviation,
    deviation_interval,
    last_quarter,
    machines,
    plan_noise,
    summarize,
    variations,
)
from benchbird.noise_report import noise_document, render_noise, sentences
from benchbird.records import TrialRecord
from benchbird.results import RECORD_FILE, add_record, find_records
from benchbird.seeding import derive_seed, seed_everything
from benchbird.training import epoch_order
from tests.record_factory import GPU, MALICIOUS_NAMES, make_record, make_segmenter
from tests.small_bench import Bench, make_bench
from tests.study_factory import make_small_plan

ATROUS = "segmenters=[{name: atrous_segnet, options: {base_channels: 4}}]"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")


@pytest.fixture
def budget(bench: Bench) -> Budget:
    return plan_noise(make_small_plan(bench, ATROUS, "seeds=[7]"), 7, 2)


def records_of(budget: Budget, scores: dict[str, float], files: dict[str, str] | None = None) -> list[TrialRecord]:
    """A record for each training: its score by kind and number, its weights' hash by the same."""
    made = []
    for variation, trial in zip(budget.variations, budget.plan.trials, strict=True):
        record = make_record(trial.segmenter, seed=variation.seed, iou=scores[str(variation)])
        weights = hashlib.sha256((files or {}).get(str(variation), str(variation)).encode()).hexdigest()
        record = replace(record, initialisation_seed=variation.initialisation_seed)
        made.append(replace(record, files={**record.files, "weights.safetensors": weights}))
    return made


SCORES = {
    "repeat-1": 0.60, "repeat-2": 0.60,
    "initialisation-1": 0.62, "initialisation-2": 0.58,
    "order-1": 0.61, "order-2": 0.605,
    "both-1": 0.66, "both-2": 0.57,
}  # fmt: skip


def summary(budget: Budget, records: list[TrialRecord]) -> SegmenterNoise:
    (only,) = summarize(budget, records)
    return only


def test_what_each_kind_changes() -> None:
    found = {str(one): (one.seed, one.initialisation_seed) for one in variations(10, 2)}
    assert found == {
        "repeat-1": (10, 10), "repeat-2": (10, 10),
        "initialisation-1": (10, 11), "initialisation-2": (10, 12),
        "order-1": (11, 10), "order-2": (12, 10),
        "both-1": (11, 11), "both-2": (12, 12),
    }  # fmt: skip
    # One of each kind first: a budget that is stopped early has something of everything.
    assert [one.kind for one in variations(0, 3)][:4] == list(KINDS)


def test_initialisation_changes_the_first_weights_and_not_the_order_and_order_the_reverse() -> None:
    def weights(variation: Variation) -> torch.Tensor:
        seed_everything(derive_seed(variation.initialisation_seed, "build"))
        return torch.nn.Conv2d(3, 4, 3).weight.detach()

    def orders(variation: Variation) -> list[list[int]]:
        return [epoch_order(50, variation.seed, epoch).tolist() for epoch in (1, 2, 9)]

    by_name = {str(one): one for one in variations(3, 2)}
    base = by_name["repeat-1"]
    same_order = {name for name, one in by_name.items() if orders(one) == orders(base)}
    same_weights = {name for name, one in by_name.items() if torch.equal(weights(one), weights(base))}
    assert same_order == {"repeat-1", "repeat-2", "initialisation-1", "initialisation-2"}
    assert same_weights == {"repeat-1", "repeat-2", "order-1", "order-2"}
    assert orders(by_name["order-1"]) == orders(by_name["both-1"])
    assert torch.equal(weights(by_name["initialisation-2"]), weights(by_name["both-2"]))


def test_the_trainings_lie_in_a_folder_of_their_own_by_base_seed(bench: Bench, budget: Budget) -> None:
    plan = budget.plan
    version = make_small_plan(bench, ATROUS).trials[0].folder.parent.name
    root = plan.study_folder / "noise" / version / "base-7"
    assert [trial.folder for trial in plan.trials] == [root / str(one) for one in budget.variations]
    assert [(trial.seed, trial.initialisation_seed) for trial in plan.trials] == [
        (one.seed, one.initialisation_seed) for one in budget.variations
    ]
    other = plan_noise(make_small_plan(bench, ATROUS, "seeds=[8]"), 8, 2)
    assert not {trial.folder for trial in plan.trials} & {trial.folder for trial in other.plan.trials}


def test_what_has_ended_or_begun_is_found_again(bench: Bench, budget: Budget) -> None:
    records = records_of(budget, SCORES)
    add_record(budget.plan.trials[0].folder, records[0])
    begun = budget.plan.trials[1].folder
    begun.mkdir(parents=True)
    (begun / "curve.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    again = plan_noise(make_small_plan(bench, ATROUS, "seeds=[7]"), 7, 3)
    states = [(trial.state, trial.epochs_done) for trial in again.plan.trials]
    assert states[:3] == [("ended", 0), ("started", 2), ("new", 0)]
    assert len(again.plan.unended) == 11
    assert again.plan.trials[1].initialisation_seed == 8


def test_no_search_finds_a_budget_from_root_benchmark_or_study(bench: Bench, budget: Budget) -> None:
    for trial, record in zip(budget.plan.trials, records_of(budget, SCORES), strict=True):
        add_record(trial.folder, record)
    own = budget.plan.study_folder / "x-1" / "seed-7"
    add_record(own, make_record(seed=7))
    for folder in (bench.results, bench.results / "small", budget.plan.study_folder):
        scan = find_records(folder)
        assert [found.path for found in scan.found] == [own / RECORD_FILE]
        assert scan.unended == ()
    # A results root may itself be called so.
    moved = bench.results.rename(bench.folder / "noise")
    assert len(find_records(moved).found) == 1


def test_a_budget_that_is_pointed_at_is_refused(budget: Budget) -> None:
    for trial, record in zip(budget.plan.trials, records_of(budget, SCORES), strict=True):
        add_record(trial.folder, record)
    found = find_records(budget.plan.study_folder / "noise").found
    with pytest.raises(ResultsError, match="noise budget are no results to rank"):
        rank([one.record for one in found])


def test_every_kind_counts_the_base_seeds_own_training_once(budget: Budget) -> None:
    moved = {one.kind: one for one in summary(budget, records_of(budget, SCORES)).moved}
    assert moved["repeat"].test == (0.60, 0.60)
    assert moved["initialisation"].test == (0.60, 0.62, 0.58)
    assert moved["order"].test == (0.60, 0.61, 0.605)
    assert moved["both"].test == (0.60, 0.66, 0.57)
    assert moved["repeat"].test_sd == 0.0
    assert moved["repeat"].test_sd_interval is None
    assert moved["initialisation"].test_sd == pytest.approx(0.02)
    assert moved["order"].val_sd == pytest.approx(0.005)


@pytest.mark.parametrize("n", [2, 3, 4, 30])
def test_the_interval_of_a_deviation_against_scipy(n: int) -> None:
    low, high = deviation_interval(0.013, n)
    assert low == pytest.approx(0.013 * math.sqrt((n - 1) / chi2.ppf(0.975, n - 1)), rel=1e-9)
    assert high == pytest.approx(0.013 * math.sqrt((n - 1) / chi2.ppf(0.025, n - 1)), rel=1e-9)
    assert low < 0.013 < high


def test_the_interval_holds_the_truth_95_times_in_100() -> None:
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(4000, 4, generator=generator, dtype=torch.float64).tolist()
    covered = 0
    for values in draws:
        low, high = deviation_interval(statistics.stdev(values), 4)
        covered += low <= 1 <= high
    assert covered / 4000 == pytest.approx(0.95, abs=0.012)


def test_equal_scores_deviate_by_exactly_0() -> None:
    assert deviation([0.1 + 0.2] * 3) == 0.0
    assert deviation([0.5]) is None


def test_repeats_are_identical_only_if_their_weights_are(budget: Budget) -> None:
    same = {"repeat-1": "a", "repeat-2": "a"}
    assert summary(budget, records_of(budget, SCORES, same)).repeats_identical is True
    assert summary(budget, records_of(budget, SCORES, {"repeat-1": "a", "repeat-2": "b"})).repeats_identical is False


def test_a_training_that_failed_is_listed_and_counted_nowhere(budget: Budget) -> None:
    records = records_of(budget, SCORES)
    names = [str(one) for one in budget.variations]
    for name in ("order-1", "repeat-2"):
        segmenter = budget.plan.trials[0].segmenter
        records[names.index(name)] = make_record(segmenter, status="diverged", reason="the training loss became nan")
    noise = summary(budget, records)
    moved = {one.kind: one for one in noise.moved}
    assert [str(variation) for variation, _ in noise.failed] == ["order-1", "repeat-2"]
    assert moved["order"].test == (0.60, 0.605)
    assert moved["repeat"].test_sd is None
    assert noise.repeats_identical is None
    text = render_noise(budget, records, [noise], [])
    assert "- **order-1**, diverged: the training loss became nan" in text
    assert "fewer than two repeats are done" in text


def test_an_undefined_score_is_no_zero(budget: Budget) -> None:
    records = records_of(budget, SCORES)
    records[0] = make_record(budget.plan.trials[0].segmenter, seed=7, iou=None)
    moved = {one.kind: one for one in summary(budget, records).moved}
    assert moved["repeat"].test == (0.60,)
    assert moved["both"].test == (0.66, 0.57)


def write_curve(folder: Path, scores: Sequence[float | None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"epoch": epoch, "val_iou_pooled": score}) for epoch, score in enumerate(scores, start=1)]
    (folder / "curve.jsonl").write_text("\n".join(lines) + "\n")


def test_the_last_quarter_of_the_epochs(tmp_path: Path) -> None:
    path = tmp_path / "curve.jsonl"
    write_curve(tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert last_quarter(path) == (0.7, 0.8)
    write_curve(tmp_path, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert last_quarter(path) == (0.4, 0.5), "rounded up"
    write_curve(tmp_path, [0.1, 0.2, 0.3, None, 0.5])
    assert last_quarter(path) == (0.5,)
    assert last_quarter(tmp_path / "gone") == ()
    path.write_text("{")
    assert last_quarter(path) == ()


def test_epoch_noise_is_the_root_mean_square_over_the_trainings(budget: Budget) -> None:
    for number, trial in enumerate(budget.plan.trials):
        spread = 0.01 if number % 2 else 0.03
        write_curve(trial.folder, [0.1] * 9 + [0.5 - spread, 0.5, 0.5 + spread])
    noise = summary(budget, records_of(budget, SCORES))
    assert noise.epoch_sd == pytest.approx(math.sqrt((0.01**2 + 0.03**2) / 2))
    assert noise.epochs == 3


def test_the_sentences_say_what_the_numbers_say(budget: Budget) -> None:
    same = {"repeat-1": "a", "repeat-2": "a"}
    (sentence,) = sentences(summary(budget, records_of(budget, SCORES, same)), is_exact=True)
    assert sentence == (
        "atrous_segnet: the initialisation moves the test IoU by 2.0 points (sd, 3 trainings), the order by "
        "0.5 points, both together by 4.6 points; the same seed repeats exactly, weights identical bit for bit."
    )
    other = records_of(budget, {**SCORES, "repeat-2": 0.604})
    told, warned = sentences(summary(budget, other), is_exact=True)
    assert "does not repeat: it moves the test IoU by 0.3 points, and the weights differ" in told
    assert "On a CPU in deterministic mode it should repeat exactly" in warned
    assert len(sentences(summary(budget, other), is_exact=False)) == 1


def test_mixed_machines_are_said(budget: Budget) -> None:
    records = records_of(budget, SCORES)
    assert machines(records) == 1
    records[3] = replace(records[3], environment=GPU)
    assert machines(records) == 2
    text = render_noise(budget, records, summarize(budget, records), ["threshold"])
    assert "Trainings of 2 machines or software versions are mixed" in text
    assert "Left out, since no seed changes what is calibrated: threshold." in text


@pytest.mark.parametrize("name", MALICIOUS_NAMES)
def test_a_name_forges_no_cell(budget: Budget, name: str) -> None:
    segmenter = make_segmenter("mine", options={"note": name})
    plan = replace(budget.plan, trials=tuple(replace(one, segmenter=segmenter) for one in budget.plan.trials))
    hostile = replace(budget, plan=plan)
    records = [replace(one, status="failed", reason=name, scores=None) for one in records_of(hostile, SCORES)]
    text = render_noise(hostile, records, summarize(hostile, records), [])
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 6
    assert {line.count("|") for line in table} == {9}
    assert "<script" not in text
    json.dumps(noise_document(hostile, records, summarize(hostile, records), []), allow_nan=False)
