"""Where prepared data and the index are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbird.cache_folder import cache_folder


def test_the_cache_folder_is_the_option_then_the_variable_then_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCHBIRD_CACHE", str(tmp_path / "variable"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder(Path("here")) == Path("here")
    assert cache_folder(None) == tmp_path / "variable"
    monkeypatch.setenv("BENCHBIRD_CACHE", "")
    assert cache_folder(None) == tmp_path / "xdg" / "benchbird"
    for ignored in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder(None) == tmp_path / "home" / ".cache" / "benchbird"
