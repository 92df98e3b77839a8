"""F9: segmenters that raise, exit, crash, hang, leak, print, flip flags or eat all memory."""

from __future__ import annotations

from pathlib import Path

from tests.faults.hostile_plugins import Harm, harms_of, honest_twin, write_plugins
from tests.faults.hostile_runs import (
    HONEST,
    Ended,
    check_fates,
    check_honest,
    check_no_orphans,
    outcome,
    run_harms,
    run_with,
)
from tests.faults.suite import Fault
from tests.small_bench import Bench, make_bench

VARIANTS = range(1, 6)
TOGETHER = "all of them in one run"
BROKEN_OFFER = "installed plugin that can't be imported"
BROKEN_FILE = "named plugin that can't be imported"
KINDS = tuple(harms_of(1, megabytes=1))

LIMIT_S = 12
KILL_S = 10
"""What may pass between a limit and the record of the trial that it ended."""

PRINTED_MB, PRINTED_TOGETHER_MB = 1024, 100
LOG_BYTES = 300 * 2**20

IMPORTS = (
    "raise RuntimeError('bad luck')",
    "import sys; sys.exit(3)",
    "def (:",
    "import a_module_that_is_not_there",
    "raise KeyboardInterruptLike",
)


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    kind, _, number = case.rpartition(", ")
    variant = int(number)
    if kind == BROKEN_OFFER:
        _check_broken_offer(variant, folder)
    elif kind == BROKEN_FILE:
        _check_broken_file(variant, folder)
    else:
        together = kind == TOGETHER
        harms = harms_of(variant, megabytes=PRINTED_TOGETHER_MB if together else PRINTED_MB)
        _check_harms(list(harms.values()) if together else [harms[kind]], variant, folder)


def _check_harms(harms: list[Harm], variant: int, folder: Path) -> None:
    names = {harm.name for harm in harms}
    limits: tuple[str, ...] = ()
    if "hangs" in names:
        # Where the probe hangs too, only silence ends it.
        key = "trial_seconds" if variant % 2 else "silent_seconds"
        limits = ("--set", f"limits.{key}={LIMIT_S}")
    if "changes_input" in names:
        harms = [*harms, honest_twin(variant)]
    bench, ended = run_harms(folder, harms, *limits, honest_first=variant % 2 == 0)
    check_fates(ended, harms)
    check_honest(ended)
    check_no_orphans(bench)
    if "hangs" in names:
        hung_s = (ended.folders["hangs"] / "record.json").stat().st_mtime - (bench.folder / "hanging").stat().st_mtime
        assert hung_s <= LIMIT_S + KILL_S, f"was ended {hung_s:.0f} s after it hung"
    if "prints" in names:
        _check_log(ended)
    if "changes_input" in names:
        own, twin = (outcome(ended.records[name])[:4] for name in ("changes_input", "honest_twin"))
        assert own == twin, "what a model does to its input stays in its next batches"


def _check_log(ended: Ended) -> None:
    size = (ended.folders["prints"] / "log.txt").stat().st_size
    assert size < LOG_BYTES, f"the log has {size} bytes"


def _check_broken_offer(variant: int, folder: Path) -> None:
    """A package on the module path whose entry point breaks: a warning, and the others run."""
    bench = make_bench(folder / "bench")
    packages = folder / "packages"
    metadata = packages / "broken_segmenter-1.0.dist-info"
    metadata.mkdir(parents=True)
    (packages / "broken_segmenter.py").write_text(IMPORTS[variant - 1] + "\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-segmenter\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[benchbird.segmenters]\nbroken = broken_segmenter\n")
    ended = run_with(bench, HONEST, environment={"PYTHONPATH": str(packages)})
    assert ended.code == 0, ended.stderr
    assert "warning: entry point broken = broken_segmenter of broken-segmenter 1.0: failed to load" in ended.stderr
    check_honest(ended)
    check_no_orphans(bench)


def _check_broken_file(variant: int, folder: Path) -> None:
    """A plugin that the user named: nothing runs, and the message names file and reason."""
    bench = make_bench(folder / "bench")
    (bench.folder / "broken.py").write_text(f"BENCHBIRD_API = 1\n{IMPORTS[variant - 1]}\n")
    ended = run_with(bench, HONEST, "--plugin", "broken.py")
    assert ended.code == 1
    assert "benchbird: broken.py: failed to load" in ended.stderr, ended.stderr
    assert not ended.records
    check_no_orphans(bench)
    again = run_with(Bench(bench.folder), HONEST, *write_plugins(bench.folder, [honest_twin(1)]))
    assert again.code == 0, again.stderr


FAULT = Fault(
    number="F9",
    title="a segmenter raises, exits, crashes, hangs, leaks, prints 1 GB, flips flags or takes all memory",
    promise="the others' numbers are identical, its cause is classed right, a hang ends in time, nothing is left over",
    cases=[f"{kind}, {variant}" for kind in (*KINDS, BROKEN_OFFER, BROKEN_FILE, TOGETHER) for variant in VARIANTS],
    short=[f"{TOGETHER}, 1"],
    case_s=14,
    check=check,
)
