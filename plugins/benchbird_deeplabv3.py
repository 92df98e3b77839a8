"""DeepLabV3 (arXiv 1706.05587): atrous spatial pyramid pooling on a dilated classification backbone.

torchvision's for ResNet-50, ResNet-101 and MobileNetV3-Large; segmentation-models-pytorch's for the smaller
ResNets, which torchvision doesn't offer. No auxiliary loss: no other segmenter has one.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn

from benchbird import (
    BenchbirdError,
    Option,
    SegmenterSpec,
    hookimpl,
    hub_advice,
    loading_weights,
    publishable_path,
)

BENCHBIRD_API = 1

TORCHVISION_BACKBONES = ("resnet50", "resnet101", "mobilenet_v3_large")
SMP_BACKBONES = ("resnet18", "resnet34")


class DeepLabV3(nn.Module):
    """A library's network with the contract's output, and where it is pretrained with its input scale.

    Args:
        network: maps `(N, 3, H, W)` to logits `(N, 1, H, W)`, or to a dict that holds them as `out`.
        imagenet_input: whether to change the protocol's scale to ImageNet's mean and deviation.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: nn.Module, *, imagenet_input: bool) -> None:
        super().__init__()
        self.network = network
        self.imagenet_input = imagenet_input
        if imagenet_input:
            mean = torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1)
            std = torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1)
            # (x·0.5 + 0.5 − mean) / std for the protocol's x = (pixel − 0.5) / 0.5
            self.register_buffer("scale", 0.5 / std)
            self.register_buffer("shift", (0.5 - mean) / std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        if self.imagenet_input:
            images = images * self.scale + self.shift
        output = self.network(images)
        logits: torch.Tensor = output["out"] if isinstance(output, dict) else output
        return logits


def build(backbone: str, pretrained: str) -> nn.Module:
    """Build the network.

    Args:
        backbone: one of `TORCHVISION_BACKBONES` or `SMP_BACKBONES`.
        pretrained: `none`, `imagenet` (backbone alone) or `coco` (all but the last layer).

    Raises:
        BenchbirdError: pretrained weights can't be fetched, or a file in their place isn't them.
    """
    make = _build_torchvision if backbone in TORCHVISION_BACKBONES else _build_smp
    return DeepLabV3(make(backbone, pretrained), imagenet_input=pretrained != "none")


def check_options(options: Mapping[str, object]) -> str | None:
    """Say why a backbone can't be had with a pretraining, or None."""
    backbone, pretrained = options["backbone"], options["pretrained"]
    if pretrained == "coco" and backbone not in TORCHVISION_BACKBONES:
        return (
            f"pretrained: coco exists for the backbones {', '.join(TORCHVISION_BACKBONES)}, "
            f"not for {backbone}; choose imagenet or none, or another backbone"
        )
    return None


def _build_torchvision(backbone: str, pretrained: str) -> nn.Module:
    from torchvision.models import get_model, get_weight, segmentation

    name = f"deeplabv3_{backbone}"
    enum = {"resnet50": "ResNet50", "resnet101": "ResNet101", "mobilenet_v3_large": "MobileNet_V3_Large"}[backbone]
    network: nn.Module
    if pretrained == "none":
        # weights=None alone would still download the backbone's.
        network = get_model(name, weights=None, weights_backbone=None, num_classes=1)
        return network
    if pretrained == "imagenet":
        weights = get_weight(f"{enum}_Weights.IMAGENET1K_V1")
        with _weights_by_url(weights.url):
            network = get_model(name, weights=None, weights_backbone=weights, num_classes=1)
        return network
    weights = getattr(segmentation, f"DeepLabV3_{enum}_Weights").COCO_WITH_VOC_LABELS_V1
    with _weights_by_url(weights.url):
        coco = get_model(name, weights=weights)
    coco.classifier[-1] = nn.Conv2d(coco.classifier[-1].in_channels, 1, kernel_size=1)
    coco.aux_classifier = None  # these weights insist on one; without its loss it would never get a gradient
    network = coco
    return network


def _build_smp(backbone: str, pretrained: str) -> nn.Module:
    import segmentation_models_pytorch as smp

    network: nn.Module
    if pretrained == "none":
        network = smp.DeepLabV3(backbone, encoder_weights=None, classes=1)
        return network
    where = smp.encoders.encoders[backbone]["pretrained_settings"][pretrained]
    repository, revision = where["repo_id"], where["revision"]
    with loading_weights(f"https://huggingface.co/{repository}", hub_advice(repository, revision)):
        network = smp.DeepLabV3(backbone, encoder_weights=pretrained, classes=1)
    return network


@contextlib.contextmanager
def _weights_by_url(url: str) -> Iterator[None]:
    """Guard a block in which torchvision loads the weights of `url`, from its cache or the network.

    Raises:
        BenchbirdError: says where the file belongs and how it is checked.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    expected = file.stem.rpartition("-")[2]
    advice = (
        f"To place it by hand, download {url} as {publishable_path(file)}; "
        f"its SHA-256 is checked: it must begin with {expected}, as the file's name says"
    )
    if file.is_file():
        # torch.hub compares the hash of what it downloads, never that of a file it finds, and then unpickles.
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if not found.startswith(expected):
            raise BenchbirdError(
                f"{publishable_path(file)} is damaged or another file: its SHA-256 begins with "
                f"{found[: len(expected)]}. Delete it. {advice}"
            )
    with loading_weights(file.name, advice):
        yield


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `deeplabv3`."""
    return [
        SegmenterSpec(
            name="deeplabv3",
            build=build,
            summary="atrous spatial pyramid pooling on a dilated ResNet or MobileNetV3",
            source="arXiv 1706.05587; torchvision, segmentation-models-pytorch",
            options={
                "backbone": Option(
                    default="resnet50",
                    choices=TORCHVISION_BACKBONES + SMP_BACKBONES,
                    help="resnet18 and resnet34, by segmentation-models-pytorch, suit small machines",
                ),
                "pretrained": Option(
                    default="none",
                    choices=("none", "imagenet", "coco"),
                    help="imagenet: the backbone; coco: everything but the last layer",
                ),
            },
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=8,
            parameters=39_633_729,
            gflop=81.8,
        )
    ]
