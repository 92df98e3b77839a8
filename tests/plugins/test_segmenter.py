from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import benchbird_segmenter as plugin
from benchbird import BenchbirdError, SegmenterSpec
from benchbird.contract import OptionValue
from benchbird.testing import check_segmenter


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


def functional_forward(images: torch.Tensor, weights: dict[str, torch.Tensor], *, heads: int) -> torch.Tensor:
    """The network a second time, with unfold, torch's attention and torch's interpolation."""

    def norm(x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], eps)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def block(x: torch.Tensor, name: str, eps: float) -> torch.Tensor:
        attention = nn.MultiheadAttention(x.shape[2], heads, batch_first=True, dtype=x.dtype)
        attention.load_state_dict(
            {
                "in_proj_weight": weights[f"{name}.attn.qkv.weight"],
                "in_proj_bias": weights[f"{name}.attn.qkv.bias"],
                "out_proj.weight": weights[f"{name}.attn.proj.weight"],
                "out_proj.bias": weights[f"{name}.attn.proj.bias"],
            }
        )
        y = norm(x, f"{name}.norm1", eps)
        x = x + attention(y, y, y)[0]
        return x + linear(F.gelu(linear(norm(x, f"{name}.norm2", eps), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")

    rows, columns = images.shape[2] // 16, images.shape[3] // 16
    kernels = weights["encoder.patch_embed.proj.weight"].flatten(1)
    x = F.unfold(images, 16, stride=16).transpose(1, 2) @ kernels.T + weights["encoder.patch_embed.proj.bias"]
    positions = weights["encoder.pos_embed"]
    grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, 14, 14)
    grid = F.interpolate(grid, size=(rows, columns), mode="bilinear").flatten(2).transpose(1, 2)
    first = (weights["encoder.cls_token"] + positions[:, :1]).expand(len(x), -1, -1)
    x = torch.cat([first, x + grid], dim=1)
    for index in range(12):
        x = block(x, f"encoder.blocks.{index}", 1e-6)
    x = linear(norm(x, "encoder.norm", 1e-6)[:, 1:], "decoder.project")
    x = torch.cat([x, weights["decoder.classes"].expand(len(x), -1, -1)], dim=1)
    for index in range(2):
        x = block(x, f"decoder.blocks.{index}", 1e-5)
    x = norm(x, "decoder.norm", 1e-5)
    patches = x[:, :-2] @ weights["decoder.patch_direction"]
    other, bird = (
        F.cosine_similarity(patches, (x[:, where] @ weights["decoder.class_direction"])[:, None], dim=2)
        for where in (-2, -1)
    )
    logits = weights["decoder.factor"] * (bird - other) + weights["decoder.offset"]
    return F.interpolate(logits.reshape(len(x), 1, rows, columns), scale_factor=16, mode="bilinear")


def test_forward_equals_an_independent_computation() -> None:
    torch.manual_seed(3)
    model = plugin.build("vit_tiny_patch16_224", "none", 2).double().eval()
    for name, parameter in model.named_parameters():  # as built, many are trivial
        if parameter.dim() < 2 and not name.endswith("bias"):
            nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            nn.init.normal_(parameter, std=1.0 if "embed" in name or "classes" in name else 0.05)
    images = torch.rand(2, 3, 64, 304, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = functional_forward(images, model.state_dict(), heads=3)
        assert expected.std() > 0.01
        torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-9)


def parameters(width: int, depth: int, positions: int, classes: int, last: int) -> int:
    """Counted by hand from the paper's layers, with patches of 16; `last`: those that follow the classes' cosines."""
    block = 12 * width**2 + 13 * width
    encoder = 3 * 16**2 * width + width + width + positions * width + depth * block + 2 * width
    decoder = (width**2 + width) + classes * width + 2 * block + 2 * width + 2 * width**2
    return encoder + decoder + last


@pytest.mark.parametrize(
    ("width", "depth", "size", "millions"),
    [(192, 12, 512, 7), (384, 12, 512, 27), (768, 12, 512, 106), (1024, 24, 640, 334)],
)
def test_the_count_by_hand_gives_the_authors_figures(width: int, depth: int, size: int, millions: int) -> None:
    """Table of github.com/rstrudel/segmenter's README, for 150 classes; its encoder keeps a head of 1000 classes.

    The layers of that repository's code have 6.9, 26.4, 103.3 and 334.3 millions: the table is coarse.
    """
    unused = 1000 * width + 1000
    count = parameters(width, depth, (size // 16) ** 2 + 1, classes=150, last=2 * 150) + unused
    assert count / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize(
    ("encoder", "width", "positions", "count"),
    [("vit_tiny_patch16_384", 192, 577, 6_598_658), ("vit_small_patch16_224", 384, 197, 25_658_882)],
)
def test_parameters_are_those_of_the_count_by_hand(encoder: str, width: int, positions: int, count: int) -> None:
    model = plugin.build(encoder, "none", 2)
    found = sum(parameter.numel() for parameter in model.parameters())
    # One factor and one offset stand where LayerNorm over two classes would have two of each.
    assert found == parameters(width, 12, positions, classes=2, last=2)
    assert found == count


def test_cost_is_that_of_its_layers() -> None:
    """The paper gives no cost; this one is counted by hand. Resampling the positions adds 1.5 ‰."""
    width, patches = 192, 256

    def block(tokens: int) -> int:
        return 12 * tokens * width**2 + 2 * tokens**2 * width

    encoder = patches * 768 * width + 12 * block(patches + 1)
    decoder = 2 * patches * width**2 + 2 * width**2 + 2 * block(patches + 2) + 2 * patches * width
    model = spec().build(**spec().complete_options({})).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() / (2 * (encoder + decoder)) == pytest.approx(1.0015, abs=3e-4)
    assert counter.get_total_flops() / 1e9 == pytest.approx(4.015, abs=0.001)


def test_every_encoder_exists_on_the_protocols_scale_with_a_patch_that_fits() -> None:
    import timm

    for encoder in plugin.ENCODERS:
        weights = timm.get_pretrained_cfg(encoder)
        assert weights is not None and weights.hf_hub_id is not None
        assert (weights.mean, weights.std) == ((0.5,) * 3, (0.5,) * 3)
        assert weights.hf_hub_id.startswith(f"timm/{encoder}.")
        assert 16 % int(encoder.rpartition("_")[0].rpartition("patch")[2]) == 0


def test_positions_are_unchanged_at_their_own_size() -> None:
    model = plugin.build("vit_tiny_patch16_224", "none", 1)
    assert isinstance(model, plugin.Segmenter)
    with torch.no_grad():
        nn.init.normal_(model.encoder.pos_embed)
        assert torch.equal(model._positions(14, 14), model.encoder.pos_embed)
        assert torch.equal(plugin.resampling(14, 14, torch.zeros(1)), torch.eye(14))


def test_a_sure_logit_is_within_reach() -> None:
    """Cosines differ by 2 at most; the factor makes of that a probability near 0 or 1."""
    decoder = plugin.MaskTransformer(width=192, depth=1)
    assert torch.sigmoid(2 * decoder.factor) > 0.9999
    assert decoder.factor.item() == pytest.approx(192**0.5)


def test_the_regularisation_is_the_authors() -> None:
    model = plugin.build("vit_tiny_patch16_224", "none", 2)
    assert isinstance(model, plugin.Segmenter)
    dropped = [getattr(block.drop_path1, "drop_prob", 0.0) for block in model.encoder.blocks]
    assert dropped == pytest.approx([0.1 * index / 11 for index in range(12)])
    assert {module.p for module in model.encoder.modules() if isinstance(module, nn.Dropout)} == {0.0}
    assert {module.p for module in model.decoder.modules() if isinstance(module, nn.Dropout)} == {0.1}


@pytest.mark.parametrize("options", [{}, {"encoder": "vit_tiny_patch16_224", "decoder_depth": 1}])
def test_the_contract_is_kept(options: dict[str, OptionValue]) -> None:
    check_segmenter(spec(), options=options, image_size=64)


@pytest.mark.parametrize("size", [(16, 16), (32, 96), (400, 64)])
def test_any_multiple_of_16_is_a_size(size: tuple[int, int]) -> None:
    model = plugin.build("vit_tiny_patch16_384", "none", 1).eval()
    with torch.no_grad():
        assert model(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_building_from_scratch_asks_no_network(hub: Path) -> None:
    plugin.build("vit_tiny_patch16_224", "none", 1)
    assert not hub.exists()


def test_without_network_the_error_says_what_to_do(hub: Path) -> None:
    with pytest.raises(BenchbirdError) as caught:
        plugin.build("vit_tiny_patch16_224", "imagenet", 2)
    message = str(caught.value)
    repository = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert "vit_tiny_patch16_224" in message and f"https://huggingface.co/{repository}" in message
    assert f"hf download {repository} --revision " in message and "SHA-256" in message
    assert f"$HF_HUB_CACHE/models--{repository.replace('/', '--')}" in message and str(hub) not in message


def test_the_error_keeps_the_home_folder_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(f"no space left in {Path.home()}/somewhere")

    monkeypatch.setattr("timm.create_model", fail)
    with pytest.raises(BenchbirdError, match=r"OSError: no space left in ~/somewhere"):
        plugin.build("vit_tiny_patch16_224", "imagenet", 2)


def test_pretrained_encoder_is_loaded_from_the_hubs_cache(hub: Path) -> None:
    import timm

    torch.manual_seed(13)
    state = timm.create_model("vit_tiny_patch16_224", pretrained=False).state_dict()
    folder = hub / "models--timm--vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    safetensors.torch.save_file(state, folder / "snapshots" / ("0" * 40) / "model.safetensors")
    loaded = plugin.build("vit_tiny_patch16_224", "imagenet", 2).state_dict()
    encoder = {name.removeprefix("encoder."): tensor for name, tensor in loaded.items() if name.startswith("encoder.")}
    assert encoder.keys() == state.keys() - {"head.weight", "head.bias"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in encoder.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [("encoder", "resnet18"), ("encoder", "vit_small_patch32_224"), ("pretrained", "coco"), ("decoder_depth", 0)],
)
def test_impossible_options_are_refused(name: str, value: object) -> None:
    assert spec().options[name].fault(value)
