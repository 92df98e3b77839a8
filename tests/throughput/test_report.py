from __future__ import annotations

from dataclasses import replace

import pytest

from benchbird.sampling import WarmUp
from benchbird.throughput.plan import TimingPlan
from benchbird.throughput.report import Findings, assemble
from tests.throughput_factory import ENVIRONMENT, figures_of, findings_of, made_up_plan, ratio_of

PLAN = made_up_plan("first", "second")


def warnings_of(found: Findings, plan: TimingPlan = PLAN) -> tuple[str, ...]:
    return assemble(plan, found).warnings


def test_rows_are_in_the_plans_order_with_what_follows_from_their_figures() -> None:
    report = assemble(PLAN, findings_of(PLAN))
    assert [row.key for row in report.rows] == list(PLAN.rows)
    row = next(one for one in report.rows if str(one.key) == "second fp32 training batch 8")
    assert row.figures.p50_ms == 40.0
    assert row.images_per_s == pytest.approx(200.0)
    assert row.gflop_per_s == pytest.approx(600.0)
    assert row.peak_share == pytest.approx(0.6)
    assert row.memory_bytes == 400_000_000
    assert report.peak is not None
    assert (report.peak.gflop_per_s["fp32"], report.peak.copy_gb_per_s) == (1000.0, 11.0)
    assert (report.environment, report.failures, report.warnings) == (ENVIRONMENT, (), ())


def test_what_nobody_could_count_is_not_made_up() -> None:
    found = findings_of(PLAN)
    found.segmenters = {label: replace(facts, gflop={}) for label, facts in found.segmenters.items()}
    found.memory_bytes.clear()
    row = assemble(PLAN, found).rows[0]
    assert (row.gflop_per_s, row.peak_share, row.memory_bytes) == (None, None, None)
    found = findings_of(PLAN)
    found.peaks = []
    report = assemble(PLAN, found)
    assert report.peak is None and report.rows[0].peak_share is None


def test_failures_with_one_reason_are_one() -> None:
    found = findings_of(PLAN)
    first = [row for row in PLAN.rows if row.label == "first"]
    for row in first[:3]:
        found.failed[row] = ("out_of_memory", "no memory")
        del found.timed[row]
    found.failed[first[3]] = ("failed", "something else")
    del found.timed[first[3]]
    found.unusable["second"] = ("failed", "no weights")
    report = assemble(PLAN, found)
    assert [(one.label, len(one.rows), one.status) for one in report.failures] == [
        ("second", 0, "failed"), ("first", 3, "out_of_memory"), ("first", 1, "failed"),
    ]  # fmt: skip
    assert not found.is_open(first[0]) and not found.is_open(PLAN.rows[1])


def test_nothing_is_open_or_known_at_first() -> None:
    report = assemble(PLAN, Findings())
    assert (report.rows, report.environment, report.peak, report.others_cores) == ((), None, None, None)
    assert Findings().is_open(PLAN.rows[0])


@pytest.mark.parametrize(("cores", "is_told"), [(0.0, False), (0.2, False), (0.21, True), (1.5, True), (None, False)])
def test_a_busy_machine_is_told(cores: float | None, is_told: bool) -> None:
    found = findings_of(PLAN)
    found.others_cores[PLAN.blocks[1]] = cores
    warnings = warnings_of(found)
    assert bool(warnings) is is_told
    assert not is_told or ("other processes used up to" in warnings[0] and "end them" in warnings[0])


@pytest.mark.parametrize(("cv", "is_told"), [(0.05, False), (0.051, True)])
def test_restless_durations_are_told(cv: float, is_told: bool) -> None:
    found = findings_of(PLAN)
    _, warm, reference, ratio = found.timed[PLAN.rows[2]]
    found.timed[PLAN.rows[2]] = (figures_of(5.0, cv), warm, reference, ratio)
    warnings = warnings_of(found)
    assert len(warnings) == is_told
    assert not is_told or ("1 of 8 rows" in warnings[0] and str(PLAN.rows[2]) in warnings[0])


def test_ratios_that_are_hardly_known_are_told() -> None:
    found = findings_of(PLAN)
    rows = [row for row in PLAN.rows if row.label == "second"]
    for row, ratio in (
        (rows[0], ratio_of(2.0, 0.02)), (rows[1], ratio_of(2.0, 0.03)), (rows[2], ratio_of(2.0, is_disturbed=True)),
    ):  # fmt: skip
        figures, warm, reference, _ = found.timed[row]
        found.timed[row] = (figures, warm, reference, ratio)
    disturbed, unsure = warnings_of(found)
    assert "1 of 4 ratios rest on rounds in which others computed too" in disturbed
    assert str(rows[2]) in disturbed and "--threads 1" in disturbed
    assert f"2 of 4 ratios are known less well than to ± 1 %, that of {rows[1]} to ± 3.0 %" in unsure


def test_a_ratio_without_an_interval_is_told_without_a_number() -> None:
    found = findings_of(PLAN)
    row = PLAN.rows[1]
    figures, warm, reference, ratio = found.timed[row]
    assert ratio is not None
    found.timed[row] = (figures, warm, reference, replace(ratio, low=None, high=None))
    (warning,) = warnings_of(found)
    assert "inf" not in warning


def test_a_warm_up_that_ended_at_its_bound_is_told() -> None:
    found = findings_of(PLAN)
    figures, _, reference, ratio = found.timed[PLAN.rows[0]]
    restless = WarmUp(first_call_s=1.0, iterations=3, seconds=10.0, is_stable=False)
    found.timed[PLAN.rows[0]] = (figures, restless, reference, ratio)
    (warning,) = warnings_of(found)
    assert f"1 of 8 rows had not come to rest when their warm-up ended, {PLAN.rows[0]} among them" in warning


def test_what_was_known_before_comes_first() -> None:
    found = findings_of(PLAN)
    found.others_cores[PLAN.blocks[0]] = 2.0
    assert assemble(PLAN, found, ("bf16 is emulated",)).warnings[0] == "bf16 is emulated"
