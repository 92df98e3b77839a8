"""SegNet (arXiv 1511.00561): the 13 convolutions of VGG16 and their mirror, joined by where each maximum was.

Every convolution but the last has BatchNorm and ReLU, as in the authors' Caffe models; the last one, the decoder's
thirteenth, puts out the logit. From scratch with He's initialisation: the paper starts its encoder from VGG16's
weights for ImageNet, without BatchNorm. Its loss, weighted by class, belongs to the protocol and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import max_pool2d

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1

WIDTHS = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Channels after each convolution of each stage of the encoder, in multiples of the first."""


def enlarged(small: torch.Tensor) -> torch.Tensor:
    """Map `(N, C, H, W)` to `(N, C, 2H, 2W)` by repeating each value in a square of four."""
    n, c, h, w = small.shape
    return small[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def pooled(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take the maximum of each 2×2 square.

    Args:
        x: `(N, C, H, W)` with H and W even.

    Returns:
        The maxima `(N, C, H/2, W/2)`; and where they were, bool `(N, C, H, W)`, true once in each square.
    """
    maxima, indices = max_pool2d(x, 2, return_indices=True)
    positions = torch.arange(x.shape[2] * x.shape[3], device=x.device).view(x.shape[2:])
    return maxima, enlarged(indices) == positions


def unpooled(small: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Put each value of `(N, C, H, W)` where the maximum of its square was, and zeros elsewhere.

    Element by element: torch's own MaxUnpool2d scatters, which has no deterministic form on CUDA.
    """
    return enlarged(small) * where


class SegNet(nn.Module):
    """The network; H and W must be divisible by 32.

    Args:
        base_channels: channels of the first stage; the deepest two have eight times as many.
    """

    def __init__(self, base_channels: int) -> None:
        super().__init__()
        encoder: list[nn.Module] = []
        decoder: list[nn.Module] = []
        before = 3
        for stage in WIDTHS:
            widths = [base_channels * width for width in stage]
            encoder.append(self._stage([before, *widths]))
            # The mirror of the first stage ends where the last convolution takes over.
            mirrored = [*reversed(widths), before] if decoder else list(reversed(widths))
            decoder.insert(0, self._stage(mirrored))
            before = widths[-1]
        self.encoder = nn.ModuleList(encoder)
        self.decoder = nn.ModuleList(decoder)
        self.head = nn.Conv2d(base_channels, 1, kernel_size=3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None, "as built"
                nn.init.zeros_(module.bias)

    @staticmethod
    def _stage(widths: list[int]) -> nn.Sequential:
        """3×3 convolutions, each with BatchNorm and ReLU, between the widths given."""
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise(widths):
            layers += [
                nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(inplace=True),
            ]
        return nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        x, places = images, []
        for stage in self.encoder:
            x, where = pooled(stage(x))
            places.append(where)
        for stage in self.decoder:  # from (N, 8C, H/32, W/32) to (N, C, H, W)
            x = stage(unpooled(x, places.pop()))
        logits: torch.Tensor = self.head(x)  # (N, 1, H, W)
        return logits


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `segnet`."""
    return [
        SegmenterSpec(
            name="segnet",
            build=SegNet,
            summary="VGG16 and its mirror, joined by the places of the maxima, 29.4 M parameters",
            source="arXiv 1511.00561",
            options={
                "base_channels": Option(
                    default=64,
                    minimum=1,
                    maximum=512,
                    help="channels of the first stage; ×8 in the deepest; 16 suits laptops",
                )
            },
            size_multiple=32,
            parameters=29_443_585,
            gflop=80.0,
        )
    ]
