"""SegFormer (Xie et al. 2021, arXiv 2105.15203): a hierarchical transformer, and a decoder of linear layers.

The transformer is the encoder `mit_b0` to `mit_b5`; the decoder serves other encoders too.
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

    return build_network(smp.Segformer, "a SegFormer", encoder, pretrained)


@hookimpl
def benchbird_segmenters() -> Iterable[SegmenterSpec]:
    """Offer `segformer`."""
    return [
        SegmenterSpec(
            name="segformer",
            build=build,
            summary="hierarchical transformer with a decoder of linear layers",
            source="arXiv 2105.15203; segmentation-models-pytorch",
            options=encoder_options("mit_b0"),
            check_options=check_options,
            pretraining="pretrained",
            size_multiple=32,
            parameters=3_714_401,
            gflop=3.49,
        )
    ]
