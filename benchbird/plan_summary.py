"""A plan in words and as a document: what `run` says before it starts.

Owns wording alone; nothing is printed or decided here.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from benchbird.config.schema import CPU_PROFILE
from benchbird.plan import Plan
from benchbird.protocol import Protocol


def plan_lines(plan: Plan, device: str, *, profile_was_chosen: bool) -> list[str]:
    """The plan for a person, one line a fact.

    Args:
        plan: of the run.
        device: `cpu`, `cuda` or `mps`.
        profile_was_chosen: whether the user named the profile.
    """
    config, data, protocol = plan.config, plan.data, plan.protocol
    chosen = ""
    if not profile_was_chosen and config.profile == CPU_PROFILE:
        chosen = " (taken because there is no GPU; --profile full runs the whole protocol)"
    sizes = ", ".join(f"{len(samples)} {name}" for name, samples in data.splits.items())
    states = {state: sum(trial.state == state for trial in plan.trials) for state in ("ended", "started")}
    resumed = [f"{trial.segmenter.label} seed {trial.seed} after epoch {trial.epochs_done}"
               for trial in plan.trials if trial.state == "started"]  # fmt: skip
    trials = f"{_count(len(plan.segmenters), 'segmenter')} × {_count(len(config.seeds), 'seed')} = {len(plan.trials)}"
    lines = [
        f"benchbird {version('benchbird')}: benchmark {config.name}, profile {config.profile}{chosen}",
        f"study      {plan.study} (protocol {protocol.digest}, data {data.digest})",
        *([f"fold       {data.fold.number} of {data.fold.of}"] if data.fold else []),
        f"data       {data.dataset}: {sizes} images, {data.n_recordings('test')} test recordings",
        *(f"notice     {notice}" for notice in data.notices),
        f"trials     {trials}: {states['ended']} ended, {len(plan.unended)} to run on {device}",
        *([f"resuming   {'; '.join(resumed)}"] if resumed else []),
        f"training   {protocol.epochs} epochs, {plan.steps} steps of {protocol.batch_size} images at "
        f"{protocol.image_size}×{protocol.image_size}, {protocol.optimizer.name} lr {protocol.optimizer.lr:g}, "
        f"{_manner(protocol)}{_pictures(protocol)}",
        *_imitation(protocol, device),
        f"results    {plan.study_folder}",
    ]
    failed = [trial for trial in plan.trials if trial.record is not None and trial.record.status != "done"]
    if failed:
        lines.append(f"notice     {len(failed)} ended trials are not done; --retry-failed runs them again")
    return lines


def _manner(protocol: Protocol) -> str:
    """Precision, layout and compilation, as far as they aren't the plain ones."""
    compiled = {False: "", True: ", compiled", "cuda_graphs": ", compiled into CUDA graphs"}[protocol.compile]
    return f"{protocol.precision}{', channels_last' if protocol.channels_last else ''}{compiled}"


def _pictures(protocol: Protocol) -> str:
    """Rendering and spectrum, as far as they aren't the published ones."""
    rendering = "" if protocol.rendering == "published" else f", rendering {protocol.rendering}"
    return rendering + ("" if protocol.spectrum == "mirrored" else f", {protocol.spectrum} spectrum")


def _imitation(protocol: Protocol, device: str) -> list[str]:
    """A notice where the device has no instructions for the protocol's precision."""
    if protocol.precision == "fp32":
        return []
    import torch

    from benchbird.precisions import emulation_warning

    warning = emulation_warning((protocol.precision,), torch.device(device))
    return [f"notice     {warning}"] if warning else []


def long_run_advice(plan: Plan) -> str:
    """What to say of a run that takes long."""
    advice = "notice     that is more than 30 minutes; it can be stopped at any time and goes on where it was"
    if CPU_PROFILE in plan.config.profile_names and plan.config.profile != CPU_PROFILE:
        command = f"benchbird run {plan.config.path} --profile {CPU_PROFILE}"
        advice += f". A small profile is there:\n           {command}"
    return advice


def plan_document(plan: Plan, seconds: float | None) -> dict[str, Any]:
    """The plan for a program.

    Args:
        plan: of the run.
        seconds: estimated.
    """
    return {
        "benchmark": plan.config.name,
        "profile": plan.config.profile,
        "study": plan.study,
        "protocol": {**plan.protocol.as_dict(), "digest": plan.protocol.digest},
        "data": {"name": plan.data.dataset, "digest": plan.data.digest,
                 **{f"n_{name}": len(samples) for name, samples in plan.data.splits.items()}},
        "steps": plan.steps,
        "trials": [{"label": trial.segmenter.label, "seed": trial.seed, "state": trial.state,
                    "epochs_done": trial.epochs_done} for trial in plan.trials],
        "estimate_s": seconds,
    }  # fmt: skip


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
