from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.data.faults import DataFault
from benchbird.data.recordings import recording_rule
from benchbird.errors import DataError


def write_manifest(root: Path, text: str, encoding: str = "utf-8") -> Path:
    (root / "manifest.csv").write_bytes(text.encode(encoding))
    return root


@pytest.mark.parametrize(
    ("stem", "recording"),
    [
        ("XC79031_left", "XC79031"),
        ("XC79031_right", "XC79031"),
        ("XC79031", "XC79031"),
        ("XC79031_left_2", "XC79031_left_2"),
        ("XC79031_Left", "XC79031_Left"),
        ("XC79031_middle", "XC79031_middle"),
        ("song_left_right", "song_left"),
    ],
)
def test_the_stem_loses_its_channel_and_nothing_else(tmp_path: Path, stem: str, recording: str) -> None:
    assert recording_rule(tmp_path, None).recording(stem, "train", "x") == recording


def test_a_pattern_names_the_recording(tmp_path: Path) -> None:
    rule = recording_rule(tmp_path, r"(?P<recording>XC\d+)")
    assert rule.recording("XC12_part3", "train", "x") == "XC12"
    fault = rule.recording("nameless", "train", "Images/nameless.png")
    assert isinstance(fault, DataFault)
    assert fault.path == "Images/nameless.png" and "does not match" in fault.reason


@pytest.mark.parametrize(("pattern", "reason"), [("(", "not a regular expression"), (r"XC(\d+)", "no group named")])
def test_a_pattern_that_cannot_work_is_refused(tmp_path: Path, pattern: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        recording_rule(tmp_path, pattern)


def test_the_manifest_comes_first_and_its_columns_become_attributes(tmp_path: Path) -> None:
    write_manifest(tmp_path, "name,recording,snr_db\né_left,R1,3\nb,,\n", "utf-8-sig")
    rule = recording_rule(tmp_path, "(?P<recording>.)")
    assert rule.recording("é_left", "train", "x") == "R1"
    assert dict(rule.attributes("é_left", "train")) == {"snr_db": "3"}
    empty, missing = rule.recording("b", "train", "x"), rule.recording("c", "train", "x")
    assert isinstance(empty, DataFault) and "empty recording" in empty.reason
    assert isinstance(missing, DataFault) and "no row" in missing.reason
    assert "manifest.csv" in rule.description


def test_a_manifest_without_recordings_gives_attributes_only(tmp_path: Path) -> None:
    rule = recording_rule(write_manifest(tmp_path, "name,snr_db\na_left,3\n"), None)
    assert rule.recording("a_left", "train", "x") == "a"
    assert rule.attributes("a_left", "train") == {"snr_db": "3"}
    assert rule.attributes("unknown", "train") == {}


def test_one_name_in_two_splits_is_told_apart_by_the_split(tmp_path: Path) -> None:
    rule = recording_rule(write_manifest(tmp_path, "name,split,recording\na,Train,R1\na,Valid,R2\n"), None)
    assert rule.recording("a", "train", "x") == "R1"
    assert rule.recording("a", "val", "x") == "R2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,recording\na,R1\na,R2\n", ":3: the name a is there twice"),
        ("name,split,recording\na,Train,R1\na,train,R2\n", "there twice"),
        ("name,recording\na\n", ":2: has more or fewer fields"),
        ("name,recording\na,R,extra\n", ":2: has more or fewer fields"),
        ("recording\nR1\n", "no column name"),
        ('name,recording\n"a,R1\n', "not comma-separated text"),
        ("name,recording\né,R1\n", "not UTF-8"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    write_manifest(tmp_path, text, "latin-1")
    with pytest.raises(DataError, match=reason):
        recording_rule(tmp_path, None)


def test_a_manifest_elsewhere_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_manifest(tmp_path, "name,recording\n")
    (root / "manifest.csv").symlink_to(tmp_path / "manifest.csv")
    with pytest.raises(DataError, match=r"leaves the data root.*data\.allow_links: true"):
        recording_rule(root, None)
    assert recording_rule(root, None, allow_links=True).manifest is not None
