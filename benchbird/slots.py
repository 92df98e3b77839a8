"""Slots: where the trials of one run compute at the same time, each with a device or processors of its own.

Owns the division of a machine. Every slot of a run is alike, since a trial's place must not change its numbers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from benchbird.environment import available_cores
from benchbird.errors import UsageError
from benchbird.execution.local import ANYWHERE, Place

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Slot:
    """Room for one trial at a time.

    Attributes:
        threads: for torch on the CPU; None leaves torch's choice.
        place: processors and devices that the trial's process sees.
    """

    threads: int | None = None
    place: Place = ANYWHERE


WHOLE_MACHINE = (Slot(),)


def divide_machine(device: str, jobs: int | None) -> tuple[tuple[Slot, ...], str | None]:
    """The slots of a run on this machine, and what a person should know of them; see `make_slots`."""
    accelerators = 0
    if device == "cuda":
        from benchbird.backend import count_accelerators

        accelerators = count_accelerators()
    slots = make_slots(device, jobs, accelerators)
    return slots, slot_notice(slots, device, accelerators)


def make_slots(device: str, jobs: int | None, accelerators: int) -> tuple[Slot, ...]:
    """Divide this machine.

    Args:
        device: `cpu`, `cuda` or `mps`.
        jobs: trials at a time, at least 1; None for one on each GPU, else one.
        accelerators: GPUs that CUDA offers.

    Raises:
        UsageError: more jobs than processors, or several on a device that can't be divided.
    """
    if jobs is None:
        jobs = max(accelerators, 1) if device == "cuda" else 1
    if jobs == 1:
        return WHOLE_MACHINE
    if device == "cuda":
        return tuple(_on_gpu(number % accelerators) for number in range(jobs))
    if device != "cpu":
        raise UsageError(f"--jobs {jobs}: {device} computes one trial at a time; leave --jobs out")
    cores = available_cores()
    if jobs > cores:
        raise UsageError(f"--jobs {jobs}: this machine offers {cores} processors; at most one trial on each")
    return _on_cores(jobs, cores // jobs)


def slot_notice(slots: tuple[Slot, ...], device: str, accelerators: int) -> str | None:
    """What a person should know of timings that are taken side by side; None where they are not."""
    if len(slots) == 1:
        return None
    if device == "cuda":
        if len(slots) <= accelerators:
            return f"{len(slots)} trials at a time, each on a GPU of its own"
        return (
            f"{len(slots)} trials at a time on {accelerators} GPU{'s' * (accelerators != 1)}: "
            "their throughput is that of a shared GPU, which is nothing to quote"
        )
    threads = slots[0].threads
    return (
        f"{len(slots)} trials at a time, each with {threads} thread{'s' * (threads != 1)}: throughput is taken "
        "beside the others, and scores may differ in the last digits from those with all threads"
    )


def _on_gpu(number: int) -> Slot:
    # By what the process sees, so that a segmenter which asks for `cuda` gets this one too.
    names = [name for name in os.environ.get(VISIBLE_DEVICES, "").split(",") if name.strip()]
    return Slot(place=Place(environment={VISIBLE_DEVICES: names[number] if names else str(number)}))


def _on_cores(jobs: int, each: int) -> tuple[Slot, ...]:
    if not hasattr(os, "sched_getaffinity"):
        return (Slot(threads=each),) * jobs
    cores = sorted(os.sched_getaffinity(0))
    parts = [tuple(cores[number * each : (number + 1) * each]) for number in range(jobs)]
    return tuple(Slot(threads=each, place=Place(cores=part)) for part in parts)
