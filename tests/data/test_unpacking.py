"""Archives from outside are unpacked below a folder, or not at all."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.data import unpacking
from benchbird.data.unpacking import is_archive, unpack
from benchbird.errors import DataError

FILES = {"a.txt": b"one", "sub/b.txt": b"two", "sub/deeper/c": b""}


def zipped(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes] = FILES, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def unpacked(path: Path, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    count = unpack(path, folder)
    found = {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    assert len(found) == count
    return found


@pytest.mark.parametrize(
    "make", [zipped, tarred, lambda path: tarred(path, mode="w:xz"), lambda path: tarred(path, mode="w")]
)
def test_files_come_out_as_they_went_in(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "archive.bin")  # its name says nothing
    assert is_archive(path)
    assert unpacked(path, tmp_path / "out") == FILES
    told: list[tuple[int, int]] = []
    (tmp_path / "again").mkdir()
    unpack(path, tmp_path / "again", lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)


def test_what_a_mac_adds_is_left_out(tmp_path: Path) -> None:
    files = {"a.txt": b"1", "__MACOSX/._a.txt": b"2", "sub/.DS_Store": b"3"}
    assert unpacked(zipped(tmp_path / "x.zip", files), tmp_path / "out") == {"a.txt": b"1"}


OUTSIDE = ["../evil", "/etc/evil", "sub/../../evil", "..\\evil", "C:\\evil", "C:evil", "a/" * 600 + "x"]


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_is_written_outside_nor_anything_else_then(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    path = make(tmp_path / "x", {"fine.txt": b"1", name: b"evil"})
    (tmp_path / "deep" / "out").mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DataError):
        unpack(path, tmp_path / "deep" / "out")
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_tar_s_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("innocent")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError, match="innocent: a link or special file; not unpacked"):
        unpacked(path, tmp_path / "out")


def test_a_zip_s_links_and_encrypted_entries_are_refused(tmp_path: Path) -> None:
    for name, attribute, flag, said in (("link", stat.S_IFLNK, 0, "a link or special file"), ("e", 0, 1, "encrypted")):
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            member = zipfile.ZipInfo("innocent")
            member.external_attr = attribute << 16
            archive.writestr(member, "/etc/passwd")
        if flag:  # zipfile doesn't write it: bit 0 of the flags, in the directory
            content = bytearray(path.read_bytes())
            content[content.index(b"PK\x01\x02") + 8] |= 1
            path.write_bytes(content)
        with pytest.raises(DataError, match=said):
            unpacked(path, tmp_path / f"out {name}")


def test_bombs_are_refused_by_what_they_say_and_by_what_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {"zeros": bytes(10**8)})
    with pytest.raises(DataError, match="unpacks to 100000000 bytes, expected at most 67108864"):
        unpacked(bomb, tmp_path / "one")
    assert list((tmp_path / "one").iterdir()) == []
    content = bomb.read_bytes()
    size = (10**8).to_bytes(4, "little")
    lying = tmp_path / "lying.zip"
    lying.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(DataError):
        unpacked(lying, tmp_path / "two")
    assert sum(path.stat().st_size for path in (tmp_path / "two").rglob("*") if path.is_file()) <= 1000
    monkeypatch.setattr(unpacking, "MOST_ENTRIES", 2)
    with pytest.raises(DataError, match="entries"):
        unpacked(zipped(tmp_path / "many.zip"), tmp_path / "three")
    monkeypatch.setattr(unpacking, "MOST_ENTRY_BYTES", 2)
    with pytest.raises(DataError, match=r"a\.txt: 3 bytes, expected at most 2"):
        unpacked(zipped(tmp_path / "large.zip", {"a.txt": b"one"}), tmp_path / "four")


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar", {"A.txt": b"1", "a.TXT": b"2"})  # one file, on many systems
    with pytest.raises(DataError, match="there twice"):
        unpacked(path, tmp_path / "out")


def test_no_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SPARE_BYTES", 10**18)
    with pytest.raises(DataError, match="make room"):
        unpacked(zipped(tmp_path / "x.zip"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([zipped, tarred]), st.data())
def test_a_damaged_archive_is_unpacked_or_refused(
    tmp_path: Path, make: Callable[[Path], Path], data: st.DataObject
) -> None:
    path = make(tmp_path / "x")
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        unpack(path, folder)
    except DataError as refused:
        assert str(refused).count("\n") == 0
    assert {one.name for one in tmp_path.iterdir()} == {"x", "deep"}
    for one in sorted(folder.rglob("*"), reverse=True):
        one.unlink() if one.is_file() else one.rmdir()
