"""Feature pyramid network for segmentation (Kirillov et al. 2019, arXiv 1901.02446; pyramid of arXiv 1612.03144).

It predicts at a quarter of the size, enlarged bilinearly.
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

    return build_network(smp.FPN, "an FPN", encoder, pretrained)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `fpn`."""
    return [
        SegmenterSpec(
            name="fpn",
            build=build,
            summary="feature pyramid: each stage enlarged to a quarter of the size, and summed",
            source="arXiv 1612.03144, 1901.02446; segmentation-models-pytorch",
            options=encoder_options("resnet34"),
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=32,
            parameters=23_155_393,
            gflop=13.7,
        )
    ]
