"""F2: SIGKILL inside a save of a checkpoint, and what a power cut at that moment would add to it.

A process that stays makes a training once and forks for each case; the fork saves, and kills itself where it is told
to by what it put in the place of the system's calls. Run as a script, this module is that process.
"""

from __future__ import annotations

import atexit
import copy
import functools
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tests.faults.studies import dice
from tests.faults.suite import Fault

if TYPE_CHECKING:
    from benchbird.training import Training

ROOT = Path(__file__).parents[2]
EPOCHS = 4
POINTS = ("write", "fsync", "replace", "folder fsync")
EACH = 50

CASES = tuple(f"{point} {number}" for point in POINTS for number in range(1, EACH + 1))


class Plan:
    """Where a save is killed, by a case's own dice.

    Attributes:
        point: one of `POINTS`.
        epoch: the one that is being saved, counted from 1.
        file: which of the save's files it is, counted from 1; a later one than there are means the last.
        is_done: whether the call has been carried out when the process dies.
        is_power_cut: whether what isn't yet on disk is lost too.
        share: of the bytes that have been written, where it dies at the write or loses power.
    """

    def __init__(self, case: str) -> None:
        rolled = dice(case)
        self.point = case.rpartition(" ")[0]
        self.epoch = rolled.randint(1, EPOCHS)
        self.file = rolled.randint(1, 3)
        self.is_done = rolled.random() < 0.5
        self.is_power_cut = rolled.random() < 0.5
        self.share = rolled.random()


def check(case: str, folder: Path) -> None:
    answer = _ask(case, folder)
    assert answer == {"fault": ""}, answer["fault"]


def _ask(case: str, folder: Path) -> dict[str, str]:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([case, str(folder)]) + "\n")
    server.stdin.flush()
    answer: dict[str, str] = json.loads(server.stdout.readline())
    return answer


@functools.cache
def _server() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.f02_killed_saves"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def end() -> None:
        process.communicate(timeout=30)

    atexit.register(end)
    return process


def serve() -> None:
    """Carry out each case that standard input names; one line of JSON says what was wrong."""
    trainings = trained()
    for line in sys.stdin:
        case, folder = json.loads(line)
        try:
            carry_out(Plan(case), Path(folder), trainings)
            fault = ""
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        print(json.dumps({"fault": fault}), flush=True)


def trained() -> list[Training]:
    """A small training after 0, 1, …, `EPOCHS` epochs; the selected epoch isn't always the last."""
    from tests.checkpoint_factory import begin, go_on, make_protocol

    protocol = make_protocol()
    states = [begin(protocol)]
    for epoch in range(1, EPOCHS + 1):
        state = copy.deepcopy(states[-1])
        go_on(state, protocol, None, stop_after=epoch)
        states.append(state)
    return states


def carry_out(plan: Plan, folder: Path, trainings: list[Training]) -> None:
    """Kill a save, load, go on, save and load again.

    Raises:
        AssertionError: neither this generation nor the one before was loaded, or the training went on otherwise.
    """
    from benchbird.checkpoint import load_checkpoint
    from tests.checkpoint_factory import TRIAL, assert_same_state, begin, go_on, make_protocol

    process = os.fork()
    if process == 0:
        _save_and_die(plan, folder, trainings[1 : plan.epoch + 1])
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"the save ended with {status}"

    protocol = make_protocol()
    loaded = begin(protocol)
    notice = load_checkpoint(folder, TRIAL, loaded)
    epochs = len(loaded.epochs)
    assert epochs in (plan.epoch - 1, plan.epoch), f"{epochs} epochs were loaded of {plan.epoch}: {notice}"
    assert_same_state(trainings[epochs], loaded)
    go_on(loaded, protocol, folder)
    assert_same_state(trainings[EPOCHS], loaded)
    again = begin(protocol)
    assert load_checkpoint(folder, TRIAL, again) is None
    assert_same_state(trainings[EPOCHS], again)


def _save_and_die(plan: Plan, folder: Path, trainings: list[Training]) -> NoReturn:
    """The saves before the case's too, since what they left undone a power cut would still meet."""
    from benchbird.checkpoint import save_checkpoint
    from tests.checkpoint_factory import TRIAL

    try:
        trap = Trap(plan)
        trap.set()
        for state in trainings[:-1]:
            save_checkpoint(folder, TRIAL, state)
        trap.arm()
        save_checkpoint(folder, TRIAL, trainings[-1])
        trap.spring()  # fewer files than the case's: at the end, then
    finally:
        os._exit(1)


class Trap:
    """The system's calls of this process, which note what isn't on disk yet, with a death in them.

    Args:
        plan: of the case.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._is_armed = False
        self._files = 0
        self._unsynced: set[Path] = set()
        self._renamed: list[tuple[Path, bytes | None]] = []
        self._fsync, self._replace, self._open = os.fsync, os.replace, Path.open

    def arm(self) -> None:
        """From here on it is the save of the case."""
        self._is_armed, self._files = True, 0

    def set(self) -> None:
        """Take the calls' places; for the rest of the process's life."""
        os.fsync = self.fsync  # type: ignore[assignment]
        os.replace = self.replace  # type: ignore[assignment]
        trap = self

        def open_trapped(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
            stream = trap._open(path, mode, *more, **named)
            return trap.opened(path, stream) if mode == "xb" else stream

        Path.open = open_trapped  # type: ignore[method-assign, assignment]

    def opened(self, path: Path, stream: Any) -> Any:
        """A file of the save that begins."""
        self._files += 1
        self._unsynced.add(path)
        return Torn(stream, self) if self._is_due("write") else stream

    def tear(self, stream: Any, content: bytes) -> NoReturn:
        """Die within a write."""
        part = content if self._plan.is_done else content[: int(self._plan.share * len(content))]
        stream.write(part)
        stream.flush()
        self.spring()

    def fsync(self, descriptor: int) -> None:
        """Of a file or of the folder."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))

        def really() -> None:
            self._fsync(descriptor)
            if path.is_dir():
                self._renamed.clear()
            self._unsynced.discard(path)

        self._die_around("folder fsync" if path.is_dir() else "fsync", really)

    def replace(self, source: Path, target: Path) -> None:
        """The moment at which a file takes its name."""
        before = target.read_bytes() if target.exists() else None

        def really() -> None:
            self._replace(source, target)
            self._renamed.append((target, before))
            if source in self._unsynced:
                self._unsynced.add(target)

        self._die_around("replace", really)

    def _die_around(self, point: str, call: Callable[[], None]) -> None:
        if self._is_due(point) and not self._plan.is_done:
            self.spring()
        call()
        if self._is_due(point):
            self.spring()

    def _is_due(self, point: str) -> bool:
        return self._is_armed and self._plan.point == point and self._plan.file == self._files

    def spring(self) -> NoReturn:
        """Die, and lose first what a power cut would lose."""
        if self._plan.is_power_cut:
            for path in filter(Path.exists, self._unsynced):
                os.truncate(path, int(self._plan.share * path.stat().st_size))
            for target, before in reversed(self._renamed):
                target.unlink(missing_ok=True)
                if before is not None:
                    target.write_bytes(before)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("SIGKILL was survived")


class Torn(io.RawIOBase):
    """A file whose first write is the process's last."""

    def __init__(self, stream: Any, trap: Trap) -> None:
        super().__init__()
        self._stream = stream
        self._trap = trap

    def write(self, content: Any) -> int:
        """Die."""
        self._trap.tear(self._stream, bytes(content))


FAULT = Fault(
    number="F2",
    title="SIGKILL, or a power cut, inside a save of a checkpoint: at the write, fsync, replace or folder fsync",
    promise="the newest or the previous generation loads, bit for bit, and the training goes on from it",
    cases=CASES,
    short=[f"{point} {number}" for point in POINTS for number in (1, 2)],
    case_s=0.25,
    check=check,
)

if __name__ == "__main__":
    serve()
