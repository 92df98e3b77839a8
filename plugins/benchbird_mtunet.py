"""MT-UNet (arXiv 2111.04734): a U-Net whose deep levels are mixed transformer modules, 75.3 M parameters.

Layers, widths and initial values are those of the authors' code (github.com/Dootmaan/MT-UNet, `MTUNet.py`), less 3.8 M
parameters that no output of theirs depends on: each global attention has an output layer that is never called. That
code is bound to one square size. Chosen here: the positions learnt for 28×28 are resampled to the size at hand, the ×4
of the global branch is a product with fixed weights (the library's has no deterministic gradient on CUDA), and windows
that the size leaves incomplete are filled with zeros, of which there are none at multiples of 128. (The authors fill
them with zeros too, but for the corner, into which they copy the last tokens.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.functional import pad

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1

HEADS = 8
WINDOW = 4
"""Side of the windows of local attention, and the step of the global grid."""

POSITIONS = 28
"""Side of the grid that positions are learnt on: the authors' 224 pixels, an eighth."""

EXPANSION = 4
"""How much wider external attention is than its input, in width and in heads."""

MEMORIES = 256 // EXPANSION
"""Entries of external attention's memory, which all heads share."""


def resampling(size: int, wanted: int, like: torch.Tensor) -> torch.Tensor:
    """Weights `(wanted, size)` of linear interpolation that maps the first to the first and the last to the last."""
    dtype = torch.promote_types(like.dtype, torch.float32)  # half precision can't hold the places
    places = torch.arange(wanted, device=like.device, dtype=dtype) * ((size - 1) / max(wanted - 1, 1))
    knots = torch.arange(size, device=like.device, dtype=dtype)
    return (1 - (places[:, None] - knots).abs()).clamp(min=0).to(like.dtype)


def resample(grid: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Bring a grid `(N, H, W, C)` to `(N, height, width, C)` by bilinear interpolation."""
    rows = resampling(grid.shape[1], height, grid)
    columns = resampling(grid.shape[2], width, grid)
    grid = torch.einsum("hr,nrwc->nhwc", rows, grid)
    return torch.einsum("wr,nhrc->nhwc", columns, grid)


class DoubleConvolution(nn.Module):
    """Two 3×3 convolutions, then a 1×1 beside a skip; keeps the size of its input."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.branch = nn.Sequential(nn.Conv2d(channels_out, channels_out, kernel_size=1), nn.BatchNorm2d(channels_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(N, C, H, W)` to `(N, C', H, W)`."""
        x = self.body(x)
        out: torch.Tensor = (x + self.branch(x)).relu()
        return out


class WindowAttention(nn.Module):
    """Self-attention among the 16 tokens of each window, with several heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Map windows `(N, R, S, 16, C)` to the same shape."""

        def heads(x: torch.Tensor) -> torch.Tensor:
            return torch.unflatten(x, -1, (HEADS, -1)).transpose(-2, -3)  # (N, R, S, heads, 16, C/heads)

        query, key, value = heads(self.query(windows)), heads(self.key(windows)), heads(self.value(windows))
        scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
        mixed = scores.softmax(dim=-1) @ value
        out: torch.Tensor = self.out(mixed.transpose(-2, -3).flatten(-2))
        return out


class GaussianAxialAttention(nn.Module):
    """Self-attention along the row and the column of each cell, with one head, less the squared distance.

    The paper's Gaussian weight is `exp(−distance² / 2σ²)`; inside the softmax it is a term of the exponent, whose
    factor is learnt. Scores aren't divided by the root of the width, as in the authors' code. `offset` has no effect
    inside a softmax; it is theirs, and kept so that weights correspond.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.offset = nn.Parameter(-torch.randn(1).abs())
        self.sharpness = nn.Parameter(torch.randn(1).abs())

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        """Map cells `(N, R, S, C)` to the same shape."""
        query, key, value = self.query(cells), self.key(cells), self.value(cells)
        along_rows = self._along(query, key, value)
        along_columns = self._along(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        return along_rows + along_columns.transpose(1, 2)

    def _along(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        place = torch.arange(query.shape[2], device=query.device, dtype=query.dtype)
        distance = (place[:, None] - place).square()  # (S, S), in cells
        scores = query @ key.transpose(-1, -2) - (self.sharpness * distance + self.offset)
        return scores.softmax(dim=-1) @ value


class LocalGlobalAttention(nn.Module):
    """LGG-SA: attention within windows, then among one summary of each, both joined by a 1×1 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = WindowAttention(width)
        self.weigh = nn.Linear(width, WINDOW * WINDOW)
        self.far = GaussianAxialAttention(width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens `(N, H, W, C)` to the same shape."""
        height, width = tokens.shape[1:3]
        tokens = pad(tokens, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
        grid = torch.unflatten(tokens, 2, (-1, WINDOW))
        grid = torch.unflatten(grid, 1, (-1, WINDOW))  # (N, R, 4, S, 4, C)
        windows = self.local(grid.transpose(2, 3).flatten(3, 4))  # (N, R, S, 16, C)
        weights = self.weigh(windows.mean(dim=3)).softmax(dim=-1)  # (N, R, S, 16)
        cells = self.far((weights[..., None, :] @ windows).squeeze(3))  # (N, R, S, C)
        near = windows.unflatten(3, (WINDOW, WINDOW)).transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (N, 4R, 4S, C)
        far = resample(cells, near.shape[1], near.shape[2])
        joined: torch.Tensor = self.join(torch.cat([far, near], dim=-1))
        return joined[:, :height, :width]


class ExternalAttention(nn.Module):
    """Attention to memories that are learnt over the data set, normalised over tokens and then over memories.

    As tokens are normalised first, the bias of `remember` has no effect; it is the authors', and kept.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = HEADS * EXPANSION
        self.query = nn.Linear(width, width * EXPANSION)
        self.remember = nn.Linear(width * EXPANSION // self.heads, MEMORIES)
        self.recall = nn.Linear(MEMORIES, width * EXPANSION // self.heads)
        self.out = nn.Linear(width * EXPANSION, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens `(N, H, W, C)` to the same shape."""
        height, width = tokens.shape[1:3]
        query = self.query(tokens.flatten(1, 2)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, HW, C/8)
        attention = self.remember(query).softmax(dim=-2)  # (N, heads, HW, memories)
        attention = attention / (attention.sum(dim=-1, keepdim=True) + 1e-9)
        recalled = self.recall(attention).transpose(1, 2).flatten(2)  # (N, HW, 4C)
        out: torch.Tensor = self.out(recalled).unflatten(1, (height, width))
        return out


class MixedTransformerModule(nn.Module):
    """MTM: local-global and external attention, each after a LayerNorm and beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(width, eps=1e-6)
        self.attend_self = LocalGlobalAttention(width)
        self.norm_external = nn.LayerNorm(width, eps=1e-6)
        self.attend_external = ExternalAttention(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens `(N, H, W, C)` to the same shape."""
        tokens = tokens + self.attend_self(self.norm_self(tokens))
        tokens = tokens + self.attend_external(self.norm_external(tokens))
        return tokens


def _modules(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(MixedTransformerModule(width) for _ in range(count)))


def _to_image(tokens: torch.Tensor) -> torch.Tensor:
    return tokens.permute(0, 3, 1, 2)  # (N, H, W, C) → (N, C, H, W)


def _to_tokens(image: torch.Tensor) -> torch.Tensor:
    return image.permute(0, 2, 3, 1)  # (N, C, H, W) → (N, H, W, C)


class MTUNet(nn.Module):
    """The network; H and W must be divisible by 32.

    Args:
        base_channels: channels of the first level; each of the four below it has twice as many as the one above.
        modules: mixed transformer modules of each of the five stages that have any.
    """

    def __init__(self, base_channels: int, modules: int) -> None:
        super().__init__()
        c = base_channels
        self.stem = nn.ModuleList(
            [DoubleConvolution(3, c), DoubleConvolution(c, 2 * c), DoubleConvolution(2 * c, 4 * c)]
        )
        self.pool = nn.MaxPool2d(2)
        self.embed = nn.Sequential(nn.Conv2d(4 * c, 4 * c, kernel_size=1, bias=False), nn.BatchNorm2d(4 * c), nn.ReLU())
        self.positions = nn.Parameter(torch.zeros(1, POSITIONS, POSITIONS, 4 * c))
        self.encoder = nn.ModuleList([_modules(4 * c, modules), _modules(8 * c, modules)])
        self.merges = nn.ModuleList(
            nn.Sequential(nn.Conv2d(k, 2 * k, kernel_size=2, stride=2, bias=False), nn.BatchNorm2d(2 * k), nn.ReLU())
            for k in (4 * c, 8 * c)
        )
        self.bottleneck = _modules(16 * c, modules)
        self.splits = nn.ModuleList(nn.ConvTranspose2d(2 * k, k, kernel_size=2, stride=2) for k in (8 * c, 4 * c))
        self.reduce = nn.Conv2d(16 * c, 8 * c, kernel_size=1)
        # The last stage of the transformer's decoder keeps both halves of its input, as in the authors' code.
        self.decoder = nn.ModuleList([_modules(8 * c, modules), _modules(8 * c, modules)])
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * k, k, kernel_size=2, stride=2) for k in (4 * c, 2 * c, c))
        self.refine = nn.ModuleList(DoubleConvolution(2 * k, k) for k in (4 * c, 2 * c, c))
        self.head = nn.Conv2d(c, 1, kernel_size=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        x, features = images, []
        for convolutions in self.stem:
            features.append(convolutions(x))
            x = self.pool(features[-1])
        x = _to_tokens(self.embed(x))  # (N, H/8, W/8, 4C)
        x = x + resample(self.positions, x.shape[1], x.shape[2])
        skips = []
        for stage, merge in zip(self.encoder, self.merges, strict=True):
            skips.append(_to_image(stage(x)))
            x = _to_tokens(merge(skips[-1]))
        x = _to_image(self.bottleneck(x))  # (N, 16C, H/32, W/32)
        x = self.reduce(torch.cat([self.splits[0](x), skips[1]], dim=1))
        x = _to_image(self.decoder[0](_to_tokens(x)))  # (N, 8C, H/16, W/16)
        x = torch.cat([self.splits[1](x), skips[0]], dim=1)
        x = _to_image(self.decoder[1](_to_tokens(x)))  # (N, 8C, H/8, W/8)
        for up, refine, feature in zip(self.ups, self.refine, reversed(features), strict=True):
            x = refine(torch.cat([feature, up(x)], dim=1))
        logits: torch.Tensor = self.head(x)  # (N, 1, H, W)
        return logits


def check_options(options: Mapping[str, object]) -> str | None:
    """Say why a width can't be had, or None."""
    base_channels = options["base_channels"]
    if isinstance(base_channels, int) and base_channels % 2:
        return f"base_channels: {base_channels} is odd, and {HEADS} heads share 4 times as many; choose an even number"
    return None


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `mtunet`."""
    return [
        SegmenterSpec(
            name="mtunet",
            build=MTUNet,
            summary="U-Net with local-global and external attention in its deep levels, 75.3 M parameters",
            source="arXiv 2111.04734; github.com/Dootmaan/MT-UNet",
            options={
                "base_channels": Option(
                    default=64,
                    minimum=2,
                    maximum=512,
                    help="even; channels of the first level, doubled at each of the four below; 8 suits laptops",
                ),
                "modules": Option(
                    default=2, minimum=1, maximum=16, help="mixed transformer modules of each of the five stages"
                ),
            },
            check_options=check_options,
            size_multiple=32,
            parameters=75_268_149,
            gflop=103.9,
        )
    ]
