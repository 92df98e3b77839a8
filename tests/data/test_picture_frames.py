from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchbird.data.picture_frames import median_frames
from tests.split_factory import memory_split

MANIFEST = {"seconds": "5.0", "sample_rate": "16000"}


Picture = tuple[Mapping[str, str], tuple[int, int]]


def frames_of(*pictures: Picture) -> int | None:
    attributes, sizes = zip(*pictures, strict=True)
    return median_frames(replace(memory_split("train", len(pictures)), attributes=attributes, native_sizes=sizes))


@pytest.mark.parametrize(
    ("attributes", "size", "frames"),
    [
        (MANIFEST, (512, 768), 1249),  # resized by its maker: 80,000 samples are (80,000 − 128) / 64 + 1 frames
        (MANIFEST, (1024, 3000), 1249),
        ({}, (1024, 3000), 3000),
        ({"seconds": "5.0"}, (1024, 951), 951),
        ({"seconds": "long", "sample_rate": "16000"}, (1024, 951), 951),
        ({"seconds": "nan", "sample_rate": "16000"}, (1024, 951), 951),
        ({"seconds": "inf", "sample_rate": "16000"}, (1024, 951), 951),
        ({"seconds": "-5", "sample_rate": "16000"}, (1024, 951), 951),
        ({}, (512, 768), None),
    ],
)
def test_frames_follow_from_the_manifest_or_an_unchanged_size(
    attributes: Mapping[str, str], size: tuple[int, int], frames: int | None
) -> None:
    assert frames_of((attributes, size)) == frames


def test_the_median_is_a_length_that_occurs_and_half_must_be_known() -> None:
    known: Picture = ({}, (1024, 900))
    unknown: Picture = ({}, (512, 700))
    assert frames_of(known, ({}, (1024, 1000)), ({}, (1024, 5000)), ({}, (1024, 1100))) == 1000
    assert frames_of(known, unknown) == 900
    assert frames_of(known, unknown, unknown) is None
