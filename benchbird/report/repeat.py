"""The command that repeats a study, and how far it is known to.

Owns the wording. A record holds no path, so that the benchmark's file and the data's place are known only where they
are given.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbird.plain_text import plain_text
from benchbird.standings import Leaderboard


@dataclass(frozen=True)
class Repeat:
    """How to repeat a study.

    Attributes:
        command: a line for a shell.
        remarks: what must be true of it, a sentence each.
    """

    command: str
    remarks: tuple[str, ...]


def repeat_command(
    leaderboard: Leaderboard, *, benchmark: str | None, overrides: Sequence[str] = (), plugins: Sequence[str] = ()
) -> Repeat:
    """The command, from what is known.

    Args:
        leaderboard: of the study.
        benchmark: the file, if it was found to give this protocol and these data; else None.
        overrides: `KEY=VALUE` each, as they were given with the file.
        plugins: plugin files that were named beside it.
    """
    seeds = sorted({seed for row in leaderboard.rows for seed in row.seeds} | {one.seed for one in leaderboard.failed})
    if isinstance(tuning := leaderboard.protocol.get("tuning"), Mapping):
        seeds = [seed for seed in seeds if seed != tuning.get("seed")]  # of a network that no learning rate suits
    file = benchmark or f"benchmarks/{leaderboard.benchmark}.yaml"
    words = ["benchbird", "run", file]
    if ", " not in leaderboard.profile:
        words += ["--profile", leaderboard.profile]
    for override in overrides:
        words += ["--set", override]
    for plugin in plugins:
        words += ["--plugin", plugin]
    if seeds:
        words += ["--seeds", ",".join(map(str, seeds))]
    digests = f"protocol {leaderboard.protocol_digest} and data {leaderboard.data_digest}"
    if benchmark is not None:
        remarks = [f"Checked when this page was made: that file gives {digests}, as the trials were run with."]
    else:
        remarks = [
            f"Not checked: records hold no paths. It repeats the study if the file gives {digests}, which the "
            "option --dry-run prints."
        ]
    remarks.append(
        "On one machine the same scores come out to the last digit; on another, and on a GPU, they differ by rounding. "
        "The command benchbird verify checks records and weights."
    )
    return Repeat(plain_text(shlex.join(words), 1000), tuple(remarks))
