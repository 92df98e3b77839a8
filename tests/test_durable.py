from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird import durable
from benchbird.durable import file_sha256, make_folder, sync_folder, write_durably, write_json_durably
from benchbird.errors import ResultsError


def refuse(number: int) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


class FullDisk:
    """A file that takes a few bytes and then no more."""

    def __init__(self, path: Path) -> None:
        self.stream = open(path, "xb", buffering=0)  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def write(self, content: bytes) -> None:
        self.stream.write(content[:3])
        refuse(errno.ENOSPC)()


POINTS: dict[str, Callable[[pytest.MonkeyPatch, int], None]] = {
    "open": lambda patch, number: patch.setattr(Path, "open", refuse(number)),
    "write": lambda patch, number: patch.setattr(Path, "open", lambda self, *_: FullDisk(self)),
    "fsync": lambda patch, number: patch.setattr(os, "fsync", refuse(number)),
    "replace": lambda patch, number: patch.setattr(Path, "replace", refuse(number)),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_refusal_leaves_what_was_there_and_nothing_else(
    point: str, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    if before is not None:
        path.write_bytes(before)
    with monkeypatch.context() as patch:
        POINTS[point](patch, errno.ENOSPC)
        with pytest.raises(ResultsError) as caught:
            write_durably(path, b"new content")
    message = str(caught.value)
    assert str(path) in message
    assert "11 bytes" in message
    assert os.strerror(errno.ENOSPC) in message
    assert "unchanged" in message
    assert os.listdir(tmp_path) == ([] if before is None else ["record.json"])
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_every_reason_is_told(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    POINTS["replace"](monkeypatch, number)
    with pytest.raises(ResultsError, match=os.strerror(number)):
        write_durably(tmp_path / "x", b"")


def test_the_first_refusal_is_told_where_cleaning_up_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    POINTS["fsync"](monkeypatch, errno.ENOSPC)
    monkeypatch.setattr(Path, "unlink", refuse(errno.EROFS))
    with pytest.raises(ResultsError, match="No space left"):
        write_durably(tmp_path / "x", b"")


def test_the_message_is_true_when_only_the_folder_could_not_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    monkeypatch.setattr(durable, "sync_folder", refuse(errno.EIO))
    with pytest.raises(ResultsError) as caught:
        write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert "unchanged" not in str(caught.value)
    assert "in place" in str(caught.value)


def test_an_interrupt_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_durably(tmp_path / "x", b"")
    assert os.listdir(tmp_path) == []


def test_content_is_synced_before_the_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(descriptor: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        steps.append(f"fsync {kind} of {os.fstat(descriptor).st_size if kind == 'file' else '-'}")
        fsync(descriptor)

    def record_replace(self: Path, target: Path) -> Path:
        steps.append(f"replace in {'the same' if self.parent == target.parent else 'another'} folder")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_durably(tmp_path / "x", b"12345")
    assert steps == ["fsync file of 5", "replace in the same folder", "fsync folder of -"]


def test_the_folder_for_temporary_files_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "no such folder"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    write_durably(tmp_path / "x", b"content")
    assert (tmp_path / "x").read_bytes() == b"content"


@pytest.mark.parametrize(("number", "fatal"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_sync_a_folder_is_forgiven(
    number: int, fatal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refuse(number))
    if fatal:
        with pytest.raises(OSError, match="Input/output"):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)


def test_a_missing_folder_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="No such file"):
        write_durably(tmp_path / "gone" / "x", b"")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ResultsError, match=f"{path}: could not create the folder"):
            make_folder(path)
    with pytest.raises(ResultsError, match="Not a directory"):
        write_durably(tmp_path / "file" / "x", b"")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(first=st.binary(), second=st.binary())
def test_bytes_come_back(first: bytes, second: bytes, tmp_path: Path) -> None:
    for content in (first, second):
        write_durably(tmp_path / "x", content)
        assert (tmp_path / "x").read_bytes() == content
    assert os.listdir(tmp_path) == ["x"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=JSON)
def test_json_comes_back(value: object, tmp_path: Path) -> None:
    write_json_durably(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_bytes()) == value


def test_json_with_half_a_surrogate_comes_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"bird-\xff.png")
    write_json_durably(tmp_path / "x.json", {"name": name})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"name": name}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_json_has_no_nan(number: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json_durably(tmp_path / "x.json", [number])
    assert os.listdir(tmp_path) == []


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
