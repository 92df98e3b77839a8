"""U-Net++ (Zhou et al. 2018, arXiv 1807.10165): skips through nested, dense convolutions.

Without the original's deep supervision, which is a loss: that belongs to the protocol.
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

    return build_network(smp.UnetPlusPlus, "a U-Net++", encoder, pretrained)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `unetplusplus`."""
    return [
        SegmenterSpec(
            name="unetplusplus",
            build=build,
            summary="U-Net whose skips are nested dense convolutions",
            source="arXiv 1807.10165; segmentation-models-pytorch",
            options=encoder_options("resnet34"),
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=32,
            parameters=26_078_609,
            gflop=36.8,
        )
    ]
