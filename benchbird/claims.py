"""Who is working on a trial: a claim by exclusive create, with a heartbeat, in the trial's folder.

Several runs may share a results folder; a trial is worked on by one of them. A claim whose process is
gone, or whose heart stopped beating on another machine, is stale and gives way.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchbird.durable import make_folder
from benchbird.errors import ResultsError

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
"""A claim of another machine is stale when it has been silent for this long."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a claim.

    Attributes:
        process: its id.
        process_started: clock ticks after boot at which it began; tells a reused id.
        host: name of its machine; may change while it runs.
        boot: identity of the machine's current boot.
        namespace: what its id is counted in; containers of one machine count each for itself.
        token: tells two claims of one process.
    """

    process: int
    process_started: str
    host: str
    boot: str
    namespace: str
    token: str


class Claim:
    """A held claim; its heart beats in a thread until `release`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.holder = holder
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the trial up."""
        self._released.set()
        self._thread.join()
        # A run that slept for long may have lost its claim, and another may hold that number by now.
        if _read(self.path) == self.holder:
            _discard(self.path)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            try:
                os.utime(self.path)
            except FileNotFoundError:
                return
            except OSError:
                continue  # a network file system may answer again at the next beat


def claim(folder: Path) -> Claim | None:
    """Claim the trial in `folder`, or return None while a living run holds it.

    Claims are numbered. Taking a stale one over is the exclusive creation of the next number, so two
    runs that both judge it stale can't both succeed; whoever then sees another living claim steps back.

    Raises:
        ResultsError: the folder can't be written to.
    """
    make_folder(folder)
    existing = _claims(folder)
    if any(_is_alive(path) for path in existing):
        return None
    number = 1 + max((int(path.stem.partition("-")[2]) for path in existing), default=0)
    path = folder / f"claim-{number:06d}.json"
    holder = this_process()
    created = False
    try:
        with path.open("x", encoding="utf-8") as stream:
            created = True
            json.dump(asdict(holder), stream)
    except FileExistsError:
        return None
    except OSError as error:
        if created:  # half-written on a full disk: nobody's claim, but it would pass for a living one
            _discard(path)
        raise ResultsError(
            f"{folder}: could not claim the trial: {error.strerror or error}; "
            "choose a results folder that you may write to"
        ) from error
    if any(_is_alive(other) for other in _claims(folder) if other != path):
        _discard(path)
        return None
    for stale in existing:
        _discard(stale)
    return Claim(path, holder)


def this_process() -> Holder:
    """A new claim's content for this process."""
    return Holder(
        process=os.getpid(),
        process_started=_process_started(os.getpid()),
        host=socket.gethostname(),
        boot=_boot_id(),
        namespace=_process_namespace(),
        token=secrets.token_hex(8),
    )


def _claims(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("claim-*.json") if path.stem.partition("-")[2].isdecimal())


def _discard(path: Path) -> None:
    # A claim that can't be removed is a stale one from when its process ends.
    with contextlib.suppress(OSError):
        path.unlink()


def _read(path: Path) -> Holder | None:
    """Who holds a claim; None if it is half-written at this moment, garbage, or gone."""
    try:
        holder = Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return holder if isinstance(holder.process, int) else None


def _is_alive(path: Path) -> bool:
    holder = _read(path)
    if holder is None:
        return _has_beaten(path)
    if holder.boot != _boot_id():
        # Another machine, or this one before it was started again.
        return holder.host != socket.gethostname() and _has_beaten(path)
    if holder.namespace != _process_namespace():
        return _has_beaten(path)
    return _process_started(holder.process) == holder.process_started != ""


def _has_beaten(path: Path) -> bool:
    """Whether the claim is there and was touched of late, where its process can't be looked up."""
    try:
        return abs(time.time() - path.stat().st_mtime) < STALE_AFTER_S
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a network file system that doesn't answer says nothing of the holder


def _process_started(process: int) -> str:
    """When a process began, or empty if there is none."""
    try:
        statistics = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        return _alive_without_proc(process)
    # The command's name may hold spaces and brackets; the fields after it are fixed.
    fields = statistics.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else started


def _alive_without_proc(process: int) -> str:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "unknown"
    return "unknown"


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"unknown boot of {socket.gethostname()}"


def _process_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
