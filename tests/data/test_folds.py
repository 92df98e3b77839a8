from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.contract import Sample
from benchbird.data.contents import SampleIdentity
from benchbird.data.folds import Folds, pool_digest, pool_splits
from benchbird.data.subset import leaks
from benchbird.errors import DataError

NAMES = ("train", "val", "test")


def sample(name: str, recording: str) -> Sample:
    return Sample(sample_id=name, recording_id=recording, image=Path("i"), mask=Path("m"))


def splits_of(recordings: list[tuple[int, int]], same_ids: bool = False) -> dict[str, tuple[Sample, ...]]:
    """A recording for each pair (samples, split that they start in); ids that clash between splits if asked."""
    found: dict[str, list[Sample]] = {name: [] for name in NAMES}
    for number, (count, split) in enumerate(recordings):
        samples = found[NAMES[split]]
        for part in range(count):
            name = f"{len(samples):03d}" if same_ids else f"{number:02d}_{part}"
            samples.append(sample(name, f"XC{number:02d}"))
    return {name: tuple(samples) for name, samples in found.items()}


RECORDINGS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 2)), min_size=3, max_size=14)


@given(RECORDINGS, st.integers(0, 9), st.booleans(), st.data())
def test_folds_partition_recordings_and_samples(
    recordings: list[tuple[int, int]], seed: int, same_ids: bool, data: st.DataObject
) -> None:
    folds: Folds = data.draw(st.one_of(st.just("recordings"), st.integers(3, len(recordings))))
    pool = pool_splits(splits_of(recordings, same_ids), folds, seed)
    assert len(pool) == (len(recordings) if folds == "recordings" else folds)
    assert Counter(one for fold in pool.folds for one in fold) == {f"XC{i:02d}": 1 for i in range(len(recordings))}
    assert all(pool.folds)
    ids = [one.sample_id for one in pool.samples]
    assert ids == sorted(set(ids)) and len(ids) == sum(count for count, _ in recordings)
    tested: list[str] = []
    for number in range(1, len(pool) + 1):
        splits = pool.splits(number)
        assert leaks(splits) == {} and all(splits.values())
        assert sorted(one.sample_id for samples in splits.values() for one in samples) == ids
        assert {one.recording_id for one in splits["test"]} == pool.folds[number - 1]
        assert {one.recording_id for one in splits["val"]} == pool.folds[number % len(pool)]
        tested += [one.sample_id for one in splits["test"]]
    assert sorted(tested) == ids, "every sample is tested once"


@given(RECORDINGS, st.integers(0, 9))
def test_no_two_folds_differ_by_more_than_the_largest_recording(recordings: list[tuple[int, int]], seed: int) -> None:
    pool = pool_splits(splits_of(recordings), 3, seed)
    sizes = [len(pool.splits(number)["test"]) for number in (1, 2, 3)]
    assert max(sizes) - min(sizes) <= max(count for count, _ in recordings)


@given(RECORDINGS, st.randoms(use_true_random=False))
def test_the_dealing_depends_on_neither_order_nor_first_split(
    recordings: list[tuple[int, int]], random: object
) -> None:
    plain = pool_splits(splits_of(recordings), 3, 0)
    moved = pool_splits({name: splits_of([(c, 0) for c, _ in recordings])["train"][::-1] if name == "train" else ()
                         for name in NAMES}, 3, 0)  # fmt: skip
    assert plain.folds == moved.folds
    assert [one.sample_id for one in plain.samples] == [one.sample_id for one in moved.samples]


def test_another_seed_deals_otherwise() -> None:
    recordings = [(1, 0)] * 30
    assert len({pool_splits(splits_of(recordings), 5, seed).folds for seed in range(5)}) == 5
    assert pool_splits(splits_of(recordings), 5, 0) == pool_splits(splits_of(recordings), 5, 0)


def test_ids_that_clash_get_the_name_of_their_split() -> None:
    splits = {
        "train": (sample("x", "A"), sample("y", "B")),
        "val": (sample("x", "C"),),
        "test": (sample("z", "A"),),
    }
    assert [one.sample_id for one in pool_splits(splits, 3, 0).samples] == ["train_x", "val_x", "y", "z"]
    # A name that is taken already: then everyone's split is named.
    splits["test"] = (sample("train_x", "A"),)
    assert [one.sample_id for one in pool_splits(splits, 3, 0).samples] == [
        "test_train_x", "train_x", "train_y", "val_x"]  # fmt: skip


def test_too_few_recordings_are_refused() -> None:
    four = splits_of([(9, 0), (1, 1), (1, 2), (3, 0)])
    with pytest.raises(DataError, match="asks for 5 folds, and the data have 4 recordings; expected at least 5"):
        pool_splits(four, 5, 0)
    two = splits_of([(9, 0), (1, 1)])
    with pytest.raises(DataError, match="a fold for each recording, and the data have 2 recordings; expected at lea"):
        pool_splits(two, "recordings", 0)
    assert len(pool_splits(four, "recordings", 0)) == len(pool_splits(four, 4, 0)) == 4


def test_the_pool_digest_covers_data_folds_and_seed_and_no_order() -> None:
    identities = [SampleIdentity("a", "A", "1"), SampleIdentity("b", "B", "2")]
    plain = pool_digest("birdsound", identities, 3, 0)
    assert pool_digest("birdsound", identities[::-1], 3, 0) == plain
    others = {
        pool_digest("x", identities, 3, 0),
        pool_digest("birdsound", identities, 4, 0),
        pool_digest("birdsound", identities, 3, 1),
        pool_digest("birdsound", identities[:1], 3, 0),
    }
    assert len(others | {plain}) == 5
