"""DeepLabV3+ (Chen et al. 2018, arXiv 1802.02611): atrous pyramid at a sixteenth, decoded with a stage at a quarter.

Its encoder is one of segmentation-models-pytorch's whose last stage can be dilated.
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

    return build_network(smp.DeepLabV3Plus, "a DeepLabV3+", encoder, pretrained)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `deeplabv3plus`."""
    return [
        SegmenterSpec(
            name="deeplabv3plus",
            build=build,
            summary="DeepLabV3 with a decoder that brings in a stage of a quarter of the size",
            source="arXiv 1802.02611; segmentation-models-pytorch",
            options=encoder_options("resnet34"),
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=16,
            parameters=22_437_457,
            gflop=15.8,
        )
    ]
