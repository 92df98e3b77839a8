"""The division of a machine among trials."""

from __future__ import annotations

import os

import pytest

from benchbird import slots
from benchbird.errors import UsageError
from benchbird.execution.local import Place
from benchbird.slots import WHOLE_MACHINE, Slot, make_slots, slot_notice


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {9, 2, 3, 4}, raising=False)


@pytest.mark.parametrize(("device", "accelerators"), [("cpu", 0), ("mps", 0), ("cuda", 1)])
@pytest.mark.parametrize("jobs", [None, 1])
def test_one_trial_at_a_time_has_the_whole_machine(device: str, accelerators: int, jobs: int | None) -> None:
    assert make_slots(device, jobs, accelerators) == WHOLE_MACHINE == (Slot(),)
    assert slot_notice(WHOLE_MACHINE, device, accelerators) is None


@pytest.mark.usefixtures("four_cores")
def test_jobs_on_a_cpu_have_processors_of_their_own() -> None:
    assert make_slots("cpu", 2, 0) == (Slot(2, Place(cores=(2, 3))), Slot(2, Place(cores=(4, 9))))


@pytest.mark.usefixtures("four_cores")
def test_all_have_as_many_and_the_rest_stays_idle() -> None:
    found = make_slots("cpu", 3, 0)
    assert [(one.threads, one.place.cores) for one in found] == [(1, (2,)), (1, (3,)), (1, (4,))]
    assert "each with 1 thread:" in str(slot_notice(found, "cpu", 0))


@pytest.mark.usefixtures("four_cores")
def test_more_jobs_than_processors_are_refused() -> None:
    with pytest.raises(UsageError, match="--jobs 5: this machine offers 4 processors"):
        make_slots("cpu", 5, 0)


def test_where_processes_cannot_be_bound_threads_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(slots, "available_cores", lambda: 8)
    assert make_slots("cpu", 3, 0) == (Slot(2),) * 3


def test_one_trial_on_each_gpu_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = make_slots("cuda", None, 3)
    assert [one.place.environment for one in found] == [{"CUDA_VISIBLE_DEVICES": number} for number in "012"]
    assert {one.threads for one in found} == {None}
    assert slot_notice(found, "cuda", 3) == "3 trials at a time, each on a GPU of its own"


def test_gpus_are_those_that_the_user_left_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,5")
    found = make_slots("cuda", 3, 2)
    assert [one.place.environment["CUDA_VISIBLE_DEVICES"] for one in found] == ["GPU-a", "5", "GPU-a"]
    assert "shared GPU" in str(slot_notice(found, "cuda", 2))


def test_another_accelerator_is_not_divided() -> None:
    with pytest.raises(UsageError, match="mps computes one trial at a time"):
        make_slots("mps", 2, 0)
