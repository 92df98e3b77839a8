"""Decoders of segmentation-models-pytorch on any of its encoders or timm's: what its segmenters here have in common.

Owns the encoders' names, their pretrained weights and the input scale that those want. The decoders are the library's
as they come; each is a plugin of its own beside this file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping

import torch
from torch import nn

from benchbird import BenchbirdError, Option, hub_advice, loading_weights

COMMON_ENCODERS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "mobilenet_v2",
    "efficientnet-b0",
)
"""Encoders known to exist, with ImageNet weights: naming one costs no import of the libraries."""


class RescaledInput(nn.Module):
    """A network behind the change from the protocol's input scale to the one it was pretrained on.

    Args:
        network: maps `(N, 3, H, W)` to logits `(N, 1, H, W)`.
        mean: of each colour, for pixels in [0, 1].
        std: likewise.
        white: what a white pixel is at the input of the network's own preparation: 1 or 255.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, network: nn.Module, mean: list[float], std: list[float], white: float) -> None:
        super().__init__()
        self.network = network
        mean_by_channel = torch.tensor(mean).view(1, 3, 1, 1)
        std_by_channel = torch.tensor(std).view(1, 3, 1, 1)
        # ((x·0.5 + 0.5)·white − mean) / std for the protocol's x = (pixel − 0.5) / 0.5
        self.register_buffer("scale", 0.5 * white / std_by_channel)
        self.register_buffer("shift", (0.5 * white - mean_by_channel) / std_by_channel)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        logits: torch.Tensor = self.network(images * self.scale + self.shift)
        return logits


Make = Callable[..., nn.Module]
"""A network's class: `make(encoder, encoder_weights=…, classes=1)`."""


def encoder_options(default: str) -> dict[str, Option]:
    """The options that all of them have: `encoder`, by this default, and `pretrained`."""
    return {
        "encoder": Option(default=default, help="an encoder of segmentation-models-pytorch, or timm's as tu-NAME"),
        "pretrained": Option(default="none", choices=("none", "imagenet"), help="imagenet: the encoder's weights"),
    }


def build_network(make: Make, design: str, encoder: str, pretrained: str) -> nn.Module:
    """Build a decoder on an encoder.

    Args:
        make: the library's class.
        design: what people call it, for errors.
        encoder: a name that `check_options` lets through.
        pretrained: `none` or `imagenet` (the encoder alone).

    Raises:
        BenchbirdError: the encoder has stages that this decoder can't use, or its weights can't be fetched.
    """
    if pretrained == "none":
        try:
            network = make(encoder, encoder_weights=None, classes=1)
        except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
            raise BenchbirdError(
                f"encoder {encoder} can't serve in {design} ({error}); choose another encoder, such as resnet34"
            ) from error
        return _without_classifier(network, encoder)
    import segmentation_models_pytorch as smp

    repository, revision = _repository(encoder) or ("unknown", "main")
    what = f"of encoder {encoder}, https://huggingface.co/{repository},"
    with loading_weights(what, hub_advice(repository, revision)):
        # For timm's encoders the library wants a flag here: the name itself says which weights.
        weights = True if encoder.startswith("tu-") else pretrained
        network = make(encoder, encoder_weights=weights, classes=1)
        scale = smp.encoders.get_preprocessing_params(encoder, "imagenet")
    network = _without_classifier(network, encoder)
    return RescaledInput(network, mean=scale["mean"], std=scale["std"], white=scale["input_range"][1])


def _without_classifier(network: nn.Module, encoder: str) -> nn.Module:
    """Take out layers that smp's EfficientNets keep for classification: they'd count as parameters."""
    if "efficientnet" in encoder and not encoder.startswith("tu-"):
        stages = network.get_submodule("encoder")
        for name in {"_conv_head", "_bn1", "conv_head", "bn2"} & dict(stages.named_children()).keys():
            setattr(stages, name, nn.Identity())
    return network


def check_options(options: Mapping[str, object]) -> str | None:
    """Say why an encoder doesn't exist or has no ImageNet weights, or None."""
    encoder, pretrained = str(options["encoder"]), options["pretrained"]
    if encoder in COMMON_ENCODERS:
        return None
    known = _known_encoders(timm_ones=encoder.startswith("tu-"))
    if encoder not in known:
        near = difflib.get_close_matches(encoder, sorted({*known, *COMMON_ENCODERS}), n=1)
        suggestion = f"did you mean {near[0]}?" if near else "timm's encoders are written tu-NAME"
        return f"encoder: found {encoder!r}, expected an encoder of segmentation-models-pytorch or timm; {suggestion}"
    if pretrained == "imagenet" and _repository(encoder) is None:
        return (
            f"pretrained: the libraries know no ImageNet weights of encoder {encoder} on the Hugging Face "
            "hub; choose none, or another encoder"
        )
    return None


def _known_encoders(*, timm_ones: bool) -> set[str]:
    # Some 4 s of imports, paid only for the less common names.
    if timm_ones:
        import timm

        # Not only the architectures but also their weights, such as resnet18.a1_in1k.
        return {f"tu-{name}" for name in [*timm.list_models(), *timm.list_pretrained()]}
    from segmentation_models_pytorch.encoders import encoders

    return set(encoders)


def _repository(encoder: str) -> tuple[str, str] | None:
    """Return the Hugging Face repository and revision that the libraries load an encoder from."""
    if encoder.startswith("tu-"):
        import timm

        weights = timm.get_pretrained_cfg(encoder.removeprefix("tu-"))
        if weights is None or not weights.hf_hub_id:
            return None
        repository, _, revision = weights.hf_hub_id.partition("@")
        return repository, revision or "main"
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders[encoder]["pretrained_settings"].get("imagenet")
    return None if settings is None else (settings["repo_id"], settings["revision"])
