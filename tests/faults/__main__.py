"""The fault suite in its full form: `make faults`.

    python -m tests.faults [--only F1 F2] [--jobs 2] [--again | --unpassed] [--list]

Says how long it will take, carries out each case that hasn't a row of this code yet, and writes the table of
docs/reliability.md. Ctrl-C stops it; the same command goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from benchbird.environment import available_cores, capture_environment, describe_machine
from benchbird.progress import duration
from tests.faults.suite import ROWS, Fault, Row, be_deaf, carry_out, load_faults, store, stored

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


CODE = ("benchbird", "plugins", "tests/faults", "tests/small_bench.py", "tests/short_timing")
"""What a case's outcome follows from: rows stay valid while nothing of it changes."""


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def code_version() -> str:
    """The last commit that changed the code, with a `+` where the working tree differs from it."""
    return git("log", "-1", "--format=%h", "--", *CODE) + ("+" if git("status", "--porcelain", *CODE) else "")


def table(faults: Sequence[Fault], rows: Sequence[Row]) -> str:
    """Markdown: one line a fault, by the newest row of each case, then every case that didn't pass."""
    newest = {(row.fault, row.case): row for row in rows}
    lines = ["| fault | what is done | what must hold | cases | passed | not tried | commit | date |",
             "| --- | --- | --- | ---: | ---: | ---: | --- | --- |"]  # fmt: skip
    broken = []
    for fault in faults:
        own = [row for case in fault.cases if (row := newest.get((fault.number, case))) is not None]
        passed, untried = (sum(row.outcome == kind for row in own) for kind in ("passed", "not tried"))
        commits = ", ".join(sorted({row.commit for row in own})) or "–"
        dates = max((row.date for row in own), default="–")
        lines.append(
            f"| {fault.number} | {fault.title} | {fault.promise} | {len(fault.cases)} | {passed} | {untried} "
            f"| {commits} | {dates} |"
        )
        missing = len(fault.cases) - len(own)
        if missing:
            broken.append(f"- {fault.number}: {missing} cases have not been carried out.")
        broken += [f"- {row.fault} {row.case}: {row.outcome}: {_one_line(row.why)}" for row in own if row.why]
    machine = describe_machine(capture_environment(torch.device("cpu")))
    rest = "\n".join(broken) or "Every case passed."
    return f"`make faults` on {machine}:\n\n" + "\n".join(lines) + f"\n\n{rest}"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:300]


def place(text: str) -> None:
    """Put the table between its markers."""
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="F", default=[])
    parser.add_argument("--jobs", type=int, default=available_cores(), help="cases at a time (default one a core)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--again", action="store_true", help="carry out the cases that have a row, too")
    which.add_argument("--unpassed", action="store_true", help="those alone that never passed, by whatever commit")
    parser.add_argument("--list", action="store_true", help="say what there is and how long it takes, and stop")
    chosen = parser.parse_args()
    faults = load_faults()
    version = code_version()
    changed = version if version.endswith("+") else None  # no two changed working trees need be alike
    known = {
        (row.fault, row.case)
        for row in stored()
        if not chosen.again and (row.outcome == "passed" if chosen.unpassed else row.commit == version != changed)
    }
    left = [
        (fault, case)
        for fault in faults
        if not chosen.only or fault.number in chosen.only
        for case in fault.cases
        if (fault.number, case) not in known
    ]
    seconds = sum(fault.case_s for fault, _ in left) / chosen.jobs
    print(f"{len(left)} cases, {chosen.jobs} at a time, about {duration(seconds)}; rows in {ROWS}", flush=True)
    if chosen.list:
        for fault in faults:
            print(f"{fault.number:4} {len(fault.cases):5} × {fault.case_s:g} s  {fault.title}")
        return 0
    outcomes: dict[Future[Row], str] = {}

    def take(done: Future[Row]) -> None:
        row = done.result()
        store(row)
        outcomes[done] = row.outcome
        took = f"{row.outcome} ({row.seconds:.1f} s)"
        print(f"[{len(outcomes)}/{len(left)}] {row.fault} {row.case}: {took} {row.why}", flush=True)

    # Spawned, since cases change their process's environment and signals; and deaf to Ctrl-C, which reaches them too.
    with ProcessPoolExecutor(chosen.jobs, mp_context=get_context("spawn"), initializer=be_deaf) as executor:
        rows = [executor.submit(carry_out, fault.number, case, version) for fault, case in left]
        try:
            for done in as_completed(rows):
                take(done)
        except KeyboardInterrupt:
            print("stopping after the cases under way; the same command goes on", flush=True)
            executor.shutdown(wait=True, cancel_futures=True)
            for done in rows:
                if done not in outcomes and not done.cancelled():
                    take(done)
    place(table(faults, list(stored())))
    failed = list(outcomes.values()).count("failed")
    print(f"{failed} failed; the table is in {DOCUMENT.relative_to(ROOT)}")
    if len(outcomes) < len(left):
        return 130
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
