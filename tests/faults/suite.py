"""The fault suite: what is done to benchbird from outside, how often, and whether it held.

Owns the list of faults and what is kept of each case: one JSON line in a file, so that the full form goes on where it
stopped. A fault's own doings are in its module; the short form is `test_faults.py`'s, the full one `__main__.py`'s.
"""

from __future__ import annotations

import importlib
import json
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

ROWS = Path(__file__).parents[2] / "docs" / "reliability.jsonl"
"""Kept beside the table that is made of it, so that whoever doubts that one can look."""

MODULES = (
    "f01_killed_runs",
    "f02_killed_saves",
    "f03_signals",
    "f04_resumed_trainings",
    "f05_refusing_disks",
    "f06_damaged_checkpoints",
    "f07_bad_images",
    "f08_numbers_gone_wrong",
    "f09_hostile_segmenters",
    "f10_runs_at_once",
    "f11_clocks_and_names",
    "f12_malice",
    "f13_many_trials",
    "f14_fuzz",
)


class CannotBeTried(Exception):
    """This machine lacks what a case needs; says what."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        number: `F1` to `F14`.
        title: what is done, in a few words.
        promise: what must hold, in one line.
        cases: names of all cases of the full form, each once.
        short: cases of the short form, among them.
        case_s: seconds that one case takes on two cores, for the estimate.
        check: carries out one case in an empty folder; raises AssertionError where the promise is broken,
            CannotBeTried where this machine can't tell.
    """

    number: str
    title: str
    promise: str
    cases: Sequence[str]
    short: Sequence[str]
    case_s: float
    check: Callable[[str, Path], None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of one case.

    Attributes:
        fault: its number.
        case: its name.
        outcome: `passed`, `failed` or `not tried`.
        why: of what didn't pass.
        seconds: that it took.
        commit: of the code.
        date: ISO 8601.
    """

    fault: str
    case: str
    outcome: str
    why: str
    seconds: float
    commit: str
    date: str


def load_faults() -> tuple[Fault, ...]:
    """Every fault, in the order of its number."""
    return tuple(importlib.import_module(f"tests.faults.{name}").FAULT for name in MODULES)


def try_case(fault: Fault, case: str, folder: Path, commit: str, date: str) -> Row:
    """Carry out one case; whatever it raises is its outcome."""
    started = time.monotonic()
    outcome, why = "passed", ""
    try:
        fault.check(case, folder)
    except CannotBeTried as reason:
        outcome, why = "not tried", str(reason)
    except Exception as error:
        told = "".join(traceback.format_exception_only(error)).strip()
        outcome, why = "failed", told.replace(str(folder), "CASE")[:2000]  # rows are published
    return Row(
        fault=fault.number, case=case, outcome=outcome, why=why, seconds=round(time.monotonic() - started, 3),
        commit=commit, date=date,
    )  # fmt: skip


def be_deaf() -> None:
    """Leave Ctrl-C to the process that hands the cases out; runs that a case interrupts hear it again by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def carry_out(number: str, case: str, version: str) -> Row:
    """One case by name, in a folder of its own; a process of its own can find this function."""
    (fault,) = (fault for fault in load_faults() if fault.number == number)
    with tempfile.TemporaryDirectory(prefix="fault ") as folder:
        return try_case(fault, case, Path(folder), version, date.today().isoformat())


def store(row: Row, path: Path = ROWS) -> None:
    """Add a row to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(row)) + "\n")


def stored(path: Path = ROWS) -> Iterator[Row]:
    """The rows of the file; a torn last one is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield Row(**json.loads(line))
        except (ValueError, TypeError):
            continue
