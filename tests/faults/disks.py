"""Disks that refuse: full, read-only, forbidden, or with an error at the k-th write below a folder."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults.suite import CannotBeTried

PROGRAM = '''\
"""Imported at the start of each Python: counts writes below FAULT_FOLDER, and refuses the FAULT_NUMBER-th."""

import builtins
import fcntl
import io
import os

FOLDER, COUNT = os.environ["FAULT_FOLDER"], os.environ["FAULT_COUNT"]
NUMBER, ERRNO = int(os.environ["FAULT_NUMBER"]), int(os.environ["FAULT_ERRNO"])
plain_open, plain_os_open, plain_os_write = io.open, os.open, os.write


def is_below(path):
    if isinstance(path, int):
        try:
            path = os.readlink(f"/proc/self/fd/{path}")
        except OSError:
            return False
    return os.path.abspath(os.fsdecode(path)).startswith(FOLDER)


def count(kind, path):
    """One more write, of whichever process of the run; refuse it if it is its turn."""
    if not is_below(path):
        return
    descriptor = plain_os_open(COUNT, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    shown = os.path.basename(os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.fsdecode(path))
    plain_os_write(descriptor, f"{kind} {shown}\\n".encode())
    with plain_open(COUNT) as stream:
        number = len(stream.readlines())
    os.close(descriptor)
    if number == NUMBER:
        raise OSError(ERRNO, os.strerror(ERRNO), path if isinstance(path, str) else None)


class Raw(io.FileIO):
    def write(self, content):
        count("write", self.fileno())
        return super().write(content)


def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest, **more):
    if isinstance(file, int) or not set(mode) & set("wxa+") or not is_below(file):
        return plain_open(file, mode, buffering, encoding, errors, newline, *rest, **more)
    count("open", file)
    stream = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")))
    return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)


def counted(kind, plain, position=0):
    def call(*arguments, **more):
        count(kind, arguments[position])
        return plain(*arguments, **more)

    return call


def made(path, mode=0o777, **more):
    if not os.path.isdir(path):
        count("mkdir", path)
    return plain_mkdir(path, mode, **more)


plain_mkdir, os.mkdir = os.mkdir, made
io.open = builtins.open = opened
os.fsync = counted("fsync", os.fsync)
os.replace = counted("replace", os.replace, 1)
os.link = counted("link", os.link, 1)
'''

_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER = 1, 2, 3
_PR_CAPBSET_DROP = 24


def counting_environment(folder: Path, below: Path, number: int, error: int) -> dict[str, str]:
    """What a command's environment needs so that its `number`-th write below a folder fails; 0 for none."""
    packages = folder / f"packages {number}"
    packages.mkdir()
    (packages / "sitecustomize.py").write_text(PROGRAM)
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(packages), os.environ.get("PYTHONPATH")))),
        "FAULT_FOLDER": str(below.resolve()),
        "FAULT_COUNT": str(packages / "count"),
        "FAULT_NUMBER": str(number),
        "FAULT_ERRNO": str(error),
    }


def writes_counted(environment: dict[str, str]) -> list[str]:
    """The writes of the commands that had this environment: kind and file name."""
    path = Path(environment["FAULT_COUNT"])
    return path.read_text().splitlines() if path.exists() else []


@contextlib.contextmanager
def small_disk(size_kib: int) -> Iterator[Path]:
    """An empty file system of so many KiB.

    Raises:
        CannotBeTried: this process may not mount one.
    """
    folder = Path(tempfile.mkdtemp(prefix="small disk "))
    try:
        _mount("-t", "tmpfs", "-o", f"size={size_kib}k,mode=755", "none", str(folder))
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def change_disk(folder: Path, options: str) -> None:
    """Remount a small disk with other options, such as `ro` or `size=64m`."""
    _mount("-o", f"remount,{options}", str(folder))


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotBeTried(f"there is no mount command here ({error.strerror})") from error
    if done.returncode != 0:
        raise CannotBeTried(f"a small file system can't be mounted here: {done.stderr.strip()}")


def obey_permissions() -> None:
    """In a child before it is executed: root's power to pass over permissions is gone."""
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def require_permissions_to_matter(folder: Path) -> None:
    """Check that a folder without write permission refuses a process that gave its power up.

    Raises:
        CannotBeTried: it doesn't.
    """
    closed = folder / "closed"
    closed.mkdir(mode=0o555)
    try:
        done = subprocess.run(["touch", str(closed / "file")], check=False, capture_output=True,
                              preexec_fn=obey_permissions)  # fmt: skip
    finally:
        os.chmod(closed, 0o755)
    if done.returncode == 0:
        raise CannotBeTried("permissions don't bind processes of this user here")
