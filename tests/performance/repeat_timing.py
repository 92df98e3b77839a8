"""How far the ratios of `benchbird time` repeat from one invocation to the next.

    python tests/performance/repeat_timing.py [--times 5] [unet:encoder=resnet18 atrous_segnet --size 64 --threads 1]

Whatever isn't an option of this script is handed on to `benchbird time`; without any, two small rows are timed and
what comes of it goes into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.performance_document import transcript

BOUND = 0.05
SMALL = ["unet:encoder=resnet18", "atrous_segnet", "--size", "64", "--batch-sizes", "8", "--threads", "1"]


def time_once(arguments: list[str]) -> dict[str, Any]:
    """One invocation in a process of its own; what it printed as JSON."""
    command = [sys.executable, "-m", "benchbird", "time", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout:
        sys.exit(done.stderr)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="invocations (default 5)")
    own, handed_on = parser.parse_known_args()
    if handed_on:
        repeat(own.times, handed_on)
        return
    with transcript("repeated timing", f"python tests/performance/repeat_timing.py --times {own.times}"):
        print(f"benchbird time {' '.join(SMALL)}")
        repeat(own.times, SMALL)


def repeat(times: int, arguments: list[str]) -> None:
    """Time again and again, and print how far the invocations are apart."""
    ratios: dict[str, list[float]] = defaultdict(list)
    speeds: dict[str, list[float]] = defaultdict(list)
    for number in range(1, times + 1):
        document = time_once(arguments)
        for row in document["rows"]:
            name = f"{row['label']} {row['precision']} {row['work']} batch {row['batch_size']}"
            speeds[name].append(row["images_per_s"])
            if row["ratio"] is not None:
                ratios[f"{name} to {row['reference']}"].append(row["ratio"]["median"])
        latest = ", ".join(f"{values[-1]:.3f}" for values in ratios.values())
        others = document["others_cores"] or 0.0
        processes = max((row["processes"] for row in document["rows"]), default=0)
        print(f"{number} of {times}: ratios {latest}; {processes} processes, others used up to {others:.1f} cores",
              flush=True)  # fmt: skip
    for title, found in (("images/s", speeds), ("ratio", ratios)):
        print(f"\n{title}, least … most of {times} invocations:")
        for name, values in found.items():
            apart = max(values) / min(values) - 1
            verdict = "" if title != "ratio" else ", within 5 %" if apart <= BOUND else ", NOT within 5 %"
            print(f"  {name:55} {min(values):8.3f} … {max(values):8.3f}  {100 * apart:5.1f} % apart{verdict}")


if __name__ == "__main__":
    main()
