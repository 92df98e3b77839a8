"""What a run says before it begins: the plan, the cache, how long it will take.

Owns the order and the wording; the figures are `speeds.py`'s and `plan_summary.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchbird.data.cache import folder_size_bytes, prepared_already
from benchbird.environment import describe_machine
from benchbird.plan import Plan
from benchbird.plan_summary import long_run_advice, plan_lines
from benchbird.progress import duration
from benchbird.slots import Slot
from benchbird.speeds import Speeds, expected_seconds, find_speeds, preparation_seconds

LONG_RUN_S = 30 * 60


@dataclass(frozen=True)
class Expectation:
    """How long a run should take.

    Attributes:
        speeds: of this machine; None where nothing is left to train.
        trials_s: label and seed → seconds of a trial by itself.
        run_s: seconds of all that is left, data preparation among it.
    """

    speeds: Speeds | None = None
    trials_s: Mapping[tuple[str, int], float] = field(default_factory=dict)
    run_s: float = 0.0


def announce(
    plan: Plan,
    cache: Path,
    device: str,
    slots: Sequence[Slot],
    *,
    profile_was_chosen: bool,
    say: Callable[[str], None],
) -> Expectation:
    """Tell the plan line by line, and what is expected of it.

    Args:
        plan: of the run.
        cache: where prepared data are kept.
        device: torch device type.
        slots: trials at a time.
        profile_was_chosen: whether the user named the profile.
        say: gets each line as soon as it is known.
    """
    cached = prepared_already(plan.data.splits, plan.protocol.image_size, cache, resize=plan.protocol.resize)
    for line in plan_lines(plan, device, profile_was_chosen=profile_was_chosen):
        say(line)
    state = "prepared data are there" if all(cached.values()) else "data will be prepared"
    say(f"cache      {cache} ({folder_size_bytes(cache) / 1e6:.0f} MB): {state}")
    if not plan.unended:
        say("estimate   nothing is left to train")
        return Expectation()
    speeds = find_speeds(plan, device, slots[0].threads, cache)
    for label, reason in speeds.unusable.items():
        say(f"warning    {label} will fail: {reason}")
    trials_s = expected_seconds(plan, speeds.by_label)
    run_s = sum(trials_s.values()) / len(slots)
    if not all(cached.values()):
        run_s += preparation_seconds(plan)
    machine = f" on {describe_machine(speeds.environment)}" if speeds.environment else ""
    say(f"estimate   about {duration(run_s)}{machine}")
    if run_s > LONG_RUN_S:
        say(long_run_advice(plan))
    return Expectation(speeds, trials_s, run_s)
