"""A benchmark as it will run: the file, then a profile, then `--set`, then `--seeds` and `--only`.

Owns the order of these layers, whose paths are relative to what, and the place of every value. The keys
are `schema.py`'s; names and options that only plugins know are checked by `choices.py`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchbird.config.faults import in_order, place_of, suggestion, validate
from benchbird.config.layers import anchored, merge, override
from benchbird.config.schema import FULL, BenchmarkSchema, DataConfig, Limits, SegmenterEntry, is_slug
from benchbird.config.strict_yaml import (
    MAX_FAULTS,
    Document,
    KeyPath,
    Place,
    dotted,
    parse,
    read_text,
    shown,
)
from benchbird.errors import ConfigError, Fault
from benchbird.protocol import Protocol, Tuning

_MAX_PROFILES = 50


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """A benchmark with every value in place and checked, as far as that goes without plugins.

    Attributes:
        path: the file.
        profile: the profile that was applied, `full` for none.
        profile_names: the profiles that the file offers.
        name: of the benchmark; its results lie under `DIR/<name>`.
        data: which data.
        protocol: one recipe for all segmenters.
        tuning: how the tuned track chooses learning rates; None for no such track.
        segmenters: at least one, their labels unique.
        plugins: absolute paths of plugin files.
        seeds: at least one, each once.
        limits: of a trial.
        places: key path → where it was written.
    """

    path: Path
    profile: str
    profile_names: tuple[str, ...]
    name: str
    data: DataConfig
    protocol: Protocol
    tuning: Tuning | None
    segmenters: tuple[SegmenterEntry, ...]
    plugins: tuple[Path, ...]
    seeds: tuple[int, ...]
    limits: Limits
    places: Mapping[KeyPath, Place] = field(repr=False, compare=False)

    def locate(self, *path: str | int) -> str:
        """Where a value was written: `file:line:column` or the option; of what surrounds it if nobody did."""
        return place_of(self.places, path)[1].value

    def fault(self, path: KeyPath, message: str, *, at_key: bool = False) -> Fault:
        """A fault at a key path, located at its value, or at its key for a key that shouldn't be there."""
        place = place_of(self.places, path)[1]
        return Fault(place.key if at_key else place.value, dotted(path), message)

    def as_dict(self) -> dict[str, Any]:
        """The benchmark's own keys as JSON values, profile and options applied."""
        return {
            "name": self.name,
            "data": self.data.model_dump(mode="json"),
            "protocol": dataclasses.asdict(self.protocol),
            "tuning": None if self.tuning is None else dataclasses.asdict(self.tuning),
            "segmenters": [entry.model_dump(mode="json") for entry in self.segmenters],
            "plugins": [str(path) for path in self.plugins],
            "seeds": list(self.seeds),
            "limits": self.limits.model_dump(mode="json"),
        }


def load_benchmark(path: str | Path, *, profile: str | None = None, overrides: Sequence[str] = ()) -> BenchmarkConfig:
    """Read a benchmark and apply a profile and `--set` options to it.

    Args:
        path: the YAML file; relative paths in it start at its folder.
        profile: name of a profile; None or `full` for the file as it stands.
        overrides: `KEY=VALUE` each, VALUE strict YAML; relative paths start at the working directory.

    Raises:
        ConfigError: every fault of the file, of all its profiles and of the options, each with its place.
    """
    path = Path(path)
    base, profiles, faults = _read(path)
    layered, chosen = base, profile or FULL
    if chosen in profiles:
        layered = merge(base, profiles[chosen])
    elif chosen != FULL:
        message = f"unknown profile, {suggestion(chosen, [*profiles, FULL])}"
        faults.append(Fault(f"--profile {chosen}", "", message))
    for name, block in profiles.items():
        own = {where for place in block.places.values() for where in (place.key, place.value)}
        if name != chosen:
            faults += [fault for fault in validate(merge(base, block))[1] if fault.where in own]
    for text in overrides:
        try:
            layered = merge(layered, override(text))
        except ConfigError as error:
            faults += error.faults
    if layered is not base:
        # What a profile or an option replaces must be sound too: the file is mended in one go.
        faults += validate(base, partial=True)[1]
    schema, found = validate(layered)
    if schema is None or faults:
        faults = in_order([*faults, *found])
        if (more := len(faults) - MAX_FAULTS) > 0:
            faults[MAX_FAULTS:] = [Fault(str(path), "", f"and {more} further faults")]
        raise ConfigError(faults)
    return _config(schema, path, chosen, tuple(profiles), layered)


def profile_names(path: str | Path) -> tuple[str, ...]:
    """The profiles that a benchmark offers, in the file's order.

    Raises:
        ConfigError: the file can't be read or isn't strict YAML.
    """
    return tuple(_read(Path(path))[1])


def with_seeds(config: BenchmarkConfig, seeds: Sequence[int]) -> BenchmarkConfig:
    """The same benchmark with other seeds (`--seeds`).

    Raises:
        ConfigError: no seed, one twice, one outside [0, 2**63), or the one that chooses learning rates.
    """
    asked = ",".join(str(seed) for seed in seeds)
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**63 for seed in seeds):
        expected = "expected whole numbers from 0 on, each once, such as 0,1"
        raise ConfigError([Fault("--seeds", "", f"found {asked or 'nothing'}, {expected}")])
    if config.tuning is not None and config.tuning.seed in seeds:
        expected = "expected others than tuning.seed, with which learning rates are chosen"
        raise ConfigError([Fault("--seeds", "", f"found {asked}, {expected}")])
    return dataclasses.replace(config, seeds=tuple(seeds))


def only(config: BenchmarkConfig, labels: Sequence[str]) -> BenchmarkConfig:
    """The same benchmark with these segmenters alone (`--only`), in the file's order.

    Raises:
        ConfigError: a label that no segmenter has.
    """
    known = [entry.label for entry in config.segmenters]
    faults = [
        Fault(f"--only {label}", "", f"no segmenter has this label, {suggestion(label, known)}")
        for label in labels
        if label not in known
    ]
    if faults:
        raise ConfigError(faults)
    kept = [index for index, label in enumerate(known) if label in labels]
    moved = {old: new for new, old in enumerate(kept)}
    places = {}
    for path, place in config.places.items():
        if path[:1] == ("segmenters",) and len(path) > 1:
            if path[1] in moved:
                places["segmenters", moved[path[1]], *path[2:]] = place
        else:
            places[path] = place
    return dataclasses.replace(config, segmenters=tuple(config.segmenters[index] for index in kept), places=places)


def _config(
    schema: BenchmarkSchema, path: Path, profile: str, names: tuple[str, ...], document: Document
) -> BenchmarkConfig:
    return BenchmarkConfig(
        path=path,
        profile=profile,
        profile_names=names,
        name=schema.name,
        data=schema.data,
        protocol=schema.protocol,
        tuning=schema.tuning,
        segmenters=schema.segmenters,
        plugins=schema.plugins,
        seeds=schema.seeds,
        limits=schema.limits,
        places=document.places,
    )


def _read(path: Path) -> tuple[Document, dict[str, Document], list[Fault]]:
    """The file without its profiles, its profiles, and what is wrong with their outer form."""
    document = parse(read_text(path), str(path))
    if not isinstance(document.value, dict):
        expected = "expected a mapping with name, segmenters, protocol, …"
        where = document.places[()].value
        raise ConfigError([Fault(where, "", f"found {shown(document.value)}, {expected}")])
    folder = Path(os.path.abspath(path)).parent
    blocks = document.value.get("profiles")
    base = {key: value for key, value in document.value.items() if key != "profiles"}
    places = {key: place for key, place in document.places.items() if key[:1] != ("profiles",)}
    faults, profiles = [], {}

    def fault(key: KeyPath, message: str) -> None:
        faults.append(Fault(document.places[key].key, dotted(key), message))

    if blocks is not None and not isinstance(blocks, dict):
        fault(("profiles",), f"found {shown(blocks)}, expected a mapping of profile names to overrides")
        blocks = None
    if len(blocks or {}) > _MAX_PROFILES:
        fault(("profiles",), f"found {len(blocks or {})} profiles, expected at most {_MAX_PROFILES}")
        blocks = None
    for name, block in (blocks or {}).items():
        here: KeyPath = ("profiles", name)
        if name == FULL or not is_slug(name):
            expected = "lower-case letters, digits, '_' and '-', and not 'full', which is the file itself"
            fault(here, f"found {shown(name)}, expected {expected}")
        elif not isinstance(block, dict | None):
            fault(here, f"found {shown(block)}, expected a mapping of overrides")
        elif block and "profiles" in block:
            fault((*here, "profiles"), "found profiles within a profile, expected none")
        else:
            inner = {key[2:]: place for key, place in document.places.items() if key[:2] == here}
            profiles[name] = anchored(Document(block or {}, inner), folder)
    return anchored(Document(base, places), folder), profiles, faults
