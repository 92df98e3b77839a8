"""What is to be timed, from the words of a command line: a benchmark file, or segmenters by name.

Owns that choice and the wording of its faults. Names and options are checked against plugins elsewhere.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchbird.config.benchmark import BenchmarkConfig, load_benchmark
from benchbird.config.faults import validate
from benchbird.config.layers import merge, override
from benchbird.config.schema import FULL, SLUG_LENGTH
from benchbird.config.strict_yaml import Document, KeyPath, Place, parse
from benchbird.contract import is_name
from benchbird.errors import ConfigError, Fault, UsageError

DEFAULT_SIZE = 256
"""Side in pixels at which segmenters are timed that no benchmark gives a size."""

EXAMPLE = "unet or unet:encoder=resnet18,pretrained=none"


def is_benchmark(words: Sequence[str]) -> bool:
    """Whether the words name a benchmark file, and no segmenters.

    Raises:
        UsageError: they name both, or several benchmarks.
    """
    files = [word for word in words if Path(word).suffix in (".yaml", ".yml") or "/" in word or Path(word).is_file()]
    if files and len(words) > 1:
        raise UsageError(
            f"found {', '.join(words)}, expected one benchmark file or segmenters by name; "
            f"time {files[0]} alone, and choose of its segmenters by --only LABEL"
        )
    return bool(files)


def load_target(
    words: Sequence[str], *, profile: str | None, overrides: Sequence[str], size: int | None
) -> BenchmarkConfig:
    """The benchmark, or one made of the segmenters that are named.

    Args:
        words: one path, or segmenters such as `unet` or `unet:encoder=resnet18`.
        profile: of a benchmark.
        overrides: `KEY=VALUE` each.
        size: side in pixels for segmenters by name.

    Raises:
        ConfigError: what is wrong with the file, a name, an option or an override.
        UsageError: an option that doesn't go with the target.
    """
    if is_benchmark(words):
        if size is not None:
            raise UsageError(f"--size {size}: {words[0]} has its own size, expected --set protocol.image_size={size}")
        return load_benchmark(words[0], profile=profile, overrides=overrides)
    if profile is not None:
        raise UsageError(f"--profile {profile}: {words[0]} is no benchmark file, expected one, such as bench.yaml")
    return _named(words, size, overrides)


def _named(words: Sequence[str], size: int | None, overrides: Sequence[str]) -> BenchmarkConfig:
    places: dict[KeyPath, Place] = {(): Place("command line", "command line")}
    entries = [_entry(word) for word in words]
    for index, word in enumerate(words):
        places["segmenters", index] = Place(_shown(word), _shown(word))
    value: dict[str, Any] = {
        "name": "named",
        "protocol": {"image_size": DEFAULT_SIZE if size is None else size},
        "segmenters": _labelled(entries),
    }
    if size is not None:
        places["protocol", "image_size"] = Place("--size", f"--size {size}")
    document = Document(value, places)
    for text in overrides:
        document = merge(document, override(text))
    schema, faults = validate(document)
    if schema is None:
        raise ConfigError(faults)
    return BenchmarkConfig(
        path=Path(), profile=FULL, profile_names=(), name=schema.name, data=schema.data, protocol=schema.protocol,
        tuning=schema.tuning, segmenters=schema.segmenters, plugins=schema.plugins, seeds=schema.seeds,
        limits=schema.limits, places=document.places,
    )  # fmt: skip


def _entry(word: str) -> dict[str, Any]:
    """Name and options of one word."""
    name, colon, rest = word.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")] if colon else []
    if not is_name(name) or not all(key and equals for key, equals, _ in pairs):
        expected = f"expected a benchmark file, such as bench.yaml, or a segmenter, such as {EXAMPLE}"
        raise ConfigError([Fault(_shown(word), "", expected)])
    return {"name": name, "options": {key: parse(value, _shown(word), lines=False).value for key, _, value in pairs}}


def _labelled(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with labels: the name alone, and with what is chosen where one name stands there twice."""
    often = Counter(entry["name"] for entry in entries)
    labelled = []
    for entry in entries:
        chosen = "-".join([entry["name"], *(str(value) for value in entry["options"].values())])
        label = re.sub(r"[^a-z0-9_-]", "-", chosen.lower()) if often[entry["name"]] > 1 else entry["name"]
        labelled.append({**entry, "label": label[:SLUG_LENGTH]})
    return labelled


def _shown(word: str) -> str:
    text = word if word.isprintable() else ascii(word)
    return text if len(text) <= 120 else f"{text[:119]}…"
