"""A planned and prepared study of the small bench, for tests of what happens inside one process."""

from __future__ import annotations

from pathlib import Path

from benchbird.config.benchmark import load_benchmark
from benchbird.config.choices import resolve
from benchbird.plan import Plan, make_plan
from benchbird.registry import load_registry
from benchbird.runner import prepare
from benchbird.study_data import find_data
from benchbird.trial import TrialRequest
from tests.small_bench import Bench


def make_small_plan(bench: Bench, *overrides: str, plugins: tuple[Path, ...] = ()) -> Plan:
    """The plan that `benchbird run small.yaml` would make."""
    config = load_benchmark(bench.folder / "small.yaml", overrides=overrides)
    registry = load_registry(plugins)
    choices, dataset = resolve(
        config,
        {name: offer.spec for name, offer in registry.segmenters.items()},
        {name: offer.spec for name, offer in registry.datasets.items()},
    )
    data = find_data(config, dataset, bench.folder / "cache")
    return make_plan(config, choices, registry, data, plugin_files=plugins, results=bench.results)


def make_requests(bench: Bench, plan: Plan) -> tuple[TrialRequest, ...]:
    """A request for every trial of the plan, its data prepared."""
    prepared, summary = prepare(plan, bench.folder / "cache")
    return tuple(
        TrialRequest(
            folder=trial.folder,
            benchmark=plan.config.name,
            profile=plan.config.profile,
            study=plan.study,
            protocol=plan.protocol,
            data=summary,
            splits={name: split.folder for name, split in prepared.splits.items()},
            segmenter=trial.segmenter,
            plugin_files=plan.plugin_files,
            seed=trial.seed,
            device="cpu",
            threads=1,
        )
        for trial in plan.trials
    )
