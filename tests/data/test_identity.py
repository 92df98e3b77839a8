from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.data.contents import SampleIdentity
from benchbird.data.identity import data_digest
from benchbird.records import Fold

SPLITS = {
    "train": (SampleIdentity("a", "A", "1"), SampleIdentity("b", "B", "2")),
    "val": (SampleIdentity("c", "C", "3"),),
    "test": (SampleIdentity("d", "D", "4"),),
}
PLAIN = data_digest("birdsound", SPLITS)


@given(st.permutations(list(SPLITS)), st.permutations(SPLITS["train"]))
def test_no_order_matters(names: list[str], train: list[SampleIdentity]) -> None:
    shuffled = {name: tuple(train) if name == "train" else SPLITS[name] for name in names}
    assert data_digest("birdsound", shuffled) == PLAIN


@pytest.mark.parametrize("field", ["sample_id", "recording_id", "content_sha256"])
def test_everything_about_a_sample_matters(field: str) -> None:
    changed = dataclasses.replace(SPLITS["test"][0], **{field: "other"})
    assert data_digest("birdsound", {**SPLITS, "test": (changed,)}) != PLAIN


@pytest.mark.parametrize(
    "change",
    [
        lambda: data_digest("other", SPLITS),
        lambda: data_digest("birdsound", SPLITS, leaks_allowed=1),
        lambda: data_digest("birdsound", {**SPLITS, "val": SPLITS["test"], "test": SPLITS["val"]}),
        lambda: data_digest("birdsound", {**SPLITS, "train": SPLITS["train"][:1]}),
        lambda: data_digest("birdsound", SPLITS, fold=Fold(number=1, of=3, pool_digest="0" * 12)),
    ],
    ids=["name", "leaks", "splits", "fewer samples", "fold"],
)
def test_name_leaks_and_splits_matter(change: Callable[[], str]) -> None:
    assert change() != PLAIN
