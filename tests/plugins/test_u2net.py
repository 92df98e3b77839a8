from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_u2net as plugin
from benchbird import SegmenterSpec
from benchbird.testing import check_segmenter
from tests.functional_networks import batch_norm, with_random_statistics


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def functional_block(x: torch.Tensor, weights: dict[str, torch.Tensor], name: str, height: int) -> torch.Tensor:
    """One residual U-block a second time, as the recursion that it is; a height of 0 is the dilated kind."""
    dilated, height = height == 0, height or 4

    def layer(x: torch.Tensor, where: str, dilation: int) -> torch.Tensor:
        weight, bias = weights[f"{name}.{where}.0.weight"], weights[f"{name}.{where}.0.bias"]
        x = F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
        return batch_norm(x, weights, f"{name}.{where}.1").relu()

    def below(x: torch.Tensor, depth: int) -> torch.Tensor:
        if depth == height - 1:
            return layer(x, "bottom", 8 if dilated else 2)
        dilation = 2**depth if dilated else 1
        skip = layer(x, f"down.{depth}", dilation)
        is_pooled = not dilated and depth < height - 2
        inside = below(F.max_pool2d(skip, 2) if is_pooled else skip, depth + 1)
        if is_pooled:
            inside = F.interpolate(inside, scale_factor=2, mode="bilinear")
        return layer(torch.cat([inside, skip], dim=1), f"up.{height - 2 - depth}", dilation)

    entry = layer(x, "entry", 1)
    return entry + below(entry, 0)


def functional_forward(x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """The network a second time, in functions alone."""

    def larger(x: torch.Tensor, factor: int) -> torch.Tensor:
        return F.interpolate(x, scale_factor=factor, mode="bilinear") if factor > 1 else x

    down: list[torch.Tensor] = []
    for index, height in enumerate((7, 6, 5, 4, 0, 0)):
        x = functional_block(F.max_pool2d(x, 2) if down else x, weights, f"encoder.{index}", height)
        down.append(x)
    maps = [down.pop()]
    for index, height in enumerate((0, 4, 5, 6, 7)):
        x = torch.cat([larger(maps[-1], 2), down.pop()], dim=1)
        maps.append(functional_block(x, weights, f"decoder.{index}", height))
    sides = [
        larger(F.conv2d(x, weights[f"sides.{index}.weight"], weights[f"sides.{index}.bias"], padding=1), 32 >> index)
        for index, x in enumerate(maps)
    ]
    return F.conv2d(torch.cat(sides, dim=1), weights["fusion.weight"], weights["fusion.bias"])


def test_forward_equals_an_independent_computation() -> None:
    torch.manual_seed(3)
    model = with_random_statistics(plugin.U2Net("small")).double().eval()
    images = torch.rand(2, 3, 32, 96, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = functional_forward(images, model.state_dict())
        assert expected.std() > 0.01
        torch.testing.assert_close(model(images), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("size", "count"), [("full", 44_009_869), ("small", 1_131_181)])
def test_parameters_are_the_authors(size: str, count: int) -> None:
    """The authors' code (github.com/xuebinqin/U-2-Net), counted in github.com/samhaswon/skin_segmentation's README."""
    model = spec().build(size=size)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(("size", "published"), [("full", 604.007 / 16), ("small", 51.271 / 4)])
def test_cost_is_the_published_one(size: str, published: float) -> None:
    """In G products at 256²; the same README counts with fvcore at 1024² and at 512², norms and enlargements too."""
    model = spec().build(size=size).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    products = counter.get_total_flops() / 2 / 1e9
    assert 0.98 * published < products < published


def test_every_side_output_takes_part() -> None:
    torch.manual_seed(5)
    model = plugin.U2Net("small")
    full = plugin.U2Net("full").state_dict()
    assert [full[f"sides.{index}.weight"].shape[1] for index in range(6)] == [512, 512, 256, 128, 64, 64]
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    gradients = [parameter.grad for parameter in model.sides.parameters() if parameter.dim() == 4]
    assert [gradient is not None and bool(gradient.abs().max() > 0) for gradient in gradients] == [True] * 6


@pytest.mark.parametrize("size", ["full", "small"])
def test_the_contract_is_kept(size: str) -> None:
    check_segmenter(spec(), options={"size": size}, image_size=64)


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (160, 64)])
def test_any_multiple_of_32_is_a_size(size: tuple[int, int]) -> None:
    model = plugin.U2Net("small").eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize("value", ["tiny", "", 1, None])
def test_impossible_sizes_are_refused(value: object) -> None:
    assert spec().options["size"].fault(value)
