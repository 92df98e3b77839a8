"""What changes a protocol's digest and what doesn't, and the protocols of the benchmarks that come along."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from benchbird.config.benchmark import BenchmarkConfig, load_benchmark, profile_names
from benchbird.protocol import RESIZE_VERSIONS, OptimizerSettings, Protocol
from tests.config.benchmark_files import SMALL, Write

ROOT = Path(__file__).parents[2]


def digest_of(config: BenchmarkConfig) -> str:
    return config.protocol.digest


def test_the_protocol_s_digest_ignores_order_comments_and_everything_else(write: Write) -> None:
    plain = load_benchmark(write(SMALL + "protocol: {epochs: 5, optimizer: {lr: 1, name: sgd}}\n"))
    other = load_benchmark(
        write(
            "# comment\nseeds: [8]\nprofiles: {cpu: {seeds: [9]}}\nprotocol:\n  optimizer:\n"
            "    name: 'sgd' # !\n"
            "    lr: 1.0\n  epochs: 0x5\nsegmenters: [{label: u, name: unet}]\nname: other\n"
            "limits: {trial_seconds: 5}\n"
        ),
        profile="cpu",
    )
    assert digest_of(plain) == digest_of(other) != Protocol().digest


def another_value(owner: type, name: str, value: Any) -> Any:
    hint = get_type_hints(owner)[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return next((choice for choice in get_args(hint) if choice != value), None)


@pytest.mark.parametrize(
    "override", ["data.also_test=[/tmp]", "data.where={kind: x}", "data.folds=5", "data.folds=recordings", "seeds=[4]"]
)
def test_what_is_no_protocol_key_changes_no_protocol_digest(write: Write, override: str) -> None:
    assert digest_of(load_benchmark(write(SMALL), overrides=[override])) == Protocol().digest


def test_each_resize_rule_has_a_version_of_its_own_in_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    area, bicubic = Protocol(), Protocol(resize="bicubic")
    digests = area.digest, bicubic.digest
    monkeypatch.setitem(RESIZE_VERSIONS, "bicubic", 99)
    assert area.digest == digests[0] != digests[1] != bicubic.digest


def protocol_keys() -> list[tuple[str, Any]]:
    keys = []
    for owner, prefix in ((Protocol, "protocol."), (OptimizerSettings, "protocol.optimizer.")):
        for field in dataclasses.fields(owner):
            if field.name != "optimizer":
                keys.append((prefix + field.name, another_value(owner, field.name, getattr(owner(), field.name))))
    return keys


@pytest.mark.parametrize(("key", "value"), [pair for pair in protocol_keys() if pair[1] is not None])
def test_every_protocol_key_changes_the_digest(write: Write, key: str, value: Any) -> None:
    config = load_benchmark(write(SMALL), overrides=[f"{key}={json.dumps(value)}"])
    assert digest_of(config) != Protocol().digest


def test_only_the_loss_has_a_single_choice() -> None:
    assert [key for key, value in protocol_keys() if value is None] == ["protocol.loss"]


SEED_PROTOCOL = Protocol(
    resize="bicubic", last_batch="keep", mask_target="fraction", selection="best_val_iou_batch_mean"
)
"""The strict protocol but for what AtrousSegNet's own training did otherwise."""


def test_the_seed_s_profiles_differ_in_what_they_say() -> None:
    def of(profile: str | None, name: str = "seed") -> BenchmarkConfig:
        return load_benchmark(ROOT / "benchmarks" / f"{name}.yaml", profile=profile)

    assert of("last_epoch").protocol == dataclasses.replace(SEED_PROTOCOL, selection="last_epoch")
    assert of("cpu_last_epoch").protocol == dataclasses.replace(of("cpu").protocol, selection="last_epoch")
    strict = of("cpu", "birdsound")
    changes = {"resize": "bicubic", "last_batch": "keep", "mask_target": "fraction",
               "selection": "best_val_iou_batch_mean"}  # fmt: skip
    assert of("cpu").protocol == dataclasses.replace(strict.protocol, **changes)  # type: ignore[arg-type]
    for profile in ("cpu", "cpu_last_epoch"):
        assert of(profile).segmenters == strict.segmenters and of(profile).data == strict.data


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.yaml")), ids=lambda file: file.name)
def test_the_benchmarks_that_come_along(file: Path) -> None:
    for profile in ("full", *profile_names(file)):
        config = load_benchmark(file, profile=profile)
        assert config.name == file.stem
    assert load_benchmark(file).protocol == (SEED_PROTOCOL if file.stem == "seed" else Protocol())
    written = yaml.safe_load(file.read_text(encoding="utf-8"))["protocol"]
    assert set(written) == {field.name for field in dataclasses.fields(Protocol)}, "write the protocol out"
