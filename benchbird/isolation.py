"""A recording cleaned by what a trial's model says of it: what it takes for bird is kept, the rest is silence.

Owns the mask and its application. Where logits come from is `listening.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchbird.audio.stft import OverlapAdd
from benchbird.listening import AudioArray, LogitArray, Stretch

MaskKind = Literal["binary", "soft"]


def isolate(
    stretches: Iterable[Stretch], mask: MaskKind, logit_threshold: float
) -> Iterator[tuple[AudioArray, AudioArray]]:
    """Clean a recording.

    Args:
        stretches: all of it, as `listen` gives them.
        mask: `binary` keeps a cell whole or not at all, by the threshold; `soft` weighs it by the probability.
        logit_threshold: of the protocol.

    Yields:
        What was read and what is left of it, stretch by stretch, both `(n, channels)`; joined, they are as long as
        the recording. Of a recording without a whole frame nothing comes out.
    """
    adders: list[OverlapAdd] = []
    for stretch in stretches:
        adders = adders or [OverlapAdd() for _ in stretch.logits]
        after = np.empty_like(stretch.samples)
        for channel, adder in enumerate(adders):
            share = share_kept(stretch.logits[channel], mask, logit_threshold)
            kept = adder.add(share * stretch.spectra[channel])
            if stretch.is_rest:
                kept = np.concatenate([kept, adder.finish()])
            after[:, channel] = kept[: len(after)]
        yield stretch.samples, after


def share_kept(logits: LogitArray, mask: MaskKind, logit_threshold: float) -> npt.NDArray[np.float32]:
    """How much of each cell is kept, in [0, 1], of the logits' shape."""
    if mask == "soft":
        return np.asarray(1.0 / (1.0 + np.exp(-logits.clip(-80.0, 80.0))), dtype=np.float32)
    return (logits > logit_threshold).astype(np.float32)
