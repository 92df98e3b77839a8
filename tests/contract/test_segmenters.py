"""Every segmenter that is installed, by entry point, keeps the contract."""

from __future__ import annotations

import json

import pytest

from benchbird.cli import main
from benchbird.contract import OptionValue
from benchbird.registry import load_registry
from benchbird.testing import check_segmenter

REGISTRY = load_registry(groups=("segmenters",))

SMALL: dict[str, list[dict[str, OptionValue]]] = {
    "atrous_segnet": [{"base_channels": 8}],
    "deeplabv3plus": [{"encoder": "resnet18"}],
    "fpn": [{"encoder": "resnet18"}],
    "manet": [{"encoder": "resnet18"}],
    "mtunet": [{"base_channels": 8}],
    "segnet": [{"base_channels": 8}],
    "u2net": [{"size": "small"}],
    "unet_plain": [{"base_channels": 8}],
    "vitvs": [{"width": 64, "depth": 4}],
    "unetplusplus": [{"encoder": "resnet18"}],
    "deeplabv3": [{"backbone": "mobilenet_v3_large"}, {"backbone": "resnet18"}],
    "unet": [{"encoder": "resnet18"}, {"encoder": "tu-resnet18"}, {"encoder": "efficientnet-b0"}],
}
"""Options that keep the check fast; a segmenter that isn't named here is checked with its defaults."""

CASES = [(name, options) for name in REGISTRY.segmenters for options in SMALL.get(name, [{}])]


def test_built_in_segmenters_are_found() -> None:
    assert not REGISTRY.warnings
    assert {"atrous_segnet", "deeplabv3", "unet", "threshold"} <= REGISTRY.segmenters.keys()


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{'-'.join(map(str, o.values()))}" for n, o in CASES])
def test_segmenter_keeps_the_contract(name: str, options: dict[str, OptionValue]) -> None:
    check_segmenter(REGISTRY.segmenters[name].spec, options=options, image_size=64)


@pytest.mark.parametrize("name", REGISTRY.segmenters)
def test_segmenter_says_what_it_is(name: str) -> None:
    spec = REGISTRY.segmenters[name].spec
    assert spec.summary and spec.source
    assert all(option.help for option in spec.options.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", REGISTRY.segmenters)
def test_the_command_finds_nothing_broken_at_the_size_of_a_benchmark(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plugin", "check", name, "--size", "256", "--no-onnx", "--json"])
    (found,) = json.loads(capsys.readouterr().out)["segmenters"]
    assert {point["point"]: point["failures"] for point in found["points"] if point["failures"]} == {}
    assert ended.value.code == 0 and found["kept"] and len(found["points"]) == 8
    assert found["cost"]["parameters"] == (REGISTRY.segmenters[name].spec.parameters or found["cost"]["parameters"])
