"""U²-Net (arXiv 2005.09007): a U-shaped network each of whose stages is a small U-shaped network of its own.

Stages are residual U-blocks, RSU in the paper; six side outputs are enlarged and fused by a 1×1 convolution. The fused
map is the logit here. The original supervises every side output by a loss of its own; a loss belongs to the protocol,
which has one for all, so that is left out: each side convolution gets its gradient through the fusion. Both sizes of
the paper; weights by Glorot's uniform initialisation, as there, with zero biases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1


@dataclass(frozen=True)
class Block:
    """One stage of the network: a residual U-block.

    Attributes:
        height: convolutions on the way down, the lowest included.
        inner: channels inside.
        outer: channels it puts out.
        dilated: whether it dilates its convolutions in place of pooling.
    """

    height: int
    inner: int
    outer: int
    dilated: bool = False


Table = tuple[tuple[Block, ...], tuple[Block, ...]]

FULL: Table = (
    (
        Block(7, 32, 64),
        Block(6, 32, 128),
        Block(5, 64, 256),
        Block(4, 128, 512),
        Block(4, 256, 512, dilated=True),
        Block(4, 256, 512, dilated=True),
    ),
    (
        Block(4, 256, 512, dilated=True),
        Block(4, 128, 256),
        Block(5, 64, 128),
        Block(6, 32, 64),
        Block(7, 16, 64),
    ),
)
"""Encoder and decoder in the order of their use."""

SMALL: Table = (
    tuple(replace(block, inner=16, outer=64) for block in FULL[0]),
    tuple(replace(block, inner=16, outer=64) for block in FULL[1]),
)
"""U²-Net†."""

TABLES = {"full": FULL, "small": SMALL}


def convolution(channels_in: int, channels_out: int, dilation: int = 1) -> nn.Sequential:
    """A 3×3 convolution with bias, BatchNorm and ReLU; keeps the size of its input."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=dilation, dilation=dilation),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def resized(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Enlarge `(N, C, h, w)` to the H and W of another tensor by bilinear interpolation."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class ResidualUBlock(nn.Module):
    """A small U-shaped network beside a skip; keeps the size of its input.

    Args:
        channels_in: channels of its input.
        block: its shape.
    """

    def __init__(self, channels_in: int, block: Block) -> None:
        super().__init__()
        steps = range(block.height - 1)
        self.dilated = block.dilated
        self.entry = convolution(channels_in, block.outer)
        self.down = nn.ModuleList(
            convolution(block.inner if step else block.outer, block.inner, 2**step if block.dilated else 1)
            for step in steps
        )
        self.bottom = convolution(block.inner, block.inner, 2 ** (block.height - 1) if block.dilated else 2)
        self.up = nn.ModuleList(
            convolution(2 * block.inner, block.inner if step else block.outer, 2**step if block.dilated else 1)
            for step in reversed(steps)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, channels_in, H, W)` to `(N, block.outer, H, W)`."""
        entry: torch.Tensor = self.entry(x)
        x, skips = entry, []
        for step, layer in enumerate(self.down):
            x = layer(max_pool2d(x, 2) if step and not self.dilated else x)
            skips.append(x)
        x = self.bottom(x)
        for layer in self.up:
            skip = skips.pop()
            x = layer(torch.cat([resized(x, skip), skip], dim=1))
        return x + entry


class U2Net(nn.Module):
    """The network; H and W must be divisible by 32.

    Args:
        size: `full` or `small`.
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        encoder, decoder = TABLES[size]
        inputs = [3, *(block.outer for block in encoder)]
        self.encoder = nn.ModuleList(
            ResidualUBlock(channels, block) for channels, block in zip(inputs, encoder, strict=False)
        )
        from_below = [encoder[-1], *decoder]
        self.decoder = nn.ModuleList(
            ResidualUBlock(below.outer + beside.outer, block)
            for below, beside, block in zip(from_below, encoder[-2::-1], decoder, strict=False)
        )
        self.sides = nn.ModuleList(nn.Conv2d(block.outer, 1, kernel_size=3, padding=1) for block in from_below)
        self.fusion = nn.Conv2d(len(self.sides), 1, kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None, "as built"
                nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        x, skips = images, []
        for depth, block in enumerate(self.encoder):
            x = block(max_pool2d(x, 2) if depth else x)
            skips.append(x)
        maps = [skips.pop()]  # (N, C, H/32, W/32)
        for block in self.decoder:
            skip = skips.pop()
            maps.append(block(torch.cat([resized(maps[-1], skip), skip], dim=1)))
        sides = [resized(side(x), images) for side, x in zip(self.sides, maps, strict=True)]
        logits: torch.Tensor = self.fusion(torch.cat(sides, dim=1))  # (N, 1, H, W)
        return logits


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `u2net`."""
    return [
        SegmenterSpec(
            name="u2net",
            build=U2Net,
            summary="a U of small U's with six side outputs fused, 44.0 M or 1.1 M parameters",
            source="arXiv 2005.09007",
            options={
                "size": Option(
                    default="full",
                    choices=tuple(TABLES),
                    help="small: the paper's U²-Net† of 1.1 M parameters, which suits laptops",
                )
            },
            size_multiple=32,
            parameters=44_009_869,
            gflop=75.0,
        )
    ]
