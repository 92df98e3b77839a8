"""The second pass: what plugins know of a benchmark's names and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchbird.config.benchmark import BenchmarkConfig, load_benchmark
from benchbird.config.choices import SegmenterChoice, resolve, resolve_dataset, resolve_segmenters
from benchbird.contract import DatasetSpec, Option, OptionValue, SegmenterSpec
from benchbird.errors import ConfigError


def no_model(**options: object) -> Any:
    raise AssertionError("the second pass builds nothing")


def no_data(root: Path | None, options: Mapping[str, Any]) -> Any:
    raise AssertionError("the second pass reads nothing")


def check_unet(options: Mapping[str, OptionValue]) -> str | None:
    assert isinstance(options["depth"], int), "asked only about options that are sound one by one"
    if options["encoder"] == "boom":
        raise RuntimeError("kaput")
    return "depth 5 needs another encoder" if (options["encoder"], options["depth"]) == ("tiny", 5) else None


UNET = SegmenterSpec(
    name="unet",
    build=no_model,
    options={
        "encoder": Option(default="resnet34"),
        "depth": Option(default=5, minimum=1, maximum=6),
        "dropout": Option(default=0.0, minimum=0, maximum=1),
        "pretrained": Option(default="none", choices=("none", "imagenet")),
    },
    check_options=check_unet,
    size_multiple=32,
)
SEGMENTERS = {"unet": UNET, "threshold": SegmenterSpec(name="threshold", build=no_model)}
DATASETS = {
    "birdsound": DatasetSpec(name="birdsound", find=no_data),
    "synthetic": DatasetSpec(name="synthetic", find=no_data, needs_root=False),
}

Load = Callable[..., BenchmarkConfig]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, *overrides: str) -> BenchmarkConfig:
        Path("b.yaml").write_text("name: b\n" + text, encoding="utf-8")
        return load_benchmark("b.yaml", overrides=overrides)

    return load_text


def faults_of(config: BenchmarkConfig) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(config, SEGMENTERS, DATASETS)
    return [str(fault) for fault in caught.value.faults]


def test_options_are_completed(load: Load) -> None:
    config = load("segmenters: [threshold, {name: unet, label: u, options: {depth: 4, dropout: 1}}]\n")
    options: dict[str, OptionValue] = {
        "depth": 4,
        "dropout": 1.0,
        "encoder": "resnet34",
        "pretrained": "none",
    }
    assert resolve_segmenters(config, SEGMENTERS) == (
        SegmenterChoice(name="threshold", label="threshold", options={}),
        SegmenterChoice(name="unet", label="u", options=options),
    )


def test_the_data_set(load: Load, tmp_path: Path) -> None:
    assert resolve_dataset(load("segmenters: [unet]\n"), DATASETS).name == "synthetic"
    with_root = load("segmenters: [unet]\ndata: {root: .}\n")
    assert resolve(with_root, SEGMENTERS, DATASETS)[1].name == "birdsound"


def test_all_faults_at_once(load: Load) -> None:
    config = load(
        """segmenters:
  - unett
  - {name: zzz, label: other}
  - name: unet
    options:
      encodr: resnet18
      depth: 9
      dropout: true
      pretrained: coco
  - {name: unet, label: tiny, options: {encoder: tiny}}
  - {name: unet, label: boom, options: {encoder: boom}}
  - {name: unet, label: listed, options: {depth: [1], encoder: {a: 1}}}
data: {root: nowhere}
protocol: {image_size: 64}
""",
        "protocol.image_size=72",
    )
    size = "--set protocol.image_size=72: protocol.image_size: found 72, expected a multiple of 32 for segmenter"
    assert faults_of(config) == [
        "b.yaml:3:5: segmenters[0].name: unknown segmenter 'unett', did you mean 'unet'? (known: threshold, unet)",
        "b.yaml:4:12: segmenters[1].name: unknown segmenter 'zzz', expected one of threshold, unet",
        "b.yaml:7:7: segmenters[2].options.encodr: unknown option of 'unet', did you mean 'encoder'?",
        "b.yaml:8:14: segmenters[2].options.depth: found 9, expected at most 6",
        "b.yaml:9:16: segmenters[2].options.dropout: found True, expected a number",
        "b.yaml:10:19: segmenters[2].options.pretrained: found 'coco', expected one of none, imagenet",
        "b.yaml:11:40: segmenters[3].options: depth 5 needs another encoder",
        "b.yaml:12:40: segmenters[4].options: the plugin's check_options failed: RuntimeError: kaput",
        "b.yaml:13:50: segmenters[5].options.depth: found [1], expected a whole number",
        "b.yaml:13:64: segmenters[5].options.encoder: found {'a': 1}, expected text",
        f"b.yaml:14:14: data.root: no such folder: {Path.cwd()}/nowhere, expected the data set's",
        f"{size} 'unet'",
    ]


def test_an_option_of_a_segmenter_without_options(load: Load) -> None:
    config = load("segmenters: [{name: threshold, options: {level: 3}}]\n")
    assert faults_of(config) == [
        "b.yaml:2:42: segmenters[0].options.level: unknown option of 'threshold', expected none"
    ]


def test_an_unfit_default_size_is_located_at_what_surrounds_it(load: Load) -> None:
    odd = SegmenterSpec(name="unet", build=no_model, size_multiple=7)
    with pytest.raises(ConfigError) as caught:
        resolve_segmenters(load("segmenters: [unet]\nprotocol: {epochs: 3}\n"), {"unet": odd})
    message = "b.yaml:3:11: protocol.image_size: found 256, expected a multiple of 7 for segmenter 'unet'"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (
            "{name: birdsond}",
            "b.yaml:3:14: data.name: unknown data set 'birdsond', did you mean 'birdsound'?",
        ),
        ("{name: mine}", "b.yaml:3:7: data.root: missing, expected the folder of data set 'mine'"),
        ("{root: b.yaml}", "b.yaml:3:14: data.root: no such folder: "),
        ("{also_test: [., nowhere]}", "b.yaml:3:23: data.also_test[1]: no such folder: "),
    ],
)
def test_a_fault_of_the_data_set(load: Load, data: str, fault: str) -> None:
    specs = {**DATASETS, "mine": DatasetSpec(name="mine", find=no_data)}
    with pytest.raises(ConfigError) as caught:
        resolve_dataset(load(f"segmenters: [unet]\ndata: {data}\n"), specs)
    assert str(caught.value).startswith(fault)
