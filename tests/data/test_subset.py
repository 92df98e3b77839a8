from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.contract import Sample
from benchbird.data.subset import check_leaks, draw_subset, leaks
from benchbird.errors import DataError

RECORDINGS = st.lists(st.integers(1, 4), min_size=1, max_size=12)


def samples(recordings: list[int], prefix: str = "XC") -> tuple[Sample, ...]:
    """One recording for each number, with so many samples."""
    found = [
        Sample(
            sample_id=f"{prefix}{recording:02d}_{part}",
            recording_id=f"{prefix}{recording:02d}",
            image=Path("image.png"),
            mask=Path("mask.png"),
        )
        for recording, count in enumerate(recordings)
        for part in range(count)
    ]
    return tuple(found)


@given(RECORDINGS, st.integers(0, 5), st.data())
def test_a_draw_has_the_size_asked_for_and_contains_smaller_draws(
    recordings: list[int], seed: int, data: st.DataObject
) -> None:
    everything = samples(recordings)
    large = data.draw(st.integers(0, len(everything)))
    small = data.draw(st.integers(0, large))
    drawn, shortages = draw_subset({"train": everything}, {"train": large}, seed)
    fewer, _ = draw_subset({"train": everything}, {"train": small}, seed)
    assert len(drawn["train"]) == large
    assert not shortages
    ids = [sample.sample_id for sample in drawn["train"]]
    assert ids == sorted(ids)
    assert {sample.sample_id for sample in fewer["train"]} <= set(ids)


@given(RECORDINGS, st.integers(0, 5), st.data())
def test_at_most_one_recording_is_cut(recordings: list[int], seed: int, data: st.DataObject) -> None:
    everything = samples(recordings)
    size = data.draw(st.integers(0, len(everything)))
    drawn, _ = draw_subset({"train": everything}, {"train": size}, seed)
    cut = [
        recording
        for recording in {sample.recording_id for sample in drawn["train"]}
        if sum(sample.recording_id == recording for sample in drawn["train"])
        < sum(sample.recording_id == recording for sample in everything)
    ]
    assert len(cut) <= 1


def test_the_draw_does_not_depend_on_the_order_of_the_samples() -> None:
    everything = samples([1, 2, 3, 1, 2])
    forward, _ = draw_subset({"test": everything}, {"test": 4}, 0)
    backward, _ = draw_subset({"test": everything[::-1]}, {"test": 4}, 0)
    assert forward == backward


def test_another_seed_draws_others_and_splits_are_drawn_apart() -> None:
    everything = samples([1] * 40)

    def drawn(split: str, seed: int) -> set[str]:
        return {s.sample_id for s in draw_subset({split: everything}, {split: 10}, seed)[0][split]}

    assert drawn("train", 0) == drawn("train", 0)
    assert len({frozenset(drawn("train", seed)) for seed in range(5)}) == 5
    assert drawn("train", 0) != drawn("test", 0)


def test_too_few_samples_are_all_used_and_said() -> None:
    splits = {"train": samples([2, 1]), "val": samples([1])}
    drawn, shortages = draw_subset(splits, {"train": 10, "val": None}, 0)
    assert {split: len(found) for split, found in drawn.items()} == {"train": 3, "val": 1}
    assert [(s.split, s.asked, s.available) for s in shortages] == [("train", 10, 3)]
    assert "10" in str(shortages[0]) and "3" in str(shortages[0])


def test_recordings_in_two_splits_are_an_error_unless_allowed() -> None:
    splits = {"train": samples([1, 1]), "val": samples([1, 1, 1], "A"), "test": samples([1])}
    assert leaks(splits) == {"XC00": ("train", "test")}
    with pytest.raises(DataError, match="XC00: train, test"):
        check_leaks(splits, allow=False)
    assert check_leaks(splits, allow=True) == 1
    assert check_leaks({"train": samples([1]), "test": samples([1], "A")}, allow=False) == 0
