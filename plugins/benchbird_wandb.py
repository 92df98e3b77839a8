"""Weights & Biases: every ended trial as a run, where BENCHBIRD_WANDB names a project.

    BENCHBIRD_WANDB=birds benchbird run BENCHMARK.yaml                        # uploads
    BENCHBIRD_WANDB=birds WANDB_MODE=offline benchbird run BENCHMARK.yaml     # writes below ./wandb

It sends parameters, scores and curves to W&B's servers, or to those that its own variables name; nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchbird import BenchbirdError, TrialRecord, TrialSummary, hookimpl, summarise_trial

BENCHBIRD_API = 1

PROJECT = "BENCHBIRD_WANDB"

PATIENCE_S = 30.0
"""How long a trial is waited for until W&B answers, and as long again until it has taken everything."""


@hookimpl
def benchbird_trial_finished(record: TrialRecord, folder: Path) -> None:
    """Send the trial to the project that the environment names; without one, do nothing."""
    project = os.environ.get(PROJECT)
    if not project:
        return
    # W&B's reports on itself say more of this machine than a record does.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError as error:
        raise BenchbirdError(f"{PROJECT} is set, but W&B isn't installed: pip install 'benchbird[trackers]'") from error
    trial = summarise_trial(record, folder)
    # Neither the program's text nor its output, git or the machine's load: what a record says, and no more.
    # By default, finishing waits for as long as a server takes no upload.
    settings = wandb.Settings(
        init_timeout=PATIENCE_S, finish_timeout=PATIENCE_S, finish_timeout_raises=True, silent=True, console="off",
        host="", program="benchbird", program_abspath="", program_relpath="", save_code=False, disable_git=True,
        x_disable_meta=True, x_disable_stats=True, x_disable_machine_info=True, x_save_requirements=False,
    )  # fmt: skip
    with _nobody_to_ask():
        run = wandb.init(
            project=project, group=trial.study, job_type=record.segmenter.label, name=trial.name,
            config=dict(trial.parameters), tags=[trial.benchmark, trial.status], settings=settings, reinit="create_new",
        )  # fmt: skip
        try:
            for epoch, values in _by_epoch(trial):
                run.log(values, step=epoch)
            run.summary.update(dict(trial.scores))
        finally:
            # Otherwise W&B would finish it at the program's exit, in its own time.
            run.finish(exit_code=0 if trial.status == "done" else 1)


def _by_epoch(trial: TrialSummary) -> list[tuple[int, dict[str, float]]]:
    epochs: dict[int, dict[str, float]] = {}
    for name, points in trial.curves.items():
        for epoch, value in points:
            epochs.setdefault(epoch, {})[name] = value
    return sorted(epochs.items())


@contextlib.contextmanager
def _nobody_to_ask() -> Iterator[None]:
    """W&B asks for a key at a terminal, and a run that lasts for days has nobody there."""
    person = sys.stdin
    with Path(os.devnull).open() as nobody:
        sys.stdin = nobody
        try:
            yield
        finally:
            sys.stdin = person
