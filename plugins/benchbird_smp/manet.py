"""MA-Net (Fan et al. 2020, doi 10.1109/ACCESS.2020.3025372): attention over positions and over channels of stages."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from benchbird import SegmenterSpec, hookimpl
from benchbird_smp.encoders import build_network, check_options, encoder_options

BENCHBIRD_API = 1


def build(encoder: str, pretrained: str) -> nn.Module:
    """The network; see `build_network`."""
    import segmentation_models_pytorch as smp

    return build_network(smp.MAnet, "a MA-Net", encoder, pretrained)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `manet`."""
    return [
        SegmenterSpec(
            name="manet",
            build=build,
            summary="U-Net with attention over positions at the bottom and over channels of each stage",
            source="doi 10.1109/ACCESS.2020.3025372; segmentation-models-pytorch",
            options=encoder_options("resnet34"),
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=32,
            parameters=31_783_633,
            gflop=16.6,
        )
    ]
