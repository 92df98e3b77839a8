from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest
import safetensors.torch
import torch
from torch import nn

import benchbird_unet as plugin
from benchbird import BenchbirdError

MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
"""Unlike ImageNet's, so that a test sees where they came from."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No network, and an empty cache of the hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_building_from_scratch_asks_no_network(hub: Path) -> None:
    model = plugin.build("resnet34", "none").eval()
    assert sum(p.numel() for p in model.parameters()) == 24_436_369
    assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)
    assert not hub.exists()


def test_common_encoders_exist_with_weights() -> None:
    from segmentation_models_pytorch.encoders import encoders

    assert all("imagenet" in encoders[name]["pretrained_settings"] for name in plugin.COMMON_ENCODERS)


def test_a_common_encoder_is_checked_without_importing_the_libraries() -> None:
    code = (
        "import sys, benchbird_unet as p\n"
        "assert p.check_options({'encoder': 'resnet34', 'pretrained': 'imagenet'}) is None\n"
        "libraries = 'segmentation_models_pytorch', 'timm', 'torchvision'\n"
        "sys.exit(any(name in sys.modules for name in libraries))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("encoder", ["se_resnet50", "mit_b0", "tu-resnet18", "tu-resnet18.a1_in1k", "tu-convnext_atto"])
@pytest.mark.parametrize("pretrained", ["none", "imagenet"])
def test_other_encoders_are_accepted(encoder: str, pretrained: str) -> None:
    assert plugin.check_options({"encoder": encoder, "pretrained": pretrained}) is None


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
    sentence = plugin.check_options({"encoder": encoder, "pretrained": "none"})
    assert sentence and repr(encoder) in sentence and hint in sentence


@pytest.mark.parametrize("encoder", ["dpn68b", "tu-legacy_xception"])
def test_encoder_without_imagenet_weights_is_refused(encoder: str) -> None:
    assert plugin.check_options({"encoder": encoder, "pretrained": "none"}) is None
    sentence = plugin.check_options({"encoder": encoder, "pretrained": "imagenet"})
    assert sentence and encoder in sentence


def test_an_encoder_of_another_kind_is_one_sentence() -> None:
    with pytest.raises(BenchbirdError, match="tu-vit_tiny_patch16_224 can't serve in a U-Net"):
        plugin.build("tu-vit_tiny_patch16_224", "none")


@pytest.mark.parametrize(
    ("encoder", "repository"),
    [("resnet18", "smp-hub/resnet18.imagenet"), ("tu-resnet18", "timm/resnet18.a1_in1k")],
)
def test_without_network_the_error_says_what_to_do(hub: Path, encoder: str, repository: str) -> None:
    with pytest.raises(BenchbirdError) as caught:
        plugin.build(encoder, "imagenet")
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
    loaded = plugin.build("resnet18", "imagenet").state_dict()
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
    model = plugin.build("tu-resnet18", "imagenet")
    loaded = model.state_dict()
    encoder = {name: t for name, t in state.items() if not name.startswith("fc.")}
    assert all(torch.equal(loaded[f"network.encoder.model.{name}"], t) for name, t in encoder.items())
    torch.testing.assert_close(loaded["scale"].flatten(), 0.5 / torch.tensor([0.229, 0.224, 0.225]))


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_pretrained_network_sees_its_own_scale(white: float) -> None:
    pixels = torch.rand(2, 3, 8, 8)
    mean, std = [value * white for value in MEAN], [value * white for value in STD]
    model = plugin.RescaledInput(nn.Identity(), mean, std, white)
    expected = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(model((pixels - 0.5) / 0.5), expected, rtol=0, atol=1e-5)
