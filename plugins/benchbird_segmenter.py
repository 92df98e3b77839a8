"""Segmenter (arXiv 2105.05633): a vision transformer, and a mask transformer that compares patches with classes.

The encoder is timm's ViT, with a stochastic depth of 0.1 as the authors train it. The decoder is the paper's: class
embeddings join the patches for two layers with dropout 0.1; then the cosine between a patch and a class, enlarged
bilinearly, is that class's score. Positions, learnt for one size, are resampled bilinearly to others, as there.

Two classes, bird and other, whose scores' difference is the logit. Their scores aren't normalised by the original's
LayerNorm over classes: of one class it makes a constant, of two merely a sign, which neither learns nor says how sure
it is. What it does for many classes is done by one learnt factor, at first √width, since cosines of random directions
deviate by 1/√width, and one learnt offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate, normalize

from benchbird import Option, SegmenterSpec, hookimpl, hub_advice, loading_weights

BENCHBIRD_API = 1

ENCODERS = (
    "vit_tiny_patch16_224",
    "vit_tiny_patch16_384",
    "vit_small_patch16_224",
    "vit_small_patch16_384",
    "vit_base_patch16_224",
    "vit_base_patch16_384",
    "vit_base_patch8_224",
    "vit_large_patch16_224",
    "vit_large_patch16_384",
)
"""timm's plain ViTs of patches that fit into 16 pixels. All were pretrained on the protocol's scale, [-1, 1]."""

STOCHASTIC_DEPTH = 0.1

DROPOUT = 0.1

CLASSES = 2


def resampling(size: int, wanted: int, like: torch.Tensor) -> torch.Tensor:
    """Weights `(wanted, size)` of linear interpolation between the middles of cells."""
    dtype = torch.promote_types(like.dtype, torch.float32)  # half precision can't hold the places
    places = (torch.arange(wanted, device=like.device, dtype=dtype) + 0.5) * (size / wanted) - 0.5
    knots = torch.arange(size, device=like.device, dtype=dtype)
    return (1 - (places.clamp(0, size - 1)[:, None] - knots).abs()).clamp(min=0).to(like.dtype)


class MaskTransformer(nn.Module):
    """The decoder.

    Args:
        width: of a token.
        depth: number of layers.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block

        heads = width // 64
        self.project = nn.Linear(width, width)
        self.classes = nn.Parameter(torch.empty(1, CLASSES, width))
        self.blocks = nn.Sequential(
            *(
                Block(width, heads, qkv_bias=True, proj_drop=DROPOUT, attn_drop=DROPOUT, norm_layer=nn.LayerNorm)
                for _ in range(depth)
            )
        )
        self.norm = nn.LayerNorm(width)
        self.patch_direction = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.class_direction = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.factor = nn.Parameter(torch.tensor(width**0.5))
        self.offset = nn.Parameter(torch.tensor(0.0))
        nn.init.trunc_normal_(self.classes, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Map patches `(N, P, C)` to their logits `(N, P)`."""
        classes = self.classes.expand(len(patches), -1, -1)
        tokens = self.norm(self.blocks(torch.cat([self.project(patches), classes], dim=1)))  # (N, P + 2, C)
        patches = normalize(tokens[:, :-CLASSES] @ self.patch_direction, dim=2)
        classes = normalize(tokens[:, -CLASSES:] @ self.class_direction, dim=2)
        other, bird = (patches @ classes.transpose(1, 2)).unbind(dim=2)  # cosines, (N, P) each
        return (bird - other) * self.factor + self.offset


class Segmenter(nn.Module):
    """The network; H and W must be divisible by the encoder's patch.

    Args:
        encoder: timm's VisionTransformer, without its head.
        decoder_depth: layers of the mask transformer.
    """

    def __init__(self, encoder: Any, decoder_depth: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = MaskTransformer(encoder.embed_dim, decoder_depth)
        for module in self.modules():
            if hasattr(module, "fused_attn"):
                # torch counts no operations of its fused attention on a CPU, and a cost must not depend on that.
                module.fused_attn = False  # type: ignore[assignment]  # timm's own, unknown to torch

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map float32 images `(N, 3, H, W)` to float32 logits `(N, 1, H, W)`."""
        grid = self.encoder.patch_embed(images)  # (N, R, S, C)
        rows, columns = grid.shape[1:3]
        tokens = torch.cat([self.encoder.cls_token.expand(len(grid), -1, -1), grid.flatten(1, 2)], dim=1)
        tokens = self.encoder.norm(self.encoder.blocks(tokens + self._positions(rows, columns)))  # (N, 1 + RS, C)
        coarse = self.decoder(tokens[:, 1:]).reshape(-1, 1, rows, columns)  # (N, 1, R, S)
        return interpolate(coarse, size=images.shape[2:], mode="bilinear", align_corners=False)

    def _positions(self, rows: int, columns: int) -> torch.Tensor:
        """Bilinear interpolation as products: timm's is bicubic, which has no deterministic gradient on CUDA."""
        learnt: torch.Tensor = self.encoder.pos_embed  # (1, 1 + R'S', C)
        grid = learnt[0, 1:].reshape(*self.encoder.patch_embed.grid_size, -1)
        if grid.shape[:2] != (rows, columns):
            down, across = resampling(grid.shape[0], rows, grid), resampling(grid.shape[1], columns, grid)
            grid = torch.einsum("sj,rjc->rsc", across, torch.einsum("ri,ijc->rjc", down, grid))
        return torch.cat([learnt[0, :1], grid.flatten(0, 1)])[None]


def build(encoder: str, pretrained: str, decoder_depth: int) -> nn.Module:
    """Build the network.

    Args:
        encoder: one of `ENCODERS`.
        pretrained: `none` or `imagenet` (the encoder alone).
        decoder_depth: layers of the mask transformer.

    Raises:
        BenchbirdError: pretrained weights can't be fetched.
    """
    import timm

    def made(pretrained: bool) -> Any:
        return timm.create_model(
            encoder,
            pretrained=pretrained,
            num_classes=0,
            global_pool="",
            dynamic_img_size=True,
            drop_path_rate=STOCHASTIC_DEPTH,
        )

    if pretrained == "none":
        return Segmenter(made(False), decoder_depth)
    weights = timm.get_pretrained_cfg(encoder)
    repository, _, revision = ((weights and weights.hf_hub_id) or "unknown").partition("@")
    what = f"of encoder {encoder}, https://huggingface.co/{repository},"
    with loading_weights(what, hub_advice(repository, revision or "main")):
        loaded = made(True)
    return Segmenter(loaded, decoder_depth)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `segmenter`."""
    return [
        SegmenterSpec(
            name="segmenter",
            build=build,
            summary="vision transformer with a mask transformer on top, 6.6 M parameters with the tiny encoder",
            source="arXiv 2105.05633; timm",
            options={
                "encoder": Option(
                    default="vit_tiny_patch16_384",
                    choices=ENCODERS,
                    help="the last number is the size that positions are learnt for; any size can be used",
                ),
                "pretrained": Option(
                    default="none", choices=("none", "imagenet"), help="imagenet: the encoder's weights"
                ),
                "decoder_depth": Option(default=2, minimum=1, maximum=24, help="layers of the mask transformer"),
            },
            pretraining="pretrained",
            size_multiple=16,
            parameters=6_598_658,
            gflop=4.02,
        )
    ]
