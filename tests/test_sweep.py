"""What `--sweep` means."""

from __future__ import annotations

import pytest

from benchbird.errors import UsageError
from benchbird.leaderboard import rank
from benchbird.sweep import MOST_VALUES, curve, parse_sweep
from tests.record_factory import make_record, make_segmenter


def test_a_key_and_its_values() -> None:
    sweep = parse_sweep("data.sizes.train=50, 100,250")
    assert sweep.key == "data.sizes.train"
    assert sweep.values == ("50", "100", "250")
    assert sweep.override("100") == "data.sizes.train=100"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.sizes.train", "KEY=A,B"),
        ("=1,2", "KEY=A,B"),
        ("protocol.epochs=1", "two values or more"),
        ("protocol.epochs=1,", "two values or more"),
        ("protocol.epochs=1,1", "each value once"),
        ("protocol.epochs=" + ",".join(map(str, range(MOST_VALUES + 1))), "at most"),
    ],
)
def test_what_can_not_be_meant(text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        parse_sweep(text)


def test_the_curve_has_every_label_and_its_score_at_each_value() -> None:
    few = rank([make_record(make_segmenter("a"), iou=0.4), make_record(make_segmenter("b"), iou=0.5)])
    many = rank([make_record(make_segmenter("a"), iou=0.7)])
    labels, points = curve([few, many])
    assert labels == ("b", "a")
    assert [point["a"].mean for point in points] == [0.4, 0.7]
    assert "b" not in points[1]
