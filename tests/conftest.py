"""Settings for every test, and what several test modules share because it takes long to make."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.small_bench import Bench

# Before any import of torch: pytest-xdist runs a test process for each core.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """What a command that ends in this process makes of requests to end stays within its test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        if handler is not None:  # whoever set it isn't Python
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Finished trials to read; see `finished_bench.py`."""
    from tests.finished_bench import make_finished_bench

    return make_finished_bench(tmp_path_factory.mktemp("finished") / "bench")
