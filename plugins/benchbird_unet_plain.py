"""U-Net as published (arXiv 1505.04597): no pretrained encoder, no BatchNorm, 64 to 1024 channels.

3×3 convolutions with ReLU, two a stage; 2×2 transposed convolutions with ReLU; skips by concatenation; dropout of
one half at the end of the contracting path, on its last two stages, as reimplementations have it; weights drawn
from a normal distribution of variance 2/N, N being the inputs of one output. Two things differ: convolutions are
padded, so that the logits have the size of the images, where the paper crops its skips to what is left; and there is
one logit a pixel in place of two classes' scores. The paper's loss, weighted near borders, belongs to the protocol.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import max_pool2d

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1

DROPOUT = 0.5


class Stage(nn.Sequential):
    """Two 3×3 convolutions, each with ReLU and before it BatchNorm where that is asked for."""

    def __init__(self, channels_in: int, channels_out: int, *, batch_norm: bool, dropout: float = 0.0) -> None:
        layers: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            layers.append(nn.Conv2d(channels, channels_out, kernel_size=3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(channels_out))
            layers.append(nn.ReLU(inplace=True))
        if dropout:
            layers.append(nn.Dropout(dropout))
        super().__init__(*layers)


class PlainUNet(nn.Module):
    """The network; H and W must be divisible by 16.

    Args:
        base_channels: channels of the first stage; they double four times.
        batch_norm: whether each 3×3 convolution is followed by BatchNorm.
    """

    def __init__(self, base_channels: int, batch_norm: bool) -> None:
        super().__init__()
        widths = [base_channels * 2**depth for depth in range(5)]
        self.contracting = nn.ModuleList(
            Stage(before, width, batch_norm=batch_norm, dropout=DROPOUT if width >= widths[-2] else 0.0)
            for before, width in zip([3, *widths], widths, strict=False)
        )
        wide_to_narrow = widths[::-1]
        pairs = list(pairwise(wide_to_narrow))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(wide, narrow, kernel_size=2, stride=2) for wide, narrow in pairs)
        self.expanding = nn.ModuleList(Stage(wide, narrow, batch_norm=batch_norm) for wide, narrow in pairs)
        self.head = nn.Conv2d(base_channels, 1, kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # A 2×2 kernel of stride 2 doesn't overlap: one output has one input a channel.
                is_up = isinstance(module, nn.ConvTranspose2d)
                inputs = module.in_channels if is_up else module.weight[0].numel()
                nn.init.normal_(module.weight, std=(2 / inputs) ** 0.5)
                assert module.bias is not None, "as built"
                nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        x, skips = images, []
        for depth, stage in enumerate(self.contracting):
            x = stage(max_pool2d(x, 2) if depth else x)
            skips.append(x)
        skips.pop()  # (N, 16C, H/16, W/16), x itself
        for up, stage in zip(self.ups, self.expanding, strict=True):
            x = stage(torch.cat([skips.pop(), up(x).relu()], dim=1))
        logits: torch.Tensor = self.head(x)  # (N, 1, H, W)
        return logits


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `unet_plain`."""
    return [
        SegmenterSpec(
            name="unet_plain",
            build=PlainUNet,
            summary="U-Net as first published, without pretraining or BatchNorm, 31.0 M parameters",
            source="arXiv 1505.04597",
            options={
                "base_channels": Option(
                    default=64,
                    minimum=1,
                    maximum=512,
                    help="channels of the first stage; ×16 in the deepest; 16 suits laptops",
                ),
                "batch_norm": Option(default=False, help="BatchNorm after each 3×3 convolution, unlike the paper"),
            },
            size_multiple=16,
            parameters=31_031_745,
            gflop=96.3,
        )
    ]
