from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_segnet as plugin
from benchbird import SegmenterSpec
from benchbird.contract import OptionValue
from benchbird.testing import check_segmenter
from tests.functional_networks import batch_norm, with_random_statistics


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def functional_forward(x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """The network a second time, with torch's own unpooling by indices."""

    def stage(x: torch.Tensor, name: str, layers: int) -> torch.Tensor:
        for layer in range(layers):
            conv, norm = f"{name}.{3 * layer}", f"{name}.{3 * layer + 1}"
            x = F.conv2d(x, weights[f"{conv}.weight"], weights[f"{conv}.bias"], padding=1)
            x = batch_norm(x, weights, norm).relu()
        return x

    all_indices = []
    for index, layers in enumerate((2, 2, 3, 3, 3)):
        x, indices = F.max_pool2d(stage(x, f"encoder.{index}", layers), 2, return_indices=True)
        all_indices.append(indices)
    for index, layers in enumerate((3, 3, 3, 2, 1)):
        x = stage(F.max_unpool2d(x, all_indices.pop(), [2, 2]), f"decoder.{index}", layers)
    return F.conv2d(x, weights["head.weight"], weights["head.bias"], padding=1)


def test_forward_equals_an_independent_computation() -> None:
    torch.manual_seed(3)
    model = with_random_statistics(plugin.SegNet(base_channels=4)).double().eval()
    images = torch.rand(2, 3, 64, 96, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = functional_forward(images, model.state_dict())
        assert expected.std() > 0.01
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-9)


def test_a_value_returns_to_where_the_maximum_was() -> None:
    x = torch.tensor([[1.0, 2, 0, 0], [3, 0, 0, 0], [5, 5, -1, -2], [5, 5, -4, -3]])[None, None]
    maxima, where = plugin.pooled(x)
    assert maxima[0, 0].tolist() == [[3, 0], [5, -1]]
    small = torch.tensor([[10.0, 20], [30, 40]])[None, None]
    # Among equals the first is taken, and only that.
    expected = [[0, 0, 20, 0], [10, 0, 0, 0], [30, 0, 40, 0], [0, 0, 0, 0]]
    assert plugin.unpooled(small, where)[0, 0].tolist() == expected


def test_unpooling_and_its_gradient_are_those_of_torch() -> None:
    torch.manual_seed(4)
    x = torch.randn(2, 3, 8, 12).relu()  # zeros in plenty, as after a ReLU
    small = torch.randn(2, 3, 4, 6, requires_grad=True)
    indices = F.max_pool2d(x, 2, return_indices=True)[1]
    upstream = torch.randn(2, 3, 8, 12)
    expected = F.max_unpool2d(small, indices, [2, 2])
    [expected_gradient] = torch.autograd.grad(expected, small, upstream)
    found = plugin.unpooled(small, plugin.pooled(x)[1])
    [gradient] = torch.autograd.grad(found, small, upstream)
    assert torch.equal(found, expected)
    assert torch.equal(gradient, expected_gradient)


def test_no_operation_without_a_deterministic_form_on_cuda_is_used() -> None:
    model = plugin.SegNet(base_channels=2)
    with torch.profiler.profile() as profile:
        model(torch.randn(2, 3, 32, 32)).sum().backward()
    used = {event.key for event in profile.key_averages()}
    assert "aten::max_pool2d_with_indices" in used
    assert not [name for name in used if any(part in name for part in ("unpool", "scatter", "index_"))]


def test_parameters_are_the_published_ones() -> None:
    """29 443 585 as in the table of "Exploring U-SegNet and its variant", a PyTorch implementation on GitHub.

    The authors' Caffe model has 29.4 M parameters and 117.8 MB, for other numbers of classes: README of
    github.com/TimoSaemann/ENet.
    """
    model = spec().build(**spec().complete_options({}))
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == 29_443_585
    assert 4 * count / 1e6 == pytest.approx(117.8, abs=0.05)


def test_cost_is_that_of_its_layers() -> None:
    """The paper gives no cost; counted by hand, in multiples of one 64→64 convolution of all pixels.

    Four times fewer pixels and twice the channels cost the same. The encoder alone is VGG16's 15.3 G products at 224².
    """
    one = 256 * 256 * 9 * 64 * 64
    encoder = 256 * 256 * 9 * 3 * 64 + one * (1 + (1 / 2 + 1) + (1 / 2 + 2) + (1 / 2 + 2) + 3 / 4)
    decoder = 256 * 256 * 9 * 64 + one * (1 + (1 / 2 + 1) + (1 / 2 + 2) + (1 / 2 + 2) + 3 / 4)
    assert encoder * (224 / 256) ** 2 / 1e9 == pytest.approx(15.35, abs=0.01)
    model = spec().build(**spec().complete_options({})).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() == 2 * (encoder + decoder)
    assert counter.get_total_flops() / 1e9 == pytest.approx(80.03, abs=0.005)


@pytest.mark.parametrize("options", [{}, {"base_channels": 8}])
def test_the_contract_is_kept(options: dict[str, OptionValue]) -> None:
    check_segmenter(spec(), options=options, image_size=64)


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (160, 64)])
def test_any_multiple_of_32_is_a_size(size: tuple[int, int]) -> None:
    model = plugin.SegNet(base_channels=2).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize("value", [0, -1, 5000, 8.0, True, "64", None])
def test_impossible_base_channels_are_refused(value: object) -> None:
    assert spec().options["base_channels"].fault(value)
