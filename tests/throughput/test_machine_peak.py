from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from benchbird.protocol import Protocol
from benchbird.stopwatch import stopwatch
from benchbird.throughput import machine_peak
from benchbird.throughput.machine_peak import REPETITIONS, SIDES, MachinePeak, best_of, best_product, measure_peak

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _restore_flags() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def test_the_best_product_counts() -> None:
    """The third product of 1024 is the fastest for its size; the one of 2048 is slow, and the last."""
    sides: list[int] = []

    def make(side: int) -> Callable[[], object]:
        sides.append(side)
        return lambda: None

    fastest = 2 * 1024**3 / 5e11
    seconds = iter([1e-3] * (1 + REPETITIONS) + [0.02, 0.02, fastest, 0.02, 0.02, 0.02] + [0.1] * (1 + REPETITIONS))
    assert best_product(make, lambda _: next(seconds)) == pytest.approx(500.0)
    assert sides == [512, 1024, 2048]


def test_a_slow_machine_is_not_asked_for_more() -> None:
    sides: list[int] = []

    def make(side: int) -> Callable[[], object]:
        sides.append(side)
        return lambda: None

    assert best_product(make, lambda _: 5.0) == pytest.approx(2 * 512**3 / 5.0 / 1e9)
    assert sides == [512]


def test_a_fast_machine_gets_every_size() -> None:
    assert best_product(lambda side: lambda: None, lambda _: 1e-4) == pytest.approx(2 * SIDES[-1] ** 3 / 1e-4 / 1e9)


def test_the_best_of_two_measurements_is_taken_figure_by_figure() -> None:
    before = MachinePeak(gflop_per_s={"fp32": 90.0, "bf16": 200.0}, copy_gb_per_s=12.0)
    after = MachinePeak(gflop_per_s={"fp32": 80.0, "bf16": 300.0}, copy_gb_per_s=10.0)
    assert best_of([before, after]) == MachinePeak(gflop_per_s={"fp32": 90.0, "bf16": 300.0}, copy_gb_per_s=12.0)


def test_it_really_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_peak, "SIDES", (64,))
    monkeypatch.setattr(machine_peak, "COPY_BYTES", {"cpu": 2**16})
    found = measure_peak(Protocol(), ["fp32", "bf16"], CPU, stopwatch(CPU), None)
    assert set(found.gflop_per_s) == {"fp32", "bf16"}
    assert min(*found.gflop_per_s.values(), found.copy_gb_per_s) > 0


def test_each_precision_multiplies_in_its_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, torch.dtype]] = []

    def product(dtype: torch.dtype, device: torch.device, side: int) -> Callable[[], object]:
        seen.append((torch.backends.cuda.matmul.fp32_precision, dtype))
        return lambda: None

    monkeypatch.setattr(machine_peak, "SIDES", (64,))
    monkeypatch.setattr(machine_peak, "COPY_BYTES", {"cpu": 2**16})
    monkeypatch.setattr(machine_peak, "_product", product)
    measure_peak(Protocol(), ["fp32", "tf32", "bf16"], CPU, lambda _: 1.0, None)
    assert seen == [("ieee", torch.float32), ("tf32", torch.float32), ("ieee", torch.bfloat16)]
