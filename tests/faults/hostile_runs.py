"""A run of the real command line with harmful segmenters among honest ones, and what is looked at afterwards."""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from tests.faults.hostile_plugins import Harm, write_plugins
from tests.small_bench import Bench, make_bench

HONEST = ("atrous_segnet", "threshold")
ADDRESS_SPACE_BYTES = 12 * 2**30
"""Of each process: torch alone takes a third of it, and a leak comes to an end."""

EPOCHS = 2


@dataclass(frozen=True)
class Ended:
    """What a run came to.

    Attributes:
        code: exit code.
        stdout: of the command.
        stderr: of the command.
        records: label → its trial's record.
        folders: label → the folder of its trial.
    """

    code: int
    stdout: str
    stderr: str
    records: Mapping[str, Mapping[str, Any]]
    folders: Mapping[str, Path]


def run_with(
    bench: Bench,
    names: Sequence[str],
    *options: str,
    epochs: int = EPOCHS,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run these segmenters in this order; nothing may look like a bug of benchbird, whatever they do."""
    entries = ", ".join("{name: atrous_segnet, options: {base_channels: 4}}" if name == HONEST[0] else name
                        for name in names)  # fmt: skip
    command = bench.command("run", "small.yaml", "--device", "cpu", "--set", f"protocol.epochs={epochs}",
                            "--set", f"segmenters=[{entries}]", *options)  # fmt: skip

    def limit_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))

    done = subprocess.run(
        command, cwd=bench.folder, env={**bench.environment(), **(environment or {})}, capture_output=True, text=True,
        timeout=400, check=False, stdin=subprocess.DEVNULL, preexec_fn=limit_memory,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "a bug in benchbird" not in done.stderr, done.stderr[-2000:]
    assert len(done.stderr) + len(done.stdout) < 200_000, "what a segmenter prints is for its log"
    paths = bench.records()
    records = [json.loads(path.read_text()) for path in paths]
    return Ended(
        code=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
        records={record["segmenter"]["label"]: record for record in records},
        folders={record["segmenter"]["label"]: path.parent for record, path in zip(records, paths, strict=True)},
    )


def run_harms(
    folder: Path, harms: Sequence[Harm], *options: str, honest_first: bool = False, epochs: int = EPOCHS
) -> tuple[Bench, Ended]:
    """A new bench in `folder` and a run of the harms before or after the honest segmenters."""
    bench = make_bench(folder / "bench")
    plugins = write_plugins(bench.folder, harms)
    names = [harm.name for harm in harms]
    order = [HONEST[0], *names, HONEST[1]] if honest_first else [*names, *HONEST]
    return bench, run_with(bench, order, *plugins, *options, epochs=epochs)


def outcome(record: Mapping[str, Any]) -> Any:
    """What of a record is the same however often a trial is run: scores, selection and the bytes of its weights."""
    return record["status"], record["best_epoch"], record["scores"], record["last_epoch"], record["files"].get(
        "weights.safetensors")  # fmt: skip


@cache
def honest_outcomes(epochs: int = EPOCHS) -> Mapping[str, Any]:
    """The honest segmenters' outcomes where they are alone."""
    with tempfile.TemporaryDirectory() as folder:
        ended = run_with(make_bench(Path(folder) / "bench"), HONEST, epochs=epochs)
    assert ended.code == 0, ended.stderr
    return {label: outcome(record) for label, record in ended.records.items()}


def check_honest(ended: Ended, epochs: int = EPOCHS) -> None:
    """The honest segmenters' numbers are those of a run without the others."""
    for label, expected in honest_outcomes(epochs).items():
        assert outcome(ended.records[label]) == expected, f"{label} has other numbers beside such a segmenter"


def check_fates(ended: Ended, harms: Sequence[Harm]) -> None:
    """Each harmful trial's record says what came of it, and so does the leaderboard."""
    for harm in harms:
        record = ended.records[harm.name]
        found = f"{record['status']}: {record['reason']}"
        assert record["status"] == harm.status, f"{harm.name}: {found}"
        assert harm.reason in record["reason"], f"{harm.name}: {found}"
        assert (record["scores"] is None) == (harm.status != "done")
        assert harm.name in ended.stdout.replace("\\", "")
    assert ended.code == (1 if any(harm.status != "done" for harm in harms) else 0), ended.stderr


def check_no_orphans(bench: Bench) -> None:
    """No process that inherited the run's environment is left."""
    deadline = time.monotonic() + 5
    while (left := orphans(bench)) and time.monotonic() < deadline:
        time.sleep(0.1)
    found = [f"{process.pid}: {' '.join(process.cmdline())[:80]}" for process in left]
    for process in left:
        process.kill()
    assert not found, f"orphans: {found}"


def orphans(bench: Bench) -> list[psutil.Process]:
    """Living processes whose environment names the bench's cache."""
    mine = bench.environment()["BENCHBIRD_CACHE"]
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("BENCHBIRD_CACHE") == mine:
                found.append(process)
        except psutil.Error:
            continue
    return found
