"""Files to begin with: a benchmark of one's own, and a segmenter as a single file or as a package.

Owns their texts. What they say of keys and of the contract is what `config/schema.py` and `contract.py` hold; tests
run what is written here.
"""

from __future__ import annotations

import re

from benchbird.errors import UsageError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_name(name: str) -> str:
    """The name, if it can be a segmenter's, a benchmark's and a module's.

    Raises:
        UsageError: it can't.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't be a name here: expected a small letter, then up to 39 of small letters, digits and _"
        )
    return name


def benchmark_files(name: str) -> dict[str, str]:
    """Path → text of a benchmark."""
    return {f"{name}.yaml": _BENCHMARK.replace("NAME", name)}


def plugin_file(name: str) -> dict[str, str]:
    """Path → text of a segmenter in a single file, for `--plugin`."""
    return {f"{name}.py": _module(name)}


def plugin_package(name: str) -> dict[str, str]:
    """Path → text of a package that pip installs, below a folder of its own."""
    distribution = f"benchbird-{name.replace('_', '-')}"
    texts = {
        "pyproject.toml": _PYPROJECT,
        "README.md": _README,
        f"benchbird_{name}.py": _module(name),
        f"tests/test_{name}.py": _TEST,
    }
    return {
        f"{distribution}/{path}": text.replace("DISTRIBUTION", distribution).replace("NAME", name)
        for path, text in texts.items()
    }


def _module(name: str) -> str:
    words = "".join(part.capitalize() for part in name.split("_"))
    return _MODULE.replace("CLASS", words).replace("NAME", name)


_BENCHMARK = """\
# What is compared, on which data, under which protocol. Try it:  benchbird run NAME.yaml --dry-run
# Every key that isn't here has its default; the whole protocol and its digest stand in each record.

name: NAME

data:
  name: birdsound
  root:                 # your folder with Train, Valid, Test; empty: generated birds
  sizes: {train: 100, val: 30, test: 60}   # a part of it, drawn by recording; without this key, all of it

protocol:
  image_size: 128       # pictures are shrunk to this square
  batch_size: 4
  epochs: 10
  optimizer: {name: adam, lr: 1e-3}
  loss: bce_with_logits

segmenters:             # `benchbird list segmenters` names all of them, with their options
  - atrous_segnet
  - {name: unet, options: {encoder: resnet18}}
  - threshold           # the floor: what a network must beat

seeds: [0, 1, 2]        # with one seed there is no verdict
"""

_MODULE = '''\
"""NAME: say here what it is, and cite its paper."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class CLASS(nn.Module):
    """A small network to begin with: replace it by yours.

    Args:
        channels: of the hidden layers.
    """

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for dilation in (1, 2, 4):  # in the end each pixel sees 15×15
            convolution = nn.Conv2d(inputs, channels, 3, padding=dilation, dilation=dilation)
            layers += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
            inputs = channels
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` in [-1, 1] to logits `(N, 1, H, W)`; above 0 is bird, no sigmoid."""
        return self.layers(images)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """What `benchbird list segmenters` shows."""
    return [
        SegmenterSpec(
            name="NAME",
            build=CLASS,
            summary="Say in a few words what it is.",
            source="its paper or address",
            # Of the class's keywords, those that a benchmark may set.
            options={"channels": Option(default=16, minimum=1, maximum=1024)},
            # What image sides must be a multiple of: 4 with two poolings.
            size_multiple=1,
        )
    ]
'''

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "DISTRIBUTION"
version = "0.1.0"
description = "The segmenter NAME for benchbird."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["benchbird", "torch"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points."benchbird.segmenters"]
NAME = "benchbird_NAME"

[tool.hatch.build.targets.wheel]
only-include = ["benchbird_NAME.py"]
"""

_README = """\
# DISTRIBUTION

The segmenter `NAME` for benchbird.

    pip install -e '.[test]'    # where benchbird is installed: in a clone of it, pip install .
    pytest                       # whether it keeps the contract, point by point
    benchbird list segmenters    # it is among them
    benchbird run BENCHMARK.yaml --set 'segmenters=[NAME, unet, threshold]'
"""

_TEST = '''\
"""The segmenter keeps benchbird's contract: a test for each point, which says what to change where it is broken."""

from benchbird.pytest_plugin import contract_tests

from benchbird_NAME import benchbird_segmenters

test_contract = contract_tests(benchbird_segmenters())
# Other options: test_contract_wide = contract_tests(benchbird_segmenters(), options={"channels": 32})
'''
