"""A public data set over the network, as far as a loopback can tell: cut, altered, hostile, and whole."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchbird.cli import main
from benchbird.data import fetching
from benchbird.data.fetching import PUBLIC, RecordFile, ask_record
from benchbird.errors import DataError
from tests.data.picture_files import write_data_root
from tests.data.zenodo_server import Archive, serving

BIRDS = PUBLIC["birdsounds-denoising"]


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHBIRD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def packed(root: Path, prefix: str = "") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, f"{prefix}{path.relative_to(root)}")
    return stream.getvalue()


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    return write_data_root(tmp_path / "made", train=4, val=2, test=2)


@pytest.fixture
def archive(birds: Path) -> Iterator[Archive]:
    yield Archive({"BirdsoundsDenoising.zip": packed(birds, "BirdsoundsDenoising/"), "README.txt": b"read me\n" * 200})


def fetch(capsys: pytest.CaptureFixture[str], root: Path, url: str, *options: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", BIRDS.name, str(root), "--mirror", url, *options])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return int(str(ended.value.code)), shown.out, shown.err


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_comes_whole_with_its_size_told_first(
    archive: Archive, birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(archive) as url:
        code, out, err = fetch(capsys, tmp_path / "birds", url, "--yes")
    assert (code, err) == (0, "")
    size = len(archive.files["BirdsoundsDenoising.zip"]) / 1000
    lines = out.splitlines()
    assert lines[0].strip() == f"{size:.1f} kB  BirdsoundsDenoising.zip" and lines[1].strip() == "1.6 kB  README.txt"
    assert lines[2].startswith("birdsounds-denoising: 2 files, ")
    assert lines[2].endswith("licence cc-by-4.0, doi:10.5281/zenodo.7191406")
    assert lines[3] == f"{tmp_path / 'birds'}: 4 train, 2 val, 2 test"
    assert contents(tmp_path / "birds") == contents(birds)
    assert not (tmp_path / "cache" / "downloads" / "7191406").exists()
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_cut_connection_is_taken_up_where_it_ended(
    archive: Archive, birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], knows_ranges: bool
) -> None:
    archive.cuts, archive.knows_ranges = 3, knows_ranges
    with serving(archive) as url:
        code, _, err = fetch(capsys, tmp_path / "birds", url, "--yes")
    assert (code, err) == (0, "")
    assert contents(tmp_path / "birds") == contents(birds)
    ranges = [asked for path, asked in archive.asked if path.endswith(".zip")]
    assert len(ranges) == 4
    if knows_ranges:
        assert ranges == [f"bytes={had}-" for had in (0, 1000, 2000, 3000)]


def test_what_never_comes_whole_stays_for_the_next_time(
    archive: Archive, birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.cuts = fetching.ATTEMPTS
    with serving(archive) as url:
        code, _, err = fetch(capsys, tmp_path / "birds", url, "--yes")
        size = len(archive.files["BirdsoundsDenoising.zip"])
        assert code == 1 and f"cut after 6000 of {size} bytes" in err and "the same command goes on from there" in err
        assert not (tmp_path / "birds").exists()
        archive.asked.clear()
        assert fetch(capsys, tmp_path / "birds", url, "--yes")[0] == 0
    assert [asked for path, asked in archive.asked if path.endswith(".zip")] == ["bytes=6000-"]
    assert contents(tmp_path / "birds") == contents(birds)


def test_another_checksum_than_the_record_s_is_refused_and_the_file_removed(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.checksums = {"BirdsoundsDenoising.zip": "md5:" + "0" * 32}
    with serving(archive) as url:
        code, _, err = fetch(capsys, tmp_path / "birds", url, "--yes")
    assert code == 1 and "BirdsoundsDenoising.zip: its content isn't what the record's checksum says" in err
    assert not (tmp_path / "birds").exists()
    assert not list((tmp_path / "cache").rglob("*.zip*"))


def test_a_hostile_archive_reaches_nothing(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as evil:
        evil.writestr("../../evil", "x")
    archive.files = {"evil.zip": stream.getvalue()}
    with serving(archive) as url:
        code, _, err = fetch(capsys, tmp_path / "birds", url, "--yes")
    assert code == 1 and "../../evil: leads out of the folder; nothing was unpacked" in err
    assert not list(tmp_path.rglob("evil")) and not (tmp_path / "birds").exists()
    assert not list(tmp_path.glob(".*.partial"))


def test_what_is_no_data_root_is_told(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive.files = {"README.txt": b"nothing else"}
    with serving(archive) as url:
        code, _, err = fetch(capsys, tmp_path / "birds", url, "--yes")
    assert code == 1 and "no folder with Train, Valid and Test" in err and not (tmp_path / "birds").exists()


def test_files_that_cannot_be_used_are_counted_at_the_end(
    archive: Archive, birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((birds / "Train" / "Masks").iterdir()).unlink()
    archive.files = {"all.zip": packed(birds)}
    with serving(archive) as url:
        code, out, _ = fetch(capsys, tmp_path / "birds", url, "--yes")
    assert code == 0 and "3 train" in out and "1 files can't be used; `benchbird data check" in out


def test_nothing_is_downloaded_without_a_yes(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    with serving(archive) as url:
        code, _, err = fetch(capsys, tmp_path / "birds", url)
    assert code == 2 and "nothing was downloaded; --yes downloads without asking" in err
    assert {path for path, _ in archive.asked} == {"/records/7191406"}


def test_a_folder_that_holds_something_is_refused_before_anybody_is_asked(
    archive: Archive, birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(archive) as url:
        code, _, err = fetch(capsys, birds, url, "--yes")
    assert code == 1 and "expected a new or empty folder" in err and archive.asked == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": "../evil.zip"}, "a file is named '../evil.zip'"),
        ({"key": ".hidden"}, "a file is named '.hidden'"),
        ({"size": -1}, "a size of -1"),
        ({"size": "many"}, "a size of 'many'"),
        ({"checksum": "crc:00"}, "the checksum 'crc:00'"),
        ({"links": {"self": "file:///etc/passwd"}}, "expected an address that begins with https://"),
        ({"links": {"self": "http://example.org/x"}}, "expected an address that begins with https://"),
        ({"links": {}}, "not a record as Zenodo gives it"),
    ],
)
def test_a_record_s_every_word_is_looked_at(
    archive: Archive, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    with serving(archive) as url:
        document = json.loads(archive.document())
        document["files"][0] |= change
        archive.record = json.dumps(document).encode()
        with pytest.raises(DataError) as refused:
            ask_record(BIRDS, url)
    assert said in str(refused.value)


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"files": []}', b"<html>", b"[" * 100_000, b'{"files": 5}'])
def test_what_is_no_record_is_told_in_a_sentence(archive: Archive, record: bytes) -> None:
    archive.record = record
    with serving(archive) as url, pytest.raises(DataError, match="not a record as Zenodo gives it"):
        ask_record(BIRDS, url)


def test_nobody_there_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = fetch(capsys, tmp_path / "birds", "http://127.0.0.1:9/records", "--yes")
    assert code == 1 and "could not be reached" in err and "is there a connection?" in err
    with pytest.raises(SystemExit):
        main(["data", "fetch", "whales", str(tmp_path / "x")])
    assert "no data set that can be fetched; there are: birdsounds-denoising" in capsys.readouterr().err


def test_the_list_names_licence_and_size(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(archive) as url, pytest.raises(SystemExit) as ended:
        main(["data", "list", "--mirror", url])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "birdsounds-denoising: " in out and "licence cc-by-4.0, 2 files, " in out
    with pytest.raises(SystemExit) as ended:
        main(["data", "list", "--mirror", "http://127.0.0.1:9/records"])
    assert ended.value.code == 0
    assert "licence and size unknown: " in capsys.readouterr().out


def listed(url: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["data", "list", "--json", "--mirror", url])
    assert ended.value.code == 0
    [entry] = json.loads(capsys.readouterr().out)["data_sets"]
    assert (entry["name"], entry["doi"]) == (BIRDS.name, BIRDS.doi)
    return dict(entry)


def test_the_list_for_machines_is_one_document(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(archive) as url:
        entry = listed(url, capsys)
    assert entry["unknown_because"] is None and entry["record"]["licence"] == "cc-by-4.0"
    sizes = {name: len(content) for name, content in archive.files.items()}
    assert {file["name"]: file["size_bytes"] for file in entry["record"]["files"]} == sizes
    assert entry["record"]["size_bytes"] == sum(sizes.values())
    entry = listed("http://127.0.0.1:9/records", capsys)
    assert entry["record"] is None and "could not be reached" in entry["unknown_because"]


@pytest.mark.parametrize("text", ["seven letters " * 30, "x" * 500, "x" * 150 + " " + "y" * 500, "short", ""])
def test_a_long_reason_is_shortened_at_a_word(text: str) -> None:
    reason = fetching._reason(OSError(text))
    if len(text) <= fetching.MOST_REASON:
        assert reason == (text or "OSError")
        return
    assert len(reason) <= fetching.MOST_REASON and reason.endswith(" …")
    assert " " not in text or reason.removesuffix(" …").split(" ") == text.split(" ")[: reason.count(" ")]


@pytest.mark.parametrize("kind", ["here", "link"])
def test_an_empty_folder_may_be_the_current_one_or_a_link(
    archive: Archive, birds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, kind: str,
) -> None:  # fmt: skip
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real" if kind == "here" else tmp_path)
    with serving(archive) as url:
        code, out, err = fetch(capsys, Path("." if kind == "here" else "link"), url, "--yes")
    monkeypatch.chdir(tmp_path)
    assert (code, err) == (0, "") and out.endswith(": 4 train, 2 val, 2 test\n")
    assert contents(tmp_path / "real") == contents(birds) and (tmp_path / "link").is_symlink()
    assert not list(tmp_path.glob(".*.partial"))


def test_more_bytes_than_the_record_states_are_not_kept(archive: Archive, tmp_path: Path) -> None:
    with serving(archive) as url:
        ask_record(BIRDS, url)
        content = archive.files["README.txt"]
        file = RecordFile(name="README.txt", size_bytes=len(content) - 1, checksum="md5:" + "0" * 32,
                          url=f"{archive.address}/files/README.txt")  # fmt: skip
        with pytest.raises(DataError, match="isn't what the record's checksum says"):
            fetching.download(file, tmp_path / "downloads", lambda name, done, total: None)
