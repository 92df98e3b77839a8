from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_mtunet as plugin
from benchbird import SegmenterSpec
from benchbird.contract import OptionValue
from benchbird.testing import check_segmenter

SMALL: dict[str, OptionValue] = {"base_channels": 4, "modules": 1}


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def linear(x: torch.Tensor, weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gaussian_axial_attention(cells: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """Attention of each cell of `(R, S, C)` to its row and to its column, cell by cell."""
    query, key, value = (linear(cells, weights, f"far.{name}") for name in ("query", "key", "value"))
    rows, columns, _ = cells.shape
    out = torch.zeros_like(cells)
    for r in range(rows):
        for s in range(columns):
            in_row = [((r, i), (i - s) ** 2) for i in range(columns)]
            in_column = [((i, s), (i - r) ** 2) for i in range(rows)]
            for line in (in_row, in_column):
                closeness = [-(weights["far.sharpness"][0] * d + weights["far.offset"][0]) for _, d in line]
                scores = [query[r, s] @ key[at] + c for (at, _), c in zip(line, closeness, strict=True)]
                out[r, s] += torch.stack(scores).softmax(0) @ torch.stack([value[at] for at, _ in line])
    return out


def local_global_attention(tokens: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    """LGG-SA of one image `(H, W, C)`, window by window and head by head; H and W are multiples of 4."""
    height, width, channels = tokens.shape
    near, per_head = torch.zeros_like(tokens), channels // 8
    cells = torch.zeros(height // 4, width // 4, channels, dtype=tokens.dtype)
    for r in range(height // 4):
        for s in range(width // 4):
            area = (slice(4 * r, 4 * r + 4), slice(4 * s, 4 * s + 4))
            window = tokens[area].reshape(16, channels)
            query, key, value = (linear(window, weights, f"local.{name}") for name in ("query", "key", "value"))
            mixed = torch.zeros_like(window)
            for part in (slice(start, start + per_head) for start in range(0, channels, per_head)):
                mixed[:, part] = (query[:, part] @ key[:, part].T / math.sqrt(per_head)).softmax(1) @ value[:, part]
            window = linear(mixed, weights, "local.out")
            near[area] = window.reshape(4, 4, channels)
            cells[r, s] = linear(window.mean(0), weights, "weigh").softmax(0) @ window
    far = gaussian_axial_attention(cells, weights).permute(2, 0, 1)[None]
    far = F.interpolate(far, size=(height, width), mode="bilinear", align_corners=True)[0].permute(1, 2, 0)
    return linear(torch.cat([far, near], dim=2), weights, "join")


def test_local_global_attention_equals_an_independent_computation() -> None:
    torch.manual_seed(3)
    module = plugin.LocalGlobalAttention(16).double()
    tokens = torch.randn(2, 12, 20, 16, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.stack([local_global_attention(image, module.state_dict()) for image in tokens])
        assert expected.std() > 0.01
        torch.testing.assert_close(module(tokens), expected, rtol=0, atol=1e-9)


def test_incomplete_windows_are_filled_with_zeros() -> None:
    torch.manual_seed(3)
    module = plugin.LocalGlobalAttention(16).double()
    tokens = torch.randn(1, 6, 3, 16, dtype=torch.float64)
    whole = torch.zeros(8, 4, 16, dtype=torch.float64)
    whole[:6, :3] = tokens[0]
    with torch.no_grad():
        expected = local_global_attention(whole, module.state_dict())[None, :6, :3]
        torch.testing.assert_close(module(tokens), expected, rtol=0, atol=1e-9)


def test_external_attention_equals_an_independent_computation() -> None:
    torch.manual_seed(3)
    module = plugin.ExternalAttention(16).double()
    weights = module.state_dict()
    tokens = torch.randn(2, 3, 5, 16, dtype=torch.float64)
    expected = torch.zeros_like(tokens)
    for index, image in enumerate(tokens):
        query = linear(image.reshape(15, 16), weights, "query")  # 32 heads of 2
        recalled = []
        for head in range(32):
            attention = linear(query[:, 2 * head : 2 * head + 2], weights, "remember").softmax(0)
            attention = attention / (1e-9 + attention.sum(1, keepdim=True))
            recalled.append(linear(attention, weights, "recall"))
        expected[index] = linear(torch.cat(recalled, dim=1), weights, "out").reshape(3, 5, 16)
    with torch.no_grad():
        torch.testing.assert_close(module(tokens), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("before", "after"), [((28, 28), (32, 32)), ((28, 28), (8, 24)), ((7, 3), (28, 12)), ((1, 1), (4, 4))]
)
def test_resampling_is_bilinear_with_aligned_corners(before: tuple[int, int], after: tuple[int, int]) -> None:
    torch.manual_seed(3)
    grid = torch.randn(2, *before, 5)
    expected = F.interpolate(grid.permute(0, 3, 1, 2), size=after, mode="bilinear", align_corners=True)
    torch.testing.assert_close(plugin.resample(grid, *after), expected.permute(0, 2, 3, 1), rtol=0, atol=1e-5)


def test_positions_are_used_as_learnt_at_224_pixels() -> None:
    grid = torch.randn(1, 28, 28, 5)
    assert torch.equal(plugin.resample(grid, 28, 28), grid)


def double_convolution(channels_in: int, channels_out: int) -> int:
    k = channels_out
    return 9 * channels_in * k + 9 * k * k + k * k + k + 3 * 2 * k


def authors_module(width: int) -> tuple[int, int]:
    """Parameters of an `EAmodule` of the authors' code, and those of them that no output depends on."""
    d = width
    layer = d * d + d
    local = 4 * layer
    unused = layer  # `Attention.out` of the global attention, which returns before it is reached
    gaussian = 3 * layer + 2
    join = 2 * d * d + d
    external = 4 * d * d + 4 * d + 4 * d * d + d + (d // 8 * 64 + 64) + (64 * (d // 8) + d // 8)
    return 4 * d + local + 16 * d + 16 + gaussian + join + external + unused, unused


def test_parameters_are_those_of_the_authors_code() -> None:
    """Counted by hand from `MTUNet.py` of github.com/Dootmaan/MT-UNet at commit 1823e28, with one class.

    The paper gives no count.
    """
    total = unused = 0
    for width, count in ((256, 2), (512, 2 + 2 + 2), (1024, 2)):
        parameters, idle = authors_module(width)
        total, unused = total + count * parameters, unused + count * idle
    total += double_convolution(3, 64) + double_convolution(64, 128) + double_convolution(128, 256)
    total += 256 * 256 + 2 * 256 + 784 * 256  # 1×1 convolution with BatchNorm, positions
    total += (4 * 256 * 512 + 2 * 512) + (4 * 512 * 1024 + 2 * 1024)  # merges
    total += (4 * 1024 * 512 + 512) + (1024 * 512 + 512) + (4 * 512 * 256 + 256)  # transformer's decoder
    for k in (256, 128, 64):
        total += 4 * 2 * k * k + k + double_convolution(2 * k, k)
    total += 64 + 1
    assert (total, unused) == (79_074_869, 3_806_720)
    model = spec().build(**spec().complete_options({}))
    assert sum(parameter.numel() for parameter in model.parameters()) == total - unused == 75_268_149


def module_products(width: int, side: int) -> int:
    """Multiply-adds of one mixed transformer module on `side`² tokens, `side` a multiple of 4."""
    d, n, cells, row = width, side * side, side * side // 16, side // 4
    local = n * 4 * d * d + 2 * n * 16 * d
    summary = cells * d * 16 + n * d
    axial = cells * 3 * d * d + 4 * cells * row * d
    up = side * row * row * d + side * side * row * d
    external = n * 8 * d * d + 2 * n * 4 * d * 64
    return local + summary + axial + up + n * 2 * d * d + external


def test_cost_is_that_of_its_layers() -> None:
    """Neither the paper nor the authors' code gives a cost; this one is counted by hand."""

    def convolutions(channels_in: int, channels_out: int, side: int) -> int:
        return side * side * (9 * channels_in * channels_out + 10 * channels_out**2)

    products = convolutions(3, 64, 256) + convolutions(64, 128, 128) + convolutions(128, 256, 64)
    products += 32 * 32 * 256 * 256 + 32 * 28 * 28 * 256 + 32 * 32 * 28 * 256
    products += 2 * (module_products(256, 32) + 3 * module_products(512, 16) + module_products(1024, 8))
    products += 2 * (module_products(512, 32) - module_products(512, 16))  # the last stage is at 32²
    products += 16 * 16 * 4 * 256 * 512 + 8 * 8 * 4 * 512 * 1024  # merges
    products += 8 * 8 * 4 * 1024 * 512 + 16 * 16 * 1024 * 512 + 16 * 16 * 4 * 512 * 256
    for k, side in ((256, 32), (128, 64), (64, 128)):
        products += side * side * 4 * 2 * k * k + convolutions(2 * k, k, 2 * side)
    products += 256 * 256 * 64
    model = spec().build(**spec().complete_options({})).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() == 2 * products
    assert 2 * products / 1e9 == pytest.approx(103.9, abs=0.05)


def test_the_contract_is_kept() -> None:
    check_segmenter(spec(), image_size=64)


@pytest.mark.parametrize("options", [SMALL, {"base_channels": 2, "modules": 3}])
def test_small_variants_keep_the_contract(options: dict[str, OptionValue]) -> None:
    check_segmenter(spec(), options=options, image_size=64)


@pytest.mark.parametrize("size", [(32, 32), (32, 96), (160, 64), (128, 256)])
def test_any_multiple_of_32_is_a_size(size: tuple[int, int]) -> None:
    model = spec().build(**SMALL).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1, *size)
    assert logits.isfinite().all()


def test_an_odd_width_is_refused() -> None:
    assert plugin.check_options({"base_channels": 8, "modules": 1}) is None
    sentence = plugin.check_options({"base_channels": 9, "modules": 1})
    assert sentence is not None
    assert "9 is odd" in sentence


@pytest.mark.parametrize("value", [0, 1, 5000, 8.0, True, "64", None])
def test_impossible_base_channels_are_refused(value: object) -> None:
    assert spec().options["base_channels"].fault(value)
