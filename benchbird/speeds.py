"""How fast this machine computes the segmenters that a plan has left: remembered from an earlier run, else probed.

Owns the memory of speeds, in the index, and the child that probes. How a speed is measured is `estimate.py`'s; none
enters a record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchbird.data.pairs import load_pair
from benchbird.environment import available_cores, capture_environment
from benchbird.estimate import NATIVE_IMAGE_S, ProbeRequest, Speed, probe, trial_seconds
from benchbird.execution.local import Bounds, run_in_child
from benchbird.index import index_of
from benchbird.plan import Plan
from benchbird.protocol import canonical_digest
from benchbird.records import Environment, SegmenterIdentity
from benchbird.training import steps_per_epoch

PROBE_SILENCE_S = 600.0
"""Seconds without an answer after which a probe is ended: building and compiling one model takes less."""

PATIENCE = 20.0
"""A trial is given up when it took so many times what it should take, in all or without a sign of progress."""

LEAST_SILENCE_S, LEAST_TRIAL_S = 600.0, 86_400.0
"""And never sooner than this."""

UNKNOWN_SILENCE_S = 3600.0
"""Where the speed isn't known, since the segmenter's probe failed."""

SPEED_VERSION = 1
"""Changes when a probe measures something else, so that what the index holds is measured anew."""


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What is known of this machine before anything is trained.

    Attributes:
        environment: the machine; None where a child that should have told didn't answer.
        by_label: speed by segmenter's label, of those that can be built.
        unusable: label → why that segmenter can't be built.
    """

    environment: Environment | None
    by_label: Mapping[str, Speed]
    unusable: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class TrialLimits:
    """When a trial is ended as `timeout`.

    Attributes:
        wall_s: seconds in all; None for no limit.
        silence_s: seconds without a sign of progress, such as a finished epoch.
    """

    wall_s: float | None
    silence_s: float


def find_speeds(plan: Plan, device: str, threads: int | None, cache: Path | None) -> Speeds:
    """The speeds of the segmenters that are left, each probed only where the index doesn't know it.

    Args:
        plan: of the run.
        device: `cpu`, `cuda` or `mps`.
        threads: for torch on the CPU; None leaves torch's choice.
        cache: the folder whose index remembers speeds; None for the default one.
    """
    environment = _this_machine(plan, device, threads)
    if environment is None:
        return Speeds(environment=None, by_label={}, unusable={})
    labels = {trial.segmenter.label for trial in plan.unended}
    wanted = [segmenter for segmenter in plan.segmenters if segmenter.label in labels]
    keys = {segmenter.label: _key(segmenter, plan, environment) for segmenter in wanted}
    with index_of(cache) as index:
        known = {label: speed for label, key in keys.items() if (speed := _decode(label, index.get(key))) is not None}
        missing = [segmenter for segmenter in wanted if segmenter.label not in known]
        if not missing:
            return Speeds(environment=environment, by_label=known, unusable={})
        probed = _probe(plan, missing, device, threads)
        for label, speed in probed.by_label.items():
            index.put(keys[label], _encode(speed))
    return replace(probed, by_label={**known, **probed.by_label})


def expected_seconds(plan: Plan, speeds: Mapping[str, Speed]) -> dict[tuple[str, int], float]:
    """Label and seed → seconds that a trial which is left takes; those whose segmenter has no speed are left out.

    Args:
        plan: of the run.
        speeds: by label.
    """
    steps = steps_per_epoch(len(plan.data.splits["train"]), plan.protocol)
    return {
        (trial.segmenter.label, trial.seed): trial_seconds(
            speeds[trial.segmenter.label],
            plan.protocol,
            epochs=plan.protocol.epochs - trial.epochs_done,
            steps=steps,
            n_val=len(plan.data.splits["val"]),
            n_test=len(plan.data.splits["test"]),
        )
        for trial in plan.unended
        if trial.segmenter.label in speeds
    }


def estimate_seconds(plan: Plan, speeds: Mapping[str, Speed]) -> float:
    """Seconds that all trials which are left take one after the other; as `expected_seconds`."""
    return sum(expected_seconds(plan, speeds).values())


def trial_limits(plan: Plan, speeds: Mapping[str, Speed]) -> dict[str, TrialLimits]:
    """Label → when its trials are ended: what the benchmark's `limits` say, else a multiple of what they should take.

    Args:
        plan: of the run.
        speeds: by label.
    """
    stated = plan.config.limits
    limits = {}
    for label in (segmenter.label for segmenter in plan.segmenters):
        speed = speeds.get(label)
        wall_s, silence_s = stated.trial_seconds, stated.silent_seconds
        if wall_s is None and speed is not None:
            wall_s = max(LEAST_TRIAL_S, PATIENCE * _whole_trial_s(plan, speed))
        if silence_s is None:
            silence_s = UNKNOWN_SILENCE_S
            if speed is not None:
                silence_s = max(LEAST_SILENCE_S, PATIENCE * _longest_silence_s(plan, speed))
        limits[label] = TrialLimits(wall_s=wall_s, silence_s=silence_s)
    return limits


def _whole_trial_s(plan: Plan, speed: Speed) -> float:
    steps = steps_per_epoch(len(plan.data.splits["train"]), plan.protocol)
    n_val, n_test = (len(plan.data.splits[name]) for name in ("val", "test"))
    return trial_seconds(speed, plan.protocol, epochs=plan.protocol.epochs, steps=steps, n_val=n_val, n_test=n_test)


def _longest_silence_s(plan: Plan, speed: Speed) -> float:
    """An epoch, or both splits predicted at native size for the last and the best weights, or a calibration."""
    steps = steps_per_epoch(len(plan.data.splits["train"]), plan.protocol)
    n_train, n_val, n_test = (len(plan.data.splits[name]) for name in ("train", "val", "test"))
    epoch = steps * speed.step_s + n_val * speed.image_s
    return max(epoch, 2 * (n_val + n_test) * (speed.image_s + NATIVE_IMAGE_S), n_train * speed.image_s)


def preparation_seconds(plan: Plan) -> float:
    """Seconds that preparing the data will take, from one sample; 0 where that one can't be used."""
    sample = plan.data.splits["train"][0]
    started = time.monotonic()
    load_pair(sample)
    samples = sum(map(len, plan.data.splits.values()))
    return (time.monotonic() - started) * samples / available_cores()


def _this_machine(plan: Plan, device: str, threads: int | None) -> Environment | None:
    """The environment of this run's trials, by a child where an accelerator must be asked: this process holds none."""
    if device != "cpu":
        return _probe(plan, (), device, threads).environment
    import torch

    found = capture_environment(torch.device("cpu"))
    return found if threads is None else replace(found, threads=threads)


def _probe(plan: Plan, segmenters: Sequence[SegmenterIdentity], device: str, threads: int | None) -> Speeds:
    """The machine and the speeds of some segmenters, by a child."""
    request = ProbeRequest(
        protocol=plan.protocol,
        segmenters=tuple(segmenters),
        plugin_files=plan.plugin_files,
        device=device,
        threads=threads,
    )
    environment: list[Environment] = []
    speeds: dict[str, Speed] = {}
    unusable: dict[str, str] = {}

    def collect(event: Mapping[str, Any]) -> None:
        values = {key: value for key, value in event.items() if key != "event"}
        if event["event"] == "environment":
            environment.append(Environment(**values))
        elif event["event"] == "speed":
            speeds[values["label"]] = Speed(**values)
        else:
            unusable[values["label"]] = values["reason"]

    silence_s = plan.config.limits.silent_seconds or PROBE_SILENCE_S
    ending = run_in_child(probe, request, log=None, on_event=collect, bounds=Bounds(silence_s=silence_s))
    left = [one.label for one in segmenters if one.label not in speeds and one.label not in unusable]
    if ending.ended_for and left:
        # They are probed in this order; of those behind it nothing is known.
        unusable[left[0]] = f"its probe gave no sign of progress for {silence_s:g} s"
    return Speeds(environment=environment[0] if environment else None, by_label=speeds, unusable=unusable)


def _key(segmenter: SegmenterIdentity, plan: Plan, environment: Environment) -> str:
    """Changes with everything that a speed follows from, as far as it is known."""
    protocol = plan.protocol.as_dict()
    del protocol["optimizer"]["lr"]  # takes no time, and a search tries several
    identity = {
        "protocol": protocol,
        "segmenter": segmenter.name,
        "options": dict(segmenter.options),
        "source": segmenter.source_sha256,
        "environment": asdict(environment),
    }
    return f"speed/{SPEED_VERSION}/{canonical_digest(identity)}"


def _encode(speed: Speed) -> bytes:
    return json.dumps([speed.step_s, speed.image_s]).encode()


def _decode(label: str, answer: bytes | None) -> Speed | None:
    if answer is None:
        return None
    try:
        step_s, image_s = json.loads(answer)
        return Speed(label=label, step_s=float(step_s), image_s=float(image_s))
    except (ValueError, TypeError):
        return None
