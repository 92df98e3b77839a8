from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_unet_plain as plugin
from benchbird import SegmenterSpec
from benchbird.contract import OptionValue
from benchbird.testing import check_segmenter
from tests.functional_networks import batch_norm, with_random_statistics


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def functional_forward(x: torch.Tensor, weights: dict[str, torch.Tensor], *, normed: bool) -> torch.Tensor:
    """The network a second time, in functions alone."""

    def stage(x: torch.Tensor, name: str) -> torch.Tensor:
        for layer in range(2):
            conv = f"{name}.{layer * (3 if normed else 2)}"
            x = F.conv2d(x, weights[f"{conv}.weight"], weights[f"{conv}.bias"], padding=1)
            x = (batch_norm(x, weights, f"{name}.{3 * layer + 1}") if normed else x).relu()
        return x

    def up(x: torch.Tensor, name: str) -> torch.Tensor:
        # A 2×2 transposed convolution of stride 2 writes one 2×2 patch for each pixel.
        n, _, h, w = x.shape
        patches = torch.einsum("nihw,iokl->nohkwl", x, weights[f"{name}.weight"])
        return (patches.reshape(n, -1, 2 * h, 2 * w) + weights[f"{name}.bias"][:, None, None]).relu()

    def half(x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5))

    down = [stage(x, "contracting.0")]
    for index in range(1, 5):
        down.append(stage(half(down[-1]), f"contracting.{index}"))
    x = down.pop()
    for index in range(4):
        x = stage(torch.cat([down.pop(), up(x, f"ups.{index}")], dim=1), f"expanding.{index}")
    return F.conv2d(x, weights["head.weight"], weights["head.bias"])


@pytest.mark.parametrize("normed", [False, True])
def test_forward_equals_an_independent_computation(normed: bool) -> None:
    torch.manual_seed(3)
    model = with_random_statistics(plugin.PlainUNet(base_channels=4, batch_norm=normed)).double().eval()
    images = torch.rand(2, 3, 32, 48, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = functional_forward(images, model.state_dict(), normed=normed)
        assert expected.std() > 0.01
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-9)


def test_the_last_two_contracting_stages_end_in_dropout() -> None:
    model = plugin.PlainUNet(base_channels=2, batch_norm=False)
    found = {name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    assert found == {"contracting.3.4": 0.5, "contracting.4.4": 0.5}


def test_initialisation_keeps_the_signal() -> None:
    """Variance 2/N in every layer, so that logits of a new network are of the order of one."""
    torch.manual_seed(0)
    model = plugin.PlainUNet(base_channels=16, batch_norm=False).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and module.in_channels > 3:
            assert module.weight.std().item() == pytest.approx((2 / (9 * module.in_channels)) ** 0.5, rel=0.05)
        elif isinstance(module, nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx((2 / module.in_channels) ** 0.5, rel=0.05)
    with torch.no_grad():
        logits = model(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert 0.05 < logits.std() < 5


def test_parameters_are_the_published_ones() -> None:
    """31 043 521 with BatchNorm, as in the table of "Exploring U-SegNet and its variant", a PyTorch one on GitHub.

    The paper gives no count. BatchNorm has two parameters for each of the 18 convolutions' channels.
    """
    norms = 2 * 2 * (64 + 128 + 256 + 512 + 1024 + 512 + 256 + 128 + 64)
    for batch_norm_too, expected in ((True, 31_043_521), (False, 31_043_521 - norms)):
        model = spec().build(base_channels=64, batch_norm=batch_norm_too)
        assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert 31_043_521 - norms == 31_031_745


def test_it_has_the_papers_23_convolutions() -> None:
    model = plugin.PlainUNet(base_channels=2, batch_norm=False)
    assert sum(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules()) == 23


def test_cost_is_that_of_its_layers() -> None:
    """The paper gives no cost; counted by hand, in multiples of one 64→64 convolution of all pixels.

    Four times fewer pixels and twice the channels cost the same. Tools that count a transposed convolution as if each
    output pixel had all four of the kernel's places find 54.6 G products in place of 48.2.
    """
    one = 256 * 256 * 9 * 64 * 64
    contracting = 256 * 256 * 9 * 3 * 64 + one * (1 + 4 * (1 / 2 + 1))
    expanding = one * 4 * (2 + 1) + 256 * 256 * 64
    ups = 4 * (2 * one / 9)
    model = spec().build(**spec().complete_options({})).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() == pytest.approx(2 * (contracting + expanding + ups), rel=1e-12)
    assert counter.get_total_flops() / 1e9 == pytest.approx(96.33, abs=0.005)
    assert (contracting + expanding + 4 * ups) / 1e9 == pytest.approx(54.6, abs=0.05)


@pytest.mark.parametrize("options", [{}, {"base_channels": 8}, {"base_channels": 8, "batch_norm": True}])
def test_the_contract_is_kept(options: dict[str, OptionValue]) -> None:
    check_segmenter(spec(), options=options, image_size=64)


@pytest.mark.parametrize("size", [(16, 16), (32, 96), (176, 64)])
def test_any_multiple_of_16_is_a_size(size: tuple[int, int]) -> None:
    model = plugin.PlainUNet(base_channels=2, batch_norm=False).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize(
    ("name", "value"), [("base_channels", 0), ("base_channels", 5000), ("base_channels", 8.0), ("batch_norm", "yes")]
)
def test_impossible_options_are_refused(name: str, value: object) -> None:
    assert spec().options[name].fault(value)
