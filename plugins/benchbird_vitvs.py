"""ViTVS (arXiv 2406.09167, Interspeech 2024): a plain vision transformer that writes the mask patch by patch.

The paper states BatchNorm, patches, self-attention in 12 blocks (its ablation's best) and a loss over two classes.
Everything else is from the authors' notebook (github.com/sahilkumar15/Bird_sound, `Audio_denoising_ViTVS_final.ipynb`),
the only public code: 16×16 patches through one linear layer, learnt positions, width 256, 16 heads, LayerNorm first,
dropout 0.2, no LayerNorm at the end, one linear layer back to pixels. They disagree twice. The overview figure has 12
blocks in an encoder and 12 in a decoder, the notebook 12 in all and no decoder but that last layer; the notebook is
followed, since its log shows the published score. And its output has three scores, one of which stands for no label.

Chosen here: two scores, whose difference is the logit, so that the loss over two classes is the protocol's; positions,
learnt for 256 pixels, are resampled to other sizes, which the notebook refuses. Its images are in [0, 1], here they are
in [-1, 1]; BatchNorm takes either. Its recipe (AdamW, 5e-5, falling linearly over 100 epochs) is not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn
from torch.nn.functional import dropout

from benchbird import Option, SegmenterSpec, hookimpl

BENCHBIRD_API = 1

LEARNT_SIZE = 256
"""Side in pixels of the images that positions are learnt for."""


def resampling(size: int, wanted: int, like: torch.Tensor) -> torch.Tensor:
    """Weights `(wanted, size)` of linear interpolation that maps the first to the first and the last to the last."""
    dtype = torch.promote_types(like.dtype, torch.float32)  # half precision can't hold the places
    places = torch.arange(wanted, device=like.device, dtype=dtype) * ((size - 1) / max(wanted - 1, 1))
    knots = torch.arange(size, device=like.device, dtype=dtype)
    return (1 - (places[:, None] - knots).abs()).clamp(min=0).to(like.dtype)


class Attention(nn.Module):
    """Self-attention among all tokens, with several heads, and dropout on its weights.

    In plain products: torch counts no operations of its fused attention on a CPU, and a cost must not depend on that.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.inputs = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        # As in torch.nn.MultiheadAttention, which the authors use.
        nn.init.xavier_uniform_(self.inputs.weight)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens `(N, T, C)` to the same shape."""
        inputs = self.inputs(tokens).unflatten(-1, (3, self.heads, -1))  # (N, T, 3, heads, C/heads)
        query, key, value = inputs.permute(2, 0, 3, 1, 4)  # (N, heads, T, C/heads) each
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)  # (N, heads, T, T)
        mixed = dropout(weights, self.dropout, self.training) @ value
        out: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and a perceptron four times as wide, each after a LayerNorm and beside a skip."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.norm_perceptron = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens `(N, T, C)` to the same shape."""
        tokens = tokens + self.attention(self.norm_attention(tokens))
        tokens = tokens + self.perceptron(self.norm_perceptron(tokens))
        return tokens


class ViTVS(nn.Module):
    """The network; H and W must be divisible by `patch_size`.

    Args:
        width: of a token.
        depth: number of blocks.
        heads: of each attention; `width` must be divisible by it.
        patch_size: side of a patch in pixels.
        dropout: probability, in attention's weights and after each perceptron.
    """

    def __init__(self, width: int, depth: int, heads: int, patch_size: int, dropout: float) -> None:
        super().__init__()
        grid = LEARNT_SIZE // patch_size
        self.patch_size = patch_size
        self.norm = nn.BatchNorm2d(3)
        self.embed = nn.Linear(3 * patch_size * patch_size, width)
        self.positions = nn.Parameter(torch.randn(grid, grid, width))
        self.blocks = nn.Sequential(*(Block(width, heads, dropout) for _ in range(depth)))
        self.project = nn.Linear(width, 2 * patch_size * patch_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        p = self.patch_size
        rows, columns = images.shape[2] // p, images.shape[3] // p
        cut = self.norm(images).unflatten(3, (columns, p)).unflatten(2, (rows, p))  # (N, 3, R, P, S, P)
        tokens = self.embed(cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))  # (N, RS, C)
        tokens = self.blocks(tokens + self._positions_for(rows, columns))
        scores = self.project(tokens).unflatten(2, (2, p, p)).unflatten(1, (rows, columns))  # (N, R, S, 2, P, P)
        background, bird = scores.permute(3, 0, 1, 4, 2, 5)  # (N, R, P, S, P) each
        logits: torch.Tensor = (bird - background).flatten(3).flatten(1, 2).unsqueeze(1)  # (N, 1, H, W)
        return logits

    def _positions_for(self, rows: int, columns: int) -> torch.Tensor:
        """Bilinear interpolation as products: the library's has no deterministic gradient on CUDA."""
        grid: torch.Tensor = self.positions
        if grid.shape[:2] != (rows, columns):
            down, across = (resampling(len(grid), wanted, grid) for wanted in (rows, columns))
            grid = torch.einsum("ri,sj,ijc->rsc", down, across, grid)
        return grid.flatten(0, 1)


def check_options(options: Mapping[str, object]) -> str | None:
    """Say why a width can't be shared by the heads, or None."""
    width, heads = options["width"], options["heads"]
    if isinstance(width, int) and isinstance(heads, int) and width % heads:
        return f"width: {width} can't be shared by {heads} heads; choose a multiple of {heads}, or other heads"
    return None


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `vitvs`."""
    return [
        SegmenterSpec(
            name="vitvs",
            build=ViTVS,
            summary="vision transformer of 12 blocks that writes the mask patch by patch, 9.9 M parameters",
            source="arXiv 2406.09167; github.com/sahilkumar15/Bird_sound",
            options={
                "width": Option(default=256, minimum=1, maximum=4096, help="of a token; 64 suits laptops"),
                "depth": Option(default=12, minimum=1, maximum=64, help="number of blocks; 4 suits laptops"),
                "heads": Option(default=16, minimum=1, maximum=64, help="of each attention; must divide width"),
                "patch_size": Option(default=16, choices=(4, 8, 16), help="side of a patch in pixels"),
                "dropout": Option(default=0.2, minimum=0.0, maximum=0.9, help="probability in each block"),
            },
            check_options=check_options,
            size_multiple=16,
            parameters=9_871_110,
            gflop=5.80,
        )
    ]
