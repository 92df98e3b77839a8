"""Segmenters on segmentation-models-pytorch: encoders, weights from the hub, and each decoder's size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbird import BenchbirdError, SegmenterSpec
from benchbird_smp import deeplabv3plus, encoders, fpn, manet, segformer, unet, unetplusplus

PLUGINS = (deeplabv3plus, fpn, manet, segformer, unet, unetplusplus)
SPECS: dict[str, SegmenterSpec] = {spec.name: spec for plugin in PLUGINS for spec in plugin.benchbird_segmenters()}

SIZES = {
    "deeplabv3plus": (22_437_457, 15.8),
    "fpn": (23_155_393, 13.7),
    "manet": (31_783_633, 16.6),
    "segformer": (3_714_401, 3.5),
    "unet": (24_436_369, 15.6),
    "unetplusplus": (26_078_609, 36.8),
}
"""Parameters, and GFLOP of one image of 256×256, with the default encoder."""

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
"""Unlike ImageNet's, so that a test sees where they came from."""


@pytest.mark.parametrize("name", SPECS)
def test_building_from_scratch_asks_no_network(name: str, hub: Path) -> None:
    model = SPECS[name].build(**SPECS[name].complete_options({})).eval()
    parameters, gflop = SIZES[name]
    assert sum(p.numel() for p in model.parameters()) == parameters
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        assert model(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 256, 256)
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.1)
    size = SPECS[name].size_multiple
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 2 * size, 3 * size)).shape == (1, 1, 2 * size, 3 * size)
    assert not hub.exists()


def test_segformer_has_the_papers_size() -> None:
    # Table 1 of arXiv 2105.15203: 3.8 M parameters for MiT-B0 with 150 classes, where here is one.
    classes = 149 * (256 + 1)
    assert (SIZES["segformer"][0] + classes) / 1e6 == pytest.approx(3.8, abs=0.06)


def test_common_encoders_exist_with_weights() -> None:
    from segmentation_models_pytorch.encoders import encoders as known

    assert all("imagenet" in known[name]["pretrained_settings"] for name in encoders.COMMON_ENCODERS)


def test_a_common_encoder_is_checked_without_importing_the_libraries() -> None:
    code = (
        "import sys, benchbird_smp.encoders as p, benchbird_smp.unet, benchbird_smp.segformer\n"
        "assert p.check_options({'encoder': 'resnet34', 'pretrained': 'imagenet'}) is None\n"
        "libraries = 'segmentation_models_pytorch', 'timm', 'torchvision'\n"
        "sys.exit(any(name in sys.modules for name in libraries))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("encoder", ["se_resnet50", "mit_b0", "tu-resnet18", "tu-resnet18.a1_in1k", "tu-convnext_atto"])
@pytest.mark.parametrize("pretrained", ["none", "imagenet"])
def test_other_encoders_are_accepted(encoder: str, pretrained: str) -> None:
    assert encoders.check_options({"encoder": encoder, "pretrained": pretrained}) is None


@pytest.mark.parametrize(
    ("encoder", "hint"),
    [
        ("resnet43", "did you mean resnet34?"),
        ("tu-convnext_tny", "did you mean tu-convnext_tiny?"),
        ("tu-resnet18.nonsense", "did you mean tu-resnet18"),
        ("", "written tu-NAME"),
        ("??????", "written tu-NAME"),
    ],
)
def test_unknown_encoder_is_refused_with_a_suggestion(encoder: str, hint: str) -> None:
    sentence = encoders.check_options({"encoder": encoder, "pretrained": "none"})
    assert sentence and repr(encoder) in sentence and hint in sentence


@pytest.mark.parametrize("encoder", ["dpn68b", "tu-legacy_xception"])
def test_encoder_without_imagenet_weights_is_refused(encoder: str) -> None:
    assert encoders.check_options({"encoder": encoder, "pretrained": "none"}) is None
    sentence = encoders.check_options({"encoder": encoder, "pretrained": "imagenet"})
    assert sentence and encoder in sentence


@pytest.mark.parametrize(
    ("name", "encoder", "design"),
    [("unet", "tu-vit_tiny_patch16_224", "a U-Net"), ("unetplusplus", "mit_b0", r"a U-Net\+\+")],
)
def test_an_encoder_of_another_kind_is_one_sentence(name: str, encoder: str, design: str) -> None:
    with pytest.raises(BenchbirdError, match=f"{encoder} can't serve in {design} .*choose another encoder"):
        SPECS[name].build(encoder=encoder, pretrained="none")


@pytest.mark.parametrize(
    ("encoder", "repository"),
    [("resnet18", "smp-hub/resnet18.imagenet"), ("tu-resnet18", "timm/resnet18.a1_in1k")],
)
def test_without_network_the_error_says_what_to_do(hub: Path, encoder: str, repository: str) -> None:
    with pytest.raises(BenchbirdError) as caught:
        unet.build(encoder, "imagenet")
    message = str(caught.value)
    assert encoder in message and f"https://huggingface.co/{repository}" in message
    assert f"hf download {repository} --revision " in message and "SHA-256" in message
    assert f"$HF_HUB_CACHE/models--{repository.replace('/', '--')}" in message and str(hub) not in message


def test_smp_encoder_and_its_scale_are_loaded_from_the_hubs_cache(hub: Path) -> None:
    import segmentation_models_pytorch as smp

    torch.manual_seed(14)
    state = smp.encoders.get_encoder("resnet18", weights=None).state_dict()
    revision = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]["revision"]
    folder = hub / "models--smp-hub--resnet18.imagenet" / "snapshots" / revision
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"mean": MEAN, "std": STD, "input_range": [0, 1]}))
    safetensors.torch.save_file(state, folder / "model.safetensors")
    loaded = unet.build("resnet18", "imagenet").state_dict()
    assert all(torch.equal(loaded[f"network.encoder.{name}"], tensor) for name, tensor in state.items())
    torch.testing.assert_close(loaded["scale"].flatten(), 0.5 / torch.tensor(STD))


def test_timm_encoder_is_loaded_from_the_hubs_cache(hub: Path) -> None:
    import timm

    torch.manual_seed(15)
    state = timm.create_model("resnet18").state_dict()
    repository, commit = hub / "models--timm--resnet18.a1_in1k", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots" / commit).mkdir(parents=True)
    safetensors.torch.save_file(state, repository / "snapshots" / commit / "model.safetensors")
    model = unet.build("tu-resnet18", "imagenet")
    loaded = model.state_dict()
    encoder = {name: t for name, t in state.items() if not name.startswith("fc.")}
    assert all(torch.equal(loaded[f"network.encoder.model.{name}"], t) for name, t in encoder.items())
    torch.testing.assert_close(loaded["scale"].flatten(), 0.5 / torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_pretrained_network_sees_its_own_scale(white: float) -> None:
    pixels = torch.rand(2, 3, 8, 8)
    mean, std = [value * white for value in MEAN], [value * white for value in STD]
    model = encoders.RescaledInput(nn.Identity(), mean, std, white)
    expected = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(model((pixels - 0.5) / 0.5), expected, rtol=0, atol=1e-5)
