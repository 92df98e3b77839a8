"""Which configuration each stage of a run with two tracks has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchbird.config.benchmark import BenchmarkConfig, load_benchmark
from benchbird.contract import SegmenterSpec
from benchbird.tuned_run import budget, fixed_stage, refit_stages, rule_of, search_stages
from benchbird.tuning import RateChoice

BENCHMARK = """\
name: small
protocol: {optimizer: {lr: 1e-3}}
tuning: {learning_rates: [1e-2, 1e-4], seed: 7}
segmenters: [net, {name: net, label: wide}, floor]
seeds: [0, 1]
"""
SPECS = {
    "net": SegmenterSpec(name="net", build=torch.nn.Identity),
    "floor": SegmenterSpec(name="floor", build=torch.nn.Identity, calibrate=lambda *_: None),
}
CHOSEN = [("net", "new", 1e-2), ("net", "old", 1e-4), ("wide", "a", 1e-2), ("gone", "b", 1e-4), ("hopeless", "c", None)]
CHOICES = {
    (label, version): RateChoice(label=label, version=version, validation={}, rate=rate)
    for label, version, rate in CHOSEN
}


@pytest.fixture
def config(tmp_path: Path) -> BenchmarkConfig:
    path = tmp_path / "small.yaml"
    path.write_text(BENCHMARK)
    return load_benchmark(path)


def labels(config: BenchmarkConfig) -> list[str]:
    return [entry.label for entry in config.segmenters]


def test_the_fixed_track_is_the_benchmark_without_tuning(config: BenchmarkConfig) -> None:
    stage = fixed_stage(config)
    assert stage.tuning is None
    assert (stage.name, stage.protocol, stage.seeds) == ("small", config.protocol, (0, 1))
    assert labels(stage) == ["net", "wide", "floor"]


def test_every_network_is_tried_with_every_rate_and_the_one_seed(config: BenchmarkConfig) -> None:
    stages = list(search_stages(config, SPECS))
    assert [stage.protocol.optimizer.lr for stage in stages] == [1e-4, 1e-2]
    for stage in stages:
        assert (stage.name, stage.seeds, labels(stage)) == ("small-search", (7,), ["net", "wide"])
        assert stage.protocol.epochs == config.protocol.epochs and stage.tuning is None
    assert not list(search_stages(config, {name: SPECS["floor"] for name in SPECS}))


def test_a_rate_is_trained_by_the_networks_of_this_run_that_it_was_chosen_for(config: BenchmarkConfig) -> None:
    run = [("net", "new"), ("wide", "a"), ("hopeless", "c"), ("open", "d")]
    [stage] = refit_stages(config, CHOICES, run)
    assert (stage.protocol.optimizer.lr, labels(stage), stage.seeds) == (1e-2, ["net", "wide"], (0, 1))
    apart = list(refit_stages(config, CHOICES, [("net", "old"), ("wide", "a")]))
    assert [(stage.protocol.optimizer.lr, labels(stage)) for stage in apart] == [(1e-4, ["net"]), (1e-2, ["wide"])]


def test_the_rule_tells_a_stage_by_its_study(config: BenchmarkConfig) -> None:
    rule = rule_of(config, "d" * 12)
    assert rule.rates == (1e-4, 1e-2) and rule.fixed_rate == 1e-3
    assert set(rule.studies.values()) == {1e-4, 1e-3, 1e-2}


def test_the_budget_counts_both_tracks_and_the_search(config: BenchmarkConfig) -> None:
    assert budget(config) == pytest.approx(2 + 2 / 2)
