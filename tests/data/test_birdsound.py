from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.contract import Sample
from benchbird.data import birdsound
from benchbird.errors import DataError
from tests.data.picture_files import write_data_root


def test_it_offers_its_spec() -> None:
    (spec,) = birdsound.benchbird_datasets()
    assert (spec.name, spec.needs_root, spec.find) == ("birdsound", True, birdsound.find)


def test_it_finds_the_splits(tmp_path: Path) -> None:
    splits = birdsound.find(write_data_root(tmp_path, 2, 1, 1), {"recording_pattern": "(?P<recording>.*)[0-9]"})
    assert {split: len(samples) for split, samples in splits.items()} == {"train": 2, "val": 1, "test": 1}
    first = splits["train"][0]
    assert isinstance(first, Sample)
    assert (first.sample_id, first.recording_id) == ("Train0", "Train")
    assert first.image == tmp_path / "Train" / "Images" / "Train0.png"


def test_everything_that_is_wrong_is_in_one_error(tmp_path: Path) -> None:
    write_data_root(tmp_path)
    (tmp_path / "Train" / "Masks" / "Train1.png").unlink()
    (tmp_path / "Test" / "Images" / "Test2.png").unlink()
    (tmp_path / "Valid" / "Images").rename(tmp_path / "Valid" / "Pictures")
    with pytest.raises(DataError) as caught:
        birdsound.find(tmp_path, {})
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert [line.split(": ")[0].strip().removeprefix(f"{tmp_path}/") for line in lines[1:4]] == [
        "Test/Masks/Test2.png",
        "Train/Images/Train1.png",
        "Valid",
    ]
    assert "benchbird data check" in lines[-1]


def test_without_a_root_it_says_so() -> None:
    with pytest.raises(DataError, match=r"data\.root is empty"):
        birdsound.find(None, {})
