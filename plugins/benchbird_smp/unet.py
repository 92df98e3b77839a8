"""U-Net (arXiv 1505.04597): the library's five stages, nearest-neighbour enlargement, BatchNorm.

The original's own layers, from scratch, are `unet_plain`.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from benchbird import SegmenterSpec, hookimpl
from benchbird_smp.encoders import build_network, check_options, encoder_options

BENCHBIRD_API = 1


def build(encoder: str, pretrained: str) -> nn.Module:
    """The network; see `build_network`."""
    import segmentation_models_pytorch as smp

    return build_network(smp.Unet, "a U-Net", encoder, pretrained)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `unet`."""
    return [
        SegmenterSpec(
            name="unet",
            build=build,
            summary="encoder-decoder with skips by concatenation, on a classification encoder",
            source="arXiv 1505.04597; segmentation-models-pytorch",
            options=encoder_options("resnet34"),
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=32,
            parameters=24_436_369,
            gflop=15.6,
        )
    ]
