from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import NoReturn

import pytest

from benchbird.folder_probes import probe_folder, time_there


def test_a_folder_that_allows_everything_is_left_as_it_was(tmp_path: Path) -> None:
    probe = probe_folder(tmp_path)
    assert (probe.folder, probe.refusal, probe.has_links) == (tmp_path, "", True)
    assert probe.free_bytes is not None
    assert probe.free_bytes > 0
    assert probe.clock_ahead_s == pytest.approx(0, abs=0.5)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert probe_folder(tmp_path / "a" / "b").folder == tmp_path
    assert os.listdir(tmp_path) == []


def test_a_file_in_its_place_and_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert probe_folder(tmp_path / "file").refusal == "Not a directory"

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "open", refuse)
    probe = probe_folder(tmp_path)
    assert (probe.refusal, probe.has_links, probe.clock_ahead_s) == ("Read-only file system", None, None)


def test_a_folder_that_can_not_be_looked_at_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = os.stat

    def refuse(path: Path | str, **options: bool) -> os.stat_result:
        if os.fspath(path).startswith(str(tmp_path / "closed")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert probe_folder(tmp_path / "closed" / "results").folder == tmp_path


def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    probe = probe_folder(tmp_path)
    assert (probe.refusal, probe.has_links) == ("", False)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("off_s", [-3600, 3600])
def test_a_machine_whose_clock_is_off_is_noticed(tmp_path: Path, off_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + off_s)
    assert probe_folder(tmp_path).clock_ahead_s == pytest.approx(-off_s, abs=2)
    assert time_there(tmp_path) == pytest.approx(now(), abs=2)
