"""Which records lie below a folder, and which of them can be used."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from benchbird import results as results_module
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.record_json import CHECK_VERSION, parse_record
from benchbird.records import SCHEMA_VERSION, TrialRecord
from benchbird.results import (
    ResultsStore,
    add_record,
    find_records,
)
from tests.record_factory import make_record


def _store_with_three(root: Path) -> list[Path]:
    store = ResultsStore(root)
    paths = []
    for seed in range(3):
        record = make_record(seed=seed)
        folder = store.trial_folder(record.benchmark, record.study, record.segmenter, seed)
        paths.append(store.add(folder, record))
    return paths


def test_records_are_found_from_every_level(tmp_path: Path) -> None:
    paths = _store_with_three(tmp_path)
    folder = paths[0].parent
    while folder != tmp_path.parent:
        scan = find_records(folder)
        expected = paths[:1] if folder == paths[0].parent else paths
        assert [found.path for found in scan.found] == expected
        assert scan.require_whole() == scan.found
        folder = folder.parent
    assert find_records(tmp_path / "absent").found == ()


def test_published_records_are_no_results_of_ones_own(tmp_path: Path) -> None:
    paths = _store_with_three(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "published" / "birdsound")
    assert {found.path for found in find_records(tmp_path).found} == set(paths)
    assert len(find_records(tmp_path / "published").found) == 3


def test_unreadable_records_are_listed_and_the_others_kept(tmp_path: Path) -> None:
    paths = _store_with_three(tmp_path)
    paths[1].write_text("{")
    (paths[0].parent / ".record.json.1234.partial").write_text("{")
    scan = find_records(tmp_path)
    assert [found.path for found in scan.found] == [paths[0], paths[2]]
    assert [fault.path for fault in scan.faults] == [paths[1]]
    with pytest.raises(ResultsError, match="not whole JSON"):
        scan.require_whole()


def test_an_index_saves_checks_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = _store_with_three(tmp_path / "results")
    paths[0].write_bytes(paths[0].read_bytes().replace(b'"profile": "cpu"', b'"profile": "gpu"'))
    plain = find_records(tmp_path / "results")
    assert [fault.reason for fault in plain.faults] == ["profile: altered since the record was written"]
    with Index(tmp_path / "index.sqlite") as index:
        assert find_records(tmp_path / "results", index) == plain
    checked: list[bytes] = []

    def note(content: bytes) -> TrialRecord:
        checked.append(content)
        return parse_record(content)

    monkeypatch.setattr(results_module, "parse_record", note)
    with Index(tmp_path / "index.sqlite") as index:
        assert find_records(tmp_path / "results", index) == plain
        assert checked == [paths[0].read_bytes()]  # what failed is never remembered
        # One byte is another record, which nobody has checked.
        altered = paths[1].read_bytes().replace(b'"attempts": 1', b'"attempts": 2')
        paths[1].write_bytes(altered)
        faults = find_records(tmp_path / "results", index).faults
        assert [fault.reason for fault in faults][1] == "attempts: altered since the record was written"
        # Other checks are made anew.
        monkeypatch.setattr(results_module, "CHECK_VERSION", CHECK_VERSION + 1)
        checked.clear()
        find_records(tmp_path / "results", index)
        assert len(checked) == 3


def test_an_index_that_is_wrong_about_a_file_is_not_believed(tmp_path: Path) -> None:
    paths = _store_with_three(tmp_path / "results")
    paths[1].write_bytes(b"{}")
    key = f"record/{SCHEMA_VERSION}/{CHECK_VERSION}/{hashlib.sha256(b'{}').hexdigest()}"
    with Index(tmp_path / "index.sqlite") as index:
        index.put(key, b"")
        assert find_records(tmp_path / "results", index) == find_records(tmp_path / "results")


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    paths = _store_with_three(inside)
    other = add_record(outside / "x", make_record(seed=9))
    (inside / "linked").symlink_to(outside, target_is_directory=True)
    (inside / "loop").symlink_to(inside, target_is_directory=True)
    (inside / "a").mkdir()
    (inside / "a" / "record.json").symlink_to(other)
    (inside / "b").mkdir()
    os.mkfifo(inside / "b" / "record.json")
    scan = find_records(inside)
    assert [found.path for found in scan.found] == paths
    assert [fault.path.parent.name for fault in scan.faults] == ["a", "b"]


def test_trials_without_a_record_are_counted(tmp_path: Path) -> None:
    paths = _store_with_three(tmp_path)
    paths[2].unlink()
    (paths[2].parent / "status.json").write_text("{}")
    shutil.copytree(paths[0].parent, paths[0].parent.with_name("seed-7"))
    scan = find_records(tmp_path)
    assert scan.unended == (paths[2].parent,)
    assert len(scan.found) == 3
