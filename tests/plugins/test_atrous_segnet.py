from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_atrous_segnet as plugin
from benchbird import SegmenterSpec


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def functional_forward(x: torch.Tensor, weights: dict[str, torch.Tensor], *, training: bool) -> torch.Tensor:
    """The network's table written a second time, in functions alone."""

    def block(x: torch.Tensor, name: str, dilation: int) -> torch.Tensor:
        x = F.conv2d(x, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"], padding=dilation, dilation=dilation)
        mean, variance = weights[f"{name}.1.running_mean"], weights[f"{name}.1.running_var"]
        if training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        x = (x - mean[:, None, None]) / torch.sqrt(variance[:, None, None] + 1e-5)
        return (x * weights[f"{name}.1.weight"][:, None, None] + weights[f"{name}.1.bias"][:, None, None]).relu()

    def up(x: torch.Tensor, name: str) -> torch.Tensor:
        # A 2×2 transposed convolution of stride 2 writes one 2×2 patch for each pixel.
        n, _, h, w = x.shape
        patches = torch.einsum("nihw,iokl->nohkwl", x, weights[f"{name}.weight"])
        return patches.reshape(n, -1, 2 * h, 2 * w) + weights[f"{name}.bias"][:, None, None]

    def half(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))

    enc1 = block(x, "enc1", 1)
    enc2 = block(half(enc1), "enc2", 2)
    enc3 = block(half(enc2), "enc3", 4)
    dec1 = block(up(enc3, "up1") + enc2, "dec1", 1)
    dec2 = block(up(dec1, "up2") + enc1, "dec2", 1)
    return F.conv2d(dec2, weights["head.weight"], weights["head.bias"])


@pytest.mark.parametrize("training", [False, True])
def test_forward_equals_an_independent_computation(training: bool) -> None:
    torch.manual_seed(3)
    model = plugin.AtrousSegNet(base_channels=8).double()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as built, statistics and affine part are trivial
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                assert tensor is not None
                torch.nn.init.uniform_(tensor, 0.5, 1.5)
    images = torch.rand(2, 3, 32, 48, dtype=torch.float64) * 2 - 1
    expected = functional_forward(images, model.state_dict(), training=training)
    assert expected.std() > 0.01
    with torch.no_grad():
        torch.testing.assert_close(model.train(training)(images), expected, rtol=0, atol=1e-6)


def test_parameters_and_cost_are_the_published_ones() -> None:
    model = spec().build(**spec().complete_options({})).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == 720_705
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() / 1e9 == pytest.approx(16.9, abs=0.05)


def test_base_channels_scale_the_width() -> None:
    assert spec().build(base_channels=5).state_dict()["enc3.0.weight"].shape == (20, 10, 3, 3)


@pytest.mark.parametrize("value", [0, -1, 5000, 8.0, True, "64", None])
def test_impossible_base_channels_are_refused(value: object) -> None:
    assert spec().options["base_channels"].fault(value)
