from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from benchbird.contract import GeneratedSample, Sample
from benchbird.data import contents
from benchbird.data.contents import UNREADABLE, hash_files, identify_splits


def old_file(path: Path, content: bytes) -> Path:
    """A file that was last changed a while ago, so that its hash may be remembered."""
    path.write_bytes(content)
    os.utime(path, ns=(10**18, 10**18))
    return path


def never(_path: Path) -> str:
    raise AssertionError("the file was read again")


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = old_file(tmp_path / "a", b"content")
    cache = tmp_path / "cache"
    expected = {path: hashlib.sha256(b"content").hexdigest()}
    assert hash_files([path], cache, progress=False) == expected
    monkeypatch.setattr(contents, "file_sha256", never)
    assert hash_files([path], cache, progress=False) == expected


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = old_file(tmp_path / "a", b"content")
    before = hash_files([path], tmp_path / "cache", progress=False)[path]
    path.write_bytes(b"CONTENT")
    assert hash_files([path], tmp_path / "cache", progress=False)[path] != before


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "fresh"
    path.write_bytes(b"content")
    hash_files([path], tmp_path / "cache", progress=False)
    assert json.loads((tmp_path / "cache" / "file-hashes.json").read_text()) == {}


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"a": 3}', b'{"a": [1, 2]}', b"\xff"])
def test_a_damaged_memo_is_forgotten(tmp_path: Path, damage: bytes) -> None:
    path = old_file(tmp_path / "a", b"content")
    (tmp_path / "file-hashes.json").write_bytes(damage)
    assert hash_files([path], tmp_path, progress=False) == {path: hashlib.sha256(b"content").hexdigest()}
    assert str(path) in json.loads((tmp_path / "file-hashes.json").read_text())


def test_another_runs_memo_is_kept(tmp_path: Path) -> None:
    first, second = old_file(tmp_path / "a", b"1"), old_file(tmp_path / "b", b"2")
    hash_files([first], tmp_path, progress=False)
    hash_files([second], tmp_path, progress=False)
    assert len(json.loads((tmp_path / "file-hashes.json").read_text())) == 2


def test_a_file_that_cannot_be_read_gets_no_hash(tmp_path: Path) -> None:
    assert hash_files([tmp_path / "gone"], None, progress=False) == {tmp_path / "gone": UNREADABLE}


def test_identity_follows_content_not_place(tmp_path: Path) -> None:
    def identity(folder: str, image: bytes, mask: bytes) -> str:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "i").write_bytes(image)
        (tmp_path / folder / "m").write_bytes(mask)
        sample = Sample(sample_id="a", recording_id="A", image=tmp_path / folder / "i", mask=tmp_path / folder / "m")
        (found,) = identify_splits({"test": [sample]}, tmp_path / "cache", progress=False)["test"]
        assert (found.sample_id, found.recording_id) == ("a", "A")
        return found.content_sha256

    assert identity("one", b"1", b"2") == identity("two", b"1", b"2")
    assert len({identity("three", b"1", b"3"), identity("four", b"3", b"2"), identity("five", b"2", b"1")}) == 3


def test_a_generated_sample_is_its_content_text(tmp_path: Path) -> None:
    def identity(content: str) -> str:
        sample = GeneratedSample(sample_id="a", recording_id="A", content=content, render=_never_rendered)
        return identify_splits({"test": [sample]}, tmp_path, progress=False)["test"][0].content_sha256

    assert identity("x") == identity("x") != identity("y")


def _never_rendered() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    raise AssertionError("identity must not render")
