import os
import stat
from pathlib import Path

import pytest

from benchbird.cli import main
from benchbird.results import ResultsStore
from tests.record_factory import MALICIOUS_NAMES, make_record, make_segmenter, realistic_records


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = ResultsStore(tmp_path / "results")
    for record in realistic_records():
        folder = store.trial_folder(record.benchmark, record.study, record.segmenter, record.seed)
        store.add(folder, record)
    return store.root


def _publish(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["publish", *map(str, arguments)])
    code = ended.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("name", ["REPORT.md", "REPORT.tex"])
def test_made_then_left_alone(results: Path, tmp_path: Path, name: str) -> None:
    document = tmp_path / name
    assert _publish(results, "--to", document) == 0
    first = document.read_bytes()
    assert b"benchbird:leaderboard birdsound/cpu/synthetic begin" in first
    before = document.stat()
    assert _publish(results, "--to", document) == 0
    assert document.read_bytes() == first
    assert document.stat().st_ino == before.st_ino
    assert _publish(results, "--to", document, "--check") == 0


def test_everything_else_in_the_document_stays(results: Path, tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    before = b"# Mine\r\n\r\nnot utf-8: \xff\xfe \r\n"
    document.write_bytes(before)
    assert _publish(results, "--to", document) == 0
    placed = document.read_bytes()
    assert placed.startswith(before)
    assert placed.count(b"\n") == placed.count(b"\r\n")
    document.write_bytes(placed + b"more\r\n")
    store = ResultsStore(results)
    record = make_record(make_segmenter("new"), iou=0.9)
    store.add(store.trial_folder("birdsound", record.study, record.segmenter, 0), record)
    assert _publish(results, "--to", document) == 0
    changed = document.read_bytes()
    assert changed.startswith(before)
    assert changed.endswith(b"end -->\r\nmore\r\n")
    assert b"| 1 | new" in changed


def test_check_says_what_is_stale(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "README.md"
    assert _publish(results, "--to", document, "--check") == 1
    assert not document.exists()
    assert "birdsound/cpu/synthetic is stale; `benchbird publish" in capsys.readouterr().err
    _publish(results, "--to", document)
    document.write_text(document.read_text().replace("0.670", "0.990"))
    edited = document.read_bytes()
    assert _publish(results, "--to", document, "--check") == 1
    assert document.read_bytes() == edited


def test_broken_markers_change_nothing(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "README.md"
    document.write_text("a\n<!-- benchbird:leaderboard birdsound/cpu/synthetic begin -->\nb\n")
    before = document.read_bytes()
    assert _publish(results, "--to", document) == 1
    assert document.read_bytes() == before
    error = capsys.readouterr().err
    assert str(document) in error
    assert "begin on line 2 and end on no line" in error


def test_a_link_keeps_being_one(results: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "real.md").write_text("x\n")
    link = tmp_path / "README.md"
    link.symlink_to("docs/real.md")
    assert _publish(results, "--to", link) == 0
    assert link.is_symlink()
    assert "benchbird:leaderboard" in (tmp_path / "docs" / "real.md").read_text()


def test_the_permissions_of_the_document_stay(results: Path, tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("x\n")
    document.chmod(0o664)
    assert _publish(results, "--to", document) == 0
    assert stat.S_IMODE(document.stat().st_mode) == 0o664


def test_what_cannot_be_written_is_one_sentence(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _publish(results, "--to", tmp_path / "report.html") == 2
    assert "expected .md, .markdown or .tex" in capsys.readouterr().err
    assert _publish(results, "--to", tmp_path / "absent" / "r.md") == 1
    assert "could not write" in capsys.readouterr().err
    (tmp_path / "folder.md").mkdir()
    assert _publish(results, "--to", tmp_path / "folder.md") == 2


def test_malicious_names_leave_one_block(tmp_path: Path) -> None:
    document = tmp_path / "REPORT.md"
    for number, name in enumerate(MALICIOUS_NAMES):
        if "\ud800" in name:
            continue
        root = tmp_path / f"results{number}"
        segmenter = make_segmenter(name, name="net")
        ResultsStore(root).add(root / "b" / "s" / "l" / "seed-0", make_record(segmenter, benchmark="b"))
        for _ in range(2):
            assert _publish(root, "--to", document) == 0
            assert document.read_text().count("benchbird:leaderboard b/cpu/synthetic") == 2
    assert os.listdir(tmp_path / "results0") == ["b"]


def test_a_trial_is_not_lost_in_silence(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "README.md"
    path = next(results.rglob("record.json"))
    path.write_text(path.read_text().replace('"attempts": 1', '"attempts": 2'))
    assert _publish(results, "--to", document) == 1
    assert not document.exists()
    said = capsys.readouterr().err
    assert "attempts: altered since the record was written" in said
    assert "nothing is published until these are mended or removed" in said
