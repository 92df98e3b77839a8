"""Fixtures of the plugins' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small_bench import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")
