"""F5: disks that are full, read-only, forbidden, or that fail at the k-th write."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.faults.disks import (
    change_disk,
    counting_environment,
    obey_permissions,
    require_permissions_to_matter,
    small_disk,
    writes_counted,
)
from tests.faults.hostile_runs import HONEST, check_no_orphans, outcome
from tests.faults.suite import CannotBeTried, Fault
from tests.small_bench import Bench, make_bench

Done = subprocess.CompletedProcess[str]

SEGMENTERS = "segmenters=[threshold, {name: atrous_segnet, options: {base_channels: 4}}]"
EPOCHS = "protocol.epochs=1"

K_TH_WRITES = 56
"""What a trial of one epoch writes, from its folder to its record: opened files, their bytes, syncs, renames."""

ROOM_KIB = (0, 4, 8, 12, 16, 20, 24, 28, 32, 40)
"""What a full disk still has when the run begins: each ends at another file."""

CACHE_KIB = (4, 12, 20)
REFUSED = re.compile(r"could not (write \d+ bytes|create the folder|claim the trial)|can't be (written|created)")


def _run(bench: Bench, results: Path, *options: str, before: Callable[[], None] | None = None,
         environment: Mapping[str, str] | None = None) -> Done:  # fmt: skip
    done = subprocess.run(
        bench.command("run", "small.yaml", "--device", "cpu", "--set", EPOCHS, "--set", SEGMENTERS,
                      "--results", str(results), *options),
        cwd=bench.folder, env={**bench.environment(), **(environment or {})}, capture_output=True, text=True,
        timeout=200, check=False, stdin=subprocess.DEVNULL, preexec_fn=before,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "a bug in benchbird" not in done.stderr, done.stderr[-2000:]
    return done


@cache
def _finished() -> Bench:
    """A bench whose `results` hold the trial of `threshold`, its cache warm, and whose `all` hold every trial."""
    folder = Path(_KEPT.name)
    bench = make_bench(folder / "bench")
    for results, options in (("results", ("--only", "threshold")), ("all", ())):
        done = _run(bench, bench.folder / results, *options)
        assert done.returncode == 0, done.stderr
    return bench


_KEPT = tempfile.TemporaryDirectory(prefix="finished bench ")


@cache
def _expected() -> Mapping[str, Any]:
    found = _outcomes(_finished().folder / "all")
    assert set(found) == set(HONEST)
    return found


def _outcomes(results: Path) -> dict[str, Any]:
    records = [json.loads(path.read_text()) for path in results.rglob("record.json")]
    return {record["segmenter"]["label"]: outcome(record) for record in records}


def _bench_in(folder: Path) -> Bench:
    """A copy of the bench with a finished trial of `threshold`."""
    shutil.copytree(_finished().folder, folder / "bench", ignore=shutil.ignore_patterns("all"))
    return Bench(folder / "bench")


def _bytes_of(results: Path) -> dict[str, str]:
    """SHA-256 of each file of the trial that was finished before."""
    files = [path for path in results.rglob("*") if path.is_file() and "threshold-" in str(path)]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _check_refusal(done: Done) -> None:
    told = done.stdout + done.stderr
    assert done.returncode == 1, f"exit code {done.returncode}: {told[-3000:]}"
    assert REFUSED.search(told), f"nothing says what could not be written: {told[-3000:]}"


def _check_goes_on(bench: Bench, results: Path, before: Mapping[str, str]) -> None:
    """With room, the same command completes with the numbers of an undisturbed run; the earlier trial stays."""
    assert _bytes_of(results) == before, "a finished trial's files are no longer what they were"
    again = _run(bench, results)
    assert again.returncode == 0, again.stderr
    assert _outcomes(results) == _expected()
    assert _bytes_of(results) == before, "a finished trial's files are no longer what they were"
    assert not list(results.rglob("*.partial"))
    check_no_orphans(bench)


def _error_at(number: int, folder: Path) -> None:
    bench = _bench_in(folder)
    before = _bytes_of(bench.results)
    error = errno.EIO if number % 2 else errno.ENOSPC
    environment = counting_environment(folder, bench.results, number, error)
    done = _run(bench, bench.results, environment=environment)
    writes = writes_counted(environment)
    assert len(writes) >= number, f"there are {len(writes)} writes only: {writes}"
    told = done.stdout + done.stderr
    _check_refusal(done)
    assert os.strerror(error) in told, f"{writes[number - 1]}: {told[-2000:]}"
    _check_goes_on(bench, bench.results, before)


def _full_disk(room_kib: int, folder: Path) -> None:
    bench = _bench_in(folder)
    with small_disk(16 * 1024) as disk:
        results = disk / "results"
        shutil.copytree(bench.results, results)
        before = _bytes_of(results)
        used = os.statvfs(disk)
        used_kib = (used.f_blocks - used.f_bfree) * used.f_frsize // 1024
        change_disk(disk, f"size={used_kib + room_kib}k")
        done = _run(bench, results)
        _check_refusal(done)
        assert os.strerror(errno.ENOSPC) in done.stdout + done.stderr
        change_disk(disk, "size=64m")
        _check_goes_on(bench, results, before)


def _full_cache(size_kib: int, folder: Path) -> None:
    bench = _bench_in(folder)
    before = _bytes_of(bench.results)
    with small_disk(size_kib) as disk:
        done = _run(bench, bench.results, "--cache", str(disk / "cache"))
        told = done.stdout + done.stderr
        assert done.returncode == 1, told[-2000:]
        assert str(disk) in told, told[-2000:]
        assert os.strerror(errno.ENOSPC).lower() in told.lower(), told[-2000:]
        change_disk(disk, "size=64m")
        again = _run(bench, bench.results, "--cache", str(disk / "cache"))
        assert again.returncode == 0, again.stderr
        assert _outcomes(bench.results) == _expected()
    assert _bytes_of(bench.results) == before


def _read_only(folder: Path) -> None:
    bench = _bench_in(folder)
    with small_disk(16 * 1024) as disk:
        results = disk / "results"
        shutil.copytree(bench.results, results)
        before = _bytes_of(results)
        change_disk(disk, "ro")
        done = _run(bench, results)
        _check_refusal(done)
        assert str(disk) in done.stderr
        assert os.strerror(errno.EROFS) in done.stderr
        shown = bench.call("leaderboard", str(results))
        assert shown.returncode == 0, "results on a read-only disk can still be read"
        change_disk(disk, "rw")
        _check_goes_on(bench, results, before)


def _denied(where: str, folder: Path) -> None:
    require_permissions_to_matter(folder)
    bench = _bench_in(folder)
    before = _bytes_of(bench.results)
    [study] = bench.results.glob("*/*")
    closed = {"results": bench.results, "study": study}.get(where, bench.folder / "closed")
    closed.mkdir(exist_ok=True)
    if where == "results":
        shutil.move(study.parent, bench.folder / "moved")  # then the run has a folder to make in it
    closed.chmod(0o555)
    try:
        done = _run(bench, closed / "results" if where == "new results" else bench.results, before=obey_permissions)
    finally:
        closed.chmod(0o755)
    _check_refusal(done)
    assert os.strerror(errno.EACCES) in done.stderr, done.stderr
    if where == "results":
        shutil.move(bench.folder / "moved", study.parent)
    _check_goes_on(bench, bench.results, before)


def _full_output(folder: Path) -> None:
    """Standard output on a full disk, and a leaderboard's file on one."""
    if not Path("/dev/full").exists():
        raise CannotBeTried("there is no /dev/full here")
    bench = _bench_in(folder)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(bench.command("leaderboard", "results"), cwd=bench.folder, env=bench.environment(),
                              stdout=full, stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert os.strerror(errno.ENOSPC).lower() in done.stderr.lower()
    assert "a bug in benchbird" not in done.stderr


def _full_document(folder: Path) -> None:
    bench = _bench_in(folder)
    with small_disk(4) as disk:
        (disk / "taken").write_bytes(bytes(4096))
        written = bench.call("leaderboard", "results", "-o", str(disk / "board.md"))
        assert written.returncode == 1
        assert REFUSED.search(written.stderr)
        assert str(disk / "board.md") in written.stderr


CASES: dict[str, Callable[[Path], None]] = {
    **{f"error at write {number}": partial(_error_at, number) for number in range(1, K_TH_WRITES + 1)},
    **{f"results disk with {room} KiB left": partial(_full_disk, room) for room in ROOM_KIB},
    **{f"cache disk of {size} KiB": partial(_full_cache, size) for size in CACHE_KIB},
    "read-only results": _read_only,
    **{f"permission denied: {where}": partial(_denied, where) for where in ("results", "study", "new results")},
    "standard output full": _full_output,
    "document on a full disk": _full_document,
}


def check(case: str, folder: Path) -> None:
    """Carry out one case."""
    CASES[case](folder)


FAULT = Fault(
    number="F5",
    title="a disk is full, read-only or forbidden, or fails at the k-th write, each k of a trial",
    promise="exit code 1, the message names path and bytes, finished trials stay, a run with room completes",
    cases=list(CASES),
    short=["error at write 23", "document on a full disk"],
    case_s=14,
    check=check,
)
