"""Speeds are probed once and remembered for as long as nothing that they follow from changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbird import speeds
from benchbird.environment import capture_environment
from benchbird.estimate import ProbeRequest, Speed, probe
from benchbird.execution.local import Bounds, Ending
from benchbird.index import index_of
from benchbird.plan import Plan
from benchbird.records import Environment
from benchbird.speeds import (
    PROBE_SILENCE_S,
    TrialLimits,
    estimate_seconds,
    find_speeds,
    preparation_seconds,
    trial_limits,
)
from tests.small_bench import Bench, make_bench
from tests.study_factory import make_small_plan

HERE = capture_environment(torch.device("cpu"))


class Children:
    """Stands for the children that probe: notes what each was asked, and answers at once."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.broken: tuple[str, ...] = ()
        self.hangs_at = ""
        self.environment: Environment | None = HERE

    def __call__(
        self,
        target: object,
        request: ProbeRequest,
        *,
        log: Path | None,
        on_event: Callable[[Mapping[str, Any]], None],
        bounds: Bounds,
    ) -> Ending:
        assert target is probe and log is None
        assert bounds.silence_s == PROBE_SILENCE_S
        self.asked.append(tuple(segmenter.label for segmenter in request.segmenters))
        if self.environment is not None:
            on_event({"event": "environment", **asdict(self.environment)})
        for segmenter in request.segmenters:
            if segmenter.label == self.hangs_at:
                return Ending(exit_code=-9, ended_for="silence")
            if segmenter.label in self.broken:
                on_event({"event": "unusable", "label": segmenter.label, "reason": "out of order"})
            else:
                speed = Speed(label=segmenter.label, step_s=len(self.asked), image_s=0.25)
                on_event({"event": "speed", **asdict(speed)})
        return Ending(exit_code=0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return make_bench(tmp_path / "bench")


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    children = Children()
    monkeypatch.setattr(speeds, "run_in_child", children)
    return children


def find(plan: Plan, bench: Bench, device: str = "cpu", threads: int | None = None) -> speeds.Speeds:
    return find_speeds(plan, device, threads, bench.folder / "cache")


def test_the_second_run_needs_no_probe_and_knows_the_machine_all_the_same(bench: Bench, children: Children) -> None:
    plan = make_small_plan(bench)
    first, second = find(plan, bench), find(plan, bench)
    assert children.asked == [("atrous_segnet", "threshold")]
    assert first == second
    assert second.environment == HERE
    assert second.by_label["atrous_segnet"] == Speed(label="atrous_segnet", step_s=1.0, image_s=0.25)
    assert estimate_seconds(plan, second.by_label) == estimate_seconds(plan, first.by_label) > 9 * 1.0


def test_a_speed_is_found_again_under_another_label_and_results_folder(bench: Bench, children: Children) -> None:
    find(make_small_plan(bench), bench)
    other = make_small_plan(bench, "seeds=[5]", "segmenters=[{name: threshold, label: floor}]")
    assert find(other, bench).by_label["floor"].label == "floor"
    assert len(children.asked) == 1


@pytest.mark.parametrize(
    "override",
    [
        "segmenters=[{name: atrous_segnet, options: {base_channels: 5}}, threshold]",
        "protocol.image_size=32",
        "protocol.batch_size=2",
    ],
)
def test_another_option_or_protocol_is_probed(bench: Bench, children: Children, override: str) -> None:
    find(make_small_plan(bench), bench)
    find(make_small_plan(bench, override), bench)
    asked = ("atrous_segnet",) if override.startswith("segmenters") else ("atrous_segnet", "threshold")
    assert children.asked[1:] == [asked]


def test_another_source_is_probed(bench: Bench, children: Children) -> None:
    plan = make_small_plan(bench)
    find(plan, bench)
    trials = tuple(
        replace(trial, segmenter=replace(trial.segmenter, source_sha256="0" * 64)) for trial in plan.trials[:1]
    )
    find(replace(plan, trials=trials), bench)
    assert children.asked[1:] == [("atrous_segnet",)]


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "another"},
        {"cpu": "another"},
        {"threads": 64},
        {"memory_bytes": 1},
        {"packages": {**HERE.packages, "torch": "9.9"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_machine_or_version_is_probed(
    bench: Bench, children: Children, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    plan = make_small_plan(bench)
    find(plan, bench)
    monkeypatch.setattr(speeds, "capture_environment", lambda device: replace(HERE, **change))
    find(plan, bench)
    assert len(children.asked) == 2


def test_other_threads_are_another_machine(bench: Bench, children: Children) -> None:
    plan = make_small_plan(bench)
    children.environment = replace(HERE, threads=64)
    for _ in range(2):
        found = find(plan, bench, threads=64)
        assert found.environment is not None and found.environment.threads == 64
    find(plan, bench, threads=63)
    assert len(children.asked) == 2


def test_what_cannot_be_built_is_tried_again_every_time(bench: Bench, children: Children) -> None:
    children.broken = ("atrous_segnet",)
    plan = make_small_plan(bench)
    for _ in range(2):
        found = find(plan, bench)
        assert found.unusable == {"atrous_segnet": "out of order"}
        assert list(found.by_label) == ["threshold"]
    assert children.asked == [("atrous_segnet", "threshold"), ("atrous_segnet",)]
    # What has no speed is left out of the estimate.
    both = {**found.by_label, "atrous_segnet": found.by_label["threshold"]}
    assert estimate_seconds(plan, both) == pytest.approx(2 * estimate_seconds(plan, found.by_label))


def test_an_accelerator_is_asked_by_a_child(bench: Bench, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "capture_environment", None)
    children.environment = replace(HERE, device="cuda", accelerator="Some GPU")
    plan = make_small_plan(bench)
    for _ in range(2):
        assert find(plan, bench, device="cuda").environment == children.environment
    assert children.asked == [(), ("atrous_segnet", "threshold"), ()]
    children.environment = replace(HERE, device="cuda", accelerator="Another GPU")
    find(plan, bench, device="cuda")
    assert children.asked[3:] == [(), ("atrous_segnet", "threshold")]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_children_that_do_not_answer_leave_the_machine_unknown(bench: Bench, children: Children, device: str) -> None:
    children.environment = None
    assert find(make_small_plan(bench), bench, device=device).environment is None


def test_an_answer_that_makes_no_sense_is_none(bench: Bench, children: Children) -> None:
    plan = make_small_plan(bench)
    find(plan, bench)
    with index_of(bench.folder / "cache") as index:
        for segmenter in plan.segmenters:
            index.put(speeds._key(segmenter, plan, HERE), b"[1]")
    assert find(plan, bench).by_label["threshold"].step_s == 2.0
    assert len(children.asked) == 2


def test_only_what_is_left_is_probed(bench: Bench, children: Children) -> None:
    plan = make_small_plan(bench)
    ended = replace(plan.trials[0], state="ended")
    find(replace(plan, trials=(ended, *plan.trials[1:])), bench)
    assert children.asked == [("threshold",)]


def test_preparing_is_estimated_from_one_sample_and_a_bad_one_is_no_matter(bench: Bench) -> None:
    plan = make_small_plan(bench)
    assert preparation_seconds(plan) > 0
    sample = plan.data.splits["train"][0]
    Path(sample.image).write_bytes(b"")  # type: ignore[union-attr]
    assert preparation_seconds(plan) >= 0


def test_a_probe_that_hangs_is_ended_and_its_segmenter_named(bench: Bench, children: Children) -> None:
    children.hangs_at = "threshold"
    found = find(make_small_plan(bench), bench)
    assert found.unusable == {"threshold": "its probe gave no sign of progress for 600 s"}
    assert list(found.by_label) == ["atrous_segnet"]


def test_patience_is_many_times_what_a_trial_and_its_longest_silence_take(bench: Bench) -> None:
    # 13 training images in 3 steps of 4, 6 validation and 8 test images, 3 epochs.
    plan = make_small_plan(bench)
    by_label = {
        "atrous_segnet": Speed(label="atrous_segnet", step_s=1000.0, image_s=10.0),
        "threshold": Speed(label="threshold", step_s=0.0, image_s=50.0),
    }
    found = trial_limits(plan, by_label)
    epoch_s = 3 * 1000 + 6 * 10
    assert found["atrous_segnet"].silence_s == 20 * epoch_s
    assert found["atrous_segnet"].wall_s == pytest.approx(20 * 3 * epoch_s, rel=0.3)
    assert found["threshold"].silence_s == pytest.approx(20 * 2 * 14 * 50, rel=0.01)


def test_quick_trials_get_time_enough_for_a_busy_machine(bench: Bench) -> None:
    quick = Speed(label="atrous_segnet", step_s=0.01, image_s=0.001)
    found = trial_limits(make_small_plan(bench), {"atrous_segnet": quick})
    assert found == {
        "atrous_segnet": TrialLimits(wall_s=86_400, silence_s=600),
        "threshold": TrialLimits(wall_s=None, silence_s=3600),  # nothing is known of it
    }


def test_limits_that_the_benchmark_states_count_for_all(bench: Bench) -> None:
    plan = make_small_plan(bench, "limits={silent_seconds: 7, trial_seconds: 9}")
    expected = TrialLimits(wall_s=9, silence_s=7)
    assert trial_limits(plan, {}) == {"atrous_segnet": expected, "threshold": expected}
