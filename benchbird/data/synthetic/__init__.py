"""The embedded data set: bird song made from a seed, rendered as the public set is, with exact masks."""

from __future__ import annotations

from benchbird.data.synthetic.files import write_synthetic
from benchbird.data.synthetic.options import GENERATOR_VERSION, SPLITS, SyntheticOptions, option_faults
from benchbird.data.synthetic.scenes import SyntheticSample, synthesize
from benchbird.data.synthetic.streams import sample_identity

__all__ = [
    "GENERATOR_VERSION",
    "SPLITS",
    "SyntheticOptions",
    "SyntheticSample",
    "option_faults",
    "sample_identity",
    "synthesize",
    "write_synthetic",
]
