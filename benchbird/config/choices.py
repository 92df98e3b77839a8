"""The second pass over a benchmark, once plugins are loaded: its segmenters, their options, its data set.

Owns what only a plugin's spec can tell. It loads no plugin, builds no model and reads no data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchbird.config.benchmark import BenchmarkConfig
from benchbird.config.faults import in_order, suggestion
from benchbird.contract import DatasetSpec, OptionValue, SegmenterSpec
from benchbird.errors import ConfigError, Fault


@dataclass(frozen=True, kw_only=True)
class SegmenterChoice:
    """One segmenter of a benchmark, checked against its plugin.

    Attributes:
        name: of the segmenter.
        label: in the leaderboard.
        options: every option of the segmenter with its value, sorted by name.
    """

    name: str
    label: str
    options: Mapping[str, OptionValue]


def resolve(
    config: BenchmarkConfig, segmenters: Mapping[str, SegmenterSpec], datasets: Mapping[str, DatasetSpec]
) -> tuple[tuple[SegmenterChoice, ...], DatasetSpec]:
    """Check a benchmark's segmenters and its data set against the plugins, all faults at once.

    Args:
        config: the benchmark.
        segmenters: name → spec of every loaded segmenter.
        datasets: name → spec of every loaded data set.

    Raises:
        ConfigError: every unknown name, unknown or impossible option, and unfit image size.
    """
    choices, faults = _segmenters(config, segmenters)
    dataset, more = _dataset(config, datasets)
    if dataset is None or faults or more:
        raise ConfigError(in_order([*faults, *more]))
    return choices, dataset


def resolve_segmenters(config: BenchmarkConfig, specs: Mapping[str, SegmenterSpec]) -> tuple[SegmenterChoice, ...]:
    """The segmenters alone; see `resolve`."""
    choices, faults = _segmenters(config, specs)
    if faults:
        raise ConfigError(in_order(faults))
    return choices


def resolve_dataset(config: BenchmarkConfig, specs: Mapping[str, DatasetSpec]) -> DatasetSpec:
    """The data set alone; see `resolve`."""
    dataset, faults = _dataset(config, specs)
    if dataset is None or faults:
        raise ConfigError(faults)
    return dataset


def _dataset(config: BenchmarkConfig, specs: Mapping[str, DatasetSpec]) -> tuple[DatasetSpec | None, list[Fault]]:
    spec, root = specs.get(config.data.dataset), config.data.root
    if spec is None:
        known = suggestion(config.data.dataset, sorted(specs))
        return None, [config.fault(("data", "name"), f"unknown data set {config.data.dataset!r}, {known}")]
    if root is None and spec.needs_root:
        message = f"missing, expected the folder of data set {spec.name!r}"
        return None, [config.fault(("data", "root"), message)]
    if root is not None and not root.is_dir():
        return None, [config.fault(("data", "root"), f"no such folder: {root}, expected the data set's")]
    missing = [
        config.fault(("data", "also_test", index), f"no such folder: {other}, expected a data set's")
        for index, other in enumerate(config.data.also_test)
        if not other.is_dir()
    ]
    return (None, missing) if missing else (spec, [])


def _segmenters(
    config: BenchmarkConfig, specs: Mapping[str, SegmenterSpec]
) -> tuple[tuple[SegmenterChoice, ...], list[Fault]]:
    choices: list[SegmenterChoice] = []
    faults: list[Fault] = []
    for index, entry in enumerate(config.segmenters):
        spec = specs.get(entry.name)
        if spec is None:
            message = f"unknown segmenter {entry.name!r}, {suggestion(entry.name, sorted(specs))}"
            if "did you mean" in message:
                message += f" (known: {', '.join(sorted(specs))})"
            faults.append(config.fault(("segmenters", index, "name"), message))
            continue
        found = _option_faults(config, index, spec)
        faults += found
        options = spec.complete_options(entry.options)
        if not found and (sentence := _refusal(spec, options)):
            faults.append(config.fault(("segmenters", index, "options"), sentence))
        if config.protocol.image_size % spec.size_multiple:
            expected = f"expected a multiple of {spec.size_multiple} for segmenter {spec.name!r}"
            message = f"found {config.protocol.image_size}, {expected}"
            faults.append(config.fault(("protocol", "image_size"), message))
        choices.append(SegmenterChoice(name=spec.name, label=entry.label, options=options))
    return tuple(choices), faults


def _option_faults(config: BenchmarkConfig, index: int, spec: SegmenterSpec) -> list[Fault]:
    faults: list[Fault] = []
    for name, value in config.segmenters[index].options.items():
        path = ("segmenters", index, "options", name)
        if name not in spec.options:
            message = f"unknown option of {spec.name!r}, {suggestion(name, spec.options)}"
            faults.append(config.fault(path, message, at_key=True))
        elif message := spec.options[name].fault(value) or "":
            faults.append(config.fault(path, message))
    return faults


def _refusal(spec: SegmenterSpec, options: Mapping[str, OptionValue]) -> str | None:
    if spec.check_options is None:
        return None
    try:
        return spec.check_options(options)
    except Exception as error:  # a plugin's code: its failure is said, not benchbird's
        return f"the plugin's check_options failed: {type(error).__name__}: {error}"
