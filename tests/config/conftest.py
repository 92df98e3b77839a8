"""A working directory for benchmark files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.benchmark_files import Write


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `b.yaml` into the working directory, so that messages name it so."""
    monkeypatch.chdir(tmp_path)

    def write_benchmark(text: str) -> Path:
        Path("b.yaml").write_text(text, encoding="utf-8")
        return Path("b.yaml")

    return write_benchmark
