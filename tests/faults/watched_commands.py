"""Commands whose memory, processor time, printed characters and written files are watched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# A process of its own: a child's peak memory begins with that of the process it was forked from, which is large here.
_MEASURED = """\
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as stream:
    json.dump([used.ru_maxrss * 1024, used.ru_utime + used.ru_stime], stream)
sys.exit(done.returncode if done.returncode >= 0 else 255)
"""

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys or doesn't show."""


MOST_PRINTED = 2_000_000
"""Characters: CSV and JSON give a name of 10 kB in full, wherever it stands."""


LONGEST_FOLDER = 72
"""Characters: below a longer folder for temporary files no socket can be named."""


@dataclass(frozen=True)
class Answer:
    """What a command came to.

    Attributes:
        command: `run`, `run --dry-run`, `verify` and so on.
        code: exit code.
        stdout: in UTF-8, whatever isn't is an error.
        stderr: as stdout.
        peak_bytes: the greatest memory of one process.
        cpu_s: seconds of processor time.
    """

    command: str
    code: int
    stdout: str
    stderr: str
    peak_bytes: int
    cpu_s: float


@dataclass(frozen=True)
class Sandbox:
    """A folder with a home, a place for temporary files and a working directory four levels down.

    Only `results` and `cache` may change while a command runs.
    """

    folder: Path

    @property
    def work(self) -> Path:
        """The working directory."""
        return self.folder / "one" / "two" / "three" / "work"

    @property
    def canary(self) -> Path:
        """What comes into being if a file's code is run."""
        return self.folder / "canary"

    def environment(self) -> dict[str, str]:
        """Home, temporary files and cache below the folder; one thread."""
        own = {"HOME": "home", "BENCHBIRD_CACHE": "cache"}
        if len(str(self.folder)) < LONGEST_FOLDER:
            own["TMPDIR"] = "t"
        return {**os.environ, "OMP_NUM_THREADS": "1", "CANARY": str(self.canary), "PYTHONDONTWRITEBYTECODE": "1",
                **{name: str(self.folder / folder) for name, folder in own.items()}}  # fmt: skip

    def call(self, *arguments: str) -> Answer:
        """Carry out a command; whatever it printed must be harmless, and nothing else may have been written."""
        report = self.folder / "t" / "used.json"
        before = self._tree()
        done = subprocess.run(
            [sys.executable, "-c", _MEASURED, str(report), sys.executable, "-m", "benchbird", *arguments],
            cwd=self.work, env=self.environment(), capture_output=True, timeout=200, check=False,
        )  # fmt: skip
        peak_bytes, cpu_s = json.loads(report.read_text())
        report.unlink()
        command = " ".join([arguments[0], *({"--dry-run"} & {*arguments})])
        answer = Answer(command, done.returncode, done.stdout.decode(), done.stderr.decode(), peak_bytes, cpu_s)
        told = answer.stdout + answer.stderr
        assert not self.canary.exists(), "the canary fired"
        assert "Traceback" not in told, told[-2000:]
        assert answer.code in (0, 1, 2), f"exit code {answer.code}: {told[-2000:]}"
        assert self._tree() == before, f"written elsewhere: {sorted(set(self._tree().items()) ^ set(before.items()))}"
        assert len(told) < MOST_PRINTED
        if found := _STEERING.search(told):
            raise AssertionError(f"printed {found[0]!r} in {told[max(0, found.start() - 100) : found.end() + 20]!r}")
        return answer

    def _tree(self) -> Mapping[str, tuple[int, int]]:
        """Path → size and time of every file below the folder that no command may touch."""
        found = {}
        for parent, folders, files in os.walk(self.folder):
            here = Path(parent)
            folders[:] = [name for name in folders if not self._may_change(here / name)]
            for name in (*folders, *files):
                status = (here / name).lstat()
                found[str((here / name).relative_to(self.folder))] = (status.st_size, status.st_mtime_ns)
                if name in folders:
                    found[str((here / name).relative_to(self.folder))] = (0, 0)
        return found

    def _may_change(self, path: Path) -> bool:
        # Torch makes the last, which stays empty, whatever it is used for.
        own = (self.work / "results", self.folder / "cache")
        return path in own or path.name.startswith("torchinductor_")


def make_sandbox(folder: Path) -> Sandbox:
    """A sandbox in an empty folder."""
    sandbox = Sandbox(folder)
    for path in (sandbox.work, folder / "home", folder / "t"):
        path.mkdir(parents=True)
    return sandbox
