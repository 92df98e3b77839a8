"""`benchbird status`: which trials are done, failed, under way, stale or interrupted."""

from __future__ import annotations

import json
import shlex
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchbird.trial_states import ResultsState, StudyState, TrialState

HEADS = ("label", "seed", "state", "epoch", "begun (UTC)", "runs", "where", "heartbeat")
ELASTIC = ("label", "seed", "where")
"""Columns that are cut where a row would be wider than `WIDTH`: what others have named may be of any length."""

WIDTH = 118
LEAST_WIDTH = 10
LOGS_SHOWN = 10
"""Failed trials of a study whose log is quoted; --json has them all."""


@click.command(epilog="Example: benchbird status results/birdsound")
@click.argument("target", metavar="RESULTS", type=click.Path(path_type=Path))
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"), show_default=True,
              metavar="DIR", help="Results root in which a YAML's name is looked up.")  # fmt: skip
@click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
              help="Where answers are remembered.  [default: as for run]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def command(target: Path, results: Path, cache: Path | None, as_json: bool) -> None:
    """Show which trials are done, failed, under way or left behind.

    RESULTS is a results root, any folder below one, or a benchmark's YAML, meaning DIR/<its name>. A trial
    that was never begun has no folder and isn't counted.

    \b
    running            a process of this machine works on it
    running elsewhere  claimed by a process that can't be looked up from here
    stale              the process that worked on it is dead; the same run command goes on with it
    interrupted        begun, and nobody works on it
    waiting            to be run from its beginning
    damaged            its record can't be used
    """  # noqa: D301 - \b is how click is told to keep lines  # fmt: skip
    from benchbird.index import index_of
    from benchbird.results import target_folder
    from benchbird.trial_states import read_states

    folder = target_folder(target, results)
    with index_of(cache) as index:
        found = read_states(folder, index)
    if as_json:
        click.echo(json.dumps(_document(folder, found), indent=2))
        return
    for line in _lines(folder, found):
        click.echo(line)


def _nothing(folder: Path) -> str:
    from benchbird.tuning import RULE_FILE

    if (folder / RULE_FILE).is_file():
        return "a tuned track, whose trials lie in the benchmark's folder, above this one"
    return "no trial has begun here yet"


def _lines(folder: Path, found: ResultsState) -> Iterator[str]:
    from benchbird.plain_text import plain_text

    if not found.studies:
        yield f"{plain_text(str(folder), 200)}: {_nothing(folder)}"
    for study in found.studies:
        kind = ", noise budget" if study.is_noise else ""
        title = plain_text(f"{study.benchmark} / {study.study}", 90)
        yield f"{click.style(title, bold=True)}{kind}: {_counts(study)}"
        if study.open_trials:
            yield ""
            yield from _table(study.open_trials)
            yield from _details(study.open_trials)
        yield ""
    for fault in found.faults:
        yield f"not looked at: {fault}"
    if found.studies:
        yield from _wrapped(_advice(folder, found), "")


def _counts(study: StudyState) -> str:
    total = len(study.trials)
    counts = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in study.counts.items())
    return f"{counts}, of {total} trial{'s' * (total != 1)} begun"


def _table(trials: Sequence[TrialState]) -> Iterator[str]:
    from benchbird.plain_text import plain_text

    rows = [HEADS, *map(_row, trials)]
    # A column in which nothing is said takes no room.
    shown = [column for column in range(len(HEADS)) if any(row[column] != "–" for row in rows[1:])]
    cells = [[plain_text(row[column], WIDTH) for column in shown] for row in rows]
    widths = _fitting([max(map(len, column)) for column in zip(*cells, strict=True)], cells[0])
    for row in cells:
        padded = (plain_text(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  " + "  ".join(padded).rstrip()


def _fitting(widths: list[int], heads: Sequence[str]) -> list[int]:
    """The widths of columns, the widest elastic ones narrowed until a row fits."""
    elastic = [column for column, head in enumerate(heads) if head in ELASTIC]
    while sum(widths) + 2 * len(widths) > WIDTH:
        widest = max(elastic, key=lambda column: widths[column], default=None)
        if widest is None or widths[widest] <= LEAST_WIDTH:
            break
        widths[widest] -= 1
    return widths


def _row(trial: TrialState) -> tuple[str, ...]:
    from benchbird.trial_states import moment

    holder = trial.holder
    return (
        trial.label,
        trial.seed,
        trial.state.replace("_", " "),
        _epoch(trial),
        moment(trial.started_at) or "–",
        "–" if trial.attempts is None else str(trial.attempts),
        "–" if holder is None else f"{str(holder.host)[:64]}, process {holder.process}",
        _heartbeat(trial.heartbeat_s),
    )


def _epoch(trial: TrialState) -> str:
    if trial.epoch is None:
        return "–"
    return f"{trial.epoch}" if trial.epochs is None else f"{trial.epoch} of {trial.epochs}"


def _heartbeat(seconds: float | None) -> str:
    from benchbird.progress import duration

    if seconds is None:
        return "–"
    # Another machine's clock, or a file server's, may be ahead of this one's.
    return f"{duration(seconds)} ago" if seconds > -5 else "by another clock"


def _details(trials: Sequence[TrialState]) -> Iterator[str]:
    """Why trials failed, in words and by the ends of their logs."""
    told = [trial for trial in trials if trial.reason or trial.log]
    for trial in told[:LOGS_SHOWN]:
        yield ""
        head = (
            f"{trial.label} seed {trial.seed}, {trial.state.replace('_', ' ')}: {trial.reason or 'no reason is told'}"
        )
        yield from _wrapped(head, "  ")
        yield from (f"    | {line}" for line in trial.log)
    if len(told) > LOGS_SHOWN:
        yield ""
        yield f"  and why {len(told) - LOGS_SHOWN} more failed: --json tells"


def _wrapped(text: str, indent: str) -> Iterable[str]:
    width = min(shutil.get_terminal_size((120, 24)).columns, 120)
    return textwrap.wrap(text, max(width, 40), initial_indent=indent, subsequent_indent=indent + "  ")


def _advice(folder: Path, found: ResultsState) -> str:
    """What to do, in one line."""
    from benchbird.plain_text import plain_text
    from benchbird.trial_states import FAILED, UNDER_WAY, UNFINISHED

    counts = Counter(trial.state for study in found.studies for trial in study.trials)

    def number(states: Iterable[str]) -> int:
        return sum(counts[state] for state in states)

    steps = []
    if waiting := number(UNFINISHED):
        steps.append(f"`benchbird run` with the same options goes on with {_trials(waiting)}")
    if failed := number(FAILED):
        steps.append(f"with --retry-failed it runs {_trials(failed)} that failed again")
    if damaged := number(["damaged"]):
        steps.append(
            f"delete the record.json of {_trials(damaged)} that {'is' if damaged == 1 else 'are'} damaged first"
        )
    if silent := sum(_is_silent(trial) for study in found.studies for trial in study.trials):
        whose = "one that runs" if silent == 1 else f"{silent} that run"
        steps.append(f"`benchbird run` takes over {whose} elsewhere and gave no sign of life for long, if so it stays")
    if found.faults:
        steps.append("make readable what wasn't looked at")
    if counts["stale"]:
        steps.append(f"`benchbird clean {shlex.quote(plain_text(str(folder)))}` only tidies up")
    if not steps:
        under_way = number(UNDER_WAY)
        return f"nothing to do: {_trials(under_way)} under way" if under_way else "nothing to do: every trial is done"
    return f"to do: {'; '.join(steps)}"


def _is_silent(trial: TrialState) -> bool:
    from benchbird.claims import STALE_AFTER_S

    return trial.state == "running elsewhere" and trial.heartbeat_s is not None and trial.heartbeat_s > STALE_AFTER_S


def _trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"


def _document(folder: Path, found: ResultsState) -> dict[str, Any]:
    return {
        "results": str(folder),
        "studies": [
            {
                "benchmark": study.benchmark,
                "study": study.study,
                "is_noise": study.is_noise,
                "trials": len(study.trials),
                "counts": study.counts,
                "not_done": [_trial_document(trial) for trial in study.open_trials],
            }
            for study in found.studies
        ],
        "faults": list(found.faults),
        "advice": _advice(folder, found) if found.studies else _nothing(folder),
    }


def _trial_document(trial: TrialState) -> dict[str, Any]:
    holder = trial.holder
    return {
        "label": trial.label,
        "seed": trial.seed,
        "state": trial.state,
        "epoch": trial.epoch,
        "epochs": trial.epochs,
        "started_at": trial.started_at,
        "attempts": trial.attempts,
        "holder": None if holder is None else {"host": str(holder.host)[:255], "process": holder.process},
        "heartbeat_s": None if trial.heartbeat_s is None else round(trial.heartbeat_s, 1),
        "reason": trial.reason,
        "log": list(trial.log),
        "folder": str(trial.folder),
    }
