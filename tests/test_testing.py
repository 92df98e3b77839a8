"""Each check of the contract driver catches a plugin that breaks that one point, and nothing else fails."""

from __future__ import annotations

import functools
import operator
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchbird.backend import current_flags
from benchbird.contract import Option, OptionValue, SegmenterSpec
from benchbird.seeding import seed_everything
from benchbird.testing import ContractFailure, check_segmenter, contract_failures
from tests.broken_networks import (
    BatchStatistics,
    CountsInEval,
    Dictionary,
    DictionaryInTraining,
    Double,
    DoubleWeights,
    ExtraState,
    Good,
    HalfSize,
    HiddenState,
    InfiniteGradient,
    InPlace,
    InPlaceInTraining,
    LogProbability,
    NeedsAFullBatch,
    NoChannel,
    NotFinite,
    NothingToLearn,
    OnAnotherDevice,
    OneSizeOnly,
    OverBrightMates,
    OverTheBatch,
    OwnRandomness,
    RandomInEval,
    ReluOutput,
    SeedsItself,
    Sigmoid,
    SquareOnly,
    Unloadable,
    Unused,
)

BROKEN: dict[type[nn.Module], str] = {
    Sigmoid: "none negative even after training towards it: not logits",
    ReluOutput: "none negative",
    LogProbability: "none positive",
    HalfSize: r"logits have shape \(3, 1, 32, 32\) for images \(3, 3, 64, 64\)",
    SquareOnly: r"images of 64×65 fail \(RuntimeError: .*\); expected any multiple of size_multiple = 1",
    OneSizeOnly: r"images of 64×65 fail .* state a larger multiple",
    NoChannel: r"logits have shape \(3, 64, 64\)",
    Dictionary: "the model returned dict",
    DictionaryInTraining: "in training mode: the model returned dict",
    Double: "logits are torch.float64",
    DoubleWeights: "table is torch.float64",
    NotFinite: "not all finite",
    InPlace: "changed its input in place",
    InPlaceInTraining: "in training mode changed its input",
    OverTheBatch: "when it is passed alone",
    OverBrightMates: "when its batch-mates change",
    BatchStatistics: "when it is passed alone",
    RandomInEval: "two passes over the same images in eval",
    CountsInEval: "changed the state_dict",
    Unused: r"2 parameters get no gradient \(spare.weight, spare.bias\)",
    NothingToLearn: "nothing could be learnt",
    InfiniteGradient: "gradients that are not finite",
    HiddenState: "the same state_dict gives other logits",
    OnAnotherDevice: "build puts weights on meta",
    ExtraState: "_extra_state",
    Unloadable: "can't load the stored state_dict: KeyError",
    SeedsItself: "seeds torch's global generator itself",
    OwnRandomness: "two builds under the same seed",
    NeedsAFullBatch: "train raised ValueError: give me three images",
}


def spec_of(build: Callable[..., nn.Module], **more: Any) -> SegmenterSpec:
    return SegmenterSpec(name="under_test", build=build, **more)


def test_a_good_network_passes() -> None:
    check_segmenter(spec_of(Good))


@pytest.mark.parametrize("network", BROKEN, ids=lambda network: network.__name__)
def test_a_broken_network_is_caught(network: type[nn.Module]) -> None:
    with pytest.raises(ContractFailure, match=BROKEN[network]) as caught:
        check_segmenter(spec_of(network))
    # In-place work is reported for both modes; anything else that is named would be a false alarm.
    assert len(caught.value.failures) == (2 if network is InPlace else 1), caught.value
    assert "under_test" in str(caught.value)


@pytest.mark.parametrize("bias", [-0.5, 0.5, 5.0, -5.0])
def test_logits_of_one_sign_at_the_start_are_no_probabilities(bias: float) -> None:
    def build() -> nn.Module:
        model = Good()
        nn.init.zeros_(model.last.weight)
        nn.init.constant_(model.last.bias, bias)  # type: ignore[arg-type]
        return model

    assert contract_failures(spec_of(build)) == []


def flip_backend(name: str) -> None:
    """Set a setting below torch.backends to another of its values."""
    path, _, attribute = name.rpartition(".")
    owner = operator.attrgetter(path)(torch.backends)
    value = getattr(owner, attribute)
    if attribute == "fp32_precision":
        setattr(owner, attribute, "ieee" if value == "tf32" else "tf32")
    else:
        setattr(owner, attribute, not value)


FLAGS: dict[str, Callable[[], object]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "default device": lambda: torch.set_default_device("meta"),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(
        not torch.are_deterministic_algorithms_enabled()
    ),
    "deterministic algorithms warn only": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "denormal numbers": lambda: torch.set_flush_denormal(True),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "gradients enabled": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    **{name: functools.partial(flip_backend, name) for name in current_flags() if "." in name},
}


def test_every_recorded_flag_is_tried_here() -> None:
    assert FLAGS.keys() == current_flags().keys()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("flag", FLAGS)
def test_a_flipped_flag_is_caught_and_set_back(flag: str) -> None:
    def build() -> nn.Module:
        model = Good()
        FLAGS[flag]()
        return model

    before = current_flags()
    failures = contract_failures(spec_of(build))
    assert any(f"global setting {flag} changed from {before[flag]}" in failure for failure in failures)
    assert current_flags() == before


def test_the_callers_random_numbers_are_left_alone() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    seed_everything(20)  # not what an earlier check may have left behind
    expected = draw()
    seed_everything(20)
    contract_failures(spec_of(Good))
    assert draw() == expected


def test_image_size_is_rounded_up_to_the_multiple() -> None:
    sizes = set()

    class Recording(Good):
        def forward(self, images: torch.Tensor) -> Any:
            sizes.add(tuple(images.shape[2:]))
            return super().forward(images)

    check_segmenter(spec_of(Recording, size_multiple=24), image_size=32)
    assert sizes == {(48, 48), (48, 72), (72, 48)}


def with_width(width: int, kind: str) -> nn.Module:
    return Good()


def refuse_wide(options: Mapping[str, OptionValue]) -> str | None:
    return "too wide for this kind" if options["width"] == 9 else None


def crash(options: Mapping[str, OptionValue]) -> str | None:
    raise KeyError("kind")


OPTIONS = {"width": Option(default=4, minimum=1), "kind": Option(default="a", choices=("a", "b"))}


def test_options_reach_build_complete() -> None:
    check_segmenter(spec_of(with_width, options=OPTIONS, check_options=refuse_wide), options={"kind": "b"})


@pytest.mark.parametrize(
    ("options", "check_options", "expected"),
    [
        ({"depth": 3}, None, ["option depth is not among"]),
        ({"width": 0, "kind": "c"}, None, ["option width: found 0", "option kind: found 'c'"]),
        ({"width": 9}, refuse_wide, ["check_options refuses these options: too wide"]),
        ({}, lambda _: "never", ["check_options refuses its default options: never"]),
        ({}, crash, ["check_options raised KeyError"]),
    ],
)
def test_option_faults_are_all_reported(options: Any, check_options: Any, expected: list[str]) -> None:
    failures = contract_failures(spec_of(with_width, options=OPTIONS, check_options=check_options), options=options)
    assert len(failures) == len(expected)
    assert all(failure.startswith(start) for failure, start in zip(failures, expected, strict=True))


def fail_to_build() -> nn.Module:
    raise RuntimeError("no weights")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (fail_to_build, "build(**options) raised RuntimeError: no weights"),
        (lambda: torch.sigmoid, "build returned builtin_function_or_method"),
        (lambda width: Good(), "build(**options) raised TypeError"),
    ],
)
def test_a_failing_build_is_one_sentence(build: Any, expected: str) -> None:
    [failure] = contract_failures(spec_of(build))
    assert failure.startswith(expected)


class Level(nn.Module):
    """Marks what is brighter than a level; the calibrations below set it, well or badly."""

    level: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sub(images.mean(1, keepdim=True), self.level)


Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def mean_of_bird(model: nn.Module, batches: Batches) -> None:
    bird = torch.cat([images[:, :1][targets >= 0.5] for images, targets in batches])
    model.get_buffer("level").copy_(bird.mean())


def nothing(model: nn.Module, batches: Batches) -> None: ...


def accumulating(model: nn.Module, batches: Batches) -> None:
    model.get_buffer("level").add_(0.1 + 0.1 * next(iter(batches))[0].mean())


def destructive(model: nn.Module, batches: Batches) -> None:
    mean_of_bird(model, batches)
    for images, _ in batches:
        images.zero_()


def failing(model: nn.Module, batches: Batches) -> None:
    raise IndexError("no batch")


class LevelElsewhere(Level):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(()), persistent=False)


class LevelSigmoid(Level):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).sigmoid()


def test_a_good_calibration_passes() -> None:
    check_segmenter(spec_of(Level, calibrate=mean_of_bird))


@pytest.mark.parametrize(
    ("network", "calibrate", "expected"),
    [
        (Level, nothing, "on dim and on bright birds gives the same logits"),
        (Level, accumulating, "twice on the same data gives other logits"),
        (Level, destructive, "changed the training data in place"),
        (Level, failing, "calibration raised IndexError: no batch"),
        (LevelElsewhere, mean_of_bird, "the same state_dict gives other logits"),
        (LevelSigmoid, mean_of_bird, "none negative: not logits"),
    ],
)
def test_a_broken_calibration_is_caught(network: Any, calibrate: Any, expected: str) -> None:
    [failure] = set(contract_failures(spec_of(network, calibrate=calibrate)))
    assert expected in failure


def test_a_stated_cost_is_the_counted_one() -> None:
    # 3·4·9 + 4, BatchNorm 8, 4 + 1; of 256² pixels, two operations a weight of the convolutions.
    parameters, gflop = 125, 2 * 256**2 * (108 + 4) / 1e9
    assert contract_failures(spec_of(Good, parameters=parameters, gflop=gflop)) == []
    assert contract_failures(spec_of(Good, parameters=124)) == [
        "the spec states parameters=124, there are 125; state that"
    ]
    (failure,) = contract_failures(spec_of(Good, gflop=2 * gflop))
    assert failure.startswith("the spec states gflop=0.029") and "torch counts 0.0147 at 256²" in failure
