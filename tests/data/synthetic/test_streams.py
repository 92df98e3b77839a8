from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.data.synthetic.options import SPLITS, SyntheticOptions
from benchbird.data.synthetic.streams import identify, random_stream, sample_identity

seeds = st.integers(0, 2**63 - 1)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0, 1))
def test_no_recording_is_in_two_splits_and_no_sample_id_is_repeated(seed: int, pair_share: float) -> None:
    options = SyntheticOptions(seed=seed, pair_share=pair_share)
    by_split = {split: [sample_identity(options, split, index) for index in range(60)] for split in SPLITS}
    recordings = [{recording for _, recording in found} for found in by_split.values()]
    assert sum(map(len, recordings)) == len(set.union(*recordings))
    ids = [sample_id for found in by_split.values() for sample_id, _ in found]
    assert len(set(ids)) == len(ids)


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(SPLITS), st.integers(0, 10_000))
def test_the_recording_is_the_stem_without_its_channel(seed: int, split: str, index: int) -> None:
    sample_id, recording_id = sample_identity(SyntheticOptions(seed=seed), split, index)
    assert re.sub(r"_(left|right)$", "", sample_id) == recording_id


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_shares_hold_in_small_sets_too(seed: int) -> None:
    options = SyntheticOptions(seed=seed, pair_share=0.2, empty_share=0.07)
    found = [identify(options, "train", index) for index in range(300)]
    assert 0.16 <= sum(identity.channel != "" for identity in found) / 300 <= 0.24
    assert 0.05 <= sum(not identity.has_bird for identity in found) / 300 <= 0.10


def test_a_couple_is_one_recording_with_a_left_and_a_right() -> None:
    found = [identify(SyntheticOptions(pair_share=1.0), "val", index) for index in range(40)]
    assert set(Counter(identity.recording_id for identity in found).values()) == {2}
    assert [identity.channel for identity in found] == ["left", "right"] * 20
    assert all(left.has_bird == right.has_bird for left, right in zip(found[::2], found[1::2], strict=True))
    mono = [identify(SyntheticOptions(pair_share=0.0), "val", index) for index in range(40)]
    assert len({identity.recording_id for identity in mono}) == 40


def test_streams_are_repeatable_and_their_names_count() -> None:
    options = SyntheticOptions()
    draws = [
        random_stream(options, "train", "voice", 1).random(),
        random_stream(options, "train", "voice", 2).random(),
        random_stream(options, "val", "voice", 1).random(),
        random_stream(SyntheticOptions(seed=1), "train", "voice", 1).random(),
    ]
    assert len(set(draws)) == 4
    assert draws[0] == random_stream(options, "train", "voice", 1).random()


@pytest.mark.parametrize(("split", "index"), [("Train", 0), ("", 0), ("test", -1)])
def test_what_is_no_sample_is_refused(split: str, index: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        sample_identity(SyntheticOptions(), split, index)
