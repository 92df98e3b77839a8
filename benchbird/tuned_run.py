"""The stages of a run with two tracks: the fixed one, the search for rates, the tuned one.

Owns which configuration each stage runs; how a configuration is run is the caller's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from benchbird.config.benchmark import BenchmarkConfig, only
from benchbird.config.schema import SEARCH_SUFFIX
from benchbird.contract import SegmenterSpec
from benchbird.tuning import RateChoice, TuningRule


def rule_of(config: BenchmarkConfig, data_digest: str) -> TuningRule:
    """The rule of a benchmark with a tuned track."""
    assert config.tuning is not None, "callers have a tuned track"
    return TuningRule(
        search=_search_name(config),
        protocol=config.protocol.as_dict(),
        data_digest=data_digest,
        tuning=config.tuning,
    )


def fixed_stage(config: BenchmarkConfig) -> BenchmarkConfig:
    """The fixed track: the benchmark as if it had no other."""
    return replace(config, tuning=None)


def search_stages(config: BenchmarkConfig, specs: Mapping[str, SegmenterSpec]) -> Iterator[BenchmarkConfig]:
    """The search: every network with every rate and the one seed; none where all learn without gradients.

    Args:
        config: the benchmark.
        specs: name → spec of every loaded segmenter.
    """
    assert config.tuning is not None, "callers have a tuned track"
    labels = [entry.label for entry in config.segmenters if specs[entry.name].calibrate is None]
    for rate in sorted(config.tuning.learning_rates) if labels else ():
        stage = _at_rate(only(config, labels), rate)
        yield replace(stage, name=_search_name(config), seeds=(config.tuning.seed,))


def refit_stages(config: BenchmarkConfig, choices: Sequence[RateChoice]) -> Iterator[BenchmarkConfig]:
    """The tuned track: for each rate that was chosen, its networks with all seeds."""
    labels: dict[float, list[str]] = defaultdict(list)
    known = {entry.label for entry in config.segmenters}
    for choice in choices:
        if choice.rate is not None and choice.label in known:
            labels[choice.rate].append(choice.label)
    for rate, chosen in sorted(labels.items()):
        yield _at_rate(only(config, chosen), rate)


def budget(config: BenchmarkConfig) -> float:
    """How many times what the fixed track takes both tracks take at most, search included."""
    assert config.tuning is not None, "callers have a tuned track"
    return 2 + len(config.tuning.learning_rates) / len(config.seeds)


def _search_name(config: BenchmarkConfig) -> str:
    return f"{config.name}{SEARCH_SUFFIX}"


def _at_rate(config: BenchmarkConfig, rate: float) -> BenchmarkConfig:
    protocol = replace(config.protocol, optimizer=replace(config.protocol.optimizer, lr=rate))
    return replace(config, protocol=protocol, tuning=None)
