"""AtrousSegNet: three encoder stages of growing dilation, two decoder stages, skips by addition.

The network of the course project that benchbird started from. Layers and channel counts are as that project
states them (720 705 parameters at base width 64); its training recipe is not here but in the protocol.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1


def _block(channels_in: int, channels_out: int, dilation: int) -> nn.Sequential:
    """A 3×3 convolution with bias, BatchNorm and ReLU; keeps the size of its input."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class AtrousSegNet(nn.Module):
    """The network; H and W must be divisible by 4.

    Args:
        base_channels: channels of the first stage; the others have two and four times as many.
    """

    def __init__(self, base_channels: int) -> None:
        super().__init__()
        c = base_channels
        self.enc1 = _block(3, c, dilation=1)
        self.enc2 = _block(c, 2 * c, dilation=2)
        self.enc3 = _block(2 * c, 4 * c, dilation=4)
        self.pool = nn.MaxPool2d(2)
        self.up1 = nn.ConvTranspose2d(4 * c, 2 * c, kernel_size=2, stride=2)
        self.dec1 = _block(2 * c, 2 * c, dilation=1)
        self.up2 = nn.ConvTranspose2d(2 * c, c, kernel_size=2, stride=2)
        self.dec2 = _block(c, c, dilation=1)
        self.head = nn.Conv2d(c, 1, kernel_size=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        fine = self.enc1(images)  # (N, C, H, W)
        middle = self.enc2(self.pool(fine))  # (N, 2C, H/2, W/2)
        coarse = self.enc3(self.pool(middle))  # (N, 4C, H/4, W/4)
        middle = self.dec1(self.up1(coarse) + middle)  # (N, 2C, H/2, W/2)
        fine = self.dec2(self.up2(middle) + fine)  # (N, C, H, W)
        logits: torch.Tensor = self.head(fine)  # (N, 1, H, W)
        return logits


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `atrous_segnet`."""
    return [
        SegmenterSpec(
            name="atrous_segnet",
            build=AtrousSegNet,
            summary="dilated encoder-decoder with additive skips, 0.72 M parameters",
            source="course project on BirdSoundsDenoising (doi 10.5281/zenodo.7191406)",
            options={
                "base_channels": Option(
                    default=64,
                    minimum=1,
                    maximum=1024,
                    help="channels of the first stage; ×2 and ×4 below it",
                )
            },
            size_multiple=4,
            parameters=720_705,
            gflop=16.9,
        )
    ]
