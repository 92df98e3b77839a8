"""Who is working on a trial: a claim by exclusive create, with a heartbeat, in the trial's folder.

Several runs may share a results folder; a trial is worked on by one of them. A claim whose process is
gone, or whose heart stopped beating on another machine, is stale and gives way. No lock of the file system
is needed, and no two clocks need agree.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchbird.durable import TEMPORARY_SUFFIX, make_folder
from benchbird.errors import ClaimLost, ResultsError

HEARTBEAT_S = 10.0
STALE_AFTER_S = 120.0
"""A claim of another machine is stale when a run has seen it silent for this long."""

Life = Literal["alive", "dead", "unknown"]
"""Of a claim's process; unknown where it belongs to another machine or container, or isn't told."""


@dataclass(frozen=True)
class Holder:
    """The process that holds a claim.

    Attributes:
        process: its id.
        process_started: clock ticks after boot at which it began; tells a reused id.
        host: name of its machine; may change while it runs.
        machine: identity of its machine's installation, where the system tells one.
        boot: identity of the machine's current boot.
        namespace: what its id is counted in; containers of one machine count each for itself.
        token: tells two claims of one process.
    """

    process: int
    process_started: str
    host: str
    machine: str
    boot: str
    namespace: str
    token: str


@dataclass(frozen=True)
class ClaimTicket:
    """What proves a claim, for whoever writes under it; picklable.

    Attributes:
        path: of the claim.
        token: of its holder.
    """

    path: Path
    token: str

    def is_valid(self) -> bool:
        """Whether the claim is still this one; also where the file system doesn't answer."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except OSError:
            return True
        except ValueError:
            return False
        return isinstance(content, dict) and content.get("token") == self.token

    def check(self) -> None:
        """Ask before each writing that a new holder must not suffer.

        Raises:
            ClaimLost: another run has taken the trial over.
        """
        if not self.is_valid():
            raise ClaimLost(
                f"{self.path.parent}: another run has taken this trial over, since this one gave no sign of life for "
                f"{STALE_AFTER_S:g} s; nothing was written"
            )


class Claim:
    """A held claim; its heart beats in a thread until `release`.

    Attributes:
        path: of its file.
        holder: what is in it.
        lost: set once another run has taken it, which it may after a long sleep or without a network.
    """

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path = path
        self.holder = holder
        self.lost = threading.Event()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def ticket(self) -> ClaimTicket:
        """The proof of this claim."""
        return ClaimTicket(self.path, self.holder.token)

    def release(self) -> None:
        """Give the trial up."""
        self._released.set()
        self._thread.join()
        # A run that slept for long may have lost its claim, and another may hold that number by now.
        if read_holder(self.path) == self.holder:
            _discard(self.path)

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            # Numbers are used again: the file may be another run's by now, and must not be kept alive from here.
            if not self.ticket.is_valid():
                self.lost.set()
                return
            with contextlib.suppress(OSError):  # a network file system may answer again at the next beat
                os.utime(self.path)


class Watch:
    """What a run has seen of claims whose process it can't look up: since when each is silent.

    Silence is counted by this run's own monotonic clock, from the moment it first looked: the time that a file
    bears comes from another machine's clock, which may be a day off.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._beats: dict[Path, tuple[int, float]] = {}  # of each claim: its last beat, and when it was first seen

    def is_living(self, path: Path) -> bool:
        """Whether the claim at `path` must be respected."""
        life = life_of(path)
        return self._is_beating(path) if life == "unknown" else life == "alive"

    def _is_beating(self, path: Path) -> bool:
        try:
            beat = path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        except OSError:
            return True  # a network file system that doesn't answer says nothing of the holder
        now = self._clock()
        with self._lock:
            seen, since = self._beats.get(path, (beat, now))
            self._beats[path] = (seen, since) if seen == beat else (beat, now)
            return now - self._beats[path][1] < STALE_AFTER_S


def claim(folder: Path, watch: Watch) -> Claim | None:
    """Claim the trial in `folder`, or return None while a living run holds it.

    Claims are numbered. Taking a stale one over is the exclusive creation of the next number, so two
    runs that both judge it stale can't both succeed; whoever then sees another living claim steps back.

    Args:
        folder: of the trial; created if need be.
        watch: of the run that claims.

    Raises:
        ResultsError: the folder can't be written to.
    """
    make_folder(folder)
    existing = claims_in(folder)
    if any(watch.is_living(path) for path in existing):
        return None
    number = 1 + max((int(path.stem.partition("-")[2]) for path in existing), default=0)
    path = folder / f"claim-{number:06d}.json"
    holder = this_process()
    try:
        if not _create(path, json.dumps(asdict(holder))):
            return None
    except OSError as error:
        raise ResultsError(
            f"{folder}: could not claim the trial: {error.strerror or error}; "
            "choose a results folder that you may write to"
        ) from error
    if any(watch.is_living(other) for other in claims_in(folder) if other != path):
        _discard(path)
        return None
    for stale in existing:
        _discard(stale)
    return Claim(path, holder)


def _create(path: Path, content: str) -> bool:
    """Make a file that is whole from its first moment; False where there is one already."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        temporary.write_text(content, encoding="utf-8")
        os.link(temporary, path)  # unlike a rename, it never replaces
    except FileExistsError:
        # A network file system may have done it, lost its answer, and been asked again.
        return temporary.stat().st_nlink > 1
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_in_place(path, content)
    finally:
        _discard(temporary)
    return True


_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links answer."""


def _create_in_place(path: Path, content: str) -> bool:
    created = False
    try:
        with path.open("x", encoding="utf-8") as stream:
            created = True
            stream.write(content)
    except FileExistsError:
        return False
    except OSError:
        if created:  # half-written on a full disk: nobody's claim, but it would pass for a living one
            _discard(path)
        raise
    return True


def this_process() -> Holder:
    """A new claim's content for this process."""
    return Holder(
        process=os.getpid(),
        process_started=_process_started(os.getpid()),
        host=socket.gethostname(),
        machine=_machine_id(),
        boot=_boot_id(),
        namespace=_process_namespace(),
        token=secrets.token_hex(8),
    )


def claims_in(folder: Path) -> list[Path]:
    """The claims in a trial's folder, the oldest first; a living one is the last."""
    return sorted(path for path in folder.glob("claim-*.json") if path.stem.partition("-")[2].isdecimal())


def _discard(path: Path) -> None:
    # A claim that can't be removed is a stale one from when its process ends.
    with contextlib.suppress(OSError):
        path.unlink()


def read_holder(path: Path) -> Holder | None:
    """Who holds a claim; None if it is half-written at this moment, garbage, or gone."""
    try:
        holder = Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return holder if isinstance(holder.process, int) else None


def life_of(path: Path) -> Life:
    """What this machine can tell of the process that holds the claim at `path`."""
    holder = read_holder(path)
    if holder is None:
        return "unknown"
    if holder.boot != _boot_id():
        # Another machine, or this one before it was started again.
        is_this_machine = holder.host == socket.gethostname() and holder.machine == _machine_id()
        return "dead" if is_this_machine else "unknown"
    if holder.namespace != _process_namespace():
        return "unknown"
    return "alive" if _process_started(holder.process) == holder.process_started != "" else "dead"


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


def _machine_id() -> str:
    """Two machines may bear one name, such as `localhost`; a hash, since the identity itself is confidential."""
    try:
        identity = Path("/etc/machine-id").read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(b"benchbird" + identity).hexdigest()[:16]


def _process_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
