from __future__ import annotations

import email.message
import hashlib
import io
import json
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights

import benchbird_deeplabv3 as plugin
from benchbird import BenchbirdError, SegmenterSpec

MOBILENET_URL = MobileNet_V3_Large_Weights.IMAGENET1K_V1.url


def spec() -> SegmenterSpec:
    [only] = plugin.benchbird_segmenters()
    return only


class Network:
    """Stands for the internet: what it serves, and what was asked of it."""

    def __init__(self) -> None:
        self.content: bytes | None = None
        self.asked: list[str] = []

    def open(self, request: Any, *_: object, **__: object) -> io.BytesIO:
        self.asked.append(request.full_url)
        if self.content is None:
            raise urllib.error.URLError("Name or service not known")
        answer = io.BytesIO(self.content)
        answer.info = email.message.Message  # type: ignore[attr-defined]
        return answer


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Network:
    """No network, and empty caches in `tmp_path`."""
    network = Network()
    monkeypatch.setattr("torch.hub.urlopen", network.open)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return network


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, bytes]]:
    """Have torchvision expect a state dict of our own: its hash goes into the URL, as with the real ones."""

    def publish(weights: Any, state: dict[str, torch.Tensor]) -> tuple[str, bytes]:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        name = f"{weights.url.rpartition('/')[2].rpartition('-')[0]}-{digest[:8]}.pth"
        monkeypatch.setattr(weights.value, "url", f"https://download.example/{name}")
        return name, buffer.getvalue()

    return publish


def mobilenet_state() -> dict[str, torch.Tensor]:
    from torchvision.models import mobilenet_v3_large

    torch.manual_seed(11)
    return dict(mobilenet_v3_large(weights=None).state_dict())


def place(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)


@pytest.mark.parametrize("backbone", plugin.TORCHVISION_BACKBONES + plugin.SMP_BACKBONES)
def test_building_from_scratch_asks_no_network(network: Network, backbone: str) -> None:
    parameters = {
        "resnet50": 39_633_729,
        "resnet101": 58_625_857,
        "mobilenet_v3_large": 11_020_337,
        "resnet18": 15_898_945,
        "resnet34": 26_007_105,
    }
    with torch.device("meta"):  # the parameters' shapes without their memory
        model = spec().build(backbone=backbone, pretrained="none")
    assert sum(p.numel() for p in model.parameters()) == parameters[backbone]
    assert network.asked == []


def test_output_has_the_size_of_the_input() -> None:
    model = plugin.build("mobilenet_v3_large", "none").eval()
    assert model(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize("backbone", plugin.SMP_BACKBONES)
def test_coco_is_refused_where_it_does_not_exist(backbone: str) -> None:
    sentence = plugin.check_options({"backbone": backbone, "pretrained": "coco"})
    assert sentence and backbone in sentence and "resnet50" in sentence


@pytest.mark.parametrize("pretrained", ["none", "imagenet", "coco"])
@pytest.mark.parametrize("backbone", plugin.TORCHVISION_BACKBONES)
def test_torchvision_has_every_pretraining(backbone: str, pretrained: str) -> None:
    assert plugin.check_options({"backbone": backbone, "pretrained": pretrained}) is None


@pytest.mark.parametrize("pretrained", ["imagenet", "coco"])
def test_without_network_the_error_says_what_to_do(network: Network, pretrained: str, tmp_path: Path) -> None:
    with pytest.raises(BenchbirdError) as caught:
        plugin.build("mobilenet_v3_large", pretrained)
    message = str(caught.value)
    [url] = network.asked
    assert url in message and "Name or service not known" in message
    name = url.rpartition("/")[2]
    assert f"$TORCH_HOME/hub/checkpoints/{name}" in message and str(tmp_path) not in message
    assert f"SHA-256 is checked: it must begin with {name[-12:-4]}" in message


def test_imagenet_backbone_is_loaded_from_a_placed_file(
    network: Network, published: Callable[..., tuple[str, bytes]], tmp_path: Path
) -> None:
    from torchvision.models import MobileNet_V3_Large_Weights

    state = mobilenet_state()
    place(tmp_path, *published(MobileNet_V3_Large_Weights.IMAGENET1K_V1, state))
    loaded = plugin.build("mobilenet_v3_large", "imagenet").state_dict()
    backbone = {name.removeprefix("network.backbone."): t for name, t in loaded.items() if "backbone" in name}
    assert len(backbone) > 200 and network.asked == []
    assert all(torch.equal(tensor, state[f"features.{name}"]) for name, tensor in backbone.items())


def test_coco_weights_but_the_last_layer_are_loaded(
    network: Network, published: Callable[..., tuple[str, bytes]], tmp_path: Path
) -> None:
    from torchvision.models.segmentation import (
        DeepLabV3_MobileNet_V3_Large_Weights,
        deeplabv3_mobilenet_v3_large,
    )

    torch.manual_seed(12)
    whole = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    state = whole.state_dict()
    place(tmp_path, *published(DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1, state))
    model = plugin.build("mobilenet_v3_large", "coco")
    loaded = {name.removeprefix("network."): tensor for name, tensor in model.state_dict().items()}
    assert loaded["classifier.4.weight"].shape == (1, 256, 1, 1)
    kept = [name for name in state if not name.startswith(("classifier.4", "aux_classifier"))]
    assert loaded.keys() == {*kept, "classifier.4.weight", "classifier.4.bias", "scale", "shift"}
    assert all(torch.equal(loaded[name], state[name]) for name in kept)
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


def test_download_is_checked_and_leaves_stdout_alone(
    network: Network, published: Callable[..., tuple[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    from torchvision.models import MobileNet_V3_Large_Weights

    _, content = published(MobileNet_V3_Large_Weights.IMAGENET1K_V1, mobilenet_state())
    network.content = content[:-1] + b"?"
    with pytest.raises(BenchbirdError, match="invalid hash value"):
        plugin.build("mobilenet_v3_large", "imagenet")
    network.content = content
    plugin.build("mobilenet_v3_large", "imagenet")
    assert len(network.asked) == 2 and capsys.readouterr().out == ""


def test_a_placed_file_with_another_hash_is_never_unpickled(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, MOBILENET_URL.rpartition("/")[2], b"not these weights")
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("was unpickled"))
    with pytest.raises(BenchbirdError, match="damaged or another file") as caught:
        plugin.build("mobilenet_v3_large", "imagenet")
    assert MOBILENET_URL in str(caught.value) and "8738ca79" in str(caught.value) and network.asked == []


def hub_folder(tmp_path: Path) -> tuple[str, str, Path]:
    from segmentation_models_pytorch.encoders import encoders

    where = encoders["resnet18"]["pretrained_settings"]["imagenet"]
    folder = tmp_path / "hub" / f"models--{where['repo_id'].replace('/', '--')}"
    return where["repo_id"], where["revision"], folder / "snapshots" / where["revision"]


def test_without_network_the_small_backbones_error_says_what_to_do(network: Network, tmp_path: Path) -> None:
    with pytest.raises(BenchbirdError) as caught:
        plugin.build("resnet18", "imagenet")
    repository, revision, _ = hub_folder(tmp_path)
    assert f"https://huggingface.co/{repository}" in str(caught.value)
    assert f"hf download {repository} --revision {revision}" in str(caught.value)
    assert f"$HF_HUB_CACHE/models--{repository.replace('/', '--')}" in str(caught.value)
    assert "SHA-256" in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_small_backbone_is_loaded_from_the_hubs_cache(network: Network, tmp_path: Path) -> None:
    import segmentation_models_pytorch as smp

    torch.manual_seed(13)
    state = smp.encoders.get_encoder("resnet18", weights=None).state_dict()
    *_, folder = hub_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({}))
    safetensors.torch.save_file(state, folder / "model.safetensors")
    loaded = plugin.build("resnet18", "imagenet").state_dict()
    assert all(torch.equal(loaded[f"network.encoder.{name}"], tensor) for name, tensor in state.items())


def test_pretrained_network_sees_imagenets_scale() -> None:
    pixels = torch.rand(2, 3, 8, 8)
    model = plugin.DeepLabV3(nn.Identity(), imagenet_input=True)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    torch.testing.assert_close(model((pixels - 0.5) / 0.5), (pixels - mean) / std, rtol=0, atol=1e-6)
    untrained = plugin.DeepLabV3(nn.Identity(), imagenet_input=False)
    assert torch.equal(untrained(pixels), pixels)
