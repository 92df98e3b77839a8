"""Which recording a sample belongs to, and the random stream of each part of it.

All of it is a function of (generator version, seed, split, index): nothing depends on how many samples
are asked for, on their order, or on the process that asks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from benchbird.data.synthetic.options import GENERATOR_VERSION, SPLITS, SyntheticOptions

# Fractional parts of the golden ratio and of √2: their multiples fill 0 … 1 evenly, so that a share holds
# in every stretch of samples, not only on average.
_EVEN_STEPS = {"empty": 0.6180339887498949, "couple": 0.41421356237309515}


@dataclass(frozen=True)
class Identity:
    """The place of one sample: its ids, its channel (`left`, `right` or empty) and whether a bird sings."""

    sample_id: str
    recording_id: str
    channel: str
    has_bird: bool


def random_stream(options: SyntheticOptions, *names: str | int) -> np.random.Generator:
    """A generator of its own for `names` (split, recording, part …), the same on every machine."""
    text = "/".join(str(part) for part in ("benchbird", GENERATOR_VERSION, options.seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    words = np.frombuffer(digest, dtype="<u4").tolist()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _even(options: SyntheticOptions, split: str, purpose: str, position: int) -> float:
    """A number in 0 … 1 whose values over successive positions are evenly spread."""
    start = random_stream(options, split, "even", purpose).random()
    return float((start + position * _EVEN_STEPS[purpose]) % 1.0)


def identify(options: SyntheticOptions, split: str, index: int) -> Identity:
    """The identity of sample `index` (0, 1, …) of `split`.

    Raises:
        ValueError: if `split` is not `train`, `val` or `test`, or `index` is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"split: found {split!r}, expected one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"index: found {index}, expected 0 or more")
    # Indices go in blocks of two: a block is one recording in stereo or two recordings in mono.
    block = index // 2
    is_couple = _even(options, split, "couple", block) < options.pair_share
    first = 2 * block if is_couple else index
    recording_id = f"SYN_{split}_{first:06d}"
    channel = ("left", "right")[index % 2] if is_couple else ""
    has_bird = _even(options, split, "empty", first) >= options.empty_share
    return Identity(f"{recording_id}_{channel}" if channel else recording_id, recording_id, channel, has_bird)


def sample_identity(options: SyntheticOptions, split: str, index: int) -> tuple[str, str]:
    """`(sample_id, recording_id)` of a sample, without making it; raises as `identify`."""
    identity = identify(options, split, index)
    return identity.sample_id, identity.recording_id
