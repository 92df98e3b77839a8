"""The layers of a benchmark: the file, a profile, and what the command line sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchbird.config.benchmark import load_benchmark, profile_names
from benchbird.errors import ConfigError
from benchbird.protocol import OptimizerSettings, Protocol
from tests.config.benchmark_files import LAYERS, SMALL, Write


def faults_of(path: Path, profile: str | None = None, overrides: Sequence[str] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_benchmark(path, profile=profile, overrides=overrides)
    return [str(fault) for fault in caught.value.faults]


def test_profiles_merge_mappings_and_replace_lists(write: Write) -> None:
    path = write(LAYERS)
    assert profile_names(path) == ("cpu", "gpu")
    config = load_benchmark(path, profile="cpu")
    assert config.profile == "cpu"
    assert config.data.sizes is not None and config.data.sizes.model_dump() == {
        "train": 10,
        "val": 20,
        "test": 30,
    }
    assert config.protocol == Protocol(epochs=5, optimizer=OptimizerSettings(name="sgd", lr=0.5))
    assert [entry.options for entry in config.segmenters] == [{}]
    assert config.seeds == (7,)


@pytest.mark.parametrize("profile", [None, "full"])
def test_full_is_the_file_without_overrides(write: Write, profile: str | None) -> None:
    config = load_benchmark(write(LAYERS), profile=profile)
    assert (config.profile, config.seeds, config.protocol.optimizer.lr) == ("full", (0, 1, 2), 0.01)


def test_unknown_profile(write: Write) -> None:
    assert faults_of(write(LAYERS), "cpuu") == ["--profile cpuu: unknown profile, did you mean 'cpu'?"]
    assert faults_of(write(LAYERS), "x") == ["--profile x: unknown profile, expected one of cpu, gpu, full"]


def test_set_comes_after_the_profile_and_the_last_one_wins(write: Write) -> None:
    overrides = [
        "protocol.epochs=8",
        "protocol.epochs=9",
        "protocol={optimizer: {name: adam}, precision: tf32}",
        "segmenters=[unet, {name: unet, label: other, options: {encoder: resnet18}}]",
        "data.sizes=",
        "seeds=[5]",
        "protocol.optimizer.lr=1e-4",
    ]
    config = load_benchmark(write(LAYERS), profile="cpu", overrides=overrides)
    optimizer = OptimizerSettings(name="adam", lr=1e-4)
    assert config.protocol == Protocol(epochs=9, optimizer=optimizer, precision="tf32")
    assert [(entry.label, entry.options) for entry in config.segmenters] == [
        ("unet", {}),
        ("other", {"encoder": "resnet18"}),
    ]
    assert config.data.sizes is None and config.seeds == (5,)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("protocol.epochs=x", ": protocol.epochs: found 'x', expected a whole number"),
        ("protocol.epochs=", ": protocol.epochs: found nothing, expected a whole number"),
        ("protocol.epocs=3", ": protocol.epocs: unknown key, did you mean 'epochs'?"),
        ("epochs=3", ": epochs: unknown key, did you mean 'protocol.epochs'?"),
        ("protocol={epocs: 3}", ": protocol.epocs: unknown key, did you mean 'epochs'?"),
        ("protocol={epochs: [}", ": found '}', expected a value"),
        ("protocol={epochs: 1, epochs: 2}", ": epochs: found the key a second time"),
        ("seeds=[1, -2]", ": seeds[1]: found -2, expected at least 0"),
        ("segmenters.0=unet", ": segmenters: found a mapping, expected a list"),
        ("name", ": expected KEY=VALUE, such as protocol.epochs=20"),
        ("=3", ": expected KEY=VALUE, such as protocol.epochs=20"),
        ("protocol..epochs=3", ": expected KEY=VALUE, such as protocol.epochs=20"),
        ("profiles.cpu.seeds=[1]", ": profiles: profiles are set in the file, expected another key"),
        ("data.sizes.train=*x", ": found the alias *x, expected the value itself"),
    ],
)
def test_a_fault_in_set_names_the_option(write: Write, text: str, fault: str) -> None:
    (found,) = faults_of(write(LAYERS), overrides=[text])
    assert found.startswith(f"--set {text}{fault}")


def test_a_fault_in_any_profile_is_found(write: Write) -> None:
    path = write(LAYERS.replace("precision: bf16", "precision: fp8"))
    expected = ["b.yaml:13:27: protocol.precision: found 'fp8', expected fp32, tf32 or bf16"]
    for profile in (None, "cpu", "gpu"):
        assert faults_of(path, profile) == expected


def test_a_profile_may_supply_what_the_file_leaves_open(write: Write) -> None:
    path = write("name: b\nprofiles:\n  cpu: {segmenters: [unet]}\n")
    assert load_benchmark(path, profile="cpu").segmenters[0].name == "unet"
    assert faults_of(path) == ["b.yaml:1:1: segmenters: missing, expected a list of segmenters"]


def test_a_fault_that_a_profile_covers_is_still_found(write: Write) -> None:
    path = write(SMALL + "seeds: [x]\nprofiles: {cpu: {seeds: [1]}}\n")
    assert faults_of(path, "cpu") == ["b.yaml:3:9: seeds[0]: found 'x', expected a whole number"]
