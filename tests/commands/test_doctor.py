from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchbird import diagnosis
from benchbird.cli import main
from benchbird.diagnosis import Check


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """What the doctor will find; it is asked about folders in vain."""
    checks: list[Check] = []

    def diagnose(**_: object) -> Iterator[Check]:
        yield from checks

    monkeypatch.setattr(diagnosis, "diagnose", diagnose)
    monkeypatch.setenv("COLUMNS", "80")
    return checks


def test_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run("--results", tmp_path / "results", "--cache", tmp_path / "cache") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok      python     3.")
    assert lines[-1].startswith("this machine is fit to run benchmarks: 13 checks")
    assert max(map(len, lines)) <= 120
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_folder_is_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run("--results", tmp_path / "file", "--cache", tmp_path, "--data", tmp_path / "absent", "--json") == 1
    document = json.loads(capsys.readouterr().out)
    wrong = [check["name"] for check in document["checks"] if check["verdict"] == "wrong"]
    assert wrong == ["results", "data"]
    assert document["wrong"] == 2


def test_how_to_mend_it_follows_the_finding(found: list[Check], capsys: pytest.CaptureFixture[str]) -> None:
    found += [
        Check("gpu", "ok", "fine"),
        Check("plugin", "wrong", "\x1b[31mbroken\nplugin " + "and so on " * 12, "mend it"),
        Check("load", "notice", "busy", "wait"),
    ]
    assert run() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok      gpu        fine"
    assert lines[1].startswith("wrong   plugin     broken plugin and so on")
    assert lines[2][:19].isspace()
    assert "                   → mend it" in lines
    assert lines[-1] == "1 of 3 checks found something wrong"
    assert all(len(line) <= 80 and line.isprintable() for line in lines)


def test_a_notice_is_no_fault(found: list[Check], capsys: pytest.CaptureFixture[str]) -> None:
    found += [Check("load", "notice", "busy", "wait")]
    assert run() == 0
    assert capsys.readouterr().out.endswith("this machine is fit to run benchmarks: 1 checks, 1 with a notice\n")
