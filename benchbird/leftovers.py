"""What dead runs left behind, and its removal: claims, half-written files, checkpoints of trials that are done.

Owns what counts as left behind. Records, curves, predictions, weights and logs never do, and nothing does of which
it can't be shown that no process needs it. Links are never followed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchbird.claims import STALE_AFTER_S, Life, Watch, claim
from benchbird.errors import ResultsError
from benchbird.folder_probes import time_there
from benchbird.processes import is_alive, this_host
from benchbird.results import CHECKPOINT_FOLDER, RECORD_FILE, STATUS_FILE, read_record
from benchbird.trial_states import TrialFolder, claim_life, trial_folders

Kind = Literal["claim", "half-written", "status", "checkpoint", "half-prepared data"]

KINDS: dict[Kind, str] = {
    "claim": "its process is dead",
    "half-written": "a write that never ended",
    "status": "its trial is done",
    "checkpoint": "its trial is done",
    "half-prepared data": "nobody is preparing it",
}
"""Kind → why such a leftover may go."""

WRITING_S = 600.0
"""No write under a temporary name takes that long between two bytes. The child of a killed run may outlive its
claim by moments, and further tests write beside a record without a claim."""

PREPARING_S = 86_400.0
"""Of half-prepared data whose process can't be looked up: that of another machine, or of none that is named."""

_CHECKPOINT_FILE = re.compile(r"(state|best)-\d+(-\d+)?\.(json|safetensors)|\..+\.partial")
_TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.partial")
"""As everything here names what it is writing; what another program calls so isn't touched."""

_PREPARED_NAME = re.compile(r"\.[^.]+\.([0-9a-f]{8})\.(\d{1,9})\.[0-9a-f]{8}\.partial")
"""As `data/building.py` names a folder under construction: host and process are in it."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nobody needs any more.

    Attributes:
        path: of it.
        kind: what it is.
        size_bytes: of it and everything in it.
    """

    path: Path
    kind: Kind
    size_bytes: int


@dataclass(frozen=True)
class Cleaning:
    """What a cleaning found and did.

    Attributes:
        removed: what is gone; in a rehearsal, what would go.
        kept: path → why it was left, of what looks like a leftover.
        failed: path → the system's words, of what couldn't be removed.
    """

    removed: tuple[Leftover, ...]
    kept: dict[Path, str]
    failed: dict[Path, str]


def clean(results: Path, cache: Path, *, rehearse: bool = False) -> Cleaning:
    """Remove what dead runs left below a results folder and in the cache.

    A trial's claim is held while anything in its folder is removed, so that no run begins there meanwhile.

    Args:
        results: a results root, or any folder below one.
        cache: the cache folder; it needn't be there.
        rehearse: find all of it and remove nothing.
    """
    work = _Work(rehearse)
    for trial in trial_folders(results):
        work.clean_trial(trial)
    for path in _half_prepared(cache, work.kept):
        work.take(Leftover(path, "half-prepared data", size_bytes(path)))
    return Cleaning(tuple(work.removed), work.kept, work.failed)


class _Work:
    """A cleaning under way."""

    def __init__(self, rehearse: bool) -> None:
        self._rehearse = rehearse
        self.removed: list[Leftover] = []
        self.kept: dict[Path, str] = {}
        self.failed: dict[Path, str] = {}

    def clean_trial(self, trial: TrialFolder) -> None:
        """Clean one trial's folder, unless a run may be at work there."""
        lives = [(path, claim_life(path)) for path in trial.claims]
        dead = [Leftover(path, "claim", size_bytes(path)) for path, life in lives if life == "dead"]
        living = [(path, life) for path, life in lives if life in ("alive", "unknown")]
        others = _leftovers_beside(trial) if _may_have_leftovers(trial) else []
        if living:
            path, life = living[-1]
            is_silent = life == "unknown" and time.time() - newest_change(path) > STALE_AFTER_S
            if dead or others or is_silent:
                self.kept[trial.path] = _whose(path, life, is_silent)
            return
        if not dead and not others:
            return
        if self._rehearse:
            if os.access(trial.path, os.W_OK | os.X_OK):
                self.removed += [*dead, *others]
            else:
                self.failed[trial.path] = "the folder can't be written to"
            return
        try:
            held = claim(trial.path, Watch())
        except ResultsError as error:
            self.failed[trial.path] = str(error)
            return
        if held is None:
            self.kept[trial.path] = "a run has just begun to work there"
            return
        with held:
            # Who claims a trial takes the dead claims away.
            for one in dead:
                self._note(one, "it is still there" if os.path.lexists(one.path) else "")
            for one in _leftovers_beside(trial):
                self.take(one)

    def take(self, leftover: Leftover) -> None:
        """Remove one leftover, or note it in a rehearsal."""
        self._note(leftover, "" if self._rehearse else _remove(leftover.path))

    def _note(self, leftover: Leftover, refusal: str) -> None:
        if refusal:
            self.failed[leftover.path] = refusal
        else:
            self.removed.append(leftover)


def _whose(path: Path, life: Life | None, is_silent: bool) -> str:
    """Why a trial that somebody claims is left as it is."""
    if life == "alive":
        return "a run of this machine works there"
    if not is_silent:
        return "a run elsewhere works there"
    return f"{path.name} is of a run elsewhere, silent for long; whoever runs the trial takes it over"


def _may_have_leftovers(trial: TrialFolder) -> bool:
    """By names alone, since nearly no trial has any."""
    beside = {STATUS_FILE, CHECKPOINT_FOLDER} & (trial.files | trial.folders)
    is_half = any(map(_TEMPORARY_NAME.fullmatch, trial.files | trial.folders))
    return is_half or (RECORD_FILE in trial.files and bool(beside)) or CHECKPOINT_FOLDER in trial.folders


def _leftovers_beside(trial: TrialFolder) -> list[Leftover]:
    """All leftovers of a trial but its claims, as they are now."""
    found: list[Leftover] = []
    checkpoint = trial.path / CHECKPOINT_FOLDER
    if _is_done(trial):
        if STATUS_FILE in trial.files:
            found.append(_leftover(trial.path / STATUS_FILE, "status"))
        if _is_checkpoint(checkpoint):
            found.append(_leftover(checkpoint, "checkpoint"))
    halves = _halves(trial.path)
    if not any(one.path == checkpoint for one in found) and _is_checkpoint(checkpoint):
        halves += _halves(checkpoint)
    if halves:
        now = time_there(trial.path)
        found += [_leftover(path, "half-written") for path in halves if now - newest_change(path) > WRITING_S]
    return found


def _leftover(path: Path, kind: Kind) -> Leftover:
    return Leftover(path, kind, size_bytes(path))


def _is_done(trial: TrialFolder) -> bool:
    """Whether a trial has a record that passes every check and says `done`."""
    beside = STATUS_FILE in trial.files or CHECKPOINT_FOLDER in trial.folders
    if not beside or RECORD_FILE not in trial.files:
        return False
    try:
        return read_record(trial.path / RECORD_FILE).status == "done"
    except ResultsError:
        return False


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds nothing but what a checkpoint consists of: it is about to be removed whole."""
    try:
        with os.scandir(folder) as entries:
            return not folder.is_symlink() and all(
                one.is_file(follow_symlinks=False) and _CHECKPOINT_FILE.fullmatch(one.name) for one in entries
            )
    except OSError:
        return False


def _halves(folder: Path) -> list[Path]:
    """Files and folders directly in a folder that bear a temporary name; no links."""
    try:
        with os.scandir(folder) as entries:
            named = [one for one in entries if _TEMPORARY_NAME.fullmatch(one.name)]
            plain = [one for one in named if one.is_file(follow_symlinks=False) or one.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(one.name for one in plain)]


def _half_prepared(cache: Path, kept: dict[Path, str]) -> Iterator[Path]:
    """What is half-written in the cache and nobody's; why the rest is left goes into `kept`."""
    for folder in (cache, cache / "prepared"):
        if folder != cache and os.path.islink(folder):
            continue
        halves = _halves(folder)
        now = time_there(folder) if halves else 0.0
        for path in halves:
            reason = _still_needed(path, now - newest_change(path))
            if reason:
                kept[path] = reason
            else:
                yield path


def _still_needed(path: Path, untouched_s: float) -> str:
    """Why half-prepared data may be somebody's, or empty."""
    match = _PREPARED_NAME.fullmatch(path.name)
    if match is not None and match[1] == this_host():
        if is_alive(int(match[2])):
            return f"process {match[2]} is preparing it"
        # Containers of one host name don't see one another's processes; whoever prepares data writes all the time.
        return "" if untouched_s > WRITING_S else "its process is gone, but it was written to within 10 minutes"
    whose = "another machine may be preparing it" if match is not None else "nothing tells who made it"
    return "" if untouched_s > PREPARING_S else f"{whose}, and it was written to within a day"


def _walk(path: Path) -> Iterator[os.stat_result]:
    """What the system says of a file or folder and of all in it; links are told of, not followed."""
    with contextlib.suppress(OSError):
        yield path.lstat()
    for parent, folders, files in os.walk(path, followlinks=False):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(parent, name))


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; what vanishes meanwhile doesn't count."""
    return sum(one.st_size for one in _walk(path) if not stat.S_ISDIR(one.st_mode))


def newest_change(path: Path) -> float:
    """When a file, or anything in a folder, was last changed, in seconds since 1970; never, if it is gone."""
    return max((one.st_mtime for one in _walk(path)), default=float("inf"))


def _remove(path: Path) -> str:
    """Remove a file or folder; the system's words where it refuses, empty where it is gone."""
    removal: Callable[[Path], object] = shutil.rmtree if os.path.isdir(path) and not os.path.islink(path) else os.unlink
    try:
        removal(path)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
    return ""


def total_bytes(leftovers: Iterable[Leftover]) -> int:
    """Bytes of all of them."""
    return sum(one.size_bytes for one in leftovers)
