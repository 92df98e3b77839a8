"""Whether a trial's weights say again what its predictions file says, on data found anew.

Owns how the data of a record are found, what must be the same, and the comparison. Predicting is
`reevaluation.py`'s.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchbird import metrics
from benchbird.config.benchmark import BenchmarkConfig, load_benchmark, profile_names
from benchbird.config.choices import resolve_dataset
from benchbird.config.schema import FULL
from benchbird.data.cache import PreparedData, prepare_splits
from benchbird.environment import available_cores
from benchbird.errors import ConfigError, DataError, ResultsError
from benchbird.evaluation import Prediction
from benchbird.findings import Finding, failed, notice
from benchbird.predictions import Predictions, read_predictions
from benchbird.protocol import Protocol
from benchbird.records import Scores, TrialRecord
from benchbird.reevaluation import ReevaluationRequest, reevaluate_trial
from benchbird.registry import DATASETS, load_registry
from benchbird.restoration import request_model
from benchbird.results import RECORD_FILE, FoundRecord
from benchbird.study_data import StudyData, find_data, with_fold

COMPARED = ("iou_pooled", "iou_native")
"""The scores that may differ by no more than the tolerance."""

Observe = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the data of the records are found, and how they are predicted again.

    Attributes:
        benchmark: the file.
        profile: of the benchmark; None for the one that each record names.
        overrides: `KEY=VALUE` each.
        plugin_files: plugins that the user named.
        cache: the cache folder.
        device: torch device name.
        tolerance: largest difference of a score that still counts as the same.
    """

    benchmark: Path
    profile: str | None
    overrides: tuple[str, ...]
    plugin_files: tuple[Path, ...]
    cache: Path
    device: str
    tolerance: float


def reproduce(found: Sequence[FoundRecord], sources: Sources, observe: Observe) -> dict[Path, tuple[Finding, ...]]:
    """Predict the test split again with the weights of each done trial; findings by the record's path.

    Args:
        found: done trials with their weights, of any study.
        sources: where their data are.
        observe: gets `{"event": "again", "label", "seed", "number", "of"}` before each.

    Records whose profile or fold the benchmark or its data don't have get a finding, and the others go on.

    Raises:
        ConfigError, PluginError: the benchmark or a plugin can't be used.
    """
    offered = {FULL, *profile_names(sources.benchmark)}
    groups: dict[tuple[str, int], list[FoundRecord]] = defaultdict(list)
    findings: dict[Path, tuple[Finding, ...]] = {}
    for one in found:
        profile, fold = sources.profile or one.record.profile, one.record.data.fold
        if sources.profile is None and profile not in offered:
            what = f"the record says {profile}, {sources.benchmark.name} has none of that name; choose one by --profile"
            findings[one.path] = (failed(RECORD_FILE, "profile", what),)
        else:
            groups[profile, fold.number if fold is not None else 0].append(one)
    refused: list[ConfigError] = []
    for (profile, fold_number), trials in groups.items():
        try:
            material = find_material(sources, profile, fold_number)
        except (ConfigError, DataError) as error:
            refused += [error] if isinstance(error, ConfigError) else []
            what = f"{sources.benchmark.name}, profile {profile}, has no data for the record: {error}"
            findings |= {one.path: (failed(RECORD_FILE, "data", what),) for one in trials}
            continue
        for one in trials:
            place = {"label": one.record.segmenter.label, "seed": one.record.seed}
            observe({"event": "again", **place, "number": len(findings) + 1, "of": len(found)})
            findings[one.path] = tuple(_trial_findings(one, material, sources))
    if refused and len(refused) == len(groups):
        raise refused[0]  # no record's fault: nothing was usable
    return findings


@dataclass(kw_only=True)
class Material:
    """A configuration with its data, prepared when the first trial fits them."""

    config: BenchmarkConfig
    plugin_files: tuple[Path, ...]
    data: StudyData
    prepared: PreparedData | None = None

    def prepare(self, cache: Path) -> PreparedData:
        """All splits at protocol size, so that their content can be compared."""
        if self.prepared is None:
            protocol = self.config.protocol
            self.prepared = prepare_splits(
                self.data.splits, protocol.image_size, cache, resize=protocol.resize, workers=available_cores()
            )
        return self.prepared


def find_material(sources: Sources, profile: str, fold: int) -> Material:
    """The configuration and data of a benchmark's profile.

    Args:
        sources: where they are.
        profile: of the benchmark.
        fold: of a cross-validation; 0 for none.

    Raises:
        ConfigError, PluginError, DataError: they can't be used.
    """
    config = load_benchmark(sources.benchmark, profile=profile, overrides=sources.overrides)
    if fold:
        config = with_fold(config, fold)
    plugin_files = (*config.plugins, *sources.plugin_files)
    registry = load_registry(plugin_files, groups={DATASETS})
    dataset = resolve_dataset(config, {name: offer.spec for name, offer in registry.datasets.items()})
    return Material(config=config, plugin_files=plugin_files, data=find_data(config, dataset, sources.cache))


def _trial_findings(one: FoundRecord, material: Material, sources: Sources) -> Iterator[Finding]:
    config, data, record = material.config, material.data, one.record
    protocol = protocol_of(record, config)
    said = {"protocol.digest": record.protocol["digest"], "data.digest": record.data.digest}
    given = {"protocol.digest": protocol.digest, "data.digest": data.digest}
    of = f"{sources.benchmark.name}, profile {config.profile}"
    if differing := [name for name in said if said[name] != given[name]]:
        for name in differing:
            what = (
                f"the record says {said[name]}, {of} gives {given[name]}, so nothing can be compared; "
                "give the run's --set, --profile and --plugin again"
            )
            yield failed(RECORD_FILE, name, what)
        return
    prepared = material.prepare(sources.cache)
    if record.data.content_sha256 != prepared.content_sha256:
        what = f"the record says {record.data.content_sha256}, the data prepared here have {prepared.content_sha256}"
        yield failed(RECORD_FILE, "data.content_sha256", what)
    try:
        stored = read_predictions(one.path.parent / str(record.predictions_file))
        model = request_model(one, protocol, plugin_files=material.plugin_files, device=sources.device)
        again = reevaluate_trial(ReevaluationRequest(model=model, split=prepared.splits["test"].folder))
    except ResultsError as error:
        yield failed(str(record.weights_file), f"files.{record.weights_file}", str(error))
        return
    yield from compare(record, stored, again, sources.tolerance)


def protocol_of(record: TrialRecord, config: BenchmarkConfig) -> Protocol:
    """The benchmark's protocol; of a trial with one of the rates that it tunes by, the same with that rate."""
    optimizer = record.protocol.get("optimizer")
    rate = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
    if config.tuning is None or rate not in config.tuning.learning_rates:
        return config.protocol
    return replace(config.protocol, optimizer=replace(config.protocol.optimizer, lr=rate))


def compare(record: TrialRecord, stored: Predictions, again: Prediction, tolerance: float) -> Iterator[Finding]:
    """What a second prediction of the test split says of the first.

    Args:
        record: of the trial.
        stored: its predictions file.
        again: the second prediction.
        tolerance: largest difference of a score in `COMPARED` that still counts as the same.
    """
    name = str(record.predictions_file)
    if stored.reference.shape != again.reference.shape or (stored.reference != again.reference).any():
        yield failed(name, "reference", "other masks than the data found here")
        return
    pixels = np.bitwise_count(stored.predicted ^ again.predicted).sum(1, dtype=np.int64)  # (N,)
    counts = [(stored.test.protocol, again.counts.protocol), (stored.test.native, again.counts.native)]
    if not pixels.any() and all(np.array_equal(first, second) for first, second in counts):
        yield notice(name, "predicted", "re-evaluated: identical")
        return
    before, after = metrics.scores(stored.test.protocol, stored.test.native), again.scores()
    differences = {score: _difference(before, after, score) for score in COMPARED}
    is_same = all(abs(difference) <= tolerance for difference in differences.values())
    what = (
        f"re-evaluated: {int(pixels.sum())} of {len(pixels) * stored.image_size**2} pixels differ, "
        f"in {int((pixels > 0).sum())} of {len(pixels)} images; "
        + ", ".join(f"{score} {difference:+.6f}" for score, difference in differences.items())
        + (f"; within {tolerance:g}" if is_same else f"; more than {tolerance:g}")
    )
    yield (notice if is_same else failed)(name, "predicted", what)


def _difference(before: Scores, after: Scores, score: str) -> float:
    """Second minus first; infinite where one of them alone is undefined."""
    first, second = getattr(before, score), getattr(after, score)
    if first is None or second is None:
        return 0.0 if first is second else math.inf
    return float(second - first)
