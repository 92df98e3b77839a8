"""F11: claims where the clock jumps, a process id is used again, or the machine gets another name.

Holders and claimants are processes of their own, which see the clock and the name that they are given.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from benchbird import claims
from benchbird.claims import STALE_AFTER_S, Holder, Watch, life_of, this_process
from tests.faults.studies import dice
from tests.faults.suite import Fault

EACH = 20
DAY_S = 86_400.0

RUN = """
import socket, sys, time
from pathlib import Path
folder, shift_s, host = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
real = time.time
time.time = lambda: real() + shift_s
socket.gethostname = lambda: host
from benchbird.claims import Watch, claim
held = claim(folder, Watch())
print("held" if held else "refused", flush=True)
sys.stdin.read()
if held:
    held.release()
"""


class Run:
    """A process that has tried to claim a trial, and holds it until it is told to end or is killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.answer = process.stdout.readline().strip()


@contextlib.contextmanager
def run(folder: Path, shift_s: float = 0.0, host: str = "here") -> Iterator[Run]:
    """A run on this machine, by a clock that is so many seconds ahead, under a host name."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder), str(shift_s), host], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with process:
        yield Run(process)


def kill(one: Run) -> None:
    one.process.kill()
    one.process.wait()


def answer(folder: Path, shift_s: float = 0.0, host: str = "here") -> str:
    with run(folder, shift_s, host) as one:
        return one.answer


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


def check_clock(case: str, folder: Path) -> None:
    """Of the claimant, of the holder, and of the disk, all at once; on this machine and on another."""
    rolled = dice(case)
    jump_s = DAY_S * (1 if rolled.random() < 0.5 else -1) * (0.5 + rolled.random())
    trial = folder / "here"
    with run(trial) as holder:
        assert holder.answer == "held"
        (path,) = claims.claims_in(trial)
        clock = Clock()
        watch = Watch(clock)
        for _ in range(3):
            os.utime(path, (time.time() + jump_s, time.time() + jump_s))
            assert answer(trial, shift_s=jump_s) == "refused"
            assert claims.claim(trial, watch) is None
            clock.now += DAY_S
        kill(holder)
    assert answer(trial, shift_s=jump_s) == "held"
    _check_silence(folder / "elsewhere", replace(this_process(), boot="another", host="another"), jump_s)


def _check_silence(trial: Path, holder: Holder, jump_s: float) -> None:
    """A claim that can't be looked up is respected while it beats, whatever time its beats bear, and no longer."""
    path = put(trial, holder)
    clock = Clock()
    watch = Watch(clock)
    beat = time.time()
    for step in range(6):
        # The beats' clock is set, set back, and set again.
        stamp = beat + 10 * step + (jump_s if step % 2 else 0.0)
        os.utime(path, (stamp, stamp))
        assert claims.claim(trial, watch) is None, "a living claim was stolen"
        clock.now += STALE_AFTER_S - 1
        assert claims.claim(trial, watch) is None, "a living claim was stolen"
    clock.now += 2
    held = claims.claim(trial, watch)
    assert held is not None, "a stale claim wasn't freed"
    held.release()
    assert os.listdir(trial) == []


def put(trial: Path, holder: Holder) -> Path:
    """A claim as another run would have left it."""
    trial.mkdir()
    path = trial / "claim-000001.json"
    path.write_text(json.dumps(asdict(holder)))
    return path


def check_process_id(case: str, folder: Path) -> None:
    """A process has the id of a dead holder: its start tells them apart, whichever began when."""
    rolled = dice(case)
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as living:
        own = claims._process_started(living.pid)
        assert own
        holder = replace(this_process(), process=living.pid, process_started=own)
        alive = put(folder / "alive", holder)
        assert answer(folder / "alive") == "refused"
        earlier = str(int(own) - rolled.randint(1, 100_000))
        put(folder / "reused", replace(holder, process_started=earlier))
        assert answer(folder / "reused") == "held"
        put(folder / "restarted", replace(holder, boot="before", host=this_process().host))
        assert answer(folder / "restarted", host=this_process().host) == "held"
        living.kill()
        living.wait()
        assert life_of(alive) == "dead"
        assert answer(folder / "alive") == "held"


def check_name(case: str, folder: Path) -> None:
    """The machine is renamed while a run holds a claim, or between a run's death and the next."""
    rolled = dice(case)
    name = f"renamed-{rolled.randrange(10**6)}"
    trial = folder / "here"
    with run(trial, host="before") as holder:
        assert holder.answer == "held"
        (path,) = claims.claims_in(trial)
        aged = time.time() - rolled.random() * DAY_S
        os.utime(path, (aged, aged))
        assert answer(trial, host=name) == "refused"
        kill(holder)
    assert answer(trial, host=name) == "held"
    assert claims.claims_in(trial) == []
    # Restarted as well: it might be another machine, whose silence must be waited for.
    _check_silence(folder / "restarted", replace(this_process(), boot="before", host=name), 0.0)


KINDS: dict[str, Callable[[str, Path], None]] = {
    "clock jumps a day": check_clock,
    "process id used again": check_process_id,
    "host renamed": check_name,
}
CASES = tuple(f"{kind}, {number}" for kind in KINDS for number in range(1, EACH + 1))


def check(case: str, folder: Path) -> None:
    KINDS[case.partition(",")[0]](case, folder)


FAULT = Fault(
    number="F11",
    title="a clock that jumps by a day forwards or backwards, a process id that is used again, a renamed machine",
    promise="no living claim is stolen, every stale one is freed",
    cases=CASES,
    short=[CASES[0], CASES[EACH], CASES[2 * EACH]],
    case_s=0.8,
    check=check,
)
