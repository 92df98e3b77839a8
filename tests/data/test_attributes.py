from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbird.contract import GeneratedSample, Sample
from benchbird.data.attributes import keep_where, require_every_split
from benchbird.errors import DataError


def sample(name: str, **attributes: str) -> Sample:
    return Sample(sample_id=name, recording_id=name, image=Path("i"), mask=Path("m"), attributes=attributes)


SPLITS = {
    "train": (sample("a", kind="mixed", snr_db="3"), sample("b", kind="human_mask", snr_db="")),
    "val": (sample("c", kind="mixed", snr_db="3.0"), sample("d")),
    "test": (sample("e", kind="human_mask", snr_db="3"),),
}


def kept(where: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {split: [one.sample_id for one in samples] for split, samples in keep_where(SPLITS, where).items()}


def test_samples_are_kept_by_the_text_of_their_attributes() -> None:
    assert kept({}) == {"train": ["a", "b"], "val": ["c", "d"], "test": ["e"]}
    assert kept({"kind": ("human_mask",)}) == {"train": ["b"], "val": [], "test": ["e"]}
    assert kept({"kind": ("human_mask", "mixed")}) == {"train": ["a", "b"], "val": ["c"], "test": ["e"]}
    assert kept({"kind": ("human_mask", "mixed"), "snr_db": ("3",)}) == {"train": ["a"], "val": [], "test": ["e"]}
    assert kept({"snr_db": ("",)}) == {"train": ["b"], "val": [], "test": []}


def test_an_unknown_column_names_those_there_are() -> None:
    with pytest.raises(DataError, match=r"data\.where\.kinds: no sample has this column, expected one of kind, snr_db"):
        keep_where(SPLITS, {"kinds": ("mixed",)})
    with pytest.raises(DataError, match=r"there is no manifest\.csv with such columns"):
        keep_where({"train": (sample("a"),)}, {"kind": ("mixed",)})


def test_nothing_left_names_the_values_that_occur() -> None:
    with pytest.raises(DataError, match=r"no sample has kind = human or x; kind is human_mask, mixed"):
        keep_where(SPLITS, {"kind": ("human", "x")})
    with pytest.raises(
        DataError, match=r"kind = mixed and snr_db = \(empty\); kind is .*; snr_db is \(empty\), 3, 3.0"
    ):
        keep_where(SPLITS, {"kind": ("mixed",), "snr_db": ("",)})
    many = {"train": tuple(sample(f"{i:02d}", kind=f"k{i:02d}") for i in range(40))}
    with pytest.raises(DataError, match=r"k19, and 20 more$"):
        keep_where(many, {"kind": ("x",)})


def test_an_emptied_split_is_named() -> None:
    where = {"kind": ("human_mask",)}
    with pytest.raises(DataError, match="no sample of the split val has kind = human_mask; there kind is mixed"):
        require_every_split(keep_where(SPLITS, where), SPLITS, where)
    require_every_split(SPLITS, SPLITS, {})


def test_samples_that_are_made_have_no_attributes_yet() -> None:
    def render() -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("nothing is made")

    made = GeneratedSample(sample_id="g", recording_id="g", content="g", render=render, attributes={"set": "1"})
    with pytest.raises(DataError, match="the sample g is made, and what it is like is known only then"):
        keep_where({"train": (made,)}, {"voice": ("trill",)})
    assert keep_where({"train": (made,)}, {"set": ("1",)}) == {"train": (made,)}
