"""How long a run will still take: first by the estimate, then by what it took so far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.time_left import TimeLeft

FIRST, SECOND = ("unet", 0), ("unet", 1)


def test_the_estimate_holds_until_there_is_something_to_go_by() -> None:
    left = TimeLeft({FIRST: 100.0, SECOND: 100.0}, n_epochs=100)
    left.start(FIRST, 50.0)
    assert left.run_s(50.0) == 200.0
    assert left.epoch(FIRST, 1, 3.0) == 3.0 * 99
    assert left.run_s(53.0) == 199.0, "a hundredth of the work says nothing yet"
    for epoch in range(2, 51):
        left.epoch(FIRST, epoch, 3.0)
    assert left.run_s(50.0 + 150.0) == pytest.approx(150.0 * 3), "it takes three times as long as expected"
    left.end(FIRST)
    left.start(SECOND, 350.0)
    assert left.run_s(350.0) == pytest.approx(300.0)
    left.end(SECOND)
    assert left.run_s(650.0) == 0.0


def test_trials_side_by_side_share_the_time() -> None:
    left = TimeLeft({FIRST: 100.0, SECOND: 100.0}, n_epochs=10, at_a_time=2)
    for trial in (FIRST, SECOND):
        left.start(trial, 0.0)
    assert left.run_s(0.0) == 100.0
    for epoch in range(1, 6):
        left.epoch(FIRST, epoch, 10.0)
        left.epoch(SECOND, epoch, 10.0)
    assert left.run_s(50.0) == pytest.approx(50.0)


def test_a_resumed_trial_is_expected_to_do_the_rest_alone() -> None:
    left = TimeLeft({FIRST: 20.0}, n_epochs=10)
    left.start(FIRST, 0.0)
    assert left.epoch(FIRST, 9, 10.0) == 10.0
    assert left.run_s(10.0) == pytest.approx(10.0)


def test_where_nothing_was_expected_nothing_is_said() -> None:
    left = TimeLeft({}, n_epochs=10)
    left.start(FIRST, 0.0)
    assert left.epoch(FIRST, 1, 2.0) == 18.0
    left.end(FIRST)
    assert left.run_s(2.0) is None


@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=5), st.data())
def test_it_is_never_negative_and_ends_at_zero(expected: list[float], data: st.DataObject) -> None:
    left = TimeLeft({("unet", seed): seconds for seed, seconds in enumerate(expected)}, n_epochs=5)
    now = 0.0
    for seed in range(len(expected)):
        left.start(("unet", seed), now)
        for epoch in range(data.draw(st.integers(1, 5)), 6):
            took = data.draw(st.floats(0.001, 100.0))
            now += took
            assert left.epoch(("unet", seed), epoch, took) >= 0.0
            remaining = left.run_s(now)
            assert remaining is not None and remaining >= -1e-9
        left.end(("unet", seed))
    assert left.run_s(now) == pytest.approx(0.0, abs=1e-6)
