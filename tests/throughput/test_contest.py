"""The children's work, done in this process on images of 16×16. No duration is asserted."""

from __future__ import annotations

import itertools
import pickle
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbird import sampling
from benchbird.protocol import Protocol
from benchbird.sampling import Chunk, Contender, SamplingRule, WarmUp
from benchbird.throughput import contest, machine_peak
from benchbird.throughput.contest import (
    FlagsAreLost,
    LargestRequest,
    MemoryRequest,
    RoundRequest,
    SegmenterRequest,
    inspect_segmenter,
    measure_memory,
    report_peak,
    run_round,
    search_largest,
)
from benchbird.throughput.plan import RowKey, TimingPlan
from tests.throughput_factory import plan_of, write_plugin

Events = list[Mapping[str, Any]]


@pytest.fixture(autouse=True)
def _small_and_clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(machine_peak, "SIDES", (32,))
    monkeypatch.setattr(machine_peak, "COPY_BYTES", {"cpu": 2**12})
    monkeypatch.setattr(contest, "_be_the_first_to_go", lambda: None)
    allowed = torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    yield
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = allowed
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return write_plugin(tmp_path)


def held(plan: TimingPlan, number: int = 0) -> Events:
    """What one process reports."""
    events: Events = []
    run_round(RoundRequest(plan=plan, blocks=plan.blocks, number=number), events.append)
    return events


def turns_of(events: Events) -> list[str]:
    return [event["row"].label for event in of_kind(events, "turn")]


def of_kind(events: Events, kind: str) -> Events:
    return [event for event in events if event["event"] == kind]


def test_every_row_of_every_block_is_reported(plugin: Path) -> None:
    plan = plan_of("plain", "calibrated", plugin=plugin, precisions=("fp32", "bf16"), batch_sizes=(1, 2))
    events = held(plan)
    rounds = of_kind(events, "round")
    assert [event["block"] for event in rounds] == list(plan.blocks)
    assert [row for event in rounds for row in event["turns"]] == list(plan.rows)
    assert len(plan.rows) == 2 * 2 + 2 * 4
    for event in rounds:
        for turns in event["turns"].values():
            assert len(turns.chunk) == 2
            assert all(iteration.seconds > 0 for iteration in turns.chunk)
            assert (turns.warm_up.iterations, turns.memory_bytes) == (2, None)
    assert [event["event"] for event in events if event["event"] in ("block_started", "round")] == [
        "block_started", "round",
    ] * 4  # fmt: skip


def test_what_is_reported_can_be_sent(plugin: Path) -> None:
    (event,) = of_kind(held(plan_of("plain", plugin=plugin, works=("inference",))), "round")
    assert pickle.loads(pickle.dumps(event)) == event


def test_the_peak_of_each_precision_is_reported(plugin: Path) -> None:
    events: Events = []
    report_peak(plan_of("plain", plugin=plugin, precisions=("fp32", "bf16")), events.append)
    assert [event["event"] for event in events] == ["peak"]
    assert set(events[0]["peak"].gflop_per_s) == {"fp32", "bf16"}


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("wide", "protocol_violation", "shape (2, 2, 16, 16)"),
        ("refuses", "failed", "no weights in file.pth"),
        ("flips", "protocol_violation", "cudnn.benchmark"),
        ("sly", "protocol_violation", "cudnn.benchmark"),
        ("exhausts", "out_of_memory", "CUDA out of memory"),
        ("tires", "failed", "had enough"),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_row_that_fails_is_reported_and_the_others_go_on(
    plugin: Path, name: str, status: str, words: str, order: int
) -> None:
    events = held(plan_of(*[name, "plain"][::order], plugin=plugin, works=("inference",)))
    (failed,) = of_kind(events, "failed")
    assert (failed["row"].label, failed["status"]) == (name, status)
    assert words in failed["reason"]
    (event,) = of_kind(events, "round")
    assert [row.label for row in event["turns"]] == ["plain"]


def test_a_block_of_which_nothing_is_left_is_reported_too(plugin: Path) -> None:
    (event,) = of_kind(held(plan_of("refuses", plugin=plugin, works=("inference",))), "round")
    assert event["turns"] == {}


def test_settings_that_cannot_be_set_back_end_the_process(plugin: Path) -> None:
    plan = plan_of("plain", "stubborn", plugin=plugin, works=("inference",))
    events: Events = []
    with pytest.raises(FlagsAreLost):
        run_round(RoundRequest(plan=plan, blocks=plan.blocks, number=0), events.append)
    (failed,) = of_kind(events, "failed")
    assert (failed["row"].label, failed["status"]) == ("stubborn", "protocol_violation")
    assert not of_kind(events, "round")


def test_it_is_said_whose_turn_it_is(plugin: Path) -> None:
    """First who is built and warmed up, then two turns each."""
    plan = plan_of("plain", "calibrated", plugin=plugin, works=("inference",))
    forwards = ["plain", "calibrated"]
    backwards = forwards[::-1]
    assert turns_of(held(plan, 0)) == [*forwards, *forwards, *backwards]
    assert turns_of(held(plan, 1)) == [*backwards, *backwards, *forwards]


@pytest.mark.parametrize(("number", "expected"), [(0, (0.0, 10.0)), (1, (0.0, 1.0)), (7, (0.0, 1.0))])
def test_only_the_first_process_warms_up_for_long(
    plugin: Path, number: int, expected: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: list[tuple[float, float]] = []
    warm_up = sampling.warm_up

    def noted(iterate: Callable[[], float], rule: SamplingRule) -> WarmUp:
        bounds.append((rule.warm_up_min_seconds, rule.warm_up_max_seconds))
        return warm_up(iterate, rule)

    monkeypatch.setattr(sampling, "warm_up", noted)
    held(plan_of("plain", plugin=plugin, works=("inference",)), number)
    assert bounds == [expected]


def test_each_row_gets_memory_elsewhere_and_keeps_what_lies_before_it(
    plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def move_memory() -> torch.Tensor:
        place = torch.empty(1)
        places.append(weakref.ref(place))
        return place

    def take_turns(contenders: Sequence[Contender], *_: object) -> dict[int, Chunk]:
        alive.append(sum(place() is not None for place in places))
        return {}

    monkeypatch.setattr(contest, "move_memory", move_memory)
    monkeypatch.setattr(sampling, "take_turns", take_turns)
    held(plan_of("plain", "refuses", "calibrated", plugin=plugin, works=("inference",)))
    assert (len(places), alive) == (3, [2])


def test_memory_lies_elsewhere_each_time() -> None:
    sizes = {contest.move_memory().nbytes for _ in range(20)}
    assert len(sizes) > 10
    assert max(sizes) < 2**22
    assert all(size % 64 == 0 for size in sizes)


@pytest.mark.parametrize(("threads", "expected"), [(1, (0.75, 0.0)), (2, (1.0, 0.25))])
def test_with_one_thread_waiting_is_taken_out(
    threads: int, expected: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = iter([10.0, 10.25])
    monkeypatch.setattr(contest, "waited_seconds", lambda: next(waited))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert contest.iterate(lambda: torch.zeros(()), lambda _: 1.0, torch.device("cpu"))[:2] == expected


def test_on_a_gpu_waiting_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "waited_seconds", lambda: pytest.fail("asked"))
    assert contest.iterate(lambda: torch.zeros(()), lambda _: 1.0, torch.device("cuda"))[:2] == (1.0, 0.0)


def test_graphs_are_forgotten_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    resets: list[str] = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: resets.append("reset"))
    contest.forget_graphs(Protocol())
    assert resets == []
    contest.forget_graphs(Protocol(compile=True))
    assert resets == ["reset"]


def test_a_segmenter_is_looked_at(plugin: Path) -> None:
    events: Events = []
    inspect_segmenter(SegmenterRequest(plan=plan_of("plain", plugin=plugin), label="plain"), events.append)
    assert [event["event"] for event in events] == ["environment", "segmenter"]
    assert events[0]["environment"].device == "cpu"
    assert events[1]["parameters"] == 28
    forward = 2 * 16 * 16 * 27 / 1e9
    assert events[1]["gflop"] == pytest.approx({"training": 2 * forward, "inference": forward})


def test_of_a_calibrated_segmenter_training_is_not_counted(plugin: Path) -> None:
    events: Events = []
    plan = plan_of("calibrated", plugin=plugin)
    inspect_segmenter(SegmenterRequest(plan=plan, label="calibrated"), events.append)
    assert set(events[1]["gflop"]) == {"inference"}


def test_what_cannot_be_built_is_said(plugin: Path) -> None:
    events: Events = []
    inspect_segmenter(SegmenterRequest(plan=plan_of("refuses", plugin=plugin), label="refuses"), events.append)
    assert events[1]["event"] == "unusable"
    assert "no weights in file.pth" in events[1]["reason"]


@pytest.mark.parametrize(("name", "kind"), [("plain", "memory"), ("exhausts", "failed"), ("wide", "failed")])
def test_the_memory_of_a_row_is_measured_or_why_not(plugin: Path, name: str, kind: str) -> None:
    plan = plan_of(name, plugin=plugin)
    events: Events = []
    measure_memory(MemoryRequest(plan=plan, row=plan.rows[0]), events.append)
    assert [event["event"] for event in events] == [kind]
    assert events[0]["row"] == plan.rows[0]
    assert kind != "memory" or events[0]["bytes"] >= 0


class TestLargestBatch:
    """On a CPU whose memory is made to end at a batch of 37."""

    @pytest.fixture(autouse=True)
    def _small_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def make_step(work: str, model: object, batch_size: int, *_: object) -> Any:
            if batch_size > 37:
                raise self.error
            return lambda: torch.zeros(())

        monkeypatch.setattr(contest, "make_step", make_step)

    error: Exception = torch.OutOfMemoryError("CUDA out of memory")

    def search(self, plugin: Path, name: str = "plain") -> Mapping[str, Any]:
        plan = plan_of(name, plugin=plugin)
        events: Events = []
        row = RowKey(label=name, precision="fp32", work="training", batch_size=8)
        search_largest(LargestRequest(plan=plan, rows=(row,)), events.append)
        assert [event["event"] for event in events] == ["turn", "largest"]
        assert events[1]["row"] == row
        return events[1]

    def test_it_is_found(self, plugin: Path) -> None:
        found = self.search(plugin)
        assert (found["batch_size"], found["stopped"], found["is_bound"]) == (37, "", False)

    def test_another_error_is_named(self, plugin: Path) -> None:
        self.error = RuntimeError("index is too large")
        found = self.search(plugin)
        assert found["batch_size"] == 37
        assert "index is too large" in found["stopped"]

    def test_no_larger_one_than_the_bound_is_tried(self, plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(contest, "LARGEST_BATCH", 32)
        found = self.search(plugin)
        assert (found["batch_size"], found["is_bound"]) == (32, True)

    def test_a_model_that_cannot_be_built_is_no_end_of_the_search(self, plugin: Path) -> None:
        found = self.search(plugin, "refuses")
        assert (found["batch_size"], found["is_bound"]) == (0, False)
        assert "no weights" in found["stopped"]


@pytest.mark.parametrize(
    ("others", "cores", "is_so"),
    [(None, 2, False), (0.0, 2, False), (0.25, 2, False), (0.26, 2, True), (1.0, 64, False), (3.3, 64, True)],
)
def test_a_turn_is_crowded_by_what_others_use_of_the_processor(
    others: float | None, cores: int, is_so: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "available_cores", lambda: cores)
    assert contest.is_crowded(others) is is_so


@pytest.mark.parametrize(("others", "set_aside"), [(0.0, False), (1.5, True)])
def test_crowded_turns_are_marked(
    plugin: Path, others: float, set_aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two turns each the first is crowded."""
    turns = itertools.count()

    class Meter:
        def __init__(self, **options: object) -> None:
            self._is_of_a_turn = bool(options)

        def others_cores(self) -> float:
            return others if self._is_of_a_turn and next(turns) < 2 else 0.0

    monkeypatch.setattr(contest, "LoadMeter", Meter)
    monkeypatch.setattr(contest, "waited_seconds", lambda: 0.0)
    (event,) = of_kind(held(plan_of("plain", "calibrated", plugin=plugin, works=("inference",))), "round")
    for row_turns in event["turns"].values():
        assert [one.is_disturbed for one in row_turns.chunk] == [set_aside, False]
