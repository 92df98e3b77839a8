from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_vitvs as plugin
from benchbird import SegmenterSpec
from benchbird.contract import OptionValue
from benchbird.testing import check_segmenter

SMALL: dict[str, OptionValue] = {"width": 32, "depth": 2, "heads": 4, "patch_size": 8, "dropout": 0.1}


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def two_scores(images: torch.Tensor, weights: dict[str, torch.Tensor], *, depth: int, heads: int) -> torch.Tensor:
    """The authors' notebook a second time, with unfold, torch's attention and fold; two scores a pixel."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = F.batch_norm(
        images, weights["norm.running_mean"], weights["norm.running_var"], weights["norm.weight"], weights["norm.bias"]
    )
    x = linear(F.unfold(x, 16, stride=16).transpose(1, 2), "embed") + weights["positions"].flatten(0, 1)
    width = x.shape[2]
    attention = nn.MultiheadAttention(width, heads, batch_first=True, dtype=x.dtype)
    for index in range(depth):
        name = f"blocks.{index}"
        attention.load_state_dict(
            {
                "in_proj_weight": weights[f"{name}.attention.inputs.weight"],
                "in_proj_bias": weights[f"{name}.attention.inputs.bias"],
                "out_proj.weight": weights[f"{name}.attention.out.weight"],
                "out_proj.bias": weights[f"{name}.attention.out.bias"],
            }
        )
        y = norm(x, f"{name}.norm_attention")
        x = x + attention(y, y, y)[0]
        y = F.gelu(linear(norm(x, f"{name}.norm_perceptron"), f"{name}.perceptron.0"))
        x = x + linear(y, f"{name}.perceptron.2")
    size = (images.shape[2], images.shape[3])
    return F.fold(linear(x, "project").transpose(1, 2), size, 16, stride=16)


def test_forward_equals_an_independent_computation() -> None:
    torch.manual_seed(3)
    model = plugin.ViTVS(width=32, depth=3, heads=4, patch_size=16, dropout=0.2).double().eval()
    for tensor in (model.norm.weight, model.norm.bias, model.norm.running_mean, model.norm.running_var):
        assert tensor is not None
        nn.init.uniform_(tensor, 0.5, 1.5)  # as built, statistics and affine part are trivial
    for block in model.blocks:
        assert isinstance(block, plugin.Block)
        nn.init.normal_(block.attention.inputs.bias)
        nn.init.normal_(block.attention.out.bias)
    images = torch.rand(2, 3, 256, 256, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        scores = two_scores(images, model.state_dict(), depth=3, heads=4)  # (N, 2, H, W)
        expected = scores[:, 1:] - scores[:, :1]
        assert expected.std() > 0.01
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-9)
    # The protocol's loss on the logit is the paper's loss on the two scores.
    target = (torch.rand(2, 1, 256, 256) > 0.5).double()
    paper = F.nll_loss(scores.log_softmax(1), target[:, 0].long())
    torch.testing.assert_close(F.binary_cross_entropy_with_logits(expected, target), paper)


def test_dropout_is_the_notebooks() -> None:
    model = plugin.ViTVS(width=32, depth=2, heads=4, patch_size=16, dropout=0.2)
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.2, 0.2]
    assert [module.dropout for module in model.modules() if isinstance(module, plugin.Attention)] == [0.2, 0.2]
    attention = plugin.Attention(width=32, heads=4, dropout=0.2)
    tokens = torch.randn(1, 16, 32)
    with torch.no_grad():
        assert not torch.equal(attention.train()(tokens), attention(tokens))
        assert torch.equal(attention.eval()(tokens), attention(tokens))


def test_parameters_are_the_notebooks() -> None:
    """Counted by hand from the layers that the notebook prints.

    `Audio_denoising_ViTVS_final.ipynb` of github.com/sahilkumar15/Bird_sound, commit b8b343a. Neither it nor the paper
    gives a count. The third score, which stands for no label, is left out here.
    """
    attention = (256 * 768 + 768) + (256 * 256 + 256)
    perceptron = (256 * 1024 + 1024) + (1024 * 256 + 256)
    block = attention + perceptron + 2 * 2 * 256
    without_scores = 2 * 3 + (768 * 256 + 256) + 256 * 256 + 12 * block
    one_score = 256 * 256 + 256
    assert without_scores + 3 * one_score == 9_936_902
    model = spec().build(**spec().complete_options({}))
    assert sum(parameter.numel() for parameter in model.parameters()) == without_scores + 2 * one_score == 9_871_110


def test_cost_is_that_of_its_layers() -> None:
    """Neither the paper nor the notebook gives a cost; this one is counted by hand."""
    tokens, width = 256, 256
    block = 12 * tokens * width**2 + 2 * tokens**2 * width
    products = tokens * 768 * width + 12 * block + tokens * width * 512
    model = spec().build(**spec().complete_options({})).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() == 2 * products
    assert 2 * products / 1e9 == pytest.approx(5.80, abs=0.005)


def test_positions_follow_the_size() -> None:
    model = plugin.ViTVS(width=8, depth=1, heads=2, patch_size=16, dropout=0.0)
    with torch.no_grad():
        found = model._positions_for(4, 20).reshape(4, 20, 8)
        grid = model.positions.permute(2, 0, 1)[None]
        expected = F.interpolate(grid, size=(4, 20), mode="bilinear", align_corners=True)[0].permute(1, 2, 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_contract_is_kept() -> None:
    check_segmenter(spec(), image_size=64)


@pytest.mark.parametrize("options", [SMALL, {"width": 24, "depth": 1, "heads": 3, "patch_size": 4}])
def test_small_variants_keep_the_contract(options: dict[str, OptionValue]) -> None:
    check_segmenter(spec(), options=options, image_size=64)


@pytest.mark.parametrize("patch_size", [4, 8, 16])
@pytest.mark.parametrize("size", [(16, 16), (32, 96), (160, 64)])
def test_any_multiple_of_16_is_a_size(patch_size: int, size: tuple[int, int]) -> None:
    model = plugin.ViTVS(width=8, depth=1, heads=2, patch_size=patch_size, dropout=0.0).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_a_pixel_is_written_where_its_patch_is() -> None:
    model = plugin.ViTVS(width=8, depth=1, heads=2, patch_size=8, dropout=0.0).eval()
    with torch.no_grad():
        model.project.weight.zero_()
        model.project.bias.zero_()
        model.project.bias[64 + 8 * 5 + 2] = 1  # the bird's score of row 5, column 2 of a patch
        logits = model(torch.randn(1, 3, 16, 32))
    assert logits.nonzero()[:, 2:].tolist() == [[r, c] for r in (5, 13) for c in (2, 10, 18, 26)]


def test_heads_must_share_the_width() -> None:
    assert plugin.check_options(spec().complete_options({})) is None
    sentence = plugin.check_options(spec().complete_options({"width": 40}))
    assert sentence is not None
    assert "40 can't be shared by 16 heads" in sentence


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0),
        ("depth", 0),
        ("heads", 0),
        ("patch_size", 5),
        ("patch_size", 32),
        ("dropout", 1.0),
        ("dropout", -0.1),
    ],
)
def test_impossible_options_are_refused(name: str, value: object) -> None:
    assert spec().options[name].fault(value)
